"""Chart, manifests and the Dockerfile's image for real, and what a lost leader, an upgrade and an uninstall leave.

Permissions have tests of their own (`test_permissions.py`). The bed enforces no NetworkPolicy: that the API server
takes it is all that is seen here.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.cli.dashboard import command as dashboard_command
from controlplane.cli.dashboard import web_page
from tests.cluster.bed import Bed, Light, Node, until
from tests.cluster.charts import (
    OLDEST,
    PATIENCE,
    a_canary,
    ask,
    at_rest,
    helm,
    install_crd,
    objects,
    phase,
    program_called,
    release,
    rendered,
    values,
)
from tests.test_chart import CHART, MANIFESTS, WRONG

PROMETHEUS = "http://prometheus.monitoring.svc:9090"


@pytest.mark.parametrize("path", sorted((CHART / "ci").glob("*.yaml")), ids=lambda path: path.stem)
def test_helm_lints_the_chart_and_the_server_takes_it(light: Light, namespace: str, path: Path) -> None:
    """What each file of values renders is valid to a real API server, but for kinds that the bed does not have."""
    helm("lint", "--strict", str(CHART), "--values", str(path))
    found = rendered("--values", str(path), "--namespace", namespace)
    known = [each for each in found.values() if each["apiVersion"] != "monitoring.coreos.com/v1"]
    for each in known:
        if "namespace" in each["metadata"]:
            each["metadata"]["namespace"] = namespace
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": known})
    words = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", "-o", "name")
    assert len(light.kubectl(*words, stdin=listed).split()) == len(known)


@pytest.mark.parametrize(("wrong", "path"), WRONG, ids=str)
def test_s11_helm_refuses_a_wrong_value_with_its_path(tmp_path: Path, wrong: dict[str, Any], path: str) -> None:
    """The words are Helm's; what was written stands in them."""
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(wrong))
    said = helm("template", "x", str(CHART), "--kube-version", OLDEST, "--values", str(file), check=False)
    assert "don't meet the specifications of the schema" in said
    assert f"at '{'/' + path if path else ''}'" in said


def test_the_page_of_prometheus_reaches_the_dashboards_command_line_and_the_operator_needs_none() -> None:
    """As Helm writes it; left out where nobody says it."""
    page = "https://prometheus.example.com/graph?tenant=a&b"
    told = {}
    for said in ("", page):
        found = rendered(*values({"dashboard.enabled": True, "dashboard.prometheusPage": said}))
        deployments = {name: each for (kind, _, name), each in found.items() if kind == "Deployment"}
        for name, each in deployments.items():
            told[name, said] = each["spec"]["template"]["spec"]["containers"][0]["args"]
    (dashboard,) = {name for name, _ in told if name.endswith("dashboard")}
    (operator,) = {name for name, _ in told} - {dashboard}
    assert told[operator, page] == told[operator, ""]
    assert [word for word in told[dashboard, page] if word not in told[dashboard, ""]] == [f"--prometheus-page={page}"]
    given = dashboard_command.make_context("dashboard", told[dashboard, page][1:]).params["prometheus_page"]
    assert web_page(given) == page


def unmarked(object_: dict[str, Any]) -> dict[str, Any]:
    """Without what says that Helm manages an object."""
    text = json.dumps(object_)
    bare: dict[str, Any] = json.loads(text)
    labels = [bare["metadata"].get("labels", {})]
    if object_["kind"] == "Deployment":
        labels.append(bare["spec"]["template"]["metadata"]["labels"])
    for each in labels:
        each.pop("helm.sh/chart", None)
        if each.get("app.kubernetes.io/managed-by") == "Helm":
            del each["app.kubernetes.io/managed-by"]
    notes = bare["metadata"].get("annotations", {})
    notes.pop("helm.sh/resource-policy", None)
    if not notes:
        bare["metadata"].pop("annotations", None)
    return bare


