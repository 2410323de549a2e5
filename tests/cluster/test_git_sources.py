"""A repository that a cluster follows, whole: a real git host, a real API server, the chart's account, real rollouts.

The light bed's pods only pretend, and a small Prometheus counts for them; everything that concerns git is as anywhere.
"""

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from tests.cluster.bed import KubectlError, Light, until
from tests.cluster.charts import LONG, PATIENCE, a_canary, ask, install_crd, phase, release, variant
from tests.cluster.test_permissions import Replica, asked, may, numbers, operator
from tests.controlplane.gitops.deliveries import push, signed
from tests.controlplane.gitops.host import Host, hosted
from tests.controlplane.gitops.origin import Origin
from tests.test_chart import ASKED, ELECTION, GIT, READS

TOKEN, HOOK = "a-token-that-nobody-may-see", "0123456789abcdef-secret"
FILE = "apps/chat/canary.yml"


@dataclass(frozen=True, slots=True)
class Town:
    """The cluster, the host and the operator between them."""

    where: Light
    namespace: str
    origin: Origin
    host: Host
    replica: Replica
    hooks: str
    """Where webhooks are taken."""

    def follow(self, **spec: Any) -> None:
        """A GitSource, as a person applies it."""
        meta = {"name": "apps", "namespace": self.namespace}
        wanted = {"url": self.host.url("origin.git"), "paths": ["apps/*/canary.yml"], "secretRef": {"name": "git"}}
        object_ = {"apiVersion": "serinus.dev/v1alpha1", "kind": "GitSource", "metadata": meta}
        self.where.apply({**object_, "spec": {**wanted, **spec}})

    def commit(self, message: str, **spec: Any) -> str:
        """Push a canary.yml with these variants."""
        plan = a_canary("chat", self.namespace, stages=LONG, **spec)
        del plan["metadata"]["namespace"], plan["spec"]["alerts"]
        return self.origin.commit({FILE: f"# ask Ann\n{yaml.safe_dump(plan, sort_keys=False)}"}, message)

    def canary(self) -> dict[str, Any]:
        """The ModelCanary now; empty where there is none."""
        return self.where.get("modelcanary", "chat", self.namespace) or {}

    def condition(self, kind: str) -> str:
        """Truth and reason of a condition of the source."""
        source = self.where.get("gitsource", "apps", self.namespace) or {}
        found = [each for each in (source.get("status") or {}).get("conditions", ()) if each["type"] == kind]
        return f"{found[0]['status']} {found[0]['reason']}" if found else ""

    def tell(self, after: str) -> int:
        """What the host does after a push."""
        body = push("github", after=after)
        headers = signed("github", body, at=time.time(), secret=HOOK)
        url = f"{self.hooks}/{self.namespace}/apps"
        return httpx2.post(url, content=body, headers=headers, timeout=10).status_code


@pytest.fixture
def town(light: Light, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Town]:
    install_crd(light)
    monkeypatch.setenv("SERINUS_ALERT_NETWORKS", "127.0.0.0/8")  # where the test's host is
    given = {
        "crds.install": False,
        "userRoles": False,
        "watch.allNamespaces": False,
        "git.enabled": True,
        "git.secrets": [{"namespace": namespace, "names": ["git"]}],
    }
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    flags = ["--git-sources", "--git-cache", str(tmp_path / "cache"), "--git-webhook", address]
    flags += ["--allow-secret", f"git:{namespace}/git"]
    words = [f"--from-literal={key}={value}" for key, value in SECRET.items()]
    light.kubectl("create", "secret", "generic", "git", "-n", namespace, *words)
    origin = Origin(tmp_path / "origin.git")
    with (
        release(light, namespace, given),
        numbers(namespace) as prometheus,
        hosted(tmp_path, TOKEN) as host,
        operator(light, f"{namespace}:{namespace}", namespace, prometheus.url, tmp_path, *flags) as replica,
    ):
        yield Town(light, namespace, origin, host, replica, f"http://{address}")


SECRET = {"token": TOKEN, "username": "bot", "webhook": HOOK}


