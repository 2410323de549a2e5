"""What is asked of KServe for a variant."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from canary.errors import BadInput
from canary.spec.models import ModelCanary
from controlplane.kserve.render import DIGEST, Rendered, rendered
from controlplane.kserve.server_spec import HUGGINGFACE, VLLM
from controlplane.kubernetes.api import Object
from profiles.catalogue import builtin
from tests.controlplane.kserve.worlds import NAMESPACE, plan

RUNTIMES = Path(__file__).parents[3] / "manifests" / "runtimes"
GPU = "profile: {gpu: L40S}"
LLAMA = "uri: 'hf://meta-llama/Llama-3.1-8B-Instruct'"


def canary(text: str, runtime: Object | None = None, known: ModelCanary | None = None) -> Rendered:
    """The canary that this YAML says."""
    whole = known or plan(canary=f"{{name: v2, {text}}}")
    return rendered(whole, whole.spec.canary, namespace=NAMESPACE, known=builtin(), runtime=runtime)


def model(made: Rendered) -> dict[str, Any]:
    return dict(made.service["spec"]["predictor"]["model"])


def test_the_service_is_in_kserves_final_form() -> None:
    """What its webhook would add or rewrite is there already, so what runs can be compared with it."""
    made = canary("runtime: serinus-sim").service
    assert made["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"
    assert made["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "none"
    assert made["spec"]["predictor"]["model"]["name"] == ""
    assert "canaryTrafficPercent" not in made["spec"]["predictor"]


def test_both_arms_answer_to_one_name() -> None:
    """KServe's own default is the name of the InferenceService, which differs between the arms."""
    whole = plan(stable=f"{{name: v1, {GPU}, {LLAMA}}}", canary=f"{{name: v2, {GPU}, {LLAMA}, quantization: awq}}")
    for variant in (whole.spec.stable, whole.spec.canary):
        words = model(rendered(whole, variant, namespace=NAMESPACE, known=builtin()))["args"]
        assert "--served-model-name=chat" in words


def test_a_runtime_of_ones_own_gets_what_the_plan_says_and_nothing_else() -> None:
    made = canary("runtime: mine, engine: {maxNumSeqs: 64, enforceEager: true}, env: {A: b}")
    assert made.runtime is None
    assert model(made)["runtime"] == "mine"
    assert model(made)["args"] == ["--max-num-seqs=64", "--enforce-eager"]
    assert {"name": "A", "value": "b"} in model(made)["env"]


def test_the_format_is_one_that_the_runtime_supports() -> None:
    """KServe refuses a named runtime that does not support the format."""
    runtime = {"metadata": {"name": "mine"}, "spec": {"supportedModelFormats": [{"name": "pytorch"}]}}
    assert model(canary("runtime: mine", runtime))["modelFormat"] == {"name": "pytorch"}
    assert model(canary("runtime: serinus-sim"))["modelFormat"] == {"name": "serinus-sim"}
    assert model(canary(f"runtime: kserve-vllmserver, {GPU}"))["modelFormat"] == {"name": "vLLM"}


def test_kserves_own_runtimes_get_the_engines_arguments() -> None:
    vllm = model(canary(f"runtime: kserve-vllmserver, {GPU}, {LLAMA}, quantization: fp8"))["args"]
    assert "--served-model-name=chat" in vllm
    hugging = model(canary(f"runtime: kserve-huggingfaceserver, {GPU}, {LLAMA}"))["args"]
    assert "--model_name=chat" in hugging
    assert "--backend=vllm" in hugging, "else it falls back to transformers without a word"