def kustomized(folder: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
    """What kubectl makes of a kustomization."""
    words = [program_called("kubectl"), "kustomize", str(folder)]
    return objects(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize(
    ("folder", "options"),
    [
        ("base", ("--namespace", "serinus-system")),
        (
            "overlays/namespaced",
            (
                "--namespace",
                "models",
                *values({"watch.allNamespaces": False, "userRoles": False, "requestPolicy": False}),
            ),
        ),
    ],
    ids=["base", "namespaced"],
)
def test_s11_the_manifests_are_what_the_chart_renders(folder: str, options: tuple[str, ...]) -> None:
    """Where this fails, the chart was changed and scripts/manifests.sh was not run."""
    found = kustomized(MANIFESTS / folder)
    bare = {key: unmarked(each) for key, each in found.items() if each["kind"] != "Namespace"}
    assert bare == {key: unmarked(each) for key, each in rendered(*options).items()}


def test_r15_the_overlay_for_kind_changes_what_kind_needs_and_nothing_else() -> None:
    """Its patches name places by number; each still hits what it means."""
    base, kind = kustomized(MANIFESTS / "base"), kustomized(MANIFESTS / "overlays" / "kind")
    assert base.keys() - kind.keys() == {("PodDisruptionBudget", "serinus-system", "serinus")}
    assert {key for key in kind if kind[key] != base[key]} == {("Deployment", "serinus-system", "serinus")}
    before, after = (each["Deployment", "serinus-system", "serinus"]["spec"] for each in (base, kind))
    assert after["replicas"] == 1
    (before,), (after,) = (each["template"]["spec"]["containers"] for each in (before, after))
    assert after["image"] == "serinus:kind"
    assert {key for key in after if after[key] != before[key]} == {"args", "image", "imagePullPolicy", "resources"}
    old, new = set(before["args"]) - set(after["args"]), set(after["args"]) - set(before["args"])
    assert {each.partition("=")[0] for each in old} == {each.partition("=")[0] for each in new} == {"--prometheus"}


def test_an_overlay_puts_the_namespaced_operator_anywhere(light: Light, namespace: str, tmp_path: Path) -> None:
    """A kustomization of four lines, as its own file says; the account of the role's binding moves too."""
    own = tmp_path / "kustomization.yaml"
    there = os.path.relpath(MANIFESTS / "overlays" / "namespaced", tmp_path.resolve())
    own.write_text(yaml.safe_dump({"resources": [there], "namespace": namespace}))
    words = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-k", str(tmp_path), "-o", "json")
    made = {each["kind"]: each for each in json.loads(light.kubectl(*words))["items"]}
    assert made["RoleBinding"]["metadata"]["namespace"] == namespace
    assert made["RoleBinding"]["subjects"][0]["namespace"] == namespace
    assert made["ClusterRoleBinding"]["subjects"][0]["namespace"] == namespace
    (container,) = made["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert "--namespace=$(POD_NAMESPACE)" in container["args"]


SMALL = {
    "image.tag": "testbed",
    "image.pullPolicy": "Never",
    "prometheus.url": PROMETHEUS,
    "resources": {"requests": {"cpu": "10m", "memory": "96Mi"}, "limits": {"memory": "256Mi"}},
    "crds.install": False,
    "userRoles": False,
    "watch.allNamespaces": False,
}
"""A release that takes little room and leaves other rollouts of the bed alone."""
LOOK_AROUND = """
import os, pathlib
status = dict(line.split(":", 1) for line in pathlib.Path("/proc/1/status").read_text().splitlines())
pathlib.Path("/tmp/scratch").write_text("fits")
try:
    pathlib.Path("/scratch").write_text("does not")
except OSError as error:
    print(error.strerror)
print(os.getuid(), status["CapEff"].strip("\\t0") or "none", status["NoNewPrivs"].strip(), status["Seccomp"].strip())
"""


def pods(where: Bed, namespace: str) -> set[str]:
    """The operator's pods that are ready and stay."""
    return {
        each["metadata"]["name"]
        for each in where.find("pods", namespace, "-l", "app.kubernetes.io/name=serinus")
        if "deletionTimestamp" not in each["metadata"]
        and any(told["type"] == "Ready" and told["status"] == "True" for told in each["status"].get("conditions", ()))
    }


def leader(where: Bed, namespace: str) -> str:
    """The pod that holds the Lease; empty while nobody does."""
    lease = where.get("lease", "serinus-controller", namespace) or {}
    return str(lease.get("spec", {}).get("holderIdentity") or "").rpartition("-")[0]


def test_r10_the_chart_lives_through_a_lost_leader_an_upgrade_and_an_uninstall(
    node: Node, own_image: str, namespace: str
) -> None:
    """Under the restricted level, with traffic all the while: no request is lost, and what serves stays."""
    install_crd(node)
    node.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    models = f"{namespace}-models"
    given = {**SMALL, "image.repository": own_image, "watch.namespace": models}
    with node.namespace(models), release(node, namespace, given, "--wait", "--timeout", "300s"):
        until("both replicas", lambda: len(pods(node, namespace)) == 2, PATIENCE)
        for pod in pods(node, namespace):
            for words in (["serinus", "--version"], ["kubectl-canary", "--help"], ["git", "--version"]):
                node.kubectl("exec", "-n", namespace, pod, "--", *words)
            inside = node.kubectl("exec", "-n", namespace, pod, "--", "python3", "-c", LOOK_AROUND)
            assert inside.splitlines() == ["Read-only file system", "65532 none 1 2"]
        budget = node.get("poddisruptionbudget", namespace, namespace) or {}
        assert budget["spec"]["maxUnavailable"] == 1
        assert node.get("networkpolicy", namespace, namespace) is not None

        node.apply(a_served_canary(models))
        until("the variants", lambda: phase(node, "chat", models) not in {"", "Preparing"}, PATIENCE)
        with node.load(f"chat.{models}.example.com", rate=20.0) as load:
            until("the first stage", lambda: phase(node, "chat", models) == "Analyzing", PATIENCE)
            until("a leader", lambda: leader(node, namespace) in pods(node, namespace), 30)
            took = hand_over(node, namespace)
            sys.stdout.write(f"another replica led {took:.1f} s after the leader's pod was deleted\n")
            upgrade(node, namespace, {**given, "prometheus.interval": "2s"})
            assert phase(node, "chat", models) == "Analyzing"
            before = node.get("httproute", "chat", models) or {}
            helm("uninstall", namespace, "--namespace", namespace, "--wait", kubeconfig=node.kubeconfig)
            until("the operator to be gone", lambda: not pods(node, namespace), PATIENCE)
            time.sleep(2)
        failed = [hit for hit in load.hits if hit.status != 200]
        assert not failed, f"{len(failed)} of {len(load.hits)}: {failed[:3]}"
        assert (node.get("httproute", "chat", models) or {})["spec"] == before["spec"]
        assert {"chat-v1", "chat-v2"} == {each["metadata"]["name"] for each in node.find("isvc", models)}
        assert phase(node, "chat", models) == "Analyzing"
        goes_on_after_another_install(node, namespace, models, given)


def a_served_canary(namespace: str) -> dict[str, Any]:
    """A plan whose variants are the sample server, which serves for real."""
    served = {"runtime": "serinus-sim", "resources": {"cpu": "50m", "memory": "64Mi"}}
    stable, canary = ({"name": name, "uri": f"hf://example/{name}", **served} for name in ("v1", "v2"))
    stages = [{"traffic": "50%", "hold": "10m"}, {"traffic": "100%", "hold": "1s"}]
    return a_canary("chat", namespace, stable=stable, canary=canary, stages=stages, alerts=[])


def hand_over(node: Node, namespace: str) -> float:
    """Delete the leader's pod; seconds until another one leads."""
    first, began = leader(node, namespace), time.monotonic()
    node.kubectl("delete", "pod", first, "-n", namespace, "--wait=false")
    until("another leader", lambda: leader(node, namespace) not in {"", first}, 30)
    took = time.monotonic() - began
    until("both replicas again", lambda: len(pods(node, namespace)) == 2, PATIENCE)
    return took


def upgrade(node: Node, namespace: str, given: Mapping[str, Any]) -> None:
    """`helm upgrade` with one value changed, until new pods lead."""
    old = pods(node, namespace)
    words = ("upgrade", namespace, str(CHART), "--namespace", namespace, *values(given), "--wait", "--timeout", "300s")
    helm(*words, kubeconfig=node.kubeconfig)
    until("new pods alone", lambda: len(pods(node, namespace)) == 2 and not pods(node, namespace) & old, PATIENCE)
    until("a new leader", lambda: leader(node, namespace) in pods(node, namespace), 30)


def goes_on_after_another_install(node: Node, namespace: str, models: str, given: Mapping[str, Any]) -> None:
    """A rollout that was under way when the operator went is ended by the next one."""
    words = (namespace, str(CHART), "--namespace", namespace, *values(given), "--wait", "--timeout", "300s")
    helm("install", *words, kubeconfig=node.kubeconfig)
    ask(node, "chat", models, "abort")
    until("the rollback", lambda: at_rest(node, "chat", models, "RolledBack"), PATIENCE)
