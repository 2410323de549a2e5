"""Two histories side by side: each in its own order, matched where they say the same."""

from typing import Any

from canary.rollout import Event, Phase, Reason
from controlplane.view.marks import ASCII
from controlplane.view.side_by_side import rows, same, table
from tests.canary.rollouts import an_event


def entry(number: int, t: float, phase: Phase, **fields: Any) -> Event:
    return an_event(number, t=t, at=1000 + t, phase=phase, reason=Reason.WEIGHTS_IN_FORCE, **fields)


def verdict(number: int, t: float, answer: str) -> Event:
    evidence = {"gate": "error_rate <= 1%", "verdict": answer}
    return entry(number, t, Phase.ANALYZING, event="verdict", evidence=evidence)


RECORDED = [entry(1, 0, Phase.PREPARING), verdict(2, 60, "pass"), entry(3, 90, Phase.ROLLING_BACK)]
REPLAYED = [entry(1, 0, Phase.PREPARING), verdict(2, 40, "fail"), entry(3, 41, Phase.ROLLING_BACK)]


def test_what_both_say_stands_in_one_row_whenever_it_was() -> None:
    found = [(row.recorded and row.recorded.t, row.replayed and row.replayed.t) for row in rows(RECORDED, REPLAYED)]
    assert found == [(0, 0), (None, 40), (60, None), (90, 41)]


def test_each_column_is_in_its_own_order() -> None:
    for side in ("recorded", "replayed"):
        times = [event.t for row in rows(REPLAYED, RECORDED) if (event := getattr(row, side))]
        assert times == sorted(times)


def test_the_table_has_a_cell_for_each_side_and_leaves_out_what_is_waited_for() -> None:
    lines = list(table(rows([*RECORDED, verdict(4, 95, "wait")], REPLAYED), ("recorded", "by x"), ASCII, 100))
    assert lines[0].split() == ["recorded", "by", "x"]
    assert [line.split() for line in lines[2:4]] == [
        ["40.0", "s", "x", "fail:", "error_rate", "<=", "1%"],
        ["60.0", "s", "+", "pass:", "error_rate", "<=", "1%"],
    ]
    assert lines[2].startswith(" " * 40)
    assert len(lines) == 5
    assert all(len(line) <= 100 for line in lines)


def test_the_same_is_the_same_to_the_last_digit() -> None:
    assert same(RECORDED, list(RECORDED))
    assert not same(RECORDED, [*RECORDED[:2], entry(3, 90.0001, Phase.ROLLING_BACK)])
    assert not same(RECORDED, RECORDED[:2])
