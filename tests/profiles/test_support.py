"""The table of what runs where."""

import pytest

from profiles.catalogue import builtin
from profiles.support import native, refusal

KNOWN = builtin()
RUNS = {
    "awq": {"T4", "A100", "A10G", "L40S", "H100", "B200", "MI300X"},
    "int8-w8a8": {"T4", "A100", "A10G", "L40S", "H100"},
    "fp8": {"L40S", "H100", "B200", "MI300X"},
    "nvfp4": {"B200"},
    "mxfp4": {"A100", "A10G", "L40S", "H100", "B200", "MI300X"},
    "bnb-nf4": {"T4", "A100", "A10G", "L40S", "H100", "B200", "MI300X"},
}
FALLBACK = {"fp8": {"T4", "A100", "A10G"}, "nvfp4": {"T4", "A100", "A10G", "L40S", "H100"}}
GPUS = ("T4", "A100", "A10G", "L40S", "H100", "B200", "MI300X")


@pytest.mark.parametrize("method", RUNS)
def test_the_documented_table_holds(method: str) -> None:
    model = KNOWN.model("gpt-oss-20b" if method == "mxfp4" else "Llama-3.1-8B")
    for name in GPUS:
        reason = refusal(model, KNOWN.gpu(name), KNOWN.quantization(method))
        assert (reason is None) == (name in RUNS[method]), (name, reason)
        accepted = refusal(model, KNOWN.gpu(name), KNOWN.quantization(method), allow_fallback=True)
        assert (accepted is None) == (name in RUNS[method] | FALLBACK.get(method, set())), name


def test_a_fallback_is_not_native() -> None:
    assert not native(KNOWN.quantization("fp8"), KNOWN.gpu("A100"))
    assert native(KNOWN.quantization("fp8"), KNOWN.gpu("L40S"))


def test_bitsandbytes_int8_holds_no_experts() -> None:
    reason = refusal(KNOWN.model("Mixtral-8x7B"), KNOWN.gpu("H100"), KNOWN.quantization("bnb-int8"))
    assert reason is not None
    assert "mixture of experts" in reason
