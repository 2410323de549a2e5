"""The script of the demo is a plan that anybody could have written, and its trouble comes once, at 25 %."""

from dataclasses import replace

import pytest

from canary.rollout import Phase, Rollout
from controlplane.demo.script import ACTS, TROUBLE_STAGE, ScriptedRollout

ROLLOUT = Rollout(name="demo-v3", revision="r", attempt=1, began=0.0)


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.canary)
def test_the_plan_of_each_act_is_valid(act: ScriptedRollout) -> None:
    plan = act.plan()
    assert plan.metadata.name == f"demo-{act.canary}"
    assert [stage.traffic for stage in plan.spec.stages] == [0.05, 0.25, 0.75, 1.0]
    assert [len(stage.gates) for stage in plan.spec.stages] == [3, 3, 3, 0]
    assert plan.spec.platform.local is not None
    assert plan.spec.platform.local.listen == "127.0.0.1:0"


def test_the_winner_of_the_first_act_is_stable_in_the_second_and_needs_no_new_start() -> None:
    """The very same variant, so that its process serves on."""
    first, second = (act.plan().spec for act in ACTS)
    assert first.canary == second.stable


def test_trouble_comes_when_the_second_canary_has_25_percent() -> None:
    healthy, broken = ACTS
    there = replace(ROLLOUT, stage=TROUBLE_STAGE, phase=Phase.ANALYZING)
    assert broken.trouble_begins(there)
    assert not healthy.trouble_begins(there)
    assert not broken.trouble_begins(replace(there, phase=Phase.SHIFTING))
    assert not broken.trouble_begins(replace(there, stage=0))
    assert broken.plan().spec.stages[TROUBLE_STAGE].traffic == 0.25
