"""`serinus render` as a person uses it."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from controlplane.cli.main import serinus

EXAMPLE = Path(__file__).parents[3] / "manifests" / "examples" / "four-week.canary.yml"


def render(*arguments: str) -> Result:
    return CliRunner().invoke(serinus, ["render", *arguments])


@pytest.mark.parametrize(("stage", "weights"), [(0, [10**6, 0]), (1, [950_000, 50_000]), (4, [1, 999_999])])
def test_a_stage_is_rendered_as_the_operator_would_write_it(stage: int, weights: list[int]) -> None:
    """At 100 % one request in a million stays with stable: the way back is open until the rollout has ended."""
    result = render(str(EXAMPLE), "--stage", str(stage))
    assert result.exit_code == 0, result.output
    objects = list(yaml.safe_load_all(result.stdout))
    assert [each["kind"] for each in objects] == [
        "ServingRuntime",
        "InferenceService",
        "ServingRuntime",
        "InferenceService",
        "HTTPRoute",
    ]
    assert [each["weight"] for each in objects[-1]["spec"]["rules"][0]["backendRefs"]] == weights
    assert {each["metadata"]["namespace"] for each in objects} == {"models"}


def test_yaml_and_json_say_the_same() -> None:
    listed = json.loads(render(str(EXAMPLE), "-o", "json").stdout)
    assert listed["kind"] == "List"
    assert listed["items"] == list(yaml.safe_load_all(render(str(EXAMPLE)).stdout))


def test_no_mapping_is_only_pointed_to() -> None:
    """Anchors are for programs."""
    assert "&id" not in render(str(EXAMPLE)).stdout


def test_the_namespace_can_be_another() -> None:
    objects = yaml.safe_load_all(render(str(EXAMPLE), "--namespace", "test").stdout)
    assert {each["metadata"]["namespace"] for each in objects} == {"test"}


def test_a_stage_that_the_plan_does_not_have_is_exit_code_2() -> None:
    result = render(str(EXAMPLE), "--stage", "9")
    assert result.exit_code == 2
    assert "has 4 stages, so there is no stage 9" in result.output
    assert "Nothing was rendered." in result.output


def test_what_the_operator_would_refuse_is_not_rendered(tmp_path: Path) -> None:
    """With its place in the file."""
    file = tmp_path / "canary.yml"
    file.write_text(EXAMPLE.read_text().replace("name: nf4", "name: nf.4"))
    result = render(str(file))
    assert result.exit_code == 2
    assert "canary.yml:" in result.output
    assert not result.stdout


def test_what_a_gpu_cannot_run_is_not_rendered(tmp_path: Path) -> None:
    file = tmp_path / "canary.yml"
    file.write_text(EXAMPLE.read_text().replace("quantization: bitsandbytes-nf4", "quantization: gguf"))
    result = render(str(file))
    assert result.exit_code == 2
    assert "nf4 cannot run as the plan says" in result.output


def test_a_part_without_objects_is_named_and_the_rest_rendered(tmp_path: Path) -> None:
    file = tmp_path / "canary.yml"
    file.write_text(EXAMPLE.read_text() + "  sticky: {header: x-session-id}\n")
    result = render(str(file))
    assert result.exit_code == 0, result.output
    assert "warning: spec.sticky" in result.stderr
