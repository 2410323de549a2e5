"""What several gates say together."""

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
