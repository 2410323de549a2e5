"""Deployments as plans describe them: flags in any spelling, values that only the engine understands left alone."""

import pytest

from profiles.catalogue import builtin
from profiles.described import described, limits
from profiles.errors import Unknown


def test_flags_are_read_in_every_spelling() -> None:
    flags = {"maxNumSeqs": 8, "--max-model-len": 4096, "gpu_memory_utilization": 0.8, "enable-prefix-caching": True}
    assert dict(limits(flags)) == {"max_num_seqs": 8, "max_model_len": 4096, "memory_utilization": 0.8}


@pytest.mark.parametrize("value", [-1, 0, "auto", True, None])
def test_what_no_number_says_is_left_to_the_engine(value: object) -> None:
    assert dict(limits({"maxModelLen": value})) == {}


def test_a_share_beyond_all_of_it_is_left_to_the_engine() -> None:
    assert dict(limits({"gpuMemoryUtilization": 1.5})) == {}


def test_names_come_from_the_catalogue_and_16_bit_is_what_nobody_mentions() -> None:
    found = described(builtin(), model="Mistral-7B", gpu="L40S", gpus=2, quantization=None, flags={"maxNumSeqs": 4})
    assert (found.model.name, found.gpu.name, found.gpus, found.max_num_seqs) == ("Mistral-7B", "L40S", 2, 4)
    assert found.quantization == builtin().quantization("bf16")
    with pytest.raises(Unknown, match="L999"):
        described(builtin(), model="Mistral-7B", gpu="L999", gpus=1, quantization=None, flags={})
