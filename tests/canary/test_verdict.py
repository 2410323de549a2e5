"""What several gates say together, and a verdict whose sentence is told later: the same one, told only if read."""

from dataclasses import dataclass, field, replace

from pydantic import TypeAdapter

from canary.verdict import GateAnswer, GateVerdict, Judgement


def _gate(verdict: GateAnswer, on_breach: str = "rollback") -> GateVerdict:
    return GateVerdict("g", verdict, "because", on_breach=on_breach)  # type: ignore[arg-type]  # literal by name


def test_one_gate_that_rolls_back_is_enough_to_fail() -> None:
    assert Judgement((_gate(GateAnswer.PASS), _gate(GateAnswer.FAIL), _gate(GateAnswer.WAIT))).answer is GateAnswer.FAIL


def test_a_gate_that_only_pauses_or_holds_fails_nothing_and_lets_nothing_pass() -> None:
    for on_breach in ("pause", "hold"):
        judgement = Judgement((_gate(GateAnswer.PASS), _gate(GateAnswer.FAIL, on_breach)))
        assert judgement.answer is GateAnswer.WAIT
        assert len(judgement.failed("pause")) == (on_breach == "pause")


def test_all_have_to_pass_and_nothing_may_stand_in_the_way() -> None:
    assert Judgement((_gate(GateAnswer.PASS), _gate(GateAnswer.PASS))).answer is GateAnswer.PASS
    assert Judgement((_gate(GateAnswer.PASS),), problem="both arms suffer").answer is GateAnswer.WAIT
    assert Judgement((_gate(GateAnswer.PASS), _gate(GateAnswer.WAIT))).answer is GateAnswer.WAIT
    assert Judgement().answer is GateAnswer.PASS, "a stage without gates has nothing to wait for"


TOLD = GateVerdict("error_rate <= 1%", GateAnswer.WAIT, "too early", canary=0.004, samples={"canary": 50.0}, eta=30.0)


@dataclass(frozen=True)
class Early:
    """Grounds that count how often they are put into words."""

    asked: list[GateVerdict] = field(default_factory=list)

    def in_words(self, verdict: GateVerdict) -> str:
        self.asked.append(verdict)
        return "too early"


def test_the_answer_alone_needs_no_sentence() -> None:
    verdict = replace(TOLD, grounds=Early())
    assert Judgement((verdict,)).answer is GateAnswer.WAIT
    assert verdict.grounds.asked == []
    assert verdict.why == "too early"


def test_a_verdict_is_equal_to_one_that_says_the_same() -> None:
    assert replace(TOLD, grounds=Early()) == TOLD
    assert replace(TOLD, grounds="too late") != TOLD
    assert replace(TOLD, canary=0.005) != TOLD
    assert TOLD != "too early"


def test_a_store_keeps_the_sentence_and_reads_it_again() -> None:
    adapter = TypeAdapter(GateVerdict)
    kept = adapter.dump_python(replace(TOLD, grounds=Early()))
    assert kept["why"] == "too early"
    assert "grounds" not in kept
    assert adapter.validate_python(kept) == TOLD
    assert adapter.validate_json(adapter.dump_json(replace(TOLD, grounds=Early()))) == TOLD
