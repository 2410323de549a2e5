"""What is applied means what the file means, for every form and sample: the operator reads the same revision."""

from pathlib import Path

import pytest

from canary.spec import Source, parse, revision
from canary.spec.reader import read
from canary.spec.resource import from_object
from controlplane.gitops.desired import FileError
from controlplane.gitsources.manifest import resource_of
from controlplane.gitsources.plans import Manifest, for_namespace
from controlplane.kubernetes.api import Object
from tests.controlplane.gitsources.estate import file

ROOT = Path(__file__).parents[3]
EXAMPLES = [
    path
    for folder in ("manifests/examples", "tests/cluster/testbed/samples")
    for path in sorted((ROOT / folder).glob("*.canary.yml"))
    if b"ModelCanary" in path.read_bytes()
]
SETTINGS = """\
metadata: {name: support}
model: {uri: "hf://example/m"}
platform: {kserve: {gateway: kserve/gateway, hostname: m.example.com}}
"""
SHORT = """\
model: support-llm
variants:
  - {name: v1, prompt: "Be kind."}
  - {name: v2, prompt: "Be brief."}
traffic_split: 95/5
"""


def manifest(text: str, settings: str = "") -> Object:
    """The resource of a file."""
    root, _ = read(Source("canary.yml", text))
    assert root is not None
    found = resource_of(root, Source("serinus.yml", settings) if settings else None)
    assert found is not None
    return found


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_samples_mean_the_same_in_git_and_in_the_cluster(path: Path) -> None:
    """The plan of the file and the plan of the resource are one, whether or not a cluster could carry it out."""
    resource = manifest(path.read_text())
    plan = parse(path.read_bytes(), path.name)
    anywhere = plan.metadata.model_copy(update={"namespace": from_object(resource).metadata.namespace})
    assert revision(from_object(resource)) == revision(plan.model_copy(update={"metadata": anywhere}))


def test_a_short_form_is_applied_as_the_full_one_that_it_means() -> None:
    wanted = for_namespace("models")("canary.yml", SHORT.encode(), Source("serinus.yml", SETTINGS))
    assert isinstance(wanted, Manifest), wanted
    assert wanted.name == wanted.object["metadata"]["name"] == "support"
    assert wanted.object["spec"]["canary"] == {"name": "v2", "systemPrompt": {"text": "Be brief."}}
    assert revision(from_object(wanted.object)) == wanted.revision


def test_values_get_the_types_that_the_schema_has_for_them() -> None:
    """A version stays a text, a count becomes a number; where anything may stand, YAML decides."""
    spec = manifest(
        "metadata: {name: 12, labels: {team: 7}, annotations: {a: b}}\n"
        "spec:\n"
        "  model: {name: 1.10}\n"
        "  maxBlind: 30\n"
        "  stable: {name: 025, replicas: 2, engine: {seed: 7, ratio: 0.5, eager: true, tag: '1'}, systemPrompt: null}\n"
    )
    assert spec["metadata"] == {"name": "12", "labels": {"team": "7"}}
    assert spec["spec"]["model"] == {"name": "1.10"}
    assert spec["spec"]["maxBlind"] == 30
    engine = {"seed": 7, "ratio": 0.5, "eager": True, "tag": "1"}
    assert spec["spec"]["stable"] == {"name": "025", "replicas": 2, "engine": engine}


def test_a_file_at_rest_is_applied_too_and_tries_nothing() -> None:
    wanted = for_namespace("models")("canary.yml", file("chat", "v1").replace("seed: 2", "seed: 1").encode(), None)
    assert isinstance(wanted, Manifest), wanted
    assert (wanted.plan, wanted.revision) == (None, "")
    assert wanted.object["spec"]["canary"] == wanted.object["spec"]["stable"]


@pytest.mark.parametrize(
    "text", ["", "- 1\n", "kind: [", "spec: 1\n", "metadata: {name: x, namespace: [a]}\nspec: {}\n"]
)
def test_what_is_no_plan_is_a_complaint_and_never_an_error(text: str) -> None:
    assert isinstance(for_namespace("models")("canary.yml", text.encode(), None), FileError)
