"""The chart of the judge's figures."""

from benchmarks.judge_chart import HARMS, OURS, chart


def test_every_rule_has_its_dot_whether_it_found_the_harm_or_not() -> None:
    rules = {OURS: {"median": 20.0, "p90": None}, "slow": {"median": 40.0, "p90": 50.0}, "blind": {"median": None}}
    drawn = chart({harm: {"retuned": rules} for harm in HARMS})
    assert drawn.count('r="5" class="other"/>') == 2 * len(HARMS) + 1
    assert drawn.count(">2.0 ×<") == len(HARMS)
