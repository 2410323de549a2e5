"""A rollout beside a namespace whose owner writes the worst that is known, on a real API server.

The operator is a process of its own with the account of the chart. What the server takes of the attacker's objects it
meets; what it refuses is refused. In memory the same is done with servers and pods of the attacker's, and at random:
`tests/simulation/test_tenancy.py`.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.kubernetes.api import Resource
from tests.cluster.bed import Light, until
from tests.cluster.charts import PATIENCE, a_canary, at_rest, install_crd, phase, release, status, variant
from tests.cluster.test_permissions import numbers, operator
from tests.controlplane.gitops.host import hosted
from tests.controlplane.gitops.origin import Origin
from tests.simulation.attacker import Act, Delete, Patch, Write
from tests.simulation.shared_cluster import HOSTILE
from tests.simulation.worst_acts import WORST

MOST = 10
"""Of one kind of act: the rest is more of the same."""
WITHIN_S = 30.0
"""From the first bad answer to the decision, by the operator's own record: two or three seconds on a quiet machine."""
TOKEN = "the-victims-own-token"
STAGES = [
    {"traffic": "5%", "hold": "1h", "gates": [{"metric": "error_rate", "max": "5%", "test": "threshold"}]},
    {"traffic": "100%"},
]


def kind_of(resource: Resource) -> str:
    """As kubectl calls it."""
    return f"{resource.plural}.{resource.group}".rstrip(".")


def attack(where: Light, acts: Sequence[Act]) -> None:
    """Do what can be done with kubectl; whether the server takes it is its business."""
    objects = [each.object for each in acts if isinstance(each, Write)][:MOST]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    where.kubectl(
        "apply", "--server-side", "--force-conflicts", "--validate=false", "-f", "-", stdin=listed, check=False
    )
    for each in acts:
        if isinstance(each, Patch):
            more = [f"--subresource={each.subresource}"] if each.subresource else []
            words = (kind_of(each.resource), each.name, "-n", HOSTILE, "--type=merge", "--patch-file=/dev/stdin")
            where.kubectl("patch", *words, *more, stdin=json.dumps(each.patch), check=False)
        elif isinstance(each, Delete):
            where.kubectl("delete", kind_of(each.resource), each.name, "-n", HOSTILE, "--wait=false", check=False)


def split(where: Light, namespace: str) -> dict[str, int]:
    """Weights in the route, by variant."""
    route = where.get("httproute", "chat", namespace) or {}
    return {each["name"]: each["weight"] for each in route["spec"]["rules"][0]["backendRefs"]}


def secrets_in(where: Light, namespace: str) -> list[Any]:
    """Each Secret as it is."""
    return [
        (each["metadata"]["name"], each["metadata"]["resourceVersion"]) for each in where.find("secrets", namespace)
    ]


def decided(found: dict[str, Any]) -> float:
    """When the newest rollback was decided, in seconds since the epoch."""
    return max(float(each["at"]) for each in found["state"]["history"] if each["phase"] == "RollingBack")


def committed(origin: Origin, namespace: str, number: int) -> str:
    """One more variant for `news`, as a commit."""
    plan = a_canary("news", namespace, canary=variant(number), stages=STAGES)
    del plan["metadata"]["namespace"], plan["spec"]["alerts"]
    return origin.commit({"apps/news/canary.yml": yaml.safe_dump(plan)}, f"Try v{number}")


def followed(where: Light, namespace: str) -> str:
    """The commit that `news` is of."""
    found = where.get("modelcanary", "news", namespace) or {"metadata": {}}
    return str(found["metadata"].get("annotations", {}).get("git.serinus.dev/commit", ""))


@pytest.mark.timeout(600)
def test_s14_a_bad_canary_is_taken_back_beside_the_worst_of_another_namespace(
    light: Light, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first rollout is rolled back alone, the second beside the attacker: what is said of both is the same.

    A repository that the same namespace follows is followed on.
    """
    install_crd(light)
    monkeypatch.setenv("SERINUS_ALERT_NETWORKS", "127.0.0.0/8")  # where the test's git host is
    account, given = f"{namespace}:{namespace}", {"crds.install": False, "userRoles": False, "git.enabled": True}
    allowed = {"git.secrets": [{"namespace": namespace, "names": ["git"]}], "secretNamespaces": [namespace]}
    flags = ["--git-sources", "--git-cache", str(tmp_path / "cache"), "--allow-secret", f"git:{namespace}/git"]
    words = (f"--from-literal=token={TOKEN}", "--from-literal=username=bot")
    light.kubectl("create", "secret", "generic", "git", "-n", namespace, *words)
    origin = Origin(tmp_path / "origin.git")
    told, brought = [], committed(origin, namespace, 1)
    with (
        light.namespace(HOSTILE),
        release(light, namespace, given | allowed),
        numbers(namespace) as prometheus,
        hosted(tmp_path, TOKEN) as host,
    ):
        secrets = secrets_in(light, namespace)
        wanted = {"url": host.url("origin.git"), "paths": ["apps/*/canary.yml"], "secretRef": {"name": "git"}}
        source = {"apiVersion": "serinus.dev/v1alpha1", "kind": "GitSource", "spec": {**wanted, "interval": "5s"}}
        light.apply({**source, "metadata": {"name": "apps", "namespace": namespace}})
        with operator(light, account, "", prometheus.url, tmp_path, *flags) as replica:
            until("the repository", lambda: followed(light, namespace) == brought, PATIENCE)
            for number in (2, 3):
                prometheus.fail(f"{namespace}/chat", 0.0)
                light.apply(a_canary("chat", namespace, canary=variant(number), stages=STAGES, alerts=[]))
                until("the first stage", lambda: phase(light, "chat", namespace) == "Analyzing", PATIENCE)
                if number == 3:
                    for each, what in enumerate(WORST):
                        attack(light, WORST[what](f"evil-{each}"))
                    assert phase(light, "chat", namespace) == "Analyzing"
                brought, began = committed(origin, namespace, number), time.time()
                prometheus.fail(f"{namespace}/chat", 1.0)
                until("the rollback", lambda: at_rest(light, "chat", namespace, "RolledBack"), PATIENCE)
                found = status(light, "chat", namespace)
                assert decided(found) - began < WITHIN_S
                told.append((found["result"], found["reason"], len(split(light, namespace))))
                until("the commit", lambda: followed(light, namespace) == brought, PATIENCE)  # noqa: B023 - at once
            said, ready = replica.said(), replica.page("/readyz")
        assert told[0] == told[1]
        assert told[0][0] == "rolled_back"
        assert ready == "ok\n"
        assert [line for line in said.splitlines() if "bug of ours" in line] == []
        assert secrets_in(light, namespace) == secrets
        assert len(light.find("modelcanaries", HOSTILE)) > MOST
