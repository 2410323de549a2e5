"""The chart, the manifests rendered from it and the image, as far as no cluster, helm or Docker is needed to see it.

`tests/cluster/test_install.py` installs them for real; it imports `ASKED`, and holds it against what an operator asked.
"""

import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest
import yaml

from controlplane.cli.controller import command
from controlplane.evidence.doctor_cluster import NEEDED
from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.resources import MODEL_CANARY
from controlplane.operator.counters import OperatorCounters
from controlplane.operator.metrics import Numbers, exposition

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts" / "serinus"
MANIFESTS = ROOT / "manifests"

POLICY = {("get", "validatingadmissionpolicies"), ("get", "validatingadmissionpolicybindings")}
"""By the one name of ours."""
READS = {
    (verb, kind) for verb in ("list", "watch") for kind in ("clusterservingruntimes", "gateways", "httproutes", "nodes")
} | POLICY
"""What the operator asks about kinds that stand outside the namespaces of its rollouts: verb and resource."""
ELECTION = {("get", "leases"), ("create", "leases"), ("patch", "leases")}
ASKED = {
    *((verb, "modelcanaries") for verb in ("get", "list", "watch", "patch")),
    ("patch", "modelcanaries/status"),
    *((verb, "inferenceservices") for verb in ("list", "watch", "create", "patch", "delete")),
    *((verb, "servingruntimes") for verb in ("list", "watch", "create", "patch", "delete")),
    *((verb, "llminferenceservices") for verb in ("list", "watch", "create", "patch", "delete")),
    *((verb, "httproutes") for verb in ("list", "watch", "create", "patch")),
    *((verb, kind) for verb in ("list", "watch") for kind in ("deployments", "pods", "services")),
    *((verb, "rollouthistories") for verb in ("get", "create", "patch")),
    ("create", "events"),
    ("get", "namespaces"),
}
"""What it asks in the namespaces of its rollouts; the services are Knative's. Secrets stand apart: they are named."""
GIT = {
    *((verb, "modelcanaries") for verb in ("create", "delete")),
    *((verb, "gitsources") for verb in ("get", "list", "watch", "patch")),
    ("patch", "gitsources/status"),
    ("attest", "modelcanaries/requests"),
}
"""What it asks besides where it follows repositories. An object that is not there yet takes `create` to be applied."""


def read(path: Path) -> list[dict[str, Any]]:
    """The objects of a file."""
    return [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each]


