"""Evaluation and shadow: a healthy canary passes and wins, a worse one does not."""

import pytest
from numpy.random import default_rng

from canary.shadow import days_won_running
from canary.snapshot import EvaluationStatus, ShadowStatus
from canary.spec.models import CanarySpec, Evaluation, ModelRef, Shadow, ShadowPromote, Stage, Variant
from controlplane.simulation import levels
from controlplane.simulation.clock import VirtualClock, play
from controlplane.simulation.noise import NOISES
from controlplane.simulation.regression import Regression
from controlplane.simulation.rehearsal import VirtualRehearsal

SPEC = CanarySpec(
    model=ModelRef(name="m"),
    stable=Variant(name="v1"),
    canary=Variant(name="v2"),
    stages=(Stage(traffic=1.0),),
    evaluation=Evaluation.model_validate(
        {
            "dataset": "d",
            "metrics": ["first_turn_resolution >= 70%", "hallucination_rate <= 1%", "first_turn_resolution >= stable"],
        }
    ),
    shadow=Shadow(promote=ShadowPromote(win_rate=0.03, days=2)),
)


def rehearsed(flaw: Regression, days: float) -> tuple[EvaluationStatus | None, ShadowStatus | None]:
    """What is seen after so many days of evaluation and mirroring."""

    async def story() -> tuple[EvaluationStatus | None, ShadowStatus | None]:
        clock = VirtualClock()
        rehearsal = VirtualRehearsal(SPEC, levels.healthy(SPEC, NOISES["iid"]), flaw, clock, default_rng(3))
        assert await rehearsal.seen() == (None, None)
        await rehearsal.evaluate()
        await rehearsal.mirror(1.0)
        evaluation, _ = await rehearsal.seen()
        assert evaluation is not None
        assert not evaluation.done
        await clock.sleep(days * 86400)
        return await rehearsal.seen()

    return play(story())


def test_a_healthy_canary_meets_every_criterion_and_wins_its_days() -> None:
    """Whole days only."""
    evaluation, shadow = rehearsed(Regression(), days=2.5)
    assert evaluation is not None
    assert shadow is not None
    assert evaluation.done
    assert evaluation.canary == evaluation.stable
    assert evaluation.canary == pytest.approx({"first_turn_resolution": 0.85, "hallucination_rate": 0.005})
    assert len(shadow.days) == 2
    assert days_won_running(shadow.days, 0.03, 0.01) == 2


@pytest.mark.parametrize("flaw", [Regression(kpi=0.9), Regression(errors=60)])
def test_a_worse_canary_does_not_win(flaw: Regression) -> None:
    """Answers that fail lose, and so do answers that convince less."""
    _, shadow = rehearsed(flaw, days=5)
    assert shadow is not None
    assert days_won_running(shadow.days, 0.03, 0.01) == 0
