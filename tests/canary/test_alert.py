"""Which events make an alert: one a fact, the same at every telling, with an end where the fact has one."""

from dataclasses import replace

import pytest

from canary import alert
from canary.alert import AlertNotice, Commands, hear
from canary.rollout import Event, Phase, Reason
from canary.snapshot import MetricsStatus
from canary.spec.alerts import AlertKind
from canary.spec.models import Stage
from tests.canary.rollouts import an_event
from tests.canary.story import ERRORS, Story, plan


def alerts_of(story: Story, commands: Commands | None = None) -> list[AlertNotice]:
    """Everything that a story makes people hear."""
    return heard(story.rollout.history, commands)


def heard(events: tuple[Event, ...], commands: Commands | None = None) -> list[AlertNotice]:
    """The alerts of these events, told in order."""
    said: list[AlertNotice] = []
    so_far = alert.AlertState()
    for event in events:
        so_far, new = hear(so_far, event, commands)
        said += new
    return said


def told(alerts: list[AlertNotice]) -> list[tuple[str, str]]:
    return [(each.kind, each.state) for each in alerts]


def under_way(**fields: object) -> Story:
    """A rollout in its first stage, with traffic."""
    return Story(plan(**fields) if fields else None).ready(1).at(20)


def metrics_back(story: Story, seconds: float) -> Story:
    return story.at(seconds, evidence=MetricsStatus(at=seconds, counters=story.seen.evidence.counters))


@pytest.fixture
def rolled_back() -> list[AlertNotice]:
    """5 % without errors, then 40 % of the canary's requests fail at 25 %."""
    story = Story().ready(1).at(70).at(100)
    story.canary_errors = 0.4
    return alerts_of(story.at(200))


def test_a_rollback_is_told_at_the_decision_and_completed_when_the_traffic_is_back(
    rolled_back: list[AlertNotice],
) -> None:
    """The first goes out when the route does not follow; usually the second takes its place."""
    decided, done = rolled_back
    assert decided.key == done.key == "story/1/rolledBack"
    assert decided.id != done.id
    assert decided.number < done.number
    assert (decided.complete, done.complete) == (False, True)
    assert decided.severity == done.severity == "critical"
    assert not done.standing


DECIDED = an_event(
    13,
    at=1_100.0,
    phase=Phase.ROLLING_BACK,
    reason=Reason.GATE_FAILED,
    weight=0.25,
    message="error rate: 15.6 % on the canary (3,200 requests), 0 % on stable (9,600).",
    evidence={
        "gate": "error_rate <= 5%",
        "canary": 0.15625,
        "stable": 0.0,
        "limit": 0.05,
        "samples": {"canary": 3200.0, "stable": 9600.0},
        "harm_began": 1_075.0,
    },
)
ENDED = an_event(
    16,
    at=1_100.1,
    t=126.0,
    event="end",
    phase=Phase.ROLLED_BACK,
    reason=Reason.TRAFFIC_BACK,
    message="All traffic is on v1 again, 39 ms after the decision.",
    evidence={
        "result": "rolled_back",
        "requests": {"stable": 21_000, "canary": 3800, "failed_by_shift": 0},
        "decided_to_zero": 0.039,
    },
)


def test_a_rollback_says_the_sentence_and_the_numbers() -> None:
    *_, done = heard((DECIDED, ENDED))
    assert done.title == "chat was rolled back"
    assert done.sentence == DECIDED.message
    assert done.began == DECIDED.at
    assert dict(done.facts) == {
        "Gate": "error_rate <= 5%",
        "Canary": "15.6 % (3,200 samples)",
        "Stable": "0 % (9,600 samples)",
        "Limit": "5 %",
        "Traffic": "All traffic is on v1 again, 39 ms after the decision.",
        "Harm to verdict": "25 s (estimated)",
        "Verdict to no traffic": "39 ms",
        "Largest share": "25 % of the traffic",
        "Requests answered": "3,800 by canary, 21,000 by stable",
        "Lost by shifts": "0",
        "Took": "2.1 min",
        "Plan": "r1",
    }


def test_the_sentence_is_the_one_of_the_history(rolled_back: list[AlertNotice]) -> None:
    story = Story().ready(1).at(70).at(100)
    story.canary_errors = 0.4
    history = story.at(200).rollout.history
    assert rolled_back[0].sentence in {event.message for event in history if event.phase is Phase.ROLLING_BACK}


