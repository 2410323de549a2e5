"""The ModelCanary CRD on a real API server: it is taken, and parser, schema and rules are of one mind (R11)."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canary.spec import parse, revision
from canary.spec.crd_reading import kubectl_reads
from canary.spec.resource import from_object
from tests.canary.spec.crd_samples import FAULTS, ONLY_PARSED, changed, refusals, resources, sound
from tests.cluster.bed import Light

MANIFESTS = Path(__file__).parents[2] / "manifests"
CRD = MANIFESTS / "crd" / "modelcanaries.serinus.dev.yaml"
STRICT = {"dryRun": "All", "fieldValidation": "Strict"}


@dataclass(frozen=True)
class Server:
    """The API server as its answers to one request after another; nothing is kept (dry run)."""

    http: httpx2.Client

    def refusals(self, object_: dict[str, Any]) -> list[str]:
        """What it has against this object, by field; empty where it would take it."""
        return self.tried(object_)[1]

    def tried(self, object_: dict[str, Any] | bytes, plural: str = "modelcanaries") -> tuple[dict[str, Any], list[str]]:
        """The object as it would be kept, and what the server has against it."""
        answer = self.http.post(
            f"/apis/serinus.dev/v1alpha1/namespaces/default/{plural}",
            params=STRICT,
            content=object_ if isinstance(object_, bytes) else json.dumps(object_).encode(),
            headers={"Content-Type": "application/json"},
        )
        body = answer.json()
        if answer.is_success:
            return body, []
        assert answer.status_code in {400, 422}, body
        causes = body.get("details", {}).get("causes") or []
        return {}, [f"{cause.get('field', '')}: {cause['message']}" for cause in causes] or [body["message"]]


@pytest.fixture(scope="module")
def server(light: Light) -> Iterator[Server]:
    """An API server with the CRD in it."""
    light.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(CRD.parent))
    light.kubectl("wait", "--for=condition=Established", "crd/modelcanaries.serinus.dev", "--timeout=30s")
    access = yaml.safe_load(light.kubeconfig.read_text(encoding="utf-8"))
    token = access["users"][0]["user"]["token"]
    with httpx2.Client(
        base_url=access["clusters"][0]["cluster"]["server"],
        headers={"Authorization": f"Bearer {token}"},
        verify=False,  # the test bed signs its own certificate, on this machine
        timeout=30,
    ) as http:
        yield Server(http)


def test_the_definition_is_taken_without_a_complaint(light: Light, server: Server) -> None:
    """Structural, within the budget of its rules, and every name accepted."""
    found = json.loads(light.kubectl("get", "crd", "modelcanaries.serinus.dev", "-o", "json"))
    said = {each["type"]: each["status"] for each in found["status"]["conditions"]}
    assert said["NamesAccepted"] == said["Established"] == "True"
    assert said.get("NonStructuralSchema", "False") == "False"
    assert server.refusals(sound()) == []


def test_people_find_it_by_its_short_name_and_its_category(light: Light, server: Server) -> None:
    known = light.kubectl("api-resources", "--api-group=serinus.dev", "-o", "wide")
    assert "mcan" in known
    assert "serinus" in known.split()[-1]


def test_explain_reads_like_documentation(light: Light, server: Server) -> None:
    stages = light.kubectl("explain", "mcan.spec.stages")
    assert "How long the stage lasts at least" in stages
    assert "traffic\t<string> -required-" in stages
    assert "A line such as `latency p95 <= 200ms`" in light.kubectl("explain", "mcan.spec.stages.gates")
    assert "Where the rollout is." in light.kubectl("explain", "mcan.status")


def test_r11_a_canary_yml_is_applied_as_it_stands_and_means_the_same(
    light: Light, server: Server, namespace: str
) -> None:
    """Also what `kubectl get` then shows, from a status that the operator would write."""
    text = (MANIFESTS / "examples" / "four-week.canary.yml").read_text(encoding="utf-8")
    text = text.replace("namespace: models", f"namespace: {namespace}")
    light.kubectl("apply", "-f", "-", stdin=text)
    stored = light.get("mcan", "support-llm", namespace)
    assert stored is not None
    plan = from_object(stored)
    assert plan == parse(text, "canary.yml")
    assert revision(plan) == revision(parse(text, "canary.yml"))
    status = {
        "phase": "Shifting",
        "weight": "5 %",
        "stageText": "1/4",
        "verdict": "wait",
        "reason": "VariantsReady",
        "version": 1,
        "state": {"any": [1, {"thing": None}]},
        "gates": [{"gate": "latency p95 <= 200ms", "verdict": "wait", "canary": 0.12, "samples": {"canary": 20}}],
    }
    light.kubectl(
        *("patch", "mcan", "support-llm", "-n", namespace, "--subresource=status", "--type=merge", "-p"),
        json.dumps({"status": status}),
    )
    head, row = light.kubectl("get", "mcan", "-n", namespace).splitlines()
    assert head.split() == ["NAME", "PHASE", "WEIGHT", "STAGE", "VERDICT", "REASON", "AGE"]
    assert re.fullmatch(r"support-llm +Shifting +5 % +1/4 +wait +VariantsReady +\d+s", row)
    kept = (light.get("mcan", "support-llm", namespace) or {})["status"]
    assert kept["gates"] == status["gates"]
    assert kept["state"]["any"][0] == 1


@given(data=st.data())
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_r11_whatever_the_operator_carries_out_the_server_takes(server: Server, data: st.DataObject) -> None:
    """And gives back as the same plan. So whatever the server refuses, the operator refuses too."""
    object_ = data.draw(resources())
    kept, against = server.tried(object_)
    if not refusals(object_):
        assert against == []
        assert from_object(kept) == from_object(object_)


@given(data=st.data())
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_r11_plans_that_make_sense_are_taken(server: Server, data: st.DataObject) -> None:
    """So that the property above does not hold for want of sound plans."""
    object_ = data.draw(resources(junk=0))
    kept, against = server.tried(object_)
    if not refusals(object_):
        assert against == []
        assert from_object(kept) == from_object(object_)


@pytest.mark.parametrize("name", FAULTS)
def test_r11_what_the_server_can_see_it_refuses_at_apply(server: Server, name: str) -> None:
    """The parser refuses the same (`tests/canary/spec/test_crd.py`)."""
    path, value, where = FAULTS[name]
    against = server.refusals(changed(sound(), path, value))
    assert against != []
    assert refusals(changed(sound(), path, value)) != ()
    holder = where.rpartition(".")[0] if "spec." in where else where
    assert any(holder in each for each in against), against


@pytest.mark.parametrize("name", ONLY_PARSED)
def test_r11_what_only_the_parser_can_see_the_server_takes(server: Server, name: str) -> None:
    """If one of these is refused some day, it belongs with the others."""
    path, value, _ = ONLY_PARSED[name]
    base = changed(sound(), "spec.stable.uri", "hf://a/b") if name == "a canary that is stable" else sound()
    assert server.refusals(changed(base, path, value)) == []


@pytest.mark.parametrize("levels", [3, 250, 9_000])
@pytest.mark.parametrize("where", ["engine", "max"])
def test_r3_what_is_nested_is_refused_at_apply(server: Server, where: str, levels: int) -> None:
    """So that nobody can store an object that is deeper than others can read."""
    path = {"engine": "spec.canary.engine", "max": "spec.gates"}[where]
    value = {"a": "HERE"} if where == "engine" else [{"metric": "latency p95", "max": "HERE"}]
    text = json.dumps(changed(sound(), path, value)).replace('"HERE"', '{"a":' * levels + "1" + "}" * levels)
    _, against = server.tried(text.encode())
    assert against != []


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("models-git.v2", True),
        ("../../models/secrets/models-git", False),
        ("..", False),
        ("a/b", False),
        ("a%2fb", False),
        ("A", False),
        ("a..b", False),
    ],
)
def test_s14_a_git_source_names_a_secret_of_its_own_namespace(server: Server, name: str, taken: bool) -> None:
    """The operator reads it with its own rights and sends it to an address of the source's."""
    source = {
        "apiVersion": "serinus.dev/v1alpha1",
        "kind": "GitSource",
        "metadata": {"name": "apps", "namespace": "default"},
        "spec": {"url": "https://git.example.com/a/b", "secretRef": {"name": name}},
    }
    _, against = server.tried(source, "gitsources")
    assert (against == []) is taken
    assert taken or any("expected the name of a Secret" in each for each in against)


