"""Engines that have requests and write nothing, as they count themselves."""

from typing import Any

import pytest

from canary.judge import standstill
from canary.judge.arm_totals import ArmPair, ArmSums
from canary.judge.standstill import Standstill

Told = tuple[float, float] | None
"""Requests that are running, and tokens that were written since the scrape before; None where nothing is told."""


def _arm(told: Told, **totals: float) -> ArmSums:
    if told is None:
        return ArmSums()
    return ArmSums(1, totals={"generation_tokens": told[1], **totals}, gauges={"open": [told[0]]})


def _after(*scrapes: tuple[Told, Told], every: float = 1.0, weight: float = 0.25, **totals: float) -> list[bool]:
    """By scrape of canary and stable, whether the canary is stopped."""
    found, stopped = Standstill(), []
    for number, (canary, stable) in enumerate(scrapes, 1):
        theirs = _arm(stable)
        sides = ArmPair(_arm(canary, **totals), theirs, (theirs, ArmSums()), [])
        found = standstill.look(found, sides, number * every, every, weight)
        stopped.append(standstill.stops(found))
    return stopped


STANDS: tuple[Told, Told] = ((8.0, 0.0), (20.0, 900.0))
WRITES: tuple[Told, Told] = ((8.0, 300.0), (20.0, 900.0))


def test_an_engine_that_stands_for_15_s_while_stable_writes_is_a_hang() -> None:
    assert _after(*[WRITES] * 20, *[STANDS] * 15).index(True) == 20 + 15 - 1


def test_the_two_scrapes_of_a_slow_prometheus_that_see_it_are_enough() -> None:
    assert _after(WRITES, STANDS, every=15.0) == [False, True]


def test_an_engine_without_requests_does_not_stand() -> None:
    assert not any(_after(*[((0.0, 0.0), (20.0, 900.0))] * 100))


def test_one_token_begins_the_count_again() -> None:
    assert not any(_after(*([STANDS] * 14 + [((8.0, 1.0), (20.0, 900.0))]) * 4))


def test_a_single_long_prompt_has_three_times_as_long() -> None:
    alone: tuple[Told, Told] = ((1.0, 0.0), (20.0, 900.0))
    assert not any(_after(*[alone] * 44))
    assert _after(*[alone] * 45)[-1]


def test_while_stable_stands_as_well_nobody_is_blamed() -> None:
    assert not any(_after(WRITES, *[((8.0, 0.0), (20.0, 0.0))] * 100))


def test_where_stable_stood_for_as_long_before_it_takes_twice_that() -> None:
    """Both have long prompts."""
    stood = [((8.0, 300.0), (3.0, 0.0))] * 20
    stopped = _after(*stood, *[STANDS] * 45)
    assert stopped.index(True) == 20 + 40 - 1


def test_an_engine_that_never_writes_tokens_is_not_judged_by_them() -> None:
    """Embeddings: neither arm writes any."""
    assert not any(_after(*[((8.0, 0.0), (0.0, 0.0))] * 100))


@pytest.mark.parametrize(("before", "stops"), [([WRITES], True), ([], False)])
def test_at_all_of_the_traffic_it_is_held_against_what_it_wrote_before(before: Any, stops: bool) -> None:
    assert any(_after(*before, *[((8.0, 0.0), (0.0, 0.0))] * 60, weight=1.0)) is stops


def test_where_a_proxy_counts_what_is_begun_its_count_is_believed() -> None:
    assert not any(_after(*[STANDS] * 100, begun=0.0))


def test_its_memory_moves_with_the_clock() -> None:
    found = Standstill(since=3.0, stable_since=5.0)
    assert found.clock_moved(2.0) == Standstill(since=5.0, stable_since=7.0)
