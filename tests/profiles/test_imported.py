"""Results of vllm bench serve calibrate like our own."""

from typing import Any

import pytest

from profiles.errors import Malformed
from profiles.imported import is_vllm_bench, read_vllm_bench

RESULT: dict[str, Any] = {
    "date": "20261121-090000",
    "backend": "openai-chat",
    "model_id": "org/model",
    "num_prompts": 100,
    "request_rate": "inf",
    "max_concurrency": 16,
    "duration": 40.0,
    "completed": 100,
    "total_input_tokens": 51200,
    "total_output_tokens": 12800,
    "request_throughput": 2.5,
    "output_throughput": 320.0,
    "mean_ttft_ms": 80.0,
    "std_ttft_ms": 20.0,
    "mean_tpot_ms": 12.0,
    "std_tpot_ms": 1.0,
}


def test_a_closed_loop_becomes_a_level() -> None:
    assert is_vllm_bench(RESULT)
    (level,) = read_vllm_bench(RESULT, "bench.json").levels
    assert (level.loop, level.load, level.input_tokens, level.output_tokens) == ("closed", 16, 512, 128)
    assert level.ttft is not None
    assert level.ttft.value == pytest.approx(0.080)
    assert level.ttft.high - level.ttft.value == pytest.approx(1.2816 * 0.002)
    assert level.e2e is None


def test_a_request_rate_becomes_an_open_loop() -> None:
    (level,) = read_vllm_bench(RESULT | {"max_concurrency": None, "request_rate": 2.5}, "bench.json").levels
    assert (level.loop, level.load) == ("open", 2.5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"completed": 0}, "no complete request"),
        ({"max_concurrency": None}, "everything at once"),
        ({"duration": "long"}, "not a result"),
    ],
)
def test_what_cannot_calibrate_is_refused_by_name(change: dict[str, Any], words: str) -> None:
    with pytest.raises(Malformed, match=words) as caught:
        read_vllm_bench(RESULT | change, "bench.json")
    assert "bench.json" in str(caught.value)