def test_gpus_are_asked_for_and_their_taint_is_tolerated() -> None:
    predictor = canary(f"{LLAMA}, profile: {{gpu: L40S, count: 2}}").service["spec"]["predictor"]
    assert predictor["model"]["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert predictor["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert "--tensor-parallel-size=2" in predictor["model"]["args"]


def test_the_plans_own_placement_holds() -> None:
    predictor = canary(
        "runtime: serinus-sim, nodeSelector: {disk: fast}, serviceAccount: hf, resources: {memory: 1Gi}, "
        "tolerations: [{key: gpu, operator: Exists}], replicas: 3"
    ).service["spec"]["predictor"]
    assert predictor["nodeSelector"] == {"disk": "fast"}
    assert predictor["serviceAccountName"] == "hf"
    assert predictor["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    assert predictor["model"]["resources"]["limits"] == {"memory": "1Gi"}
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (3, 3)


def test_adapters_are_fetched_beside_the_weights_and_named_to_the_server() -> None:
    predictor = canary(f"{LLAMA}, {GPU}, lora: {{legal: 'hf://a/legal', tax: 's3://b/tax'}}").service["spec"][
        "predictor"
    ]
    assert [each["mountPath"] for each in predictor["storageUris"]] == [
        "/mnt/models",
        "/mnt/adapters/legal",
        "/mnt/adapters/tax",
    ]
    assert "storageUri" not in predictor["model"], "KServe takes one or the other"
    assert "--enable-lora" in predictor["model"]["args"]
    assert "--lora-modules=legal=/mnt/adapters/legal" in predictor["model"]["args"]


def test_the_prompt_is_handed_over_as_a_variable() -> None:
    made = canary("runtime: serinus-sim, systemPrompt: {text: 'Be brief.'}")
    assert {"name": "SERINUS_SYSTEM_PROMPT", "value": "Be brief."} in model(made)["env"]


@pytest.mark.parametrize("text", [f"{LLAMA}, {GPU}", f"{LLAMA}, {GPU}, runtime: kserve-vllmserver"])
def test_a_prompt_that_no_server_reads_is_refused(text: str) -> None:
    """Two variants that differ in their prompt alone would be the same server twice."""
    with pytest.raises(BadInput, match="neither vLLM nor the Hugging Face server reads one"):
        canary(f"{text}, systemPrompt: {{text: 'Be brief.'}}")
    made = canary(f"{text}, image: 'mine:1', systemPrompt: {{text: 'Be brief.'}}")
    assert {"name": "SERINUS_SYSTEM_PROMPT", "value": "Be brief."} in model(made)["env"]


def test_a_prompt_in_a_file_cannot_reach_a_cluster() -> None:
    with pytest.raises(BadInput, match="write the prompt as text"):
        canary("runtime: serinus-sim, systemPrompt: {file: prompts/v2.txt}")


def test_a_repository_name_is_a_place_on_the_hub() -> None:
    assert model(canary("runtime: serinus-sim, uri: org/name"))["storageUri"] == "hf://org/name"


def test_a_server_without_weights_is_refused() -> None:
    whole = plan(canary=f"{{name: v2, {GPU}}}")
    bare = whole.model_copy(
        update={"spec": whole.spec.model_copy(update={"model": whole.spec.model.model_copy(update={"uri": None})})}
    )
    with pytest.raises(BadInput, match="no weights to serve"):
        canary("", known=bare)


def test_a_service_that_the_plan_names_is_not_rendered() -> None:
    with pytest.raises(BadInput, match="Serinus does not make"):
        canary("inferenceService: theirs")


def test_each_variant_has_a_runtime_of_its_own() -> None:
    """An edit of a shared one would restart the pods of both arms."""
    made = canary(f"{LLAMA}, {GPU}")
    assert made.runtime is not None
    assert made.runtime["metadata"]["name"] == made.service["metadata"]["name"] == "chat-v2"
    assert model(made)["runtime"] == "chat-v2"
    assert made.runtime["spec"]["supportedModelFormats"][0]["autoSelect"] is False


def test_the_server_may_take_as_long_as_the_plan_allows() -> None:
    runtime = canary(f"{LLAMA}, {GPU}").runtime
    assert runtime is not None
    probe = runtime["spec"]["containers"][0]["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 600


def test_the_digest_changes_with_what_is_asked_for() -> None:
    def digest(text: str) -> str:
        return str(canary(text).service["metadata"]["annotations"][DIGEST])

    assert digest("runtime: serinus-sim") == digest("runtime: serinus-sim")
    assert digest("runtime: serinus-sim") != digest("runtime: serinus-sim, replicas: 2")


def test_labels_of_a_variant_do_not_replace_ours() -> None:
    made = canary("runtime: serinus-sim, labels: {team: chat, serinus.dev/rollout: other}").service["metadata"][
        "labels"
    ]
    assert (made["team"], made["serinus.dev/rollout"]) == ("chat", "chat")


def test_two_kinds_of_server_are_refused() -> None:
    """A shift of traffic must not change the paths that clients use."""
    whole = plan(stable=f"{{name: v1, {LLAMA}}}", canary=f"{{name: v2, {LLAMA}, {GPU}}}")
    with pytest.raises(BadInput, match="v2 has a GPU and is served by vLLM, v1 has none"):
        canary("", known=whole)


@pytest.mark.parametrize(("name", "image"), [("vllm", VLLM), ("huggingface", HUGGINGFACE)])
def test_the_runtimes_for_users_are_those_that_serinus_knows(name: str, image: str) -> None:
    """Named by a variant, they get its arguments; found by KServe alone, they are never chosen."""
    runtime = yaml.safe_load((RUNTIMES / f"{name}.yaml").read_text())
    made = canary(f"runtime: serinus-{name}, {GPU}, {LLAMA}, quantization: fp8", runtime)
    assert any(word.startswith("--quantization=") for word in model(made)["args"])
    assert model(made)["modelFormat"]["name"] == runtime["spec"]["supportedModelFormats"][0]["name"]
    assert runtime["spec"]["supportedModelFormats"][0]["autoSelect"] is False
    assert runtime["spec"]["containers"][0]["image"] == image


@pytest.mark.parametrize(
    ("ready", "path", "numbers"),
    [
        ("", "/v2/health/ready", (5, 5, 3)),
        (", ready: /up", "/up", (5, 5, 3)),
        (", ready: {timeout: 1.2s, period: 500ms, failures: 7}", "/v2/health/ready", (2, 1, 7)),
        (", ready: {path: /up, timeout: 30s}", "/up", (30, 5, 3)),
    ],
)
def test_the_probe_of_the_pods_is_the_plans(ready: str, path: str, numbers: tuple[int, int, int]) -> None:
    """What an older plan says gives the very probe that it gave: another one would restart every pod."""
    runtime = canary(f"uri: 'hf://Qwen/Qwen2.5-0.5B-Instruct'{ready}").runtime
    assert runtime is not None
    probe = runtime["spec"]["containers"][0]["readinessProbe"]
    assert probe["httpGet"]["path"] == path
    assert (probe["timeoutSeconds"], probe["periodSeconds"], probe["failureThreshold"]) == numbers
    assert runtime["spec"]["containers"][0]["startupProbe"]["timeoutSeconds"] == numbers[0]
