"""The picture in the documents is that of the results beside the benchmark."""

import json

from benchmarks.judge_chart import HARMS, OURS, PICTURE, RESULTS, chart

FOUND = json.loads(RESULTS.read_text(encoding="utf-8"))["regressions"]


def test_the_picture_is_that_of_the_results() -> None:
    """Drawn again by `python -m benchmarks.judge_chart` after every `python benchmarks/judge.py`."""
    drawn = chart({harm: rules["retuned"] for harm, rules in FOUND.items()})
    assert PICTURE.read_text(encoding="utf-8") == drawn


def test_every_rule_has_its_dot_whether_it_found_the_harm_or_not() -> None:
    rules = {OURS: {"median": 20.0, "p90": None}, "slow": {"median": 40.0, "p90": 50.0}, "blind": {"median": None}}
    drawn = chart(dict.fromkeys(HARMS, rules))
    assert drawn.count('r="5" class="other"/>') == 2 * len(HARMS) + 1
    assert drawn.count(">2.0 ×<") == len(HARMS)
