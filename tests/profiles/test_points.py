"""Measured rows: what each metric means, and what the model says to it."""

from dataclasses import replace

import pytest

from profiles.catalogue import builtin
from profiles.points import CLASSES, MeasuredPoint, harness, lab, predicted, read_point

ROW = {
    "model": "Llama-3.1-8B", "quant": "bf16", "gpu": "H100-SXM-80GB", "num_gpus": "1", "engine": "vllm-0.12.0",
    "concurrency_or_batch": "16", "input_tokens": "512", "output_tokens": "128", "metric": "tpot_ms", "value": "9.5",
    "source": "github:lab/repo@abc results (run 1)",
}  # fmt: skip


def point(**changes: str) -> MeasuredPoint:
    return read_point(ROW | changes, builtin(), 2)


def test_milliseconds_become_seconds_and_rates_stay() -> None:
    assert point().value == pytest.approx(0.0095)
    assert point(metric="output_tok_s", value="900").value == 900


@pytest.mark.parametrize("metric", CLASSES)
def test_every_metric_has_a_prediction(metric: str) -> None:
    assert predicted(point(metric=metric)) > 0


def test_metrics_of_one_run_agree_with_each_other() -> None:
    """In a closed loop tokens a second, latency and callers are bound by Little's law."""
    ttft, itl, speed = (predicted(point(metric=metric)) for metric in ("ttft_ms", "tpot_ms", "output_tok_s"))
    assert speed * (ttft + 127 * itl) / 128 == pytest.approx(16, rel=1e-3)


def test_a_burst_is_slower_than_the_same_batch_kept_full() -> None:
    burst, full = (predicted(point(metric=metric)) for metric in ("output_tok_s_burst", "output_tok_s_static"))
    assert burst < full


def test_the_harness_decides_how_many_prompts_collide() -> None:
    assert harness(point(source="x (ShareGPT, Poisson qps=1)")) == "none"
    assert harness(point(source="x (NVIDIA AIC run)")) == "fixed"
    assert harness(point(source="x (NVIDIA AIC run)", engine="sglang")) == "batch"
    assert predicted(point(metric="ttft_ms", source="Poisson")) < predicted(point(metric="ttft_ms"))


def test_eight_bit_checkpoints_of_nvidia_bring_an_eight_bit_cache() -> None:
    assert point(engine="trtllm-1.0", quant="fp8").deployment.kv_value_bytes == 1
    assert point(quant="fp8").deployment.kv_value_bytes == 2


def test_runs_of_one_lab_are_one_lab() -> None:
    assert lab("github:lab/repo@abc results (run 1)") == lab("github:lab/repo@def other")
    assert lab("github:a/b@1 (InferenceMAX 2025)") != lab("github:a/b@1 (NVIDIA AIC run)")
    assert replace(point(), line=9).group == point(metric="ttft_ms").group
