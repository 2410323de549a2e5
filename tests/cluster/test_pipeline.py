"""`serinus pipeline submit` with a real kubectl, against a real API server that knows Argo's kinds by their schemas.

What is checked is that Argo takes what is rendered, and keeps all of it: a field that a schema does not know would be
pruned without a word. Argo's controller is not here, so the workflow does not run.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from controlplane.cli.pipeline import command, documents, text_of
from profiles.recipe import METHODS
from tests.cluster.argo import definitions
from tests.cluster.bed import KubectlError, Light, until

TEMPLATE = "workflowtemplates.argoproj.io"
OPTIONS = {
    "image": "registry.example.com/quantizer:1",
    "publish_to": "org/model-quantized",
    "repository": "https://git.example.com/org/canaries",
    "canary_file": "apps/chat/canary.yml",
    "branch": "main",
    "text_url": "https://example.com/text.txt",
    "max_delta": 0.05,
    "gpus": 1,
    "storage": "100Gi",
    "name": "try-it",
}


@pytest.fixture(scope="module")
def argo(light: Light) -> Iterator[Light]:
    """The bed with Argo's two kinds, for the time of these tests."""
    files = [str(file) for file in definitions()]
    flags = [word for file in files for word in ("-f", file)]
    # Half a minute where the machine is busy: the schema of a Workflow alone has three megabytes.
    light.kubectl("apply", "--server-side", *flags, seconds=300)
    until("Argo's kinds to be served", lambda: {TEMPLATE, "workflows.argoproj.io"} <= kinds(light), seconds=120)
    yield light
    light.kubectl("delete", "--wait=false", *flags)


def kinds(light: Light) -> set[str]:
    """The resources of Argo that the server has by now."""
    return set(light.kubectl("api-resources", "--api-group=argoproj.io", "-o", "name", check=False).split())


def submit(argo: Light, monkeypatch: pytest.MonkeyPatch, namespace: str, *more: str) -> Result:
    """Run the command as a person does whose kubectl leads to this cluster."""
    monkeypatch.setenv("KUBECONFIG", str(argo.kubeconfig))
    words = [word for name, value in OPTIONS.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    program = ["--kubectl", str(argo.kubectl_program), "--namespace", namespace]
    return CliRunner().invoke(command, ["submit", "org/model", "--method", "nf4", *words, *program, *more])


def rendered(method: str = "nf4") -> list[dict[str, Any]]:
    """What the command makes of the options: the ConfigMap and the WorkflowTemplate."""
    data = "/data/prompts.txt" if METHODS[method].needs_data else ""
    return documents(model="org/model", method=method, revision="main", dataset=data, **OPTIONS)


def test_a_workflow_of_the_template_is_made_and_nothing_of_either_is_lost(
    argo: Light, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = submit(argo, monkeypatch, namespace)
    assert found.exit_code == 0, found.output
    kind, _, name = found.output.strip().partition("/")
    assert (kind, name.startswith("try-it-")) == ("workflow.argoproj.io", True)
    workflow = argo.get("workflows.argoproj.io", name, namespace)
    assert workflow is not None
    assert workflow["spec"] == {"workflowTemplateRef": {"name": "try-it"}}
    program, template = rendered()
    kept = argo.get(TEMPLATE, "try-it", namespace)
    assert kept is not None
    assert kept["spec"] == template["spec"]
    map_ = argo.get("configmap", "try-it", namespace)
    assert map_ is not None
    assert json.loads(map_["data"]["recipe.json"])["digest"] == json.loads(program["data"]["recipe.json"])["digest"]


def test_a_second_submission_updates_the_template_and_starts_another(
    argo: Light, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert submit(argo, monkeypatch, namespace).exit_code == 0
    found = submit(argo, monkeypatch, namespace, "--gpus", "4")
    assert found.exit_code == 0, found.output
    kept = argo.get(TEMPLATE, "try-it", namespace)
    assert kept is not None
    (step,) = [each for each in kept["spec"]["templates"] if each["name"] == "quantize"]
    assert step["script"]["resources"]["limits"] == {"nvidia.com/gpu": "4"}
    assert len(argo.find("workflows.argoproj.io", namespace)) == 2


@pytest.mark.parametrize("method", METHODS)
def test_the_server_takes_every_methods_template(argo: Light, namespace: str, method: str) -> None:
    """Strictly: a field that it does not know would be a refusal."""
    text = text_of(rendered(method))
    argo.kubectl("create", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", "-", stdin=text)


def test_the_server_would_refuse_what_argo_does_not_know(argo: Light, namespace: str) -> None:
    """So the tests above can fail."""
    broken = rendered()[1]
    broken["spec"]["templates"][1]["script"]["image"] = 5
    with pytest.raises(KubectlError, match="image"):
        argo.kubectl("create", "--dry-run=server", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(broken))


def test_a_namespace_that_is_not_there_is_said_in_the_servers_words(
    argo: Light, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = submit(argo, monkeypatch, "nowhere")
    assert found.exit_code == 1
    assert 'namespaces "nowhere" not found' in found.output
