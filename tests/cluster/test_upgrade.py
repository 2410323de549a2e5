"""An operator of an earlier build in the place of a newer one, with a rollout in flight, on a real API server.

What the newer build would have left is written by hand into the status of a canary at 25 %: fields, a phase and a judge
of which this build knows nothing. The other way round, what an earlier build left is taken up by this one, is recorded
and played in memory: `tests/simulation/test_upgrade.py`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.bed import Light, until
from tests.cluster.charts import PATIENCE, a_canary, at_rest, install_crd, phase, release, status
from tests.cluster.test_permissions import numbers, operator

STAGES = [
    {"traffic": "25%", "hold": "1h", "gates": [{"metric": "error_rate", "max": "5%", "test": "threshold"}]},
    {"traffic": "100%"},
]


def generation(where: Light, namespace: str) -> tuple[int, dict[str, int]]:
    """Of the route, which every change of its weights raises; and the weights."""
    route = where.get("httproute", "chat", namespace) or {}
    refs = route["spec"]["rules"][0]["backendRefs"]
    return route["metadata"]["generation"], {each["name"]: each["weight"] for each in refs}


def write(where: Light, namespace: str, state: Mapping[str, Any]) -> None:
    """Merge this into the state, as a build that knows these fields would have left it."""
    words = ("modelcanary", "chat", "-n", namespace, "--subresource=status", "--type=merge", "--patch-file=/dev/stdin")
    where.kubectl("patch", *words, stdin=json.dumps({"status": {"state": state}}))


def events(where: Light, namespace: str, reason: str) -> list[str]:
    """What was said of the rollout, as `kubectl describe` shows it."""
    return [each.get("message") or each["note"] for each in where.find("events", namespace) if each["reason"] == reason]


@pytest.mark.timeout(600)
def test_r10_an_earlier_build_in_the_place_of_a_newer_one_changes_no_traffic_that_it_cannot_judge(
    light: Light, namespace: str, tmp_path: Path
) -> None:
    """A state that it cannot read stays as it is, and is said; one whose judge alone is newer goes on."""
    install_crd(light)
    account, given = f"{namespace}:{namespace}", {"crds.install": False, "userRoles": False}
    with (
        release(light, namespace, {**given, "watch.allNamespaces": False}),
        numbers(namespace) as prometheus,
    ):
        with operator(light, account, namespace, prometheus.url, tmp_path):
            light.apply(a_canary("chat", namespace, stages=STAGES, alerts=[]))
            until("the first stage", lambda: phase(light, "chat", namespace) == "Analyzing", PATIENCE)
        left, route = status(light, "chat", namespace), generation(light, namespace)
        assert left["weight"] == "25 %"

        write(light, namespace, {"phase": "Rehearsing", "rehearsal": {"round": 1}})
        newer = status(light, "chat", namespace)
        with operator(light, account, namespace, prometheus.url, tmp_path) as replica:
            until("its word", lambda: "cannot be read" in replica.said(), PATIENCE)
            prometheus.fail(f"{namespace}/chat", 1.0)
            until("an Event", lambda: events(light, namespace, "StateUnreadable"), PATIENCE)
        [told] = events(light, namespace, "StateUnreadable")
        assert "Run that operator again and the rollout goes on" in told
        assert generation(light, namespace) == route
        assert status(light, "chat", namespace)["state"] == newer["state"]

        prometheus.fail(f"{namespace}/chat", 0.0)
        judge = {"version": 99, "memory": {"of": "a newer build"}, "more": [1]}
        write(
            light, namespace, {"phase": left["state"]["phase"], "rehearsal": None, "unknown": {"a": 1}, "judge": judge}
        )
        with operator(light, account, namespace, prometheus.url, tmp_path):
            until(
                "a new judge", lambda: status(light, "chat", namespace)["state"]["judge"].get("version") != 99, PATIENCE
            )
            found = status(light, "chat", namespace)
            assert (found["phase"], found["attempt"], generation(light, namespace)) == (
                "Analyzing",
                left["attempt"],
                route,
            )
            assert [each for each in found["history"] if each["reason"] == "JudgedAnew"]
            assert [each["id"] for each in found["history"]][:1] == [left["history"][0]["id"]]
            prometheus.fail(f"{namespace}/chat", 1.0)
            until("the rollback", lambda: at_rest(light, "chat", namespace, "RolledBack"), PATIENCE)
        assert status(light, "chat", namespace)["attempt"] == left["attempt"]
