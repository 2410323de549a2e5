"""The operator itself, as a process beside a real cluster: real KServe, pods, gateway, Prometheus and traffic.

Each rollout is the same small plan with short holds; what differs is what happens to it.
"""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.bed import Light, Node, until
from tests.cluster.charts import install_crd

SERINUS = Path(sys.executable).parent / "serinus"
RATE = 200.0
GATE = "error_rate <= 5%"
TAKEOVER_S = 12.0
"""Until a standby acts for a leader that was killed: its lease has to run out first."""


@dataclass
class Replica:
    """One operator process and what it said."""

    process: subprocess.Popen[str]
    log: Path

    @property
    def said(self) -> list[str]:
        """Its sentences so far."""
        return [json.loads(line)["message"] for line in self.log.read_text().splitlines() if line.startswith("{")]

    def leads(self) -> bool:
        """Whether it carries out rollouts."""
        return any("Carrying out" in each for each in self.said)


@contextmanager
def operator(
    bed: Node | Light, namespace: str, folder: Path, name: str = "operator", prometheus: str = ""
) -> Iterator[Replica]:
    """A replica for the time of the block, ended in order. A light bed has no Prometheus of its own."""
    asked = prometheus or (bed.prometheus if isinstance(bed, Node) else "http://127.0.0.1:9")
    log = folder / f"{name}.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [
                *(str(SERINUS), "controller", "--cluster", "--namespace", namespace),
                *("--kubeconfig", str(bed.kubeconfig), "--prometheus", asked),
            ],
            stderr=out,
            text=True,
        )
    try:
        yield Replica(process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        sys.stdout.write(f"--- {name}\n{log.read_text()}")
        if "modelcanaries" in bed.kubectl("api-resources", "--api-group=serinus.dev", "-o", "name"):
            shown = "-o=jsonpath={range .items[*]}{.metadata.name}: {.status.message} {.status.gates}\n{end}"
            sys.stdout.write(bed.kubectl("get", "modelcanaries", "-n", namespace, shown, check=False))
    assert "bug of ours" not in log.read_text()


def a_canary(namespace: str, **spec: Any) -> dict[str, Any]:
    """A ModelCanary with two variants of the sample server."""
    variant = {"runtime": "serinus-sim", "resources": {"cpu": "200m", "memory": "96Mi"}, "profile": {"gpu": "L4"}}
    kserve = {"gateway": "kserve/kserve-ingress-gateway", "hostname": f"chat.{namespace}.example.com"}
    stages = [
        {"traffic": "5%", "hold": "3s", "gates": [GATE]},
        {"traffic": "50%", "hold": "6s", "gates": [GATE]},
        {"traffic": "100%", "hold": "3s", "gates": [GATE]},
    ]
    return {
        "apiVersion": "serinus.dev/v1alpha1",
        "kind": "ModelCanary",
        "metadata": {"name": "chat", "namespace": namespace},
        "spec": {
            "model": {"name": "chat"},
            "platform": {"kserve": kserve},
            "stable": {"name": "v1", "uri": "hf://example/chat-bf16", **variant},
            "canary": {"name": "v2", "uri": "hf://example/chat-int4", **variant},
            "stages": stages,
            **spec,
        },
    }


def apply(node: Node, canary: Mapping[str, Any]) -> None:
    """Install the resource and apply this one."""
    install_crd(node)
    node.apply(dict(canary))


def status(node: Node, namespace: str) -> dict[str, Any]:
    """The status now; empty before there is one."""
    found = node.get("modelcanary", "chat", namespace)
    return dict((found or {}).get("status") or {})


def reached(node: Node, namespace: str, **wanted: Any) -> bool:
    """Whether the status says all of this."""
    return wanted.items() <= status(node, namespace).items()


def at_rest(node: Node, namespace: str) -> bool:
    """Whether the rollout is over and everything put away."""
    told = {each["type"]: each for each in status(node, namespace).get("conditions", ())}
    return bool(told.get("Progressing", {}).get("status") == "False")


def services(node: Node, namespace: str) -> set[str]:
    """The InferenceServices that are there and stay."""
    found = node.find("inferenceservices", namespace)
    return {each["metadata"]["name"] for each in found if "deletionTimestamp" not in each["metadata"]}


def test_a_good_canary_is_promoted_without_a_lost_request(node: Node, namespace: str, tmp_path: Path) -> None:
    """From `kubectl apply` to 100 %: no request fails once the first was served, and the old variant goes."""
    with operator(node, namespace, tmp_path):
        apply(node, a_canary(namespace))
        until("both variants to be ready", lambda: status(node, namespace).get("phase") not in {None, "Preparing"}, 120)
        with node.load(f"chat.{namespace}.example.com", rate=RATE) as load:
            until("the promotion", lambda: at_rest(node, namespace), 120, every=0.5)
        assert reached(node, namespace, phase="Succeeded", result="promoted", weight="100 %")
        until("the old variant to go", lambda: services(node, namespace) == {"chat-v2"}, 30)
    failed = [hit for hit in load.hits if hit.status != 200]
    assert not failed, f"{len(failed)} of {len(load.hits)}: {failed[:3]}"
    assert len(load.hits) > 1000


def test_a_bad_canary_is_rolled_back(node: Node, namespace: str, tmp_path: Path) -> None:
    """Errors at 50 %: all traffic is back within seconds, the canary goes, and everything says why."""
    with operator(node, namespace, tmp_path):
        apply(node, a_canary(namespace))
        until("the first stage", lambda: reached(node, namespace, stage=0, phase="Analyzing"), 150)
        with node.load(f"chat.{namespace}.example.com", rate=RATE) as load:
            until("the second stage", lambda: reached(node, namespace, stage=1, phase="Analyzing"), 150)
            node.turn(namespace, "chat-v2", error_rate=1.0)
            turned = time.time()
            until("the end", lambda: at_rest(node, namespace), 60)
        found = status(node, namespace)
        assert (found["phase"], found["result"], found["weight"]) == ("RolledBack", "rolled_back", "0 %")
        assert services(node, namespace) == {"chat-v1"}
        seen = node.kubectl("get", "events.events.k8s.io", "-n", namespace, "-o", "jsonpath={.items[*].reason}")
        assert {"GateFailed", "TrafficBack"} <= set(seen.split())
    last = max(hit.began for hit in load.hits if "v2" in hit.server)
    sys.stdout.write(f"last request on the broken canary {last - turned:.2f} s after it broke\n")
    assert last - turned < 10
    lost = [hit for hit in load.hits if hit.status != 200 and "v2" not in hit.server and hit.began > turned - 5]
    assert not lost, f"{len(lost)}: {lost[:3]}"


def test_a_standby_rolls_back_for_a_leader_that_was_killed(node: Node, namespace: str, tmp_path: Path) -> None:
    """`kill -9` of the leader, then a canary that breaks."""
    with operator(node, namespace, tmp_path, "first") as first:
        until("a leader", first.leads, 30)
        with operator(node, namespace, tmp_path, "second") as second:
            apply(
                node,
                a_canary(namespace, stages=[{"traffic": "50%", "hold": "10m", "gates": [GATE]}, {"traffic": "100%"}]),
            )
            with node.load(f"chat.{namespace}.example.com", rate=RATE):
                until("the first stage", lambda: reached(node, namespace, phase="Analyzing"), 150)
                assert not second.leads()
                node.turn(namespace, "chat-v2", error_rate=1.0)
                first.process.kill()
                killed = time.time()
                until("the rollback", lambda: reached(node, namespace, phase="RolledBack"), 60, every=0.05)
                took = time.time() - killed
    sys.stdout.write(f"rolled back by the standby {took:.1f} s after the leader was killed\n")
    assert took < TAKEOVER_S


def test_a_deleted_modelcanary_leaves_stable_serving(node: Node, namespace: str, tmp_path: Path) -> None:
    """Deleted at 50 %: the canary goes, stable and route stay, and one sentence says so."""
    with operator(node, namespace, tmp_path) as replica:
        apply(node, a_canary(namespace))
        until("the first stage", lambda: reached(node, namespace, stage=0, phase="Analyzing"), 150)
        with node.load(f"chat.{namespace}.example.com", rate=RATE) as load:
            until("the second stage", lambda: reached(node, namespace, stage=1, phase="Analyzing"), 150)
            node.kubectl("delete", "modelcanary", "chat", "-n", namespace, "--timeout=30s")
            until("the canary to go", lambda: services(node, namespace) == {"chat-v1"}, 10)
            time.sleep(1)
            gone = time.time()
            time.sleep(2)
        assert any(re.search("chat was deleted: v1 serves on", each) for each in replica.said)
    after = [hit for hit in load.hits if hit.began > gone]
    assert after
    assert all(hit.status == 200 and "v1" in hit.server for hit in after)
