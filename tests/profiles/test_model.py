"""Counts that follow from a model's shape, against the totals that the models' publishers state."""

import pytest

from profiles.catalogue import builtin

PUBLISHED = {
    "SmolLM2-135M": 134_515_008,
    "Llama-2-7B": 6_738_415_616,
    "Llama-3.2-1B": 1_235_814_400,
    "Llama-3.2-3B": 3_212_749_824,
    "Llama-3.1-8B": 8_030_261_248,
    "Llama-3.1-70B": 70_553_706_496,
    "Llama-3.1-405B": 405_853_388_800,
    "Mistral-7B": 7_248_023_552,
    "Mixtral-8x7B": 46_702_792_704,
    "Qwen2.5-0.5B": 494_032_768,
    "Qwen2.5-7B": 7_615_616_512,
    "Qwen2.5-32B": 32_763_876_352,
    "Qwen3-8B": 8_190_735_360,
    "Qwen3-30B-A3B": 30_532_122_624,
    "Gemma-2-9B": 9_241_705_984,
    "Phi-4": 14_659_507_200,
    "Phi-3.5-mini": 3_821_079_552,
    "gpt-oss-20b": 20_914_757_184,
    "gpt-oss-120b": 116_829_156_672,
}
KV_KIB = {
    "SmolLM2-135M": 22.5, "Llama-3.2-1B": 32, "Llama-3.1-8B": 128, "Llama-3.1-405B": 504, "Qwen2.5-7B": 56,
    "Gemma-2-9B": 336, "Gemma-3-1B": 26, "Phi-3.5-mini": 384, "gpt-oss-120b": 72, "Qwen3-30B-A3B": 96,
}  # fmt: skip


@pytest.mark.parametrize(("name", "total"), PUBLISHED.items())
def test_parameters_are_counted_to_the_last_one(name: str, total: int) -> None:
    assert builtin().model(name).parameters == total


@pytest.mark.parametrize(("name", "kib"), KV_KIB.items())
def test_cached_bytes_of_a_token_are_exact(name: str, kib: float) -> None:
    assert builtin().model(name).kv_bytes_per_token() == kib * 1024


def test_a_sliding_window_bounds_what_its_layers_hold() -> None:
    """Half of gpt-oss' layers keep 128 tokens however long the context is."""
    model = builtin().model("gpt-oss-20b")
    assert model.attended(100) == 100
    assert model.attended(8192) == (8192 + 128) / 2


def test_only_chosen_experts_are_active() -> None:
    """gpt-oss-120b passes each token through about five billion parameters."""
    model = builtin().model("gpt-oss-120b")
    assert 5.0e9 < model.active_parameters < 5.8e9
