"""What is shown of a rollout never pretends to know more than the record and a fresh look say."""

from dataclasses import replace

import pytest

from canary.judge.state import JudgeState
from canary.rollout import Phase
from canary.spec.models import Metadata, ModelCanary
from canary.spec.stored import to_text
from canary.weights import Weights
from controlplane.ports import Stored
from controlplane.readmodel.rollout_view import FRESH, view_of
from controlplane.readmodel.state import state_of
from controlplane.view.live import Live
from tests.canary.judge.test_judge import Court
from tests.canary.judge.worlds import ERRORS_AT_MOST, World
from tests.canary.judge.worlds import plan as judged
from tests.controlplane.view.scenes import FAILS, analyzing, plan, rolled_back


def test_a_fresh_look_brings_what_the_store_has_not() -> None:
    rollout, seen, now = analyzing()
    found = view_of(plan(), rollout, Live("support-llm", 3, 6, now, seen, {"canary": 52.0}, (FAILS,)), now + 1)
    assert (found.running, found.seen, found.rates) == (True, seen, {"canary": 52.0})
    assert found.rollout.verdicts == (FAILS,)


def test_an_old_look_says_only_how_old_it_is() -> None:
    rollout, seen, now = analyzing()
    found = view_of(plan(), rollout, Live("support-llm", 3, 6, now, seen, {"canary": 52.0}), now + FRESH + 1)
    assert (found.running, found.looked_at, found.rates) == (False, now, {})


@pytest.mark.parametrize(("attempt", "events"), [(2, 6), (3, 5), (3, 7)])
def test_verdicts_of_another_moment_do_not_replace_the_stored_ones(attempt: int, events: int) -> None:
    rollout, seen, now = analyzing()
    found = view_of(plan(), rollout, Live("support-llm", attempt, events, now, seen, {}, (FAILS,)), now)
    assert found.rollout.verdicts == rollout.verdicts


@pytest.mark.parametrize(
    ("phase", "known"),
    [(Phase.ANALYZING, True), (Phase.PAUSED, True), (Phase.SHIFTING, False), (Phase.ROLLING_BACK, False)],
)
def test_without_a_look_weights_are_in_force_only_where_the_phase_proves_it(phase: Phase, known: bool) -> None:
    rollout, _, now = analyzing()
    found = view_of(plan(), replace(rollout, phase=phase), None, now)
    assert found.seen.route.weights == (Weights.of_share(0.25) if known else None)


def test_readiness_is_left_out_while_nobody_looks() -> None:
    rollout, seen, now = analyzing()
    text = to_text(ModelCanary(metadata=Metadata(name="support-llm"), spec=plan()))
    stored = Stored(rollout, text, 1)
    assert [arm.ready for arm in state_of("a", stored, None, now).arms] == [None, None]
    live = Live("support-llm", 3, 6, now, seen)
    assert [arm.ready for arm in state_of("a", stored, live, now).arms] == [1, 1]
    assert "Nobody has carried this rollout out" in state_of("a", stored, None, now).controller.text


def test_a_rollback_opens_with_its_cause() -> None:
    rollout, _, now = rolled_back()
    text = to_text(ModelCanary(metadata=Metadata(name="support-llm"), spec=plan()))
    state = state_of("a", Stored(rollout, text, 1), None, now)
    assert state.sentence.startswith("error_rate <= 1% failed: 12 % of answers failed")
    assert state.ending is not None
    assert (state.ending.harm_to_verdict.text, state.ending.verdict_to_zero.text) == ("2.8 s", "100 ms")


def test_intervals_are_those_of_the_last_look_or_of_what_was_saved() -> None:
    """A look of another moment has none to give; what the judge remembers in the record does, version by version."""
    court = Court(judged(ERRORS_AT_MOST, hardStop={"enabled": False}), World(2))
    court.enter(1)
    court.scrapes(12)
    rollout, seen, now = analyzing()
    rollout = replace(rollout, judge=court.state, verdicts=court.judgement.gates)
    fresh = Live("support-llm", 3, 6, now, seen, {}, rollout.verdicts, {ERRORS_AT_MOST.text: {"canary": (0.25, 0.5)}})

    def shown(live: Live | None, version: int) -> str:
        state = state_of("support-llm", Stored(rollout, "", version), live, now, spec=court.spec)
        return next(gate.bands["canary"].text for gate in state.gates if gate.gate == ERRORS_AT_MOST.text)

    assert shown(fresh, 1) == "25 % to 50 %"
    saved = shown(None, 1)
    assert saved.startswith("0 % to ")
    assert shown(replace(fresh, events=7), 1) == saved
    assert (
        state_of("a", Stored(replace(rollout, judge=JudgeState()), "", 2), None, now, spec=court.spec).gates[0].bands
        == {}
    )
