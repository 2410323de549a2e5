"""What several gates say together, and a verdict whose sentence is told later: the same one, told only if read."""

import copy
import pickle
from dataclasses import fields, replace

import pytest
from pydantic import TypeAdapter

from canary.verdict import Answer, GateVerdict, Judgement


def _gate(verdict: Answer, on_breach: str = "rollback") -> GateVerdict:
    return GateVerdict("g", verdict, "because", on_breach=on_breach)  # type: ignore[arg-type]  # literal by name


def test_one_gate_that_rolls_back_is_enough_to_fail() -> None:
    assert Judgement((_gate(Answer.PASS), _gate(Answer.FAIL), _gate(Answer.WAIT))).answer is Answer.FAIL


def test_a_gate_that_only_pauses_or_holds_fails_nothing_and_lets_nothing_pass() -> None:
    for on_breach in ("pause", "hold"):
        judgement = Judgement((_gate(Answer.PASS), _gate(Answer.FAIL, on_breach)))
        assert judgement.answer is Answer.WAIT
        assert len(judgement.failed("pause")) == (on_breach == "pause")


def test_all_have_to_pass_and_nothing_may_stand_in_the_way() -> None:
    assert Judgement((_gate(Answer.PASS), _gate(Answer.PASS))).answer is Answer.PASS
    assert Judgement((_gate(Answer.PASS),), problem="both arms suffer").answer is Answer.WAIT
    assert Judgement((_gate(Answer.PASS), _gate(Answer.WAIT))).answer is Answer.WAIT
    assert Judgement().answer is Answer.PASS, "a stage without gates has nothing to wait for"


TOLD = GateVerdict("error_rate <= 1%", Answer.WAIT, "too early", canary=0.004, samples={"canary": 50.0}, eta=30.0)


def _later(told: list[int]) -> GateVerdict:
    """The same verdict; `told` grows when it is worked out."""

    def tell() -> GateVerdict:
        told.append(1)
        return TOLD

    return GateVerdict.decided(TOLD.gate, TOLD.verdict, tell)


def test_the_answer_alone_needs_no_sentence() -> None:
    told: list[int] = []
    verdict = _later(told)
    assert Judgement((verdict,)).answer is Answer.WAIT
    assert (verdict.gate, verdict.verdict) == (TOLD.gate, Answer.WAIT)
    assert told == []


def test_it_is_worked_out_once_when_it_is_read() -> None:
    told: list[int] = []
    verdict = _later(told)
    for each in fields(GateVerdict):
        assert getattr(verdict, each.name) == getattr(TOLD, each.name)
    assert told == [1]


@pytest.mark.parametrize("use", [copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v)), replace])  # noqa: S301 - our own bytes
def test_copies_are_equal_to_one_that_was_told_at_once(use: object) -> None:
    assert callable(use)
    assert use(_later([])) == TOLD
    assert repr(_later([])) == repr(TOLD)


def test_a_store_writes_and_reads_it_as_any_other() -> None:
    adapter = TypeAdapter(GateVerdict)
    assert adapter.validate_json(adapter.dump_json(_later([]))) == TOLD


def test_what_a_verdict_does_not_have_is_refused_by_name() -> None:
    with pytest.raises(AttributeError, match="no colour"):
        _ = _later([]).colour
