"""The fingerprint as a gate: a canary that is another model than the plan says gets no traffic, and it says why."""

from typing import Any

import pytest

from canary.alert import AlertNotice, hear
from canary.alert import AlertState as Told
from canary.fingerprint import PATIENCE
from canary.rollout import Phase, Reason
from canary.snapshot import FingerprintDifference, FingerprintStatus
from tests.canary.story import Story, plan

TEMPLATE = FingerprintDifference("chat_template", "file:aa", "file:bb", "the same conversation becomes another prompt")
LONGER = FingerprintDifference("context_length", "4096", "8192", "the canary admits longer requests", harmless=True)
KNOWN = ("chat_template", "context_length")


def told(*differences: FingerprintDifference, **fields: Any) -> FingerprintStatus:
    """An answer of both variants."""
    return FingerprintStatus(1.0, 1.0, **{"done": True, "differences": differences, "known": KNOWN, **fields})


def rollout(policy: str, *allow: str, **fields: object) -> Story:
    return Story(plan(fingerprint={"policy": policy, "allow": allow}, **fields))


def begun(story: Story, seen: FingerprintStatus | None) -> Story:
    """Both variants are ready, and the comparison says this."""
    return story.at(0.5, fingerprint=seen).ready(1)


def test_a_silent_change_ends_the_rollout_before_any_traffic() -> None:
    story = begun(rollout("block"), told(TEMPLATE)).expect(Phase.ROLLED_BACK, Reason.TRAFFIC_BACK, 0.0)
    blocked = next(event for event in story.rollout.history if event.reason is Reason.FINGERPRINT_BLOCKED)
    assert blocked.message == (
        "v2 is not v1 with the changes of the plan: chat template differs (file:aa → file:bb), so the same "
        "conversation becomes another prompt. If that is meant, say so with fingerprint: {allow: [chat_template]}. "
        "No request reached it; v1 serves as before."
    )
    assert blocked.evidence["differences"][0]["field"] == "chat_template"
    assert (story.rollout.result, story.rollout.peak.canary) == ("failed", 0)


@pytest.mark.parametrize("phase", ["evaluation", "shadow"])
def test_neither_the_evaluation_nor_the_shadow_reaches_it_first(phase: str) -> None:
    parts: dict[str, dict[str, Any]] = {
        "evaluation": {"dataset": "d", "metrics": ["first_turn_resolution >= 70%"]},
        "shadow": {"traffic": 1.0, "for": 60},
    }
    begun(rollout("block", **{phase: parts[phase]}), told(TEMPLATE)).expect(Phase.ROLLED_BACK)


def test_a_declared_change_goes_on_and_nobody_is_told() -> None:
    story = begun(rollout("block", "chat_template"), told(TEMPLATE)).expect(Phase.ANALYZING, weight=0.05)
    assert not [event for event in story.rollout.history if event.reason is Reason.FINGERPRINT_DIFFERS]


def test_a_warning_is_told_once_and_the_rollout_goes_on() -> None:
    story = begun(rollout("warn"), told(TEMPLATE)).expect(Phase.ANALYZING, weight=0.05).at(30)
    warnings = [event for event in story.rollout.history if event.reason is Reason.FINGERPRINT_DIFFERS]
    assert len(warnings) == 1
    assert "chat template differs" in warnings[0].message
    assert "policy: block would end it" in warnings[0].message
    (alert,) = alerts_of(story)
    assert (alert.kind, alert.severity, alert.standing) == ("modelDiffers", "info", False)


def test_a_plan_that_says_nothing_is_warned() -> None:
    story = begun(Story(plan()), told(TEMPLATE)).expect(Phase.ANALYZING)
    assert Reason.FINGERPRINT_DIFFERS in {event.reason for event in story.rollout.history}


def test_a_longer_context_takes_nothing_away_and_only_warns() -> None:
    story = begun(rollout("block"), told(LONGER)).expect(Phase.ANALYZING)
    assert Reason.FINGERPRINT_DIFFERS in {event.reason for event in story.rollout.history}


def test_where_it_is_ignored_it_is_not_waited_for_and_not_looked_at() -> None:
    story = begun(rollout("ignore"), FingerprintStatus(1.0, 1.0)).expect(Phase.ANALYZING)
    story.at(5, fingerprint=told(TEMPLATE)).expect(Phase.ANALYZING, weight=0.05)


def test_the_answer_is_waited_for_and_then_the_canary_gets_traffic() -> None:
    story = begun(rollout("block"), FingerprintStatus(1.0, 1.0, problem="no answer"))
    story.at(7).expect(Phase.PREPARING, weight=0.0).at(8, fingerprint=told(unknown=("tokenizer",)))
    story.expect(Phase.ANALYZING, weight=0.05)
    (said,) = [event.message for event in story.rollout.history if "fingerprints agree" in event.message]
    assert said.startswith("Both variants are ready. Their fingerprints agree (chat template, context length); ")
    assert "; tokenizer could not be compared. Giving 5 % of the traffic to v2." in said


def test_what_nobody_tells_blocks_nothing_and_is_said() -> None:
    """Neither a pass nor a failure comes from nothing."""
    story = begun(rollout("block"), FingerprintStatus(1.0, 1.0, problem="v2 does not tell: no answer"))
    story.at(1 + PATIENCE).expect(Phase.ANALYZING, weight=0.05)
    assert any("not known (v2 does not tell: no answer)" in event.message for event in story.rollout.history)
    silent = begun(rollout("block"), told(known=())).expect(Phase.ANALYZING)
    assert any("neither their endpoints nor files tell" in event.message for event in silent.rollout.history)


def test_a_canary_that_tells_late_loses_its_traffic() -> None:
    story = begun(rollout("block"), FingerprintStatus(1.0, 1.0)).at(1 + PATIENCE).expect(Phase.ANALYZING, weight=0.05)
    story.at(50, fingerprint=told(TEMPLATE)).expect(Phase.ROLLED_BACK, weight=0.0)
    assert story.rollout.result == "rolled_back"
    assert {alert.kind for alert in alerts_of(story)} == {"rolledBack"}


def test_a_finished_rollout_is_not_touched_by_what_is_told_later() -> None:
    done = Story(plan()).ready(1).ask(2, "abort").expect(Phase.ROLLED_BACK)
    events = done.rollout.events
    done.at(9, fingerprint=told(TEMPLATE))
    assert done.rollout.events == events


def alerts_of(story: Story) -> list[AlertNotice]:
    """Every alert that the history makes, in order."""
    heard, found = Told(), list[AlertNotice]()
    for event in story.rollout.history:
        heard, alerts = hear(heard, event)
        found += alerts
    return found


UNNAMED = FingerprintDifference("model_name", "tiny", "models/tiny-w8a8", "requests for tiny are answered 404")


@pytest.mark.parametrize("policy", ["warn", "block"])
def test_a_canary_that_does_not_answer_to_the_models_name_gets_no_request_whatever_the_policy(policy: str) -> None:
    story = begun(rollout(policy), told(UNNAMED)).expect(Phase.ROLLED_BACK, weight=0.0)
    blocked = next(event for event in story.rollout.history if event.reason is Reason.FINGERPRINT_BLOCKED)
    assert blocked.message.startswith("v2 does not answer to tiny, and v1 does: model name differs")
    assert story.rollout.peak.canary == 0
    begun(rollout(policy, "model_name"), told(UNNAMED)).expect(Phase.ANALYZING)
