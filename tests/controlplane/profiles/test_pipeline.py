"""Rendered workflows and jobs: valid for Argo, valid for a shell, and safe in their order."""

import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from controlplane.cli.pipeline import command
from controlplane.profiles.pipeline import Pipeline, job, workflow
from profiles.errors import Malformed
from profiles.recipe import METHODS, QuantizationRecipe

SCHEMA = Path(__file__).parent / "data" / "argo-workflow-template.schema.json"


def pipeline(method: str = "nf4", **options: Any) -> Pipeline:
    recipe = QuantizationRecipe("org/model", method, "abc123", "prompts.txt")
    return Pipeline("try-it", recipe, "image:1", "org/model-nf4", "https://git.example.com/org/repo", **options)


def steps(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {template["name"]: template for template in found[1]["spec"]["templates"]}


@pytest.mark.parametrize("method", METHODS)
def test_the_template_follows_argos_schema(method: str) -> None:
    """The schema is Argo's own, closed against fields that it does not know."""
    schema = json.loads(SCHEMA.read_text("utf-8"))
    found = workflow(pipeline(method, text_url="https://example.com/text.txt"))[1]
    jsonschema.validate(found, schema)
    found["spec"]["templates"][1]["script"]["imagee"] = "x"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, schema)


def test_nothing_is_committed_before_it_was_evaluated_and_published() -> None:
    tasks = steps(workflow(pipeline()))["pipeline"]["dag"]["tasks"]
    assert [(task["name"], task.get("depends")) for task in tasks] == [
        ("quantize", None), ("evaluate", "quantize"), ("publish", "evaluate"), ("commit", "publish"),
    ]  # fmt: skip


@pytest.mark.parametrize("text_url", ["", "https://example.com/text.txt"])
def test_every_step_is_a_valid_shell_script(text_url: str) -> None:
    for template in steps(workflow(pipeline(text_url=text_url))).values():
        if "script" in template:
            found = subprocess.run(
                ["sh", "-n"], input=template["script"]["source"], text=True, capture_output=True, check=False
            )
            assert found.returncode == 0, found.stderr


@pytest.mark.parametrize(("delta", "passes"), [(0.02, True), (0.2, False), (None, False)])
def test_the_evaluation_stops_what_became_worse_or_was_not_measured(
    tmp_path: Path, delta: float | None, passes: bool
) -> None:
    """The step's own script is run, on a manifest in place of the shared volume."""
    folder = tmp_path / "artifact"
    folder.mkdir()
    perplexity = None if delta is None else {"before": 10.0, "after": 10.0 * (1 + delta), "delta": delta}
    (folder / "serinus-artifact.json").write_text(json.dumps({"perplexity": perplexity}))
    script = steps(workflow(pipeline(text_url="https://example.com/text.txt")))["evaluate"]["script"]["source"]
    found = subprocess.run(
        ["sh"], input=script.replace("/work", str(tmp_path)), text=True, capture_output=True, check=False
    )
    assert (found.returncode == 0) == passes, found.stderr


def test_secrets_are_named_never_written() -> None:
    text = yaml.safe_dump_all(workflow(pipeline()))
    assert "secretKeyRef" in text
    assert "x-access-token:${GIT_TOKEN}@git.example.com" in text


def test_the_job_carries_its_program_and_recipe() -> None:
    config, found = job(QuantizationRecipe("org/model", "fp8"), "image:1", "out/fp8")
    compile(config["data"]["quantizer.py"], "quantizer.py", "exec")
    assert json.loads(config["data"]["recipe.json"])["stages"]["quantization_stage"]
    assert found["spec"]["template"]["spec"]["containers"][0]["command"][-1] == "/work/fp8"


def test_render_refuses_what_would_break_out_of_a_shell_line() -> None:
    options = ["--method", "nf4", "--image", "i", "--repository", "https://g/x", "--publish-to", "o/r'; rm -rf /"]
    found = CliRunner().invoke(command, ["render", "org/model", *options])
    assert found.exit_code == 2
    assert "publish_to" in found.output


def test_render_prints_two_documents() -> None:
    options = [
        "--method",
        "awq",
        "--dataset",
        "p.txt",
        "--image",
        "i",
        "--repository",
        "https://g/x",
        "--publish-to",
        "o/r",
    ]
    found = CliRunner().invoke(command, ["render", "org/model", *options])
    assert found.exit_code == 0, found.output
    assert [document["kind"] for document in yaml.safe_load_all(found.output)] == ["ConfigMap", "WorkflowTemplate"]


def test_methods_that_calibrate_want_data() -> None:
    with pytest.raises(Malformed, match="--dataset"):
        QuantizationRecipe("org/model", "awq")
    assert QuantizationRecipe("org/model", "fp8").digest != QuantizationRecipe("org/model", "nf4").digest


def test_submit_applies_the_template_and_starts_a_workflow_of_it(tmp_path: Path) -> None:
    """A stand-in for kubectl notes what it is asked and given."""
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(
        f"#!/bin/sh\nprintf '%s\\n' \"$*\" >> {tmp_path}/asked\ncat >> {tmp_path}/given\necho workflow/try-it-x7\n"
    )
    kubectl.chmod(0o755)
    options = [
        "--method",
        "nf4",
        "--image",
        "i",
        "--repository",
        "https://g/x",
        "--publish-to",
        "o/r",
        "--name",
        "try-it",
    ]
    found = CliRunner().invoke(command, ["submit", "org/model", *options, "--kubectl", str(kubectl)])
    assert found.exit_code == 0, found.output
    assert found.output == "workflow/try-it-x7\n"
    assert (tmp_path / "asked").read_text().splitlines() == ["-n argo apply -f -", "-n argo create -o name -f -"]
    assert "workflowTemplateRef:\n    name: try-it" in (tmp_path / "given").read_text()


def test_a_cluster_that_says_no_is_quoted(tmp_path: Path) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text("#!/bin/sh\ncat > /dev/null\necho 'no such namespace' >&2\nexit 1\n")
    kubectl.chmod(0o755)
    options = ["--method", "nf4", "--image", "i", "--repository", "https://g/x", "--publish-to", "o/r"]
    found = CliRunner().invoke(command, ["submit", "org/model", *options, "--kubectl", str(kubectl)])
    assert found.exit_code == 1
    assert "no such namespace" in found.output
    missing = CliRunner().invoke(command, ["submit", "org/model", *options, "--kubectl", str(tmp_path / "none")])
    assert missing.exit_code == 2
