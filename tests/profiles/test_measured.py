"""Saved measurements: they survive the file, calibrate what they measured, and nothing else."""

import json

import pytest

from profiles.catalogue import builtin
from profiles.deployment import Deployment
from profiles.errors import Malformed
from profiles.interval import Estimate
from profiles.load import Workload, closed_loop
from profiles.measured import Level, Measured, as_json, calibration, mismatch, read
from profiles.step import StepModel

KNOWN = builtin()
DEPLOYMENT = Deployment(KNOWN.model("Llama-3.1-8B"), KNOWN.gpu("H100"), KNOWN.quantization("fp8"))


def measured_level(load: float, slower: float) -> Level:
    """What an endpoint would show that is `slower` times as slow as predicted, in every metric."""
    state = closed_loop(StepModel(DEPLOYMENT), Workload(512, 128), load, 256)
    rate = state.requests_per_second / slower
    ttft, itl, e2e, speed = (
        Estimate(x, x, x) for x in (slower * state.ttft, slower * state.itl, slower * state.e2e, 128 * rate)
    )
    return Level("closed", load, 512, 128, 30.0, 100, ttft, itl, e2e, speed, rate)


def test_a_profile_survives_its_file() -> None:
    profile = Measured("http://127.0.0.1:1/v1", "2026-11-21T09:00:00Z", (measured_level(1, 1.2),), gpu="H100")
    assert read(json.loads(json.dumps(as_json(profile))), "file") == profile


def test_two_levels_give_back_the_factor_that_separates_them_from_the_model() -> None:
    found = calibration(DEPLOYMENT, [measured_level(1, 1.3), measured_level(8, 5.0), measured_level(64, 1.3)])
    assert found.itl.factor == pytest.approx(1.3)
    assert found.ttft.factor == pytest.approx(1.3)
    assert found.throughput.factor == pytest.approx(1 / 1.3)
    assert found.itl.points == 2


def test_one_level_is_trusted_for_three_quarters() -> None:
    found = calibration(DEPLOYMENT, [measured_level(8, 1.3)])
    assert found.itl.factor == pytest.approx(1.3**0.75)


def test_open_loop_levels_do_not_calibrate() -> None:
    level = measured_level(8, 1.3)
    opened = Level("open", *[getattr(level, name) for name in Level.__slots__[1:]])
    assert calibration(DEPLOYMENT, [opened]).points == 0


def test_another_gpu_cannot_calibrate() -> None:
    assert "GPU is A100" in mismatch(Measured("u", "t", (), gpu="A100"), DEPLOYMENT)
    assert not mismatch(Measured("u", "t", (), gpu="H100", model="Llama-3.1-8B"), DEPLOYMENT)


@pytest.mark.parametrize(
    "raw", [{}, {"kind": "serinus.measured/v1"}, {"kind": "serinus.measured/v1", "levels": [{"loop": 1}]}]
)
def test_a_file_that_is_no_profile_is_refused_by_name(raw: dict[str, object]) -> None:
    with pytest.raises(Malformed, match=r"mine\.json is not a measured profile"):
        read(raw, "mine.json")
