"""What any rendering of the chart may do, run as and talk to; and that the renderings kept here are of this very chart.

Helm is not needed: `scripts/manifests.sh` renders, and writes down which chart it rendered. Whoever changes a template
is told to run it, and what comes out is looked at below, with the defaults, in one namespace and with every feature on.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.test_chart import BASE, CHART, MANIFESTS, NAMESPACED, ROOT, read

DASHBOARD = MANIFESTS / "dashboard" / "serinus-dashboard.yaml"
EVERYTHING = ROOT / "tests" / "golden" / "chart_everything.yaml"
RENDERED = pytest.mark.parametrize("path", [BASE, NAMESPACED, DASHBOARD, EVERYTHING], ids=lambda path: path.parent.name)
OURS = {
    *("modelcanaries", "modelcanaries/status", "rollouthistories", "gitsources", "gitsources/status"),
    *("inferenceservices", "servingruntimes", "llminferenceservices", "httproutes"),
}
"""What is written besides: what a rollout itself is made of."""
QUESTIONS = {"events", "leases", "tokenreviews", "subjectaccessreviews"}
"""What is created to be told, to be asked, or to agree on who leads."""
PORTS = {53, 443, 6443, 9090, 8080, 8000, 22}
"""DNS, the API server, Prometheus, model servers, git hosts."""


def digest() -> str:
    """Of everything that the renderings are made of, as `scripts/manifests.sh` computes it."""
    files = ["Chart.yaml", "values.yaml"]
    files += [f"{folder}/{each.name}" for folder in ("templates", "ci") for each in (CHART / folder).iterdir()]
    content = b"".join((CHART / each).read_bytes() for each in sorted(files, key=str.encode))
    return hashlib.sha256(content).hexdigest()[:16]


def rules(path: Path) -> Iterator[tuple[dict[str, Any], Mapping[str, Any]]]:
    """Every rule with the role that it stands in; those for people, who get them through Kubernetes' own, left out."""
    for role in read(path):
        labels = role["metadata"].get("labels", {})
        if role["kind"] in {"Role", "ClusterRole"} and not any("aggregate-to" in label for label in labels):
            for rule in role["rules"]:
                yield role, rule


def pods(path: Path) -> Iterator[Mapping[str, Any]]:
    """What is said of each pod."""
    for each in read(path):
        if each["kind"] == "Deployment":
            yield each["spec"]["template"]["spec"]


@RENDERED
def test_s10_the_renderings_are_of_this_very_chart(path: Path) -> None:
    """A right that is added to a template shows in what is looked at here, or fails here."""
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert f"({digest()})" in first, f"{path.name} is of another chart: run scripts/manifests.sh, then look at the diff"


@RENDERED
def test_s10_no_role_has_a_wildcard_or_hands_rights_on(path: Path) -> None:
    for _, rule in rules(path):
        words = {*rule["verbs"], *rule["resources"], *rule["apiGroups"]}
        assert not words & {"*", "escalate", "bind", "impersonate", "approve", "sign", "deletecollection"}


@RENDERED
def test_s10_secrets_are_only_got_in_namespaces_that_were_named(path: Path) -> None:
    """Never by a ClusterRole, never listed; by name, or where Secrets say themselves what they may be read for."""
    found = [(role, rule) for role, rule in rules(path) if "secrets" in rule["resources"]]
    for role, rule in found:
        assert role["kind"] == "Role"
        assert rule["verbs"] == ["get"]
        assert rule["resources"] == ["secrets"]
        name = role["metadata"]["name"]
        assert name.endswith(("-git", "-alerts") if rule.get("resourceNames") else "-secrets")
    assert len(found) == (4 if path == EVERYTHING else 0)


@RENDERED
def test_s10_nothing_is_written_but_what_a_rollout_is_made_of(path: Path) -> None:
    """No ConfigMap of anybody's: whoever writes those owns the cluster's DNS and who is an administrator of it."""
    for _, rule in rules(path):
        for resource in rule["resources"]:
            writes = set(rule["verbs"]) - {"get", "list", "watch", "attest"}
            assert not writes or resource in OURS | QUESTIONS, (resource, writes)
            assert resource not in QUESTIONS - {"leases"} or writes == {"create"}
            assert "attest" not in rule["verbs"] or resource == "modelcanaries/requests"
            if resource in {"configmaps", "namespaces"}:
                assert rule["verbs"] == ["get"]


def test_s14_only_who_knows_people_by_the_api_servers_word_attests_who_asks() -> None:
    """The dashboard that acts, and an operator that follows repositories; one that only reads has no use for it."""
    for path in (BASE, NAMESPACED, DASHBOARD):
        assert not [rule for _, rule in rules(path) if "attest" in rule["verbs"]]
    attesting = {role["metadata"]["name"] for role, rule in rules(EVERYTHING) if "attest" in rule["verbs"]}
    assert attesting == {"serinus", "serinus-dashboard"}


@RENDERED
def test_s10_config_maps_are_read_only_to_take_histories_over(path: Path) -> None:
    asked = [rule for _, rule in rules(path) if "configmaps" in rule["resources"]]
    assert len(asked) == (1 if path == EVERYTHING else 0)


@RENDERED
def test_s11_every_pod_is_fit_for_the_restricted_level(path: Path) -> None:
    """What Kubernetes' strictest level asks, and a root that cannot be written to."""
    found = list(pods(path))
    assert len(found) == (2 if path == EVERYTHING else 1)
    for pod in found:
        may = pod["securityContext"]
        assert may["runAsNonRoot"] is True
        assert (may["runAsUser"], may["runAsGroup"], may["fsGroup"]) == (65532, 65532, 65532)
        assert may["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert {kind for volume in pod["volumes"] for kind in volume if kind != "name"} <= {"emptyDir", "secret"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert not any("hostPort" in port for port in container["ports"])
            assert container["resources"]["limits"]["memory"]


@RENDERED
def test_s11_every_pod_has_a_policy_that_opens_named_ports_alone(path: Path) -> None:
    """A rule without ports, or a port without a number, would let everything out; a policy that is not there, too."""
    policies = [each["spec"] for each in read(path) if each["kind"] == "NetworkPolicy"]
    workloads = [each for each in read(path) if each["kind"] == "Deployment"]
    meant = [each["podSelector"]["matchLabels"] for each in policies]
    assert sorted(map(str, meant)) == sorted(str(each["spec"]["selector"]["matchLabels"]) for each in workloads)
    for policy in policies:
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        for rule in policy["egress"]:
            assert rule.get("ports"), f"everything may go out: {rule}"
            for port in rule["ports"]:
                assert port.get("port") in PORTS
                assert "endPort" not in port
        for rule in policy["ingress"]:
            assert {port["port"] for port in rule["ports"]} <= {"http", "webhooks"}
