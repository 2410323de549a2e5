"""kubectl canary with the real kubectl, API server and operator: found, answered, completed, explained."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from controlplane.kubectl.client import ThinClient
from controlplane.kubectl.kubeconfig import find
from controlplane.kubernetes.api import FIELD_MANAGER, Resource
from controlplane.kubernetes.resources import HTTP_ROUTE
from tests.cluster.bed import Light, until
from tests.cluster.charts import install_crd
from tests.cluster.test_kube import DEFINITION, NAME
from tests.contracts.kube_promises import KubePromises

BIN = Path(sys.executable).parent
PLAN = """
apiVersion: serinus.dev/v1alpha1
kind: ModelCanary
metadata: {name: chat}
spec:
  model: {name: chat, uri: "hf://example/chat"}
  platform: {kserve: {gateway: kserve/kserve-ingress-gateway, hostname: chat.example.com}}
  stable: {name: v1}
  canary: {name: v2}
  stages: [{traffic: 5%, hold: 10m, gates: ["error_rate <= 5%"]}, {traffic: 100%}]
"""


@pytest.fixture(scope="module", autouse=True)
def kinds(light: Light) -> None:
    """The server knows ModelCanaries and the suite's own kind."""
    light.apply(DEFINITION)
    light.kubectl("wait", "--for=condition=Established", f"crd/{NAME}", "--timeout=30s")
    install_crd(light)


class TestThinClient(KubePromises):
    """The plugin's own client keeps what every `api.Kube` promises."""

    @pytest.fixture
    async def kube(self, light: Light, namespace: str) -> AsyncIterator[ThinClient]:
        client = ThinClient(find(kubeconfig=str(light.kubeconfig)), manager=FIELD_MANAGER)
        yield client
        await client.close()

    @pytest.fixture
    async def other(self, light: Light, namespace: str) -> AsyncIterator[ThinClient]:
        client = ThinClient(find(kubeconfig=str(light.kubeconfig)), manager="argocd")
        yield client
        await client.close()

    @pytest.fixture
    def too_old(self) -> Callable[[], tuple[Resource, str]]:
        """A server has a kind's changes since it follows the kind: of one that was defined later, version 1 is older.

        Of its own kinds it may have every change since its first start, and then no version is too old.
        """
        return lambda: (HTTP_ROUTE, "1")


