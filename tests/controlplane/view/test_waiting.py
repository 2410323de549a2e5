"""One sentence about what is waited for, in every phase; and what comes after."""

import dataclasses

import pytest

from canary.rollout import Phase
from canary.snapshot import RouteStatus
from canary.weights import ALL_CANARY, Weights
from controlplane.view.waiting import what_follows, what_it_waits_for
from tests.controlplane.view.scenes import BEGAN, PASSES, analyzing, plan, preparing, rolled_back


def test_a_variant_that_is_not_ready_is_named_with_its_problem() -> None:
    rollout, seen, now = preparing()
    assert what_it_waits_for(plan(), rollout, seen, now) == (
        "waiting for nf4 (0 of 1 ready: /health does not answer yet)"
    )
    assert what_follows(plan(), rollout, now) == "5 % of the traffic once both variants are ready"


def test_a_stage_waits_for_its_hold_and_its_open_gates() -> None:
    rollout, seen, now = analyzing()
    assert what_it_waits_for(plan(), rollout, seen, now) == (
        "waiting for 5.8 min more of this stage's hold; ttft p95: 21.3 ms on the canary, 20.8 ms on stable; "
        "about 1,100 more canary requests to be sure"
    )
    assert what_follows(plan(), rollout, now) == "75 % in 5.8 min at the earliest"


def test_after_the_hold_only_gates_are_waited_for() -> None:
    rollout, seen, _ = analyzing()
    later = BEGAN + 2000.0
    assert what_it_waits_for(plan(), rollout, seen, later).startswith("waiting for ttft p95: 21.3 ms")
    assert what_follows(plan(), rollout, later) == "75 % as soon as every gate passes"
    passed = dataclasses.replace(rollout, verdicts=(PASSES,))
    assert what_it_waits_for(plan(), passed, seen, later) == "every gate passes"
    nothing = dataclasses.replace(rollout, verdicts=())
    assert what_it_waits_for(plan(), nothing, seen, later) == "waiting for the first evidence of this stage"


def test_a_shift_waits_for_the_route() -> None:
    rollout, seen, now = analyzing()
    rollout = dataclasses.replace(rollout, phase=Phase.SHIFTING)
    seen = dataclasses.replace(seen, route=RouteStatus(at=now, weights=Weights(50_000), problem="slow disk"))
    assert what_it_waits_for(plan(), rollout, seen, now) == "waiting until 25 % is in force; it is 5 %: slow disk"
    assert what_follows(plan(), rollout, now) == "75 % after 10 min at the earliest"


def test_the_last_stage_is_followed_by_the_promotion() -> None:
    rollout, _, now = analyzing()
    rollout = dataclasses.replace(rollout, stage=3, phase=Phase.WATCHING, weights=ALL_CANARY)
    assert what_follows(plan(), rollout, now) == "nf4 is promoted in 5.8 min at the earliest"


@pytest.mark.parametrize(
    ("phase", "follows"),
    [
        (Phase.PAUSED, "it goes on when somebody resumes it"),
        (Phase.BLIND, "it goes on when the metric source is back"),
        (Phase.AWAITING_APPROVAL, "it goes on when it is approved"),
    ],
)
def test_what_stands_still_says_what_makes_it_go_on(phase: Phase, follows: str) -> None:
    rollout, seen, now = analyzing()
    rollout = dataclasses.replace(rollout, phase=phase)
    assert what_follows(plan(), rollout, now) == follows
    assert what_it_waits_for(plan(), rollout, seen, now)


def test_nothing_follows_a_rollback() -> None:
    rollout, _, now = rolled_back()
    assert what_follows(plan(), rollout, now) == ""
