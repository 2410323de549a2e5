"""Where a GPU's memory goes, against loaded checkpoints and vLLM's own reports."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles.accelerator import GIB
from profiles.catalogue import builtin, distinct
from profiles.deployment import Deployment
from profiles.memory import activation, memory, smallest_change

KNOWN = builtin()


def deployment(model: str = "Llama-3.1-8B", gpu: str = "H100", quantization: str = "bf16", gpus: int = 1) -> Deployment:
    return Deployment(KNOWN.model(model), KNOWN.gpu(gpu), KNOWN.quantization(quantization), gpus=gpus)


@pytest.mark.parametrize(
    ("model", "quantization", "gigabytes"),
    [
        ("Llama-3.1-8B", "bf16", 14.99 * GIB / 1e9),  # as vLLM reports it after loading
        ("Mistral-7B", "bf16", 14.496),  # sizes of the published safetensors
        ("Llama-3.1-8B", "fp8", 9.08),
        ("Llama-3.1-8B", "gptq", 5.73),
        ("Llama-3.2-1B", "gptq", 1.03),
    ],
)
def test_weights_are_within_one_percent_of_checkpoints(model: str, quantization: str, gigabytes: float) -> None:
    bytes_ = KNOWN.quantization(quantization).weight_bytes(KNOWN.model(model))
    assert bytes_ / 1e9 == pytest.approx(gigabytes, rel=0.01)


@pytest.mark.parametrize(
    ("model", "gib"),
    [
        ("Llama-3.1-8B", 1.89),
        ("Qwen2.5-7B", 2.25),
        ("Qwen3-8B", 2.21),
        ("Mixtral-8x7B", 1.21),
        ("Phi-4", 1.52),
        ("Gemma-2-9B", 3.65),
    ],
)
def test_activations_are_within_half_a_gibibyte_of_what_vllm_reports(model: str, gib: float) -> None:
    """Peaks that vLLM 0.19 measured on an H100 at its default limits."""
    assert activation(deployment(model)) / GIB == pytest.approx(gib, abs=0.5)


@given(
    model=st.sampled_from([model.name for model in distinct(KNOWN.models)]),
    gpu=st.sampled_from([gpu.name for gpu in distinct(KNOWN.gpus)]),
    tokens=st.integers(2, 100_000),
    concurrency=st.integers(1, 2000),
)
def test_fewer_bytes_a_parameter_never_need_more_memory(model: str, gpu: str, tokens: int, concurrency: int) -> None:
    start = deployment(model, gpu)
    for finer in ("fp8", "int8-w8a16", "gptq", "bnb-nf4"):
        smaller = replace(start, quantization=KNOWN.quantization(finer))
        assert memory(smaller, tokens, concurrency).needed <= memory(start, tokens, concurrency).needed
    cached = replace(start, kv_value_bytes=1.0)
    assert memory(cached, tokens, concurrency).needed <= memory(start, tokens, concurrency).needed


def test_a_model_that_is_too_large_names_the_smallest_change_that_fits() -> None:
    """70B in 16 bit needs two H100."""
    start = deployment("Llama-3.1-70B")
    assert memory(start, 640, 1).missing / GIB > 60
    change = smallest_change(start, 640, 1)
    assert change is not None
    assert "--tensor-parallel-size 4" in change.flag or "--tensor-parallel-size 2" in change.flag
    assert memory(change.deployment, 640, 1).fits


def test_a_small_card_is_helped_by_fewer_sequences_before_anything_else() -> None:
    """The sampler's dummy run is what fills an L4 beside a 16-bit 8B model."""
    start = replace(deployment(gpu="L4", quantization="bf16"), max_num_seqs=1024, max_model_len=2048)
    assert not memory(start, 1024, 28).fits
    change = smallest_change(start, 1024, 28)
    assert change is not None
    assert change.flag.startswith("--max-num-seqs")