class Person:
    """Somebody who types `kubectl canary …` in one namespace."""

    def __init__(self, light: Light, namespace: str) -> None:
        self.light, self.namespace = light, namespace
        path = f"{BIN}:{light.kubectl_program.parent}:{os.environ['PATH']}"
        self.environ = {**os.environ, "KUBECONFIG": str(light.kubeconfig), "PATH": path}

    def types(self, *words: str, code: int = 0) -> str:
        """What it prints, errors included; fails where it leaves with another code."""
        done = self.run("kubectl", "canary", *words, "-n", self.namespace)
        told = done.stdout + done.stderr
        assert done.returncode == code, told
        return told

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Any program, with kubectl and the plugin on the PATH."""
        return subprocess.run(
            words, env=self.environ, capture_output=True, text=True, timeout=90, check=False, stdin=subprocess.DEVNULL
        )

    def status(self) -> dict[str, Any]:
        """The status of the rollout."""
        return dict((self.light.get("modelcanary", "chat", self.namespace) or {}).get("status") or {})

    def until_phase(self, *phases: str) -> None:
        """Wait until the rollout is in one of these."""
        until(f"one of {phases}", lambda: self.status().get("phase") in phases, seconds=90)


@pytest.fixture
def person(light: Light, namespace: str, tmp_path: Path) -> Iterator[Person]:
    """Somebody with a rollout under way and an operator that carries it out; its Prometheus never answers."""
    light.apply(
        {
            "apiVersion": "serinus.dev/v1alpha1",
            "kind": "ModelCanary",
            "metadata": {"name": "chat", "namespace": namespace},
            "spec": {
                "model": {"name": "chat", "uri": "hf://example/chat"},
                "platform": {
                    "kserve": {
                        "gateway": "kserve/kserve-ingress-gateway",
                        "hostname": f"chat.{namespace}.example.com",
                        "prometheus": "http://127.0.0.1:1",
                    }
                },
                "stable": {"name": "v1", "image": "example/sim:1"},
                "canary": {"name": "v2", "image": "example/sim:2"},
                "drain": "0s",  # nobody counts the open requests of the light bed
                "stages": [{"traffic": "5%", "hold": "10m", "gates": ["error_rate <= 5%"]}, {"traffic": "100%"}],
            },
        }
    )
    with (tmp_path / "operator.log").open("w") as log:
        operator = subprocess.Popen(
            [
                BIN / "serinus",
                "controller",
                "--cluster",
                "--namespace",
                namespace,
                "--prometheus",
                "http://127.0.0.1:1",
                "--rollouts-per-namespace",
                "1",
            ],
            env={**os.environ, "KUBECONFIG": str(light.kubeconfig)},
            stderr=log,
        )
        try:
            yield Person(light, namespace)
        finally:
            operator.terminate()
            operator.wait(timeout=30)


def test_a_rollout_is_listed_paused_resumed_aborted_explained_and_tried_again(person: Person) -> None:
    """Each request is answered by the operator, in the words that stand in the status and in an Event."""
    person.until_phase("Analyzing", "Blind")
    assert "chat" in person.types("list")
    assert "stage 1 of 2" in person.types("get", "chat")

    paused = person.types("pause", "chat").strip()
    # No policy for requests is installed, so nothing proves the name; `test_policies.py` has a cluster that proves it.
    assert paused == "admin (unverified) paused the rollout at 5 %. It rolls back by itself all the same."
    assert person.status()["message"] == paused
    assert paused in person.types("why", "chat")
    assert person.types("resume", "chat").strip() == "admin (unverified) resumed the rollout."

    assert "(nothing was changed)" in person.types("abort", "chat", "--dry-run=server")
    assert "bob may not" in person.types("abort", "chat", "--dry-run=server", "--as", "bob", code=1)
    assert "add --yes" in person.types("abort", "chat", code=2)
    aborted = person.types("abort", "chat", "--yes").strip()
    assert person.types("status", "chat", "--wait", "--timeout", "60", code=1)
    assert aborted in person.types("why", "chat")
    until("the Event", lambda: aborted in person.types("events", "chat"))

    person.types("retry", "chat")
    until("a second attempt", lambda: person.status().get("attempt") == 2)
    assert "not possible" not in person.types("history", "chat")


def test_s14_a_rollout_waits_for_the_one_that_its_namespace_has_under_way(person: Person) -> None:
    """As many as this operator lets one namespace have at a time; it says so, and begins once the first is gone."""
    person.until_phase("Analyzing", "Blind")
    first = person.light.get("modelcanary", "chat", person.namespace)
    assert first is not None
    platform = {"kserve": {**first["spec"]["platform"]["kserve"], "hostname": f"next.{person.namespace}.example.com"}}
    meta = {"name": "next", "namespace": person.namespace}
    person.light.apply(
        {
            "apiVersion": first["apiVersion"],
            "kind": first["kind"],
            "metadata": meta,
            "spec": {**first["spec"], "platform": platform},
        }
    )
    until("the condition", lambda: "Queued" in person.types("list"), 30)
    assert "has as many rollouts under way as one may have at a time (1, " in person.types("get", "next", code=2)
    person.light.kubectl("delete", "modelcanary", "chat", "-n", person.namespace, "--timeout=90s")

    def begun() -> bool:
        status = (person.light.get("modelcanary", "next", person.namespace) or {}).get("status") or {}
        return bool(status.get("phase"))

    until("its turn", begun, 60)
    assert "Queued" not in person.types("list")


def test_a_change_is_seen_at_once_by_somebody_who_watches(person: Person) -> None:
    """Without a terminal each thing that happens is a line, and the end of the rollout ends the watch."""
    person.until_phase("Analyzing", "Blind")
    words = ["kubectl", "canary", "get", "chat", "-w", "-n", person.namespace]
    with subprocess.Popen(words, env=person.environ, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        assert "chat: 5 % → 100 %." in watching.stdout.readline()
        person.types("abort", "chat", "--yes")
        told = watching.stdout.read()
        assert watching.wait(timeout=30) == 1
    assert "admin (unverified) aborted: everything goes back to stable." in told
    assert "end      aborted" in told


def test_bash_completes_verbs_and_names_from_the_sourced_script(person: Person) -> None:
    """What bash itself would offer after the tab key."""

    def offered(*words: str) -> list[str]:
        line = (
            "source <(kubectl-canary completion bash);"
            f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1};"
            '_kubectl_canary_completion kubectl-canary; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        done = person.run("bash", "-c", line)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    assert offered("kubectl-canary", "pro") == ["promote"]
    assert offered("kubectl-canary", "get", "-n", person.namespace, "ch") == ["chat"]


def test_kubectls_own_completion_asks_ours(person: Person) -> None:
    """`kubectl canary get <TAB>`: kubectl calls the program of that name on the PATH."""
    done = person.run("kubectl", "__complete", "canary", "get", "-n", person.namespace, "ch")
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["chat", ":4"]


def test_the_api_servers_word_is_asked_without_changing_anything(light: Light, namespace: str, tmp_path: Path) -> None:
    person, file = Person(light, namespace), tmp_path / "canary.yml"
    file.write_text(PLAN, encoding="utf-8")
    assert "takes it in namespace" in person.types("lint", str(file), "--dry-run=server")
    assert light.get("modelcanary", "chat", namespace) is None
    missing = person.run("kubectl", "canary", "lint", str(file), "--dry-run=server", "-n", "no-such-namespace")
    assert missing.returncode == 2


def test_somebody_without_the_permission_is_told_which_one(light: Light, namespace: str) -> None:
    told = Person(light, namespace).types("list", "--as", "bob", code=1)
    assert told.startswith('bob may not list resource "modelcanaries" in API group "serinus.dev"')


def test_a_cluster_that_is_not_there_is_one_sentence(tmp_path: Path, light: Light, namespace: str) -> None:
    config = light.kubeconfig.read_text(encoding="utf-8")
    server = find(kubeconfig=str(light.kubeconfig)).server
    (tmp_path / "config").write_text(config.replace(server, "https://127.0.0.1:1"), encoding="utf-8")
    told = Person(light, namespace).types("list", "--kubeconfig", str(tmp_path / "config"), code=1)
    assert told.startswith("The API server at https://127.0.0.1:1 does not answer: ")
    assert len(told.splitlines()) == 1
