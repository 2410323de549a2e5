"""Which server runs a variant, in which image, with which arguments."""

import pytest

from canary.errors import BadInput
from controlplane.kserve.server_spec import HUGGINGFACE, VLLM, VLLM_WITH_BITSANDBYTES, ServerSpec, served
from profiles.catalogue import builtin
from tests.controlplane.kserve.worlds import plan

GPU = "profile: {gpu: L40S}"
LLAMA = "uri: 'hf://meta-llama/Llama-3.1-8B-Instruct'"


def canary(text: str) -> ServerSpec:
    whole = plan(canary=f"{{name: v2, {text}}}")
    return served(whole.spec, whole.spec.canary, builtin())


def test_sixteen_bits_run_in_the_plain_image() -> None:
    made = canary(f"{LLAMA}, {GPU}")
    assert (made.family, made.image) == ("vllm", VLLM)
    assert "--dtype=bfloat16" in made.words


def test_bitsandbytes_runs_where_its_kernels_are() -> None:
    """Newer vLLM has it as a plugin that no plain image holds; a rollout would fail on its first start."""
    made = canary(f"{LLAMA}, {GPU}, quantization: bitsandbytes-nf4")
    assert made.image == VLLM_WITH_BITSANDBYTES
    assert "--quantization=bitsandbytes" in made.words


def test_an_image_of_ones_own_is_told_what_has_to_be_in_it() -> None:
    made = canary(f"{LLAMA}, {GPU}, quantization: bitsandbytes-nf4, image: 'vllm/vllm-openai:v0.33.0'")
    assert made.image == "vllm/vllm-openai:v0.33.0"
    assert any("vllm-bnb-plugin has to be in" in note for note in made.notes)


def test_what_the_plan_says_itself_holds_over_what_is_worked_out() -> None:
    made = canary(f"{LLAMA}, {GPU}, engine: {{gpuMemoryUtilization: 0.8, enable-prefix-caching: false}}")
    assert [word for word in made.words if "utilization" in word] == ["--gpu-memory-utilization=0.8"]
    assert "--no-enable-prefix-caching" in made.words


def test_every_argument_has_a_reason() -> None:
    made = canary(f"{LLAMA}, {GPU}, quantization: fp8, engine: {{maxNumSeqs: 8}}")
    assert all(flag.why for flag in made.flags)


def test_host_memory_is_enough_to_load_the_weights() -> None:
    """KServe's default of 2 GiB kills a language model while it loads; some methods quantize after reading 16 bits."""
    made = canary("uri: 'hf://meta-llama/Llama-3.1-70B-Instruct', profile: {gpu: H100, count: 4}, quantization: fp8")
    assert int(made.requests["memory"].removesuffix("Gi")) >= 131 + 8
    assert made.requests["nvidia.com/gpu"] == "4"


def test_an_unknown_model_is_served_as_the_plan_says_and_that_is_said() -> None:
    made = canary("uri: 'hf://org/unheard-of', profile: {gpu: L40S, count: 2}, quantization: bitsandbytes-nf4")
    assert made.words == ["--served-model-name=chat", "--quantization=bitsandbytes", "--tensor-parallel-size=2"]
    assert "not in the catalogue" in made.notes[0]
    assert made.requests["memory"] == "64Gi"


def test_a_method_that_the_gpu_has_no_kernel_for_is_refused() -> None:
    with pytest.raises(BadInput, match="v2 cannot run as the plan says"):
        canary("uri: 'hf://meta-llama/Llama-3.1-8B-Instruct', profile: {gpu: B200}, quantization: int8-w8a8")


def test_without_a_gpu_the_hugging_face_server_runs_it() -> None:
    made = canary(LLAMA)
    assert (made.family, made.image) == ("huggingface", HUGGINGFACE)
    assert "--model_name=chat" in made.words
    assert not any("gpu" in name for name in made.requests)


@pytest.mark.parametrize("text", ["quantization: awq", "lora: {a: 'hf://a/b'}"])
def test_what_no_server_does_on_a_cpu_is_refused(text: str) -> None:
    """The Hugging Face server ignores flags that it does not know, and would serve something else without a word."""
    with pytest.raises(BadInput, match="no GPU"):
        canary(f"{LLAMA}, {text}")
