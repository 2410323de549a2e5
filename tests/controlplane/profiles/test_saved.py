"""Profiles on disk: written whole, read back, and only for what they measured."""

import json
from pathlib import Path

import pytest

from controlplane.profiles.saved import levels_for, load, save
from profiles.catalogue import builtin
from profiles.deployment import Deployment
from profiles.errors import Malformed
from profiles.interval import Estimate
from profiles.measured import Level, Measured

KNOWN = builtin()
DEPLOYMENT = Deployment(KNOWN.model("Llama-3.1-8B"), KNOWN.gpu("H100"), KNOWN.quantization("fp8"))
ONE = Estimate(0.1, 0.09, 0.11)
LEVEL = Level("closed", 8, 512, 128, 30.0, 100, ONE, ONE, ONE, ONE, 3.0, failures={"cut": 1})


def test_a_profile_is_read_as_it_was_written(tmp_path: Path) -> None:
    measured = Measured("http://x/v1", "2026-11-21T09:00:00Z", (LEVEL,), model="Llama-3.1-8B", gpu="H100", count=1)
    save(measured, tmp_path / "deep" / "m.json")
    assert load(tmp_path / "deep" / "m.json") == measured
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["m.json"]


def test_a_profile_of_something_else_is_refused(tmp_path: Path) -> None:
    save(Measured("http://x/v1", "", (LEVEL,), gpu="L40S"), tmp_path / "m.json")
    with pytest.raises(Malformed, match="its GPU is L40S, not H100"):
        levels_for(DEPLOYMENT, [tmp_path / "m.json"])


def test_several_files_give_all_their_levels(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        save(Measured("http://x/v1", "", (LEVEL,)), tmp_path / name)
    assert len(levels_for(DEPLOYMENT, [tmp_path / "a.json", tmp_path / "b.json"])) == 2


def test_a_result_of_vllm_bench_is_read_too(tmp_path: Path) -> None:
    numbers = {
        "completed": 10,
        "duration": 5.0,
        "total_input_tokens": 5120,
        "total_output_tokens": 1280,
        "max_concurrency": 4,
    }
    numbers |= {"request_throughput": 2.0, "output_throughput": 256.0, "mean_ttft_ms": 50.0, "mean_tpot_ms": 9.0}
    (tmp_path / "bench.json").write_text(json.dumps(numbers))
    (level,) = levels_for(DEPLOYMENT, [tmp_path / "bench.json"])
    assert (level.load, level.input_tokens) == (4, 512)
