"""Renders the work around a quantized variant for a cluster: a Job that quantizes, and an Argo WorkflowTemplate from
quantizing to the commit.

    quantize -> evaluate -> publish -> commit

Pure: values in, plain dicts out; `serinus quantize --render job` and `serinus pipeline render` print them as YAML.
The steps share one volume. The quantizer program travels in a ConfigMap, so the image needs libraries only. Nothing
is committed when perplexity rises by more than the limit.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane.profiles import quantizer
from profiles.recipe import METHODS, QuantizationRecipe

WORK = "/work"
PROGRAM = "/program"


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What the workflow does, and where."""

    name: str
    recipe: QuantizationRecipe
    image: str
    """Has torch, transformers and the recipe's library, git, yq and the hub's client."""
    publish_to: str
    """Repository on the hub that gets the artefact."""
    repository: str
    """Git repository with the canary.yml."""
    canary_file: str = "canary.yml"
    branch: str = "main"
    text_url: str = ""
    """Where the text for perplexity is; empty leaves perplexity out."""
    max_delta: float = 0.05
    gpu: str = "nvidia.com/gpu"
    gpus: int = 1
    storage: str = "100Gi"
    secret: str = "serinus-pipeline"  # noqa: S105 - the name of a Secret, not one
    """Secret with `hf_token` and `git_token`."""


def job(recipe: QuantizationRecipe, image: str, out: str, name: str = "quantize") -> list[dict[str, Any]]:
    """A ConfigMap with program and recipe, and the Job that runs them. The artefact lands in the claim
    `serinus-artifacts`.
    """
    words = ["python", f"{PROGRAM}/quantizer.py", f"{PROGRAM}/recipe.json", f"{WORK}/{Path(out).name}"]
    container = {
        "name": "quantize",
        "image": image,
        "command": words,
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
        "volumeMounts": [mount("work", WORK), mount("program", PROGRAM)],
    }
    volumes = [
        {"name": "work", "persistentVolumeClaim": {"claimName": "serinus-artifacts"}},
        {"name": "program", "configMap": {"name": name}},
    ]
    pod = {"restartPolicy": "Never", "containers": [container], "volumes": volumes}
    spec = {"backoffLimit": 1, "template": {"spec": pod}}
    return [program(name, recipe), {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}]


def program(name: str, recipe: QuantizationRecipe) -> dict[str, Any]:
    """The ConfigMap with the quantizer and its recipe."""
    data = {
        "quantizer.py": Path(quantizer.__file__).read_text("utf-8"),
        "recipe.json": json.dumps(recipe.as_json(), indent=2),
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def mount(name: str, path: str) -> dict[str, Any]:
    """A volume in a container."""
    return {"name": name, "mountPath": path}


def workflow(pipeline: Pipeline) -> list[dict[str, Any]]:
    """The ConfigMap and the WorkflowTemplate."""
    claim = {
        "metadata": {"name": "work"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": pipeline.storage}}},
    }
    order = ("quantize", "evaluate", "publish", "commit")
    tasks = [
        {"name": step, "template": step} | ({"depends": order[index - 1]} if index else {})
        for index, step in enumerate(order)
    ]
    templates = [
        {"name": "pipeline", "dag": {"tasks": tasks}},
        quantize_step(pipeline),
        script_step(pipeline, "evaluate", evaluate(pipeline)),
        script_step(pipeline, "publish", publish(pipeline), {"HF_TOKEN": "hf_token"}),
        script_step(pipeline, "commit", commit(pipeline), {"GIT_TOKEN": "git_token"}),
    ]
    spec = {
        "entrypoint": "pipeline",
        "volumeClaimTemplates": [claim],
        "volumes": [{"name": "program", "configMap": {"name": pipeline.name}}],
        "templates": templates,
    }
    head = {"apiVersion": "argoproj.io/v1alpha1", "kind": "WorkflowTemplate", "metadata": {"name": pipeline.name}}
    return [program(pipeline.name, pipeline.recipe), {**head, "spec": spec}]


def quantize_step(pipeline: Pipeline) -> dict[str, Any]:
    """Quantize on a GPU; measures perplexity where there is a text."""
    lines = ["set -eu"]
    text = ""
    if pipeline.text_url:
        fetch = "import sys, urllib.request; urllib.request.urlretrieve(sys.argv[1], sys.argv[2])"
        lines.append(f"python -c '{fetch}' '{pipeline.text_url}' {WORK}/text.txt")
        text = f" --text {WORK}/text.txt"
    lines.append(f"python {PROGRAM}/quantizer.py {PROGRAM}/recipe.json {WORK}/artifact{text}")
    step = script_step(pipeline, "quantize", lines, {"HF_TOKEN": "hf_token"})
    step["script"]["resources"] = {"limits": {pipeline.gpu: str(pipeline.gpus)}}
    step["retryStrategy"] = {"limit": "1"}
    return step


def evaluate(pipeline: Pipeline) -> list[str]:
    """Stop when the artefact is worse than the limit, or was to be measured and was not."""
    required = "True" if pipeline.text_url else "False"
    check = (
        f"import json; found = json.load(open('{WORK}/artifact/{quantizer.MANIFEST}'))['perplexity']; "
        f"assert found or not {required}, 'perplexity was not measured'; "
        f"assert not found or found['delta'] <= {pipeline.max_delta!r}, f'perplexity rose: {{found}}'; print(found)"
    )
    return ["set -eu", f'python -c "{check}"']


def publish(pipeline: Pipeline) -> list[str]:
    """Upload the artefact; its commit on the hub is what the canary.yml will name."""
    return [
        "set -eu",
        f"hf upload '{pipeline.publish_to}' {WORK}/artifact . --commit-message '{pipeline.recipe.digest}'",
    ]


def commit(pipeline: Pipeline) -> list[str]:
    """Point the canary at the artefact. The commit starts the rollout, which still has to prove it."""
    serves = METHODS[pipeline.recipe.method].serves_as
    edit = f'.spec.canary.uri = "hf://{pipeline.publish_to}" | .spec.canary.quantization = "{serves}"'
    address = pipeline.repository.replace("https://", "https://x-access-token:${GIT_TOKEN}@", 1)
    return [
        "set -eu",
        f'git clone -q --depth 1 --branch "{pipeline.branch}" "{address}" {WORK}/repository',
        f"cd {WORK}/repository",
        f"yq -i '{edit}' '{pipeline.canary_file}'",
        "git config user.name serinus-pipeline && git config user.email serinus-pipeline@localhost",
        f"git diff --quiet || git commit -qam 'Try {pipeline.publish_to} ({serves}) as canary'",
        f"git push -q origin 'HEAD:{pipeline.branch}'",
    ]


def script_step(
    pipeline: Pipeline, name: str, lines: list[str], secrets: dict[str, str] | None = None
) -> dict[str, Any]:
    """One step that runs shell lines; secrets come as environment variables."""
    environment = [
        {"name": variable, "valueFrom": {"secretKeyRef": {"name": pipeline.secret, "key": key}}}
        for variable, key in (secrets or {}).items()
    ]
    script: dict[str, Any] = {
        "image": pipeline.image,
        "command": ["sh"],
        "source": "\n".join(lines) + "\n",
        "volumeMounts": [mount("work", WORK), mount("program", PROGRAM)],
    }
    if environment:
        script["env"] = environment
    return {"name": name, "script": script}