def test_a_plan_at_rest_is_taken(server: Server) -> None:
    """Git has it so after a promotion or a rollback, and whoever applies it must not fail."""
    variant = {"name": "nf4", "uri": "hf://a/b", "engine": {"a": [1, "b"]}, "env": {"A": "b"}}
    resting = changed(changed(sound(), "spec.stable", variant), "spec.canary", variant)
    assert server.refusals(resting) == []
    assert server.refusals(changed(resting, "spec.canary.replicas", 2)) != []


def test_a_typo_is_named_by_kubectl(light: Light, server: Server) -> None:
    """Whoever asks for KServe's own field is told, and so is whoever forgets that `on` is a switch to older YAML."""
    text = json.dumps(changed(sound(), "spec.canary.canaryTrafficPercent", 5))
    said = light.kubectl("apply", "--dry-run=server", "-f", "-", stdin=text, check=False)
    assert 'unknown field "spec.canary.canaryTrafficPercent"' in said
    alert = "{slack: {urlFrom: {secret: a, key: b}}, on: [failed]}"
    text = yaml.safe_dump(sound()) + f"  alerts: [{alert}]\n"
    assert 'unknown field "spec.alerts[0].true"' in light.kubectl(
        "apply", "--dry-run=server", "-f", "-", stdin=text, check=False
    )