def test_a_commit_becomes_a_rollout_and_its_end_a_commit_with_the_roles_of_the_chart(town: Town) -> None:
    """At rest, tried by a webhook's word, put back with its evidence, refused once more, removed with its file."""
    namespace = town.namespace
    town.commit("Begin", canary=variant(1))
    town.follow(interval="1h")
    until("the resource", lambda: bool(town.canary()), PATIENCE)
    assert town.canary()["metadata"]["labels"] == {"git.serinus.dev/source": "apps"}
    until("what was read", lambda: town.condition("Ready") == "True UpToDate", PATIENCE)
    brought = town.commit("Try v2", canary=variant(2))
    assert town.tell(brought) == 202
    until("the rollout", lambda: phase(town.where, "chat", namespace) == "Analyzing", PATIENCE)
    assert town.canary()["metadata"]["annotations"]["git.serinus.dev/commit"] == brought
    ask(town.where, "chat", namespace, "abort")
    until("the rollback commit", lambda: town.origin.head() != brought, PATIENCE)
    message = town.origin.message()
    assert message.startswith("Roll back chat: v1 instead of v2")
    assert f"Serinus-Commit: {brought}" in message
    assert f"kubectl canary retry chat -n {namespace}" in message
    until("the file's word", lambda: town.canary()["spec"]["canary"]["name"] == "v1", PATIENCE)
    again = town.commit("Try v2 again", canary=variant(2))
    town.tell(again)
    until("a refusal", lambda: "was rejected" in town.replica.said(), PATIENCE)
    assert town.canary()["spec"]["canary"]["name"] == "v1"
    town.tell(town.origin.commit({FILE: None, "apps/bad/canary.yml": "kind: [\n"}, "Remove it"))
    until("the end", lambda: town.canary() == {}, PATIENCE)
    until("the fault", lambda: town.condition("Valid") == "False FilesNotUsed", PATIENCE)
    granted, used = may(town.where, f"{namespace}:{namespace}", namespace), asked(town.replica.page("/metrics"))
    assert granted == ASKED | READS | ELECTION | GIT | {("get", "secrets")}
    assert used <= granted
    # Created, nothing was; and `attest` is asked of the API server by its own policy for requests.
    unused = {("create", "modelcanaries"), ("attest", "modelcanaries/requests")}
    assert (GIT | {("get", "secrets")}) - used == unused
    said = town.replica.said()
    assert "forbidden" not in said.lower()
    assert TOKEN not in said


def test_what_somebody_changes_with_kubectl_is_put_back_as_its_file_says(town: Town) -> None:
    """At rest and under way, in one write, by the server's own record of who wrote what; or shown, where so wished."""
    namespace = town.namespace
    town.commit("Begin", canary=variant(1))
    town.follow(interval="5s")
    until("what was read", lambda: town.condition("Drifted") == "False AsCommitted", PATIENCE)
    kept, generation = town.canary()["spec"], town.canary()["metadata"]["generation"]
    edit = {"canary": {"name": "by-hand"}, "onBreach": "pause", "maxBlind": "7m"}
    town.where.kubectl(
        "patch",
        "mcan",
        "chat",
        "-n",
        namespace,
        "--type=merge",
        "--field-manager=ann",
        "-p",
        json.dumps({"spec": edit}),
    )
    until("the repair", lambda: town.canary()["spec"] == kept, PATIENCE)
    assert town.canary()["metadata"]["generation"] == generation + 2
    until("the condition", lambda: town.condition("Drifted") == "False PutBack", PATIENCE)
    events = town.where.kubectl("get", "events", "-n", namespace, "-o", "jsonpath={.items[*].message}")
    assert "ModelCanary chat was changed by ann (" in events
    assert "it is as apps/chat/canary.yml:" in events
    town.commit("Try v2", canary=variant(2))
    until("the rollout", lambda: phase(town.where, "chat", namespace) == "Analyzing", PATIENCE)
    began = town.canary()["status"]["revision"]
    town.follow(interval="5s", onDrift="report")
    until("the wish", lambda: town.condition("Drifted") == "False AsCommitted", PATIENCE)
    patch = json.dumps({"spec": {"maxBlind": "9m"}})
    town.where.kubectl("patch", "mcan", "chat", "-n", namespace, "--type=merge", "-p", patch)
    until("the report", lambda: town.condition("Drifted") == "True ChangedByOthers", PATIENCE)
    assert town.canary()["spec"]["maxBlind"] == "9m"
    town.follow(interval="5s", onDrift="repair")
    until("the repair", lambda: town.canary()["spec"].get("maxBlind") == kept["maxBlind"], PATIENCE)
    until("the committed plan again", lambda: phase(town.where, "chat", namespace) == "Analyzing", PATIENCE)
    assert town.canary()["status"]["revision"] == began


def test_the_server_refuses_what_no_source_can_mean(town: Town) -> None:
    """And a Secret that the chart does not name cannot be read."""
    for spec in ({"url": "https://bot:secret@host/x"}, {"interval": "soon"}, {"write": "force"}, {"paths": [""]}):
        with pytest.raises(KubectlError):
            town.follow(**spec)
    town.where.kubectl("create", "secret", "generic", "other", "-n", town.namespace, "--from-literal=token=x")
    town.follow(secretRef={"name": "other"})
    until("the reason", lambda: town.condition("Ready") == "False NoSecret", PATIENCE)
    source = json.dumps(town.where.get("gitsource", "apps", town.namespace))
    assert "git.secrets" in source
