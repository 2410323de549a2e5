"""Every plan is told in about two thousand scrapes, five seconds apart at least."""

import pytest

from canary.rollout import Phase, Rollout
from canary.spec.models import CanarySpec, ModelRef, Stage, Variant
from controlplane.simulation.pace import SimulationPace


def plan(*holds: float) -> CanarySpec:
    """A plan with these holds."""
    count = len(holds)
    return CanarySpec(
        model=ModelRef(name="m"),
        stable=Variant(name="v1"),
        canary=Variant(name="v2"),
        stages=tuple(Stage(traffic=(i + 1) / count, hold=hold) for i, hold in enumerate(holds)),
    )


def at(stage: int, phase: Phase = Phase.ANALYZING, since: float = 0.0) -> Rollout:
    """A rollout in this stage."""
    return Rollout("m", "r", 1, 0.0, phase=phase, stage=stage, stage_since=since)


@pytest.mark.parametrize("hold", [0.0, 60.0, 3600.0, 86400.0, 604800.0, 30 * 86400.0])
def test_no_hold_takes_more_than_its_share_of_scrapes(hold: float) -> None:
    """Four equal stages: 300 scrapes each at the most."""
    spec = plan(hold, hold, hold, hold)
    interval = SimulationPace(spec).interval(at(0), now=0.0)
    assert interval >= 5
    assert hold / interval <= 300


def test_each_stage_has_its_own_pace() -> None:
    """A short stage beside a long one is still seen."""
    pace = SimulationPace(plan(60.0, 604800.0))
    assert pace.interval(at(0), now=0.0) == 5
    assert pace.interval(at(1), now=0.0) == 1200


def test_waiting_after_the_hold_is_looked_at_more_and_more_rarely() -> None:
    """A hundred scrapes for each tenfold of the time."""
    pace = SimulationPace(plan(60.0, 60.0))
    assert pace.interval(at(0), now=60.0) == 5
    assert pace.interval(at(0), now=86400.0) == 900


def test_somebody_can_fix_the_interval() -> None:
    """For every phase and stage."""
    assert SimulationPace(plan(604800.0), fixed=7.0).interval(at(0), now=0.0) == 7.0


def test_a_loop_that_waits_for_weights_is_woken_when_it_asks() -> None:
    """And a precautionary look every minute is left to the scrapes."""
    pace = SimulationPace(plan(604800.0))
    assert pace.wait(at(0, Phase.ROLLING_BACK), 0.25) == 0.25
    assert pace.wait(at(0), 60.0) == float("inf")
    assert pace.wait(at(0), 12.0) > 12.0