def test_the_next_commands_are_those_of_where_it_runs() -> None:
    story = under_way().silence(30)
    assert alerts_of(story)[0].commands == ("serinus status story", "serinus abort story")
    elsewhere = Commands("kubectl canary", " -n ml")
    assert alerts_of(story, elsewhere)[0].commands[0] == "kubectl canary status story -n ml"


def test_a_canary_that_never_gets_ready_failed() -> None:
    story = Story().ready(5, canary=False)
    story.at(700)
    (decided, done) = alerts_of(story)
    assert (done.kind, done.severity) == ("failed", "warning")
    assert "did not become ready" in done.sentence
    assert dict(done.facts)["Traffic"] == "v2 never had traffic; v1 serves as before."
    assert "Largest share" not in dict(done.facts)
    assert decided.key == done.key


def test_silence_is_told_and_so_is_its_end() -> None:
    story = metrics_back(under_way().silence(30), 90)
    blind, back = alerts_of(story)
    assert told([blind, back]) == [("blind", "firing"), ("blind", "resolved")]
    assert blind.standing
    assert back.key == blind.key == "story/1/blind"
    assert back.began == blind.at
    assert back.title == "Over: story is blind: its metrics are silent"
    assert back.sentence == "The metric source is back."
    assert dict(back.facts) == {"Lasted": "1 min"}


def test_a_second_silence_is_a_new_fact_with_the_same_key() -> None:
    story = metrics_back(under_way().silence(30), 90).silence(100)
    first, _, second = alerts_of(story)
    assert first.key == second.key
    assert first.id != second.id


def test_silence_that_ends_in_a_pause_lasts_on() -> None:
    """The metrics are still gone; that a person is needed now is another fact."""
    story = under_way(on_blind="pause", max_blind=60).silence(30).at(100)
    assert told(alerts_of(story)) == [("blind", "firing"), ("paused", "firing")]
    story.ask(110, "abort")
    assert told(alerts_of(story))[2:4] == [("blind", "resolved"), ("paused", "resolved")]


def test_a_pause_by_a_gate_waits_for_a_person() -> None:
    gate = ERRORS.model_copy(update={"on_breach": "pause"})
    story = Story(plan(Stage(traffic=0.25, hold=60, gates=(gate,)), Stage(traffic=1.0))).ready(1).at(30)
    story.canary_errors = 0.4
    paused, *_ = alerts_of(story.at(120))
    assert (paused.kind, paused.severity) == ("paused", "warning")
    assert "serinus resume story" in paused.commands
    assert dict(paused.facts)["Gate"] == "error_rate <= 5%"
    assert told(alerts_of(story.ask(130, "abort")))[1] == ("paused", "resolved")


def test_what_a_person_did_himself_is_no_alert_but_its_end_is() -> None:
    story = under_way().ask(30, "pause")
    assert alerts_of(story) == []
    story.ask(40, "abort")
    assert [each.kind for each in alerts_of(story)] == ["aborted", "aborted"]
    assert alerts_of(story)[-1].severity == "info"


def test_an_approval_is_asked_for_and_the_question_ends() -> None:
    stages = (Stage(traffic=0.25, hold=30, gates=(ERRORS,), approve="leads"), Stage(traffic=1.0))
    story = Story(plan(*stages)).ready(1).at(60)
    (asked,) = alerts_of(story)
    assert (asked.kind, asked.severity) == ("awaitingApproval", "info")
    assert asked.commands[1] == "serinus approve story"
    story.ask(70, "approve")
    assert told(alerts_of(story))[1] == ("awaitingApproval", "resolved")
    assert alerts_of(story)[1].sentence.startswith("ada approved.")


def test_stable_that_cannot_take_the_traffic_back_is_critical_until_it_can() -> None:
    story = Story().ready(1).at(70).at(100)
    story.ready(101, stable=False)
    story.ask(102, "abort")
    story.at(110)
    decided, stuck = alerts_of(story)
    assert (stuck.kind, stuck.severity, stuck.state) == ("stableNotReady", "critical", "firing")
    assert stuck.standing
    story.ready(120)
    assert told(alerts_of(story))[2:] == [("stableNotReady", "resolved"), ("aborted", "firing")]
    assert decided.key == alerts_of(story)[-1].key


def test_a_promotion_is_good_news() -> None:
    story = Story().ready(1)
    for seconds in range(10, 400, 10):
        story.at(seconds)
    (promoted,) = alerts_of(story)
    assert (promoted.kind, promoted.severity) == ("promoted", "info")
    assert promoted.sentence.startswith("v2 is promoted")
    assert dict(promoted.facts)["Largest share"] == "100 % of the traffic"


