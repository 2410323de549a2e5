"""What would flip a verdict, and how noisy stable is: answers for people, checked by doing what they say."""

import pytest

from canary import judge
from canary.spec.models import Gate
from canary.verdict import GateAnswer
from tests.canary.judge.test_judge import DEMO, Court
from tests.canary.judge.worlds import CONVERSION, ERRORS_AT_MOST, ERRORS_LIKE_STABLE, FAST, World, plan


def _court(*gates: Gate, seed: int = 2) -> Court:
    court = Court(plan(*gates, hardStop={"enabled": False}), World(seed))
    court.enter(1)
    return court


def test_a_limit_that_would_have_been_kept_is_named_and_would_have_been() -> None:
    """Judged again with the limit that the answer names, the same canary does not fail; with a third less it does."""
    court = _court(ERRORS_AT_MOST)
    court.world.health["canary"].errors = 0.2
    court.scrapes(12, until=GateAnswer.FAIL)
    answer = judge.what_would_flip(court.config, court.state, stage=1, now=court.now)[ERRORS_AT_MOST.text]
    assert answer.startswith("It would not have failed with a limit of ")
    limit = float(answer.split()[-2]) / 100
    scrapes = int(court.now - 100)
    for factor, expected in ((1.25, False), (0.66, True)):
        again = _court(ERRORS_AT_MOST.model_copy(update={"limit": limit * factor}))
        again.world.health["canary"].errors = 0.2
        again.scrapes(scrapes, until=GateAnswer.FAIL)
        assert (again.says() is GateAnswer.FAIL) is expected


def test_a_wait_needs_about_as_many_requests_as_it_says() -> None:
    court = _court(ERRORS_AT_MOST)
    court.rps = 30.0
    court.scrapes(3)
    answer = judge.what_would_flip(court.config, court.state, stage=1, now=court.now)[ERRORS_AT_MOST.text]
    more = float(answer.split("about ")[1].split()[0])
    before = court.gate(ERRORS_AT_MOST.text).samples["canary"]
    court.scrapes(60, until=GateAnswer.PASS)
    assert court.gate(ERRORS_AT_MOST.text).samples["canary"] - before == pytest.approx(more, rel=0.6)


def test_a_latency_limit_is_moved_to_a_bucket() -> None:
    court = _court(FAST)
    court.scrapes(12, until=GateAnswer.PASS)
    answer = judge.what_would_flip(court.config, court.state, stage=1, now=court.now)[FAST.text]
    assert answer == "It would still have passed with a limit of 100 ms."


def test_every_gate_has_an_answer_or_none_whatever_its_state() -> None:
    court = Court(plan(*DEMO, ERRORS_LIKE_STABLE, CONVERSION), World())
    for _ in range(6):
        answers = judge.what_would_flip(court.config, court.state, stage=0, now=court.now)
        assert set(answers) == {gate.gate for gate in court.judgement.gates}
        court.scrapes(2)


def test_the_noise_floor_falls_with_time_and_rises_with_noise() -> None:
    court = _court(ERRORS_LIKE_STABLE, CONVERSION)
    court.world.health["stable"].errors = 0.02
    assert judge.noise_floor(court.config, court.state, CONVERSION.text, over=60.0) is None, "nothing is known yet"
    court.scrapes(60)
    minute = judge.noise_floor(court.config, court.state, CONVERSION.text, over=60.0)
    hour = judge.noise_floor(court.config, court.state, CONVERSION.text, over=3600.0)
    rare = judge.noise_floor(court.config, court.state, ERRORS_LIKE_STABLE.text, over=60.0)
    assert minute is not None
    assert hour is not None
    assert rare is not None
    # 60 s at 45 conversions a second: two deviations of the log ratio of two halves are 2·√(4/2700) = 7.7 %.
    assert minute == pytest.approx(0.08, rel=0.5)
    assert hour < minute / 5
    assert rare > minute
    assert judge.noise_floor(court.config, court.state, "no such gate", over=60.0) is None
