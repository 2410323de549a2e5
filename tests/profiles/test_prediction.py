"""The whole answer: refusals, shortages, bounds, reasons, money."""

import json

import pytest

from profiles import Deployment, Profiler, Workload, builtin, predict
from profiles.calibration import Calibration, Correction
from profiles.errors import ProfileRefused, Unknown
from profiles.interval import Estimate
from profiles.measured import Level
from profiles.report import as_json, as_text


def test_the_documented_line_is_answered_with_named_quantities() -> None:
    """Mistral-7B on an L40S, 32 at once: a first token in about 0.1 s, a whole request in seconds, money per request
    in fractions of a cent.
    """
    found = Profiler(model="Mistral-7B").profile(input_tokens=512, output_tokens=128, batch_size=32, gpu_type="L40S")
    assert 0.05 < found.latency.ttft.value < 0.2
    assert 2.5 < found.latency.e2e.value < 6
    assert found.memory.weights / 1e9 == pytest.approx(14.5, rel=0.01)
    assert found.cost is not None
    assert 1e-5 < found.cost.per_request.value < 1e-4
    assert found.cost.price_date


def test_bounds_enclose_the_value_and_parts_add_up() -> None:
    found = Profiler("Llama-3.1-8B", "fp8").profile(1024, 256, 16, "H100")
    latency = found.latency
    for estimate in (latency.ttft, latency.itl, latency.e2e, latency.tokens_per_second):
        assert estimate.low < estimate.value < estimate.high
    assert latency.e2e.value == pytest.approx(latency.ttft.value + 255 * latency.itl.value)
    assert latency.tokens_per_second.value == pytest.approx(16 * 256 / latency.e2e.value)
    assert len(found.because) == 3


def test_four_bits_lose_under_load_and_win_alone() -> None:
    """The catalogue knows that weight-only int4 is a tool for latency and memory, not for throughput."""

    def itl(quantization: str, batch: int) -> float:
        return Profiler("Llama-3.1-8B", quantization).profile(512, 128, batch, "A100").latency.itl.value

    assert itl("awq", 1) < 0.5 * itl("bf16", 1)
    assert itl("awq", 100) > itl("bf16", 100)


@pytest.mark.parametrize(
    ("quantization", "gpu", "count", "reason"),
    [
        ("fp8", "A100", 1, "compute capability 8.9"),
        ("int8-w8a8", "B200", 1, "no INT8"),
        ("nvfp4", "MI300X", 1, "AMD"),
        ("mxfp4", "H100", 1, "has none"),
        ("bf16", "H100", 3, "does not divide"),
    ],
)
def test_impossible_combinations_are_refused_with_the_reason(
    quantization: str, gpu: str, count: int, reason: str
) -> None:
    with pytest.raises(ProfileRefused, match=reason):
        Profiler("Llama-3.1-8B", quantization).profile(512, 128, 1, gpu, gpu_count=count)


def test_unknown_names_come_with_the_nearest_and_how_to_add_one() -> None:
    with pytest.raises(Unknown, match=r"Nearest known: .*L40S.*--catalogue"):
        Profiler("Mistral-7B").profile(512, 128, 1, "L40")
    with pytest.raises(Unknown, match="Nearest known: Mistral-7B"):
        Profiler("Mistral-8B")


def test_a_shortage_says_how_much_and_what_helps() -> None:
    found = Profiler("Llama-3.1-70B").profile(512, 128, 8, "H100")
    assert not found.fits
    assert "GiB are missing" in found.shortage
    assert "--tensor-parallel-size" in found.shortage


def test_an_engine_that_would_not_start_with_its_default_context_is_told_its_limit() -> None:
    found = Profiler("Llama-3.1-8B").profile(512, 128, 1, "L4")
    assert found.fits
    assert any("--max-model-len" in note for note in found.notes)


def test_calibration_moves_the_value_and_narrows_the_bounds() -> None:
    plain = Profiler("Llama-3.1-8B").profile(512, 128, 8, "H100")
    known = Calibration(itl=Correction(1.2, 2), ttft=Correction(0.9, 2))
    better = Profiler("Llama-3.1-8B", calibration=known).profile(512, 128, 8, "H100")
    assert better.basis == "calibrated"
    assert better.latency.itl.value == pytest.approx(1.2 * plain.latency.itl.value)
    assert better.latency.itl.high / better.latency.itl.value < plain.latency.itl.high / plain.latency.itl.value


def test_the_users_price_wins_and_an_unpriced_gpu_costs_nothing_known() -> None:
    dear = Profiler("Llama-3.1-8B").profile(512, 128, 8, "H100", price_per_gpu_hour=100.0)
    assert dear.cost is not None
    assert dear.cost.hourly == 100.0
    assert Profiler("Llama-3.1-8B").profile(512, 128, 8, "RTX-A6000").cost is None


def test_hardware_without_measurements_is_called_extrapolated() -> None:
    assert Profiler("Llama-3.1-8B").profile(512, 128, 8, "A10G").basis == "extrapolated"
    assert Profiler("Llama-3.1-8B").profile(512, 128, 8, "H100").basis == "predicted"


def test_the_json_has_the_contracts_keys() -> None:
    found = json.loads(json.dumps(as_json(Profiler("Llama-3.1-8B").profile(512, 128, 8, "H100"))))
    for key in ("ttft_s", "itl_s", "e2e_s", "tokens_per_second"):
        assert set(found[key]) == {"value", "low", "high"}
    assert {"weights", "kv_cache", "activation", "needed", "reserved"} <= set(found["memory_gib"])
    assert {"per_request", "per_1k_requests", "per_1m_tokens", "currency", "price_date"} <= set(found["cost"])
    assert {"fits", "basis", "because"} <= set(found)


def test_the_text_names_everything_a_person_asks_for() -> None:
    text = as_text(Profiler("Llama-3.1-8B").profile(512, 128, 8, "H100"))
    for word in (
        "time to first token",
        "between tokens",
        "reserved by the engine",
        "1M output tokens",
        "Basis: predicted",
    ):
        assert word in text


def test_a_load_that_was_measured_is_answered_with_the_measurement() -> None:
    seen = Estimate(0.5, 0.45, 0.55)
    level = Level(
        "closed", 8, 512, 128, 30.0, 100, seen, Estimate(0.02, 0.019, 0.021), None, Estimate(400, 390, 410), 3.1
    )
    deployment = Deployment(builtin().model("Llama-3.1-8B"), builtin().gpu("H100"), builtin().quantization("fp8"))
    found = predict(deployment, Workload(512, 128), 8, levels=[level])
    assert found.basis == "measured"
    assert found.latency.ttft == seen
    assert found.latency.tokens_per_second.value == 400
    assert predict(deployment, Workload(512, 128), 9, levels=[level]).basis == "calibrated"
