"""Answers to queries: the gate's metric over the gate's window, for each arm."""

from pathlib import Path

import numpy as np
import pytest
from numpy.random import default_rng

from canary.spec import parse
from canary.spec.models import Gate
from canary.weights import Arm
from controlplane.simulation.levels import Levels
from controlplane.simulation.noise import NOISES, Floats
from controlplane.simulation.readings import Windows
from controlplane.simulation.regression import Regression
from controlplane.simulation.scenarios import SCENARIOS
from controlplane.simulation.story import simulate
from controlplane.simulation.traffic import Fleet, Traffic


def windows(**fields: object) -> Windows:
    """One gate with a query."""
    gate = Gate.model_validate(
        {
            "text": "the gate",
            "metric": "kpi/conversion",
            "comparison": "drift",
            "limit": 0.05,
            "better": "higher",
            "query": "sum(x)",
            "window": 100.0,
            **fields,
        }
    )
    bounds: dict[str, tuple[float, ...]] = {"latency": (0.1, 0.2, 0.4)}
    kinds = ((gate,), ()) if gate.query else ((), (gate,))
    levels = Levels(0.005, {"latency": 0.06}, bounds, {"conversion": 0.2}, frozenset(), {}, *kinds)
    fleet = Fleet.of({"stable": 1, "canary": 1})
    calm = NOISES["iid"]
    return Windows(Traffic(default_rng(0), calm, levels, fleet, rps=1, flaw=Regression(), period=1e4, leak=1e4))


def totals(requests: float, errors: float, conversions: float) -> dict[Arm, Floats]:
    """Both arms; nine of ten answers within 0.2 s, all of them within 0.4 s."""
    values = np.array([requests, errors, requests, 0.5 * requests, 0.9 * requests, requests, requests, conversions])
    return {"stable": values, "canary": values * 0.5}


def test_only_what_happened_in_the_window_counts() -> None:
    """20 of 100 before, 50 of 100 since."""
    world = windows()
    world.read(0.0, totals(100, 0, 20))
    assert world.read(100.0, totals(200, 0, 70))["the gate"] == pytest.approx({"stable": 0.5, "canary": 0.5})


def test_an_arm_without_requests_has_no_answer() -> None:
    """Rather than a NaN."""
    world = windows()
    world.read(0.0, totals(100, 0, 20))
    assert world.read(100.0, totals(100, 0, 20)) == {"the gate": {}}


def test_errors_and_quantiles_can_be_asked_for() -> None:
    """A quantile lies on a straight line between bounds."""
    rate = windows(metric="error_rate", comparison="max", better="lower")
    rate.read(0.0, totals(0, 0, 0))
    assert rate.read(50.0, totals(200, 4, 0))["the gate"]["stable"] == pytest.approx(0.02)
    times = windows(metric="latency", statistic="p95", comparison="max", better="lower")
    times.read(0.0, totals(0, 0, 0))
    assert times.read(50.0, totals(200, 0, 0))["the gate"]["canary"] == pytest.approx(0.3)


def test_counters_of_a_gate_are_there_from_an_arms_first_request_on() -> None:
    """The KPI and the requests of which it is known, as they stand."""
    world = windows(query=None, events="orders_total", of="sessions_total")
    assert world.read(0.0, totals(100, 0, 20)) == {}
    told = totals(100, 0, 20)
    told["canary"] = told["canary"] * 0
    assert world.counted(told) == {"the gate": {"stable": {"events 0": 20.0, "of 0": 100.0}}}


FOUR_WEEKS = Path(__file__).parents[3] / "manifests" / "examples" / "four-week.canary.yml"


@pytest.mark.timeout(300)
def test_the_four_week_plan_keeps_healthy_canaries_at_five_requests_a_second_and_finds_a_drop() -> None:
    """By the whole loop. With the bare query that the plan once had, by chance alone nearly all of them are lost."""
    text = FOUR_WEEKS.read_text(encoding="utf-8")
    counters = text[text.index("          events:") : text.index("    - traffic: 75%")]
    bare = text.replace(counters, "          query: a / b\n          drift: 5%\n          window: 4h\n")
    tested, counted = parse(text, "canary.yml"), parse(bare, "canary.yml")
    healthy, dropped = SCENARIOS["healthy"], SCENARIOS["kpi-5"]
    assert [simulate(tested, healthy, seed=seed, rps=5).result for seed in range(3)] == ["promoted"] * 3
    assert [simulate(counted, healthy, seed=seed, rps=5).result for seed in range(3)] == ["rolled_back"] * 3
    assert [simulate(tested, dropped, seed=seed, rps=5).result for seed in range(2)] == ["rolled_back"] * 2