SCALARS = (
    *("y", "Y", "yes", "Yes", "n", "N", "no", "NO", "true", "True", "FALSE", "on", "On", "off", "OFF", "nO", "tRUE"),
    *("0", "1", "-1", "+1", "1_000", "025", "08", "0_8", "0o17", "0x1F", "0b101", "0x", "0b2", "_1", "12abc", "1:30"),
    *("1.0", "1.10", ".5", "5.", "1e3", "1e+3", "1e", "-1.5", "1_0.5", "12e34567", "2026-11-21", "5%", "v1", "1.2.3"),
)


def test_kubectl_reads_unquoted_texts_as_we_say(light: Light, server: Server) -> None:
    """What `serinus validate --for cluster` warns of is what happens."""
    text = yaml.safe_dump(changed(sound(), "spec.canary", {"name": "v2", "engine": {"a": "HERE"}}))
    documents = "---\n".join(text.replace("HERE", scalar) for scalar in SCALARS)
    listed = light.kubectl("create", "--dry-run=client", "-o", "json", "-f", "-", stdin=documents)
    found, values = json.JSONDecoder(), []
    while listed.strip():
        one, end = found.raw_decode(listed.strip())
        values.append(one["spec"]["canary"]["engine"]["a"])
        listed = listed.strip()[end:]
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string"}
    theirs = {scalar: kinds[type(value)] for scalar, value in zip(SCALARS, values, strict=True)}
    # A whole number may be printed for 1.0; both are numbers.
    numbers = {"integer": "number"}
    ours = {scalar: kubectl_reads(scalar) for scalar in SCALARS}
    assert {scalar: numbers.get(kind, kind) for scalar, kind in ours.items()} == {
        scalar: numbers.get(kind, kind) for scalar, kind in theirs.items()
    }
