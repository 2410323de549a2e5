"""The dashboard's part of the chart: what it runs, what it may, and that this is what it asks.

The real API server is asked by `tests/cluster/test_dashboard.py`.
"""

import re
from typing import Any

import jsonschema
import pytest

from controlplane.cli.dashboard import command, web_page
from tests.controlplane.api.clusters import EDITOR, showing
from tests.controlplane.kubectl.desk import under_way
from tests.controlplane.operator.town import PLACE
from tests.test_chart import BASE, CHART, MANIFESTS, SCHEMA, VALUES, granted, merged, only, read

FILE = MANIFESTS / "dashboard" / "serinus-dashboard.yaml"
NAME = "serinus-dashboard"
READS = {
    ("list", "modelcanaries"),
    ("watch", "modelcanaries"),
    ("get", "rollouthistories"),
    ("list", "pods"),
    ("watch", "pods"),
    ("list", "leases"),
    ("create", "tokenreviews"),
    ("create", "subjectaccessreviews"),
}
"""What it asks of the API server when it only reads; an action asks for a patch besides."""


def test_the_roles_are_what_a_read_only_dashboard_asks_for() -> None:
    roles = [each for each in read(FILE) if each["kind"] in {"Role", "ClusterRole"}]
    assert granted(*roles) == READS


def test_acting_asks_for_one_right_more() -> None:
    """Everything that people can do is done, and the requests are counted."""
    with showing(under_way, sign_in=True) as shown, shown.client(EDITOR) as client:
        chat = f"/api/v1/rollouts/{PLACE}~chat"
        for path in ("/api/v1/rollouts", chat, f"{chat}/events", f"{chat}/series", "/api/v1/session", "/readyz"):
            assert client.get(path).status_code == 200
        with client.stream("GET", f"{chat}/stream") as stream:
            assert next(stream.iter_lines())
        assert {(r.verb, r.resource) for r in shown.kube.counts} == READS
        assert client.post(f"{chat}/requests", json={"verb": "pause"}).status_code == 202
        assert {(r.verb, r.resource) for r in shown.kube.counts} == READS | {("patch", "modelcanaries")}
    template = (CHART / "templates" / "_helpers.tpl").read_text(encoding="utf-8")
    assert "verbs: [list, watch{{ if not .Values.dashboard.readOnly }}, patch{{ end }}]" in template


def test_it_is_off_unless_somebody_asks_and_then_only_reads() -> None:
    assert VALUES["dashboard"]["enabled"] is False
    assert VALUES["dashboard"]["readOnly"] is True
    assert [each["metadata"]["name"] for each in read(BASE) if "dashboard" in each["metadata"]["name"]] == []


def test_the_command_line_understands_what_the_deployment_says() -> None:
    """And the probes, the Service and the NetworkPolicy speak of the port on which it listens."""
    (container,) = only(FILE, "Deployment", NAME)["spec"]["template"]["spec"]["containers"]
    name, *words = container["args"]
    said = command.make_context(name, words).params
    assert name == "dashboard"
    assert (said["cluster"], said["sign_in"], said["read_only"], said["open_it"]) == (True, True, True, False)
    assert (said["namespace"], said["audience"]) == (None, "serinus")
    assert said["hosts"] == (NAME, f"{NAME}.$(POD_NAMESPACE)", f"{NAME}.$(POD_NAMESPACE).svc")
    assert {each["name"] for each in container["env"]} == {"POD_NAMESPACE"}
    (port,) = container["ports"]
    assert said["listen"] == f"0.0.0.0:{port['containerPort']}"
    probes = {container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "startupProbe", "readinessProbe")}
    assert probes == {"/healthz", "/readyz"}
    assert only(FILE, "Service", NAME)["spec"]["ports"] == [{"name": "http", "port": 80, "targetPort": port["name"]}]
    policy = only(FILE, "NetworkPolicy", NAME)["spec"]
    assert policy["ingress"][0]["ports"] == [{"port": "http", "protocol": "TCP"}]
    assert {each["port"] for rule in policy["egress"] for each in rule["ports"]} == {53, 443, 6443}


def test_the_page_of_prometheus_is_handed_to_the_command_line_where_somebody_says_it() -> None:
    """What Helm makes of it is seen by `tests/cluster/test_install.py`."""
    template = (CHART / "templates" / "dashboard.yaml").read_text(encoding="utf-8")
    (line,) = re.findall(
        r"\{\{- with \.Values\.dashboard\.prometheusPage \}\}\n\s+- (\S+\{\{ \. \}\})\n\s+\{\{- end", template
    )
    page = "https://prometheus.example.com"
    given = command.make_context("dashboard", ["--cluster", line.replace("{{ . }}", page)]).params["prometheus_page"]
    assert web_page(given) == page
    (container,) = only(FILE, "Deployment", NAME)["spec"]["template"]["spec"]["containers"]
    assert not VALUES["dashboard"]["prometheusPage"]
    assert command.make_context("dashboard", container["args"][1:]).params["prometheus_page"] is None


def test_the_pod_is_fit_for_the_restricted_level() -> None:
    pod = only(FILE, "Deployment", NAME)["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert {kind for volume in pod["volumes"] for kind in volume if kind != "name"} == {"emptyDir"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_operators_service_does_not_mean_its_pods() -> None:
    operators = only(BASE, "Service")["spec"]["selector"]
    labels = only(FILE, "Deployment", NAME)["spec"]["template"]["metadata"]["labels"]
    assert not operators.items() <= labels.items()
    assert only(FILE, "Service", NAME)["spec"]["selector"].items() <= labels.items()


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"dashboard": {"open": True}}, "dashboard"),
        ({"dashboard": {"audience": ""}}, "dashboard/audience"),
        ({"dashboard": {"hosts": ["https://example.com"]}}, "dashboard/hosts/0"),
        ({"dashboard": {"replicas": 0}}, "dashboard/replicas"),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_with_its_path(values: dict[str, Any], path: str) -> None:
    with pytest.raises(jsonschema.ValidationError) as refused:
        jsonschema.validate(merged(VALUES, values), SCHEMA)
    assert "/".join(str(each) for each in refused.value.absolute_path) == path