def only(path: Path, kind: str, name: str = "serinus") -> dict[str, Any]:
    """The one object of this kind and name."""
    (found,) = [each for each in read(path) if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def granted(*roles: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Verb and resource of everything that these roles allow."""
    rules = [rule for role in roles for rule in role["rules"]]
    return {(verb, resource) for rule in rules for verb in rule["verbs"] for resource in rule["resources"]}


BASE = MANIFESTS / "base" / "serinus.yaml"
NAMESPACED = MANIFESTS / "overlays" / "namespaced" / "serinus.yaml"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA = yaml.safe_load((CHART / "values.schema.json").read_text(encoding="utf-8"))


def merged(values: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Values over others, as Helm lays them."""
    result = dict(values)
    for key, value in over.items():
        result[key] = merged(result[key], value) if isinstance(value, dict) and key in result else value
    return result


def leaves(values: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Every value by its path."""
    for key, value in values.items():
        if isinstance(value, dict) and value and f"{path}{key}" != "resources":
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}"


@pytest.mark.parametrize(
    ("inside", "original"),
    [
        ("modelcanaries.yaml", "crd/modelcanaries.serinus.dev.yaml"),
        ("gitsources.yaml", "crd/gitsources.serinus.dev.yaml"),
        ("rollouthistories.yaml", "crd/rollouthistories.serinus.dev.yaml"),
        ("rules.yaml", "prometheus/rules.yaml"),
        ("request-policy.yaml", "../controlplane/operator/request_policy.yaml"),
    ],
)
def test_the_chart_brings_the_projects_own_files(inside: str, original: str) -> None:
    """They are links, which Helm follows; a checkout without links would have files of one line."""
    assert (CHART / "files" / inside).read_bytes() == (MANIFESTS / original).read_bytes()


def test_the_chart_has_the_version_of_the_package() -> None:
    """An image without a tag is the one of this release."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert chart["appVersion"] == chart["version"] == project["version"]


def test_every_value_is_known_to_the_schema_and_used_by_a_template() -> None:
    """A value that nothing reads is a promise that nobody keeps."""
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(VALUES, SCHEMA)
    templates = "".join(path.read_text(encoding="utf-8") for path in (CHART / "templates").iterdir())
    used = set(re.findall(r"\.Values\.([A-Za-z.]+)", templates))
    assert set(leaves(VALUES)) == used


@pytest.mark.parametrize("path", sorted((CHART / "ci").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_schema_accepts_the_values_that_are_rendered_by_tests(path: Path) -> None:
    jsonschema.validate(merged(VALUES, yaml.safe_load(path.read_text(encoding="utf-8"))), SCHEMA)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"replica": 2}, ""),
    ({"replicas": 0}, "replicas"),
    ({"replicas": "two"}, "replicas"),
    ({"image": {"digest": "sha256:short"}}, "image/digest"),
    ({"image": {"pullPolicy": "Sometimes"}}, "image/pullPolicy"),
    ({"watch": {"namespaces": ["models"]}}, "watch"),
    ({"prometheus": {"url": "prometheus:9090"}}, "prometheus/url"),
    ({"prometheus": {"interval": "soon"}}, "prometheus/interval"),
    ({"prometheus": {"options": ["--listen=:1"]}}, "prometheus/options/0"),
    ({"secretNamespaces": "models"}, "secretNamespaces"),
    ({"alerts": {"secrets": ["slack"]}}, "alerts/secrets/0"),
    ({"histories": {"fromConfigMaps": "yes"}}, "histories/fromConfigMaps"),
    ({"hostNames": {"team-a": "chat.example.com"}}, "hostNames/team-a"),
    ({"hostNames": {"team-a": ["https://chat.example.com"]}}, "hostNames/team-a/0"),
    ({"git": {"secrets": [{"namespace": "models"}]}}, "git/secrets/0"),
    ({"git": {"cacheSize": "much"}}, "git/cacheSize"),
    ({"git": {"sourcesPerNamespace": 0}}, "git/sourcesPerNamespace"),
    ({"networkPolicy": {"apiServerPorts": []}}, "networkPolicy/apiServerPorts"),
    ({"alerts": {"dashboard": "example.com"}}, "alerts/dashboard"),
]
"""Values that somebody might write, and the path at which they are refused; the cluster's tests ask Helm too."""


@pytest.mark.parametrize(("values", "path"), WRONG, ids=str)
def test_s11_a_wrong_value_is_refused_with_its_path(values: dict[str, Any], path: str) -> None:
    with pytest.raises(jsonschema.ValidationError) as refused:
        jsonschema.validate(merged(VALUES, values), SCHEMA)
    assert "/".join(str(each) for each in refused.value.absolute_path) == path


def test_s10_the_roles_grant_what_the_operator_asks_for_and_nothing_else() -> None:
    """Cluster-wide by one ClusterRole; in one namespace by a Role, and a ClusterRole that only reads."""
    assert granted(only(BASE, "ClusterRole")) == ASKED | READS
    assert granted(only(NAMESPACED, "Role")) == ASKED
    assert granted(only(NAMESPACED, "ClusterRole", "serinus-models-reads")) == READS
    for path in (BASE, NAMESPACED):
        assert granted(only(path, "Role", "serinus-election")) == ELECTION


def test_the_doctor_asks_for_the_same_permissions() -> None:
    needed = {
        (verb, f"{kind.plural}/{subresource}" if subresource else kind.plural)
        for kind, subresource, verbs in NEEDED
        for verb in verbs
    }
    assert needed == (ASKED | READS | ELECTION) - POLICY  # a question without a name would be about all of them


def test_s10_in_one_namespace_nothing_else_is_granted() -> None:
    """Nothing in the cluster but what is read, nothing in another namespace."""
    objects = read(NAMESPACED)
    assert {each["metadata"].get("namespace", "") for each in objects} == {"models", ""}
    bare = {f"{each['kind']}/{each['metadata']['name']}" for each in objects if "namespace" not in each["metadata"]}
    assert bare == {"ClusterRole/serinus-models-reads", "ClusterRoleBinding/serinus-models-reads"}


def test_s10_no_role_reads_secrets_or_has_a_wildcard() -> None:
    """Secrets are readable only in the namespaces that `secretNamespaces` names."""
    for path in (BASE, NAMESPACED):
        roles = [each for each in read(path) if each["kind"] in {"Role", "ClusterRole"}]
        words = {word for pair in granted(*roles) for word in pair}
        assert not words & {"*", "secrets", "escalate", "bind", "impersonate"}


def test_s10_people_get_what_the_edit_role_of_kubernetes_means() -> None:
    """Annotations ask for promotion or abortion, so whoever may patch may ask; the status is the operator's alone."""
    edit, view = only(BASE, "ClusterRole", "serinus-edit"), only(BASE, "ClusterRole", "serinus-view")
    kinds = ("modelcanaries", "gitsources")
    seen = (*kinds, "rollouthistories")  # what is on record, nobody edits
    assert granted(view) == {(verb, kind) for kind in seen for verb in ("get", "list", "watch")}
    changes = ("create", "update", "patch", "delete", "deletecollection")
    assert granted(edit) == {(verb, kind) for kind in kinds for verb in changes}
    assert view["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"
    assert edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"


@pytest.mark.parametrize("path", [BASE, NAMESPACED], ids=["base", "namespaced"])
def test_s11_the_pods_are_fit_for_the_restricted_level(path: Path) -> None:
    """What Kubernetes' strictest level asks, and a root that cannot be written to."""
    pod = only(path, "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert {kind for volume in pod["volumes"] for kind in volume if kind != "name"} == {"emptyDir"}
    for container in pod["containers"]:
        may = container["securityContext"]
        assert may == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("path", [BASE, NAMESPACED], ids=["base", "namespaced"])
def test_r15_the_command_line_understands_what_the_deployment_says(path: Path) -> None:
    """And the probes, the Service and the NetworkPolicy speak of the port on which it listens."""
    (container,) = only(path, "Deployment")["spec"]["template"]["spec"]["containers"]
    name, *words = container["args"]
    said = command.make_context(name, words).params
    assert name == "controller"
    assert said["cluster"]
    assert said["all_namespaces"] is (path == BASE)
    assert said["elect"]
    (port,) = container["ports"]
    assert said["listen"] == f"0.0.0.0:{port['containerPort']}"
    probes = {container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "startupProbe", "readinessProbe")}
    assert probes == {"/healthz", "/readyz"}
    assert {container[f"{when}Probe"]["httpGet"]["port"] for when in ("liveness", "startup", "readiness")} == {"http"}
    assert only(path, "Service")["spec"]["ports"] == [{"name": "http", "port": 8080, "targetPort": port["name"]}]
    policy = only(path, "NetworkPolicy")["spec"]
    assert policy["ingress"][0]["ports"] == [{"port": "http", "protocol": "TCP"}]
    out = {each["port"] for rule in policy["egress"] for each in rule["ports"]}
    assert out == {53, 443, 6443, 8000, 8080, 9090}


@pytest.mark.parametrize("path", sorted(MANIFESTS.glob("**/kustomization.yaml")), ids=lambda path: path.parent.name)
def test_a_kustomization_names_files_that_are_there(path: Path) -> None:
    """And leaves none of its own folder out."""
    listed = yaml.safe_load(path.read_text(encoding="utf-8"))["resources"]
    assert [each for each in listed if not (path.parent / each).exists()] == []
    beside = {each.name for each in path.parent.glob("*.yaml")} - {path.name}
    assert beside <= set(listed)


def test_the_rules_about_the_operator_ask_for_metrics_that_it_has() -> None:
    """A rule on a name that nobody exports never fires."""
    rules = yaml.safe_load((MANIFESTS / "prometheus" / "rules.yaml").read_text(encoding="utf-8"))["groups"][1]["rules"]
    asked = {name for rule in rules for name in re.findall(r"\bcanary_\w+", rule["expr"])}
    numbers = Numbers(
        canaries=Cache(MODEL_CANARY),
        tally=OperatorCounters(),
        leading=True,
        under_way=(),
        queued=0,
        events_lost=0,
        requests={},
    )
    page = exposition(numbers).decode()
    assert len(asked) == 4
    assert {name for name in asked if not re.search(rf"^{name} ", page, re.MULTILINE)} == set()


def dockerfile() -> list[list[str]]:
    """Instructions, each as its words."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return [shlex.split(line) for line in text.splitlines() if line.strip() and not line.startswith("#")]


def test_the_image_is_made_of_what_the_build_context_lets_through() -> None:
    """Each source of a COPY is there and not ignored, and every package of the wheel is among them."""
    context = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    let_through = {line.removeprefix("!") for line in context if line.startswith("!")}
    copied = {
        source
        for name, *words in dockerfile()
        if name == "COPY" and "--from=build" not in words
        for source in words[:-1]
    }
    assert all((ROOT / source).exists() for source in copied)
    assert copied == let_through
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= copied


def test_s11_the_image_runs_as_nobody_and_starts_the_operator() -> None:
    """By the number that the pod asks for: a name would hide from `runAsNonRoot` who it is."""
    told = {name: words for name, *words in dockerfile()}
    assert told["USER"] == ["65532:65532"]
    start = cast("list[str]", yaml.safe_load((ROOT / "Dockerfile").read_text(encoding="utf-8").split("\nCMD ")[1]))
    assert command.make_context(start[0], start[1:]).params["all_namespaces"]