def test_a_plan_that_a_newer_one_replaces_is_nobodys_alert() -> None:
    story = under_way()
    story.at(30, superseded_by="another plan")
    assert story.rollout.phase is Phase.SUPERSEDED
    assert alerts_of(story) == []


def test_an_event_that_is_told_twice_makes_no_second_alert() -> None:
    story = metrics_back(under_way().silence(30), 90)
    twice = tuple(event for event in story.rollout.history for _ in range(2))
    assert heard(twice) == alerts_of(story)
    assert heard(story.rollout.history * 2) == alerts_of(story)


def test_the_same_fact_in_other_words_is_not_told_again() -> None:
    """Stable's problem changes while a rollback waits for it: it is still the same fact."""
    stuck = an_event(1, event="alert", phase=Phase.ROLLING_BACK, reason=Reason.STABLE_NOT_READY, weight=0.25)
    assert told(heard((stuck, replace(stuck, id="chat/1/2", message="other words")))) == [("stableNotReady", "firing")]


def test_an_end_without_its_beginning_is_told_with_what_is_known() -> None:
    """A history that was cut off in the front."""
    end = an_event(7, event="end", phase=Phase.ROLLED_BACK, message="All back.", evidence={"result": "rolled_back"})
    (done,) = heard((end,))
    assert (done.kind, done.sentence, done.complete) == ("rolledBack", "All back.", True)


def test_a_new_attempt_begins_a_new_story() -> None:
    """What stood in the old attempt does not end in the new one."""
    blind = an_event(5, event="phase", phase=Phase.BLIND, reason=Reason.METRICS_SILENT)
    other = replace(an_event(1, event="phase", phase=Phase.PENDING), id="chat/99/1")
    assert told(heard((blind, other))) == [("blind", "firing")]


def test_the_commit_is_said_once_it_is_known() -> None:
    git = an_event(1, event="git", evidence={"commit": "4f2c1e9\x1b[31m"})
    end = replace(an_event(2, event="end", evidence={"result": "promoted"}), phase=Phase.SUCCEEDED)
    (done,) = heard((git, end))
    assert done.commit == "4f2c1e9"
    assert ("Commit", "4f2c1e9") in done.facts


HOSTILE = "v2\x1b[2J\x1b]0;owned\x07 <!channel>\r\n\u202edetcefni\x00 **x** \ud800"


def test_texts_from_outside_come_out_harmless() -> None:
    """No escape sequence, line end, control character, change of direction or half of a letter is left."""
    event = an_event(1, event="phase", phase=Phase.BLIND, reason=Reason.METRICS_SILENT, message=HOSTILE)
    (blind,) = heard((replace(event, revision=HOSTILE, rollout=HOSTILE),))
    for text in (blind.sentence, blind.title, blind.revision, *(fact.value for fact in blind.facts)):
        assert text.isprintable()
        text.encode()
    assert blind.sentence == "v2 <!channel> detcefni **x**"


def test_the_plain_text_has_everything() -> None:
    done = replace(heard((DECIDED, ENDED))[-1], link="https://serinus.example.com/rollouts/chat")
    lines = alert.text(done).splitlines()
    assert lines[0] == "[critical] chat was rolled back"
    assert lines[1] == done.sentence
    assert "Canary: 15.6 % (3,200 samples)" in lines
    assert lines[-3:] == ["Next: serinus history chat", "Next: serinus status chat", done.link]
    assert alert.text(alert.over(done, done.at, "It is over.")).startswith("[over] Over: chat was rolled back")


def test_a_test_says_that_it_is_one() -> None:
    trial = alert.trial("chat", 5.0)
    assert (trial.key, trial.kind, trial.severity) == ("chat/0/test", "test", "info")
    assert "This is a test" in trial.sentence


def test_every_kind_has_its_severity_title_and_commands() -> None:
    kinds = {*AlertKind.__args__, "test"}  # type: ignore[attr-defined]  # a Literal's values
    assert kinds <= set(alert.SEVERITIES)
    assert kinds | {"summary"} == set(alert.TITLES) == set(alert.NEXT)


def test_every_command_that_an_alert_names_exists() -> None:
    from controlplane.cli.main import COMMANDS

    assert {verb for verbs in alert.NEXT.values() for verb in verbs} <= set(COMMANDS)
