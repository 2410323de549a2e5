"""One criterion: when it is decided, when it stays open, and in what words."""

import random
from collections.abc import Iterable

import pytest

from canary.evaluation.criterion import CriterionTest, CriterionVerdict, Design, Pair, can_show
from canary.spec.criterion import criterion
from canary.verdict import GateAnswer


def judged(line: str, items: int, pairs: Iterable[tuple[float, float]], *, group: int = 1) -> CriterionVerdict:
    test = CriterionTest(criterion(line), Design(items, items // group, group))
    unit: list[Pair] = []
    for canary, stable in pairs:
        unit.append(Pair(canary, stable))
        if len(unit) == group:
            test.add(unit)
            unit = []
            if test.decided:
                return test.verdict()
    test.finish()
    return test.verdict()


def answers(items: int, *, drop: float, discordant: float = 0.1, seed: int = 1) -> list[tuple[float, float]]:
    chance = random.Random(seed)
    worse, better = (discordant + drop) / 2, (discordant - drop) / 2
    drawn = (chance.random() for _ in range(items))
    return [(0.0, 1.0) if u < worse else (1.0, 0.0) if u < worse + better else (1.0, 1.0) for u in drawn]


def test_a_drop_is_found_before_all_items_were_asked() -> None:
    verdict = judged("exact >= stable", 500, answers(500, drop=0.08))
    assert verdict.verdict is GateAnswer.FAIL
    assert verdict.n < 400
    assert verdict.high is not None
    assert verdict.high < 0
    assert "answered worse" in verdict.why
    assert verdict.why.endswith("more than chance.")


def test_the_same_build_passes_early_and_says_what_that_excludes() -> None:
    verdict = judged("exact >= stable", 500, answers(500, drop=0.0, seed=2))
    assert verdict.verdict is GateAnswer.PASS
    assert verdict.n < 300
    assert verdict.smallest_drop == pytest.approx(0.066, abs=0.003)
    assert "a drop of 6.6 points is excluded" in verdict.why


def test_many_discordant_items_pass_at_the_end_alone_and_say_what_could_have_been_missed() -> None:
    pairs = [(1.0, 0.0), (0.0, 1.0)] * 100
    verdict = judged("exact >= stable", 200, pairs)
    assert verdict.verdict is GateAnswer.PASS
    assert verdict.n == 200
    assert verdict.smallest_drop is not None
    assert verdict.smallest_drop > 0.2
    assert "no drop was shown. 200 items can show a drop of" in verdict.why


def test_too_few_items_to_show_anything_are_no_pass() -> None:
    verdict = judged("exact >= stable", 8, [(1.0, 1.0)] * 8)
    assert verdict.verdict is GateAnswer.WAIT
    assert verdict.why.endswith("8 items can show no drop at all: add more.")


def test_a_margin_has_to_be_shown() -> None:
    """Nothing passes by want of evidence: 100 items cannot tell a drop of 2 points from none."""
    same = answers(100, drop=0.0)
    assert judged("exact not worse than stable by 2pp", 100, same).verdict is GateAnswer.WAIT
    assert judged("exact not worse than stable by 20pp", 100, same).verdict is GateAnswer.PASS
    assert judged("exact not worse than stable by 2pp", 500, answers(500, drop=0.2)).verdict is GateAnswer.FAIL


def test_a_limit_fails_on_evidence_passes_on_evidence_or_on_all_items_and_is_open_otherwise() -> None:
    def rate(bad: int, items: int) -> list[tuple[float, float]]:
        marks = [1.0] * bad + [0.0] * (items - bad)
        random.Random(3).shuffle(marks)
        return [(mark, 0.0) for mark in marks]

    line = "hallucination_rate <= 10%"
    assert judged(line, 200, rate(60, 200)).verdict is GateAnswer.FAIL
    early = judged(line, 200, rate(2, 200))
    assert (early.verdict, early.n < 150) == (GateAnswer.PASS, True)
    whole = judged(line, 200, rate(18, 200))
    assert (whole.verdict, whole.n) == (GateAnswer.PASS, 200)
    unsure = judged(line, 200, rate(22, 200))
    assert (unsure.verdict, unsure.n) == (GateAnswer.WAIT, 200)
    assert "at most 10% was asked for: 200 items cannot tell" in unsure.why


def test_the_wrong_direction_of_a_metric_that_is_better_low_fails() -> None:
    pairs = [(stable, canary) for canary, stable in answers(500, drop=0.08)]
    verdict = judged("hallucination_rate <= stable", 500, pairs)
    assert verdict.verdict is GateAnswer.FAIL
    assert verdict.low is not None
    assert verdict.low > 0
    assert "hallucination_rate rose by" in verdict.why


def test_copies_of_one_question_are_no_more_evidence_than_one() -> None:
    """Nine groups of fifty that all flip: without groups that would be 450 losses."""
    pairs = [(0.0, 1.0)] * 150 + [(1.0, 1.0)] * 350
    alone = judged("exact >= stable", 500, pairs)
    assert (alone.verdict, alone.n <= 12) == (GateAnswer.FAIL, True)
    assert judged("exact >= stable", 500, pairs, group=50).verdict is not GateAnswer.FAIL


def test_groups_that_flip_as_one_make_the_smallest_drop_larger() -> None:
    clumped = [pair for pair in answers(100, drop=0.0, discordant=0.4) for _ in range(5)]
    apart = answers(500, drop=0.0, discordant=0.4)
    one = judged("exact >= stable", 500, clumped, group=5).smallest_drop
    other = judged("exact >= stable", 500, apart, group=5).smallest_drop
    assert one is not None
    assert other is not None
    assert one > 1.4 * other


def test_graded_scores_are_compared_by_their_own_scale() -> None:
    """A similarity that falls by five hundredths nearly everywhere is found, small as it is."""
    chance = random.Random(2)
    pairs = [(0.75 + chance.uniform(-0.02, 0.02), 0.80) for _ in range(300)]
    assert judged("similar >= stable", 300, pairs).verdict is GateAnswer.FAIL


def test_what_can_be_shown_is_said_in_one_sentence() -> None:
    assert can_show(1500, 0.0402) == "1 500 items can show a drop of 4 points."
    assert can_show(1, None) == "1 item can show no drop at all: add more."


def test_identical_builds_are_blocked_no_more_often_than_is_said() -> None:
    """500 evaluations of the same build; `benchmarks/evaluation.py` has 10 000 a cell."""
    failed = sum(
        judged("exact >= stable", 100, answers(100, drop=0.0, discordant=0.3, seed=seed)).verdict is GateAnswer.FAIL
        for seed in range(500)
    )
    assert failed <= 12
