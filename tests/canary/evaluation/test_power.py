"""What a data set can show."""

import pytest

from canary.evaluation.power import items_needed, smallest_drop


def test_more_items_show_smaller_drops() -> None:
    drops = [smallest_drop(items, 0.01) for items in (20, 50, 200, 1_000, 5_000)]
    assert None not in drops
    assert drops == sorted(drops, key=lambda drop: -(drop or 0))
    assert smallest_drop(500, 0.01) == pytest.approx(0.067, abs=0.005)


def test_a_handful_of_items_shows_no_drop_at_all() -> None:
    assert smallest_drop(9, 0.01) is None


def test_more_discordant_items_hide_a_drop() -> None:
    low, high = smallest_drop(500, 0.01, 0.05), smallest_drop(500, 0.01, 0.4)
    assert low is not None
    assert high is not None
    assert low < high


def test_the_items_for_a_drop_show_it() -> None:
    for drop in (0.02, 0.05, 0.3):
        items = items_needed(drop, 0.01)
        assert items is not None
        assert (smallest_drop(items, 0.01) or 1) <= drop + 2e-4
        assert (smallest_drop(items - 1, 0.01) or 1) >= drop - 2e-4
    assert items_needed(0.00001, 0.01) is None
