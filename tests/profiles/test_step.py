"""One decode step and one prompt: the terms and what they depend on."""

import pytest

from profiles.catalogue import builtin
from profiles.deployment import Deployment
from profiles.step import StepModel

KNOWN = builtin()


def steps(model: str = "Llama-3.1-8B", gpu: str = "H100", quantization: str = "bf16", gpus: int = 1) -> StepModel:
    return StepModel(Deployment(KNOWN.model(model), KNOWN.gpu(gpu), KNOWN.quantization(quantization), gpus=gpus))


def test_terms_add_up_to_the_step() -> None:
    terms = steps().terms(16, 1024)
    assert steps().step(16, 1024) == pytest.approx(
        terms.weights + terms.compute + terms.kv_cache + terms.communication + terms.overhead
    )


def test_a_single_sequence_spends_its_time_reading_weights() -> None:
    terms = steps().terms(1, 512)
    assert terms.weights > 0.6 * steps().step(1, 512)


def test_a_token_wakes_its_experts_and_many_tokens_all_of_them() -> None:
    model = steps("Qwen3-30B-A3B")
    assert model.experts_touched(1) == pytest.approx(8)
    assert model.experts_touched(1000) == pytest.approx(128)


def test_one_gpu_has_nobody_to_talk_to() -> None:
    assert steps().terms(8, 512).communication == 0
    assert steps(gpus=2).terms(8, 512).communication > 0


def test_unpacking_never_costs_more_than_one_sequence_after_the_other() -> None:
    """Bitsandbytes unpacks to 16 bit for a batch; with two sequences two products may be quicker."""
    model = steps(quantization="bnb-nf4")
    assert model.step(2, 512) <= 2 * model.step(1, 512)


def test_a_long_prompt_is_spread_over_steps() -> None:
    assert steps(gpu="L40S").chunks(2048) == 1
    assert steps(gpu="L40S").chunks(2049) == 2
