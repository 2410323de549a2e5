"""What is held until every replica has been scraped: nothing is lost, nobody is waited for longer than is said."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from canary import judge
from canary.judge import Increments, JudgeState, alignment, feed
from canary.judge.alignment import AT_MOST_S, Aligned, Held
from canary.snapshot import Counters, MetricsStatus, PodCounters
from canary.weights import ARMS, Arm, Weights
from tests.canary.judge.worlds import ERRORS_AT_MOST, ERRORS_LIKE_STABLE, plan, remembered

STATE = TypeAdapter(JudgeState)


def _pod(requests: float, at: float, errors: float = 0.0) -> PodCounters:
    return PodCounters(requests, errors, {"latency": {0.1: requests / 2, math.inf: requests}}, at=at)


def _page(count: float, at: float) -> PodCounters:
    return PodCounters(histograms={"ttft": {0.1: 0.0, math.inf: count}}, at=at)


def _seen(at: float, stable: dict[str, PodCounters], canary: dict[str, PodCounters]) -> Counters:
    return Counters(at, {"stable": stable, "canary": canary})


def _readings(*readings: Counters) -> list[Aligned]:
    """What is there to judge after each reading but the first."""
    held: Held = {}
    found = []
    for previous, current in pairwise(readings):
        latest = feed.difference(previous, current, stage=0, weight=0.25, warmup=0.0)
        found.append(alignment.take(held, latest, previous, current))
        held = found[-1].held
    return found


def _requests(block: Increments | None, arm: Arm = "canary") -> dict[str, float | None]:
    assert block is not None
    return {name: pod.requests for name, pod in block.arms.get(arm, {}).items()}


def test_arms_that_are_scraped_in_turn_are_held_against_each_other() -> None:
    first, second, third = _readings(
        _seen(10, {"s": _pod(100, 10)}, {"c": _pod(10, 3)}),
        _seen(18, {"s": _pod(100, 10)}, {"c": _pod(20, 18)}),
        _seen(25, {"s": _pod(190, 25)}, {"c": _pod(20, 18)}),
        _seen(33, {"s": _pod(190, 25)}, {"c": _pod(31, 33)}),
    )
    assert (first.block, third.block) == (None, None)
    assert (_requests(second.block), _requests(second.block, "stable")) == ({"c": 10}, {"s": 90})
    assert (second.since, second.even) == (3, True), "it begins with the canary's totals of 3"


def test_without_times_of_their_own_all_are_scraped_with_each_reading() -> None:
    """As old recordings have it, and sources that read pages themselves: a block for each reading, as it always was."""
    readings = [
        _seen(t, {"s": replace(_pod(t * 10, t), at=None)}, {"c": replace(_pod(t, t), at=None)}) for t in (1, 2, 3)
    ]
    for (before, now), found in zip(pairwise(readings), _readings(*readings), strict=True):
        assert found == Aligned({}, feed.difference(before, now, stage=0, weight=0.25, warmup=0.0), before.at)


def test_a_canary_without_traffic_is_scraped_all_the_same_and_holds_nobody_back() -> None:
    *_, last = _readings(
        _seen(10, {"s": _pod(100, 10)}, {"c": _pod(0, 3)}),
        _seen(18, {"s": _pod(100, 10)}, {"c": _pod(0, 18)}),
        _seen(25, {"s": _pod(190, 25)}, {"c": _pod(0, 18)}),
    )
    assert (_requests(last.block), _requests(last.block, "stable")) == ({"c": 0}, {"s": 90})


def test_an_arm_that_is_not_scraped_is_waited_for_no_longer_than_is_said() -> None:
    times = [10.0 + 15 * k for k in range(12)]
    found = _readings(*(_seen(t, {"s": _pod(10 * t, t)}, {"c": _pod(5, 3)}) for t in times))
    blocks = [(t, each.block) for t, each in zip(times[1:], found, strict=True)]
    released = [t for t, block in blocks if block is not None]
    assert released[0] == times[1] + AT_MOST_S
    assert _requests(blocks[8][1], "stable") == {"s": 10 * (released[0] - 10)}
    assert _requests(blocks[8][1]) == {}


def test_an_arm_that_is_gone_is_not_waited_for() -> None:
    *_, last = _readings(_seen(10, {"s": _pod(100, 10)}, {"c": _pod(10, 3)}), _seen(25, {"s": _pod(190, 25)}, {}))
    assert _requests(last.block, "stable") == {"s": 90}


def test_a_replica_that_misses_a_scrape_is_not_waited_for_twice() -> None:
    """It comes along with the next block, whole; and a block without it says nothing of how traffic is split."""
    first, second, third = _readings(
        _seen(10, {"s": _pod(100, 10), "t": _pod(100, 9)}, {"c": _pod(10, 8)}),
        _seen(25, {"s": _pod(200, 25), "t": _pod(100, 9)}, {"c": _pod(20, 23)}),
        _seen(40, {"s": _pod(300, 40), "t": _pod(100, 9)}, {"c": _pod(30, 38)}),
        _seen(55, {"s": _pod(400, 55), "t": _pod(400, 54)}, {"c": _pod(40, 53)}),
    )
    assert first.block is None
    assert (_requests(second.block, "stable"), second.even) == ({"s": 200}, False)
    assert _requests(third.block, "stable") == {"s": 100, "t": 300}


def test_blocks_end_in_the_longest_pause_between_scrapes() -> None:
    """Scrapes at 1 and 14 of 15 s are 2 s apart and not 13: one block of two scrapes sets that right for good."""
    readings = [_seen(14, {"s": _pod(0, 14)}, {"c": _pod(0, 1)})]
    for k in range(1, 5):
        readings.append(_seen(15 * k + 1, {"s": _pod(100 * k - 100, 15 * k - 1)}, {"c": _pod(10 * k, 15 * k + 1)}))
        readings.append(_seen(15 * k + 14, {"s": _pod(100 * k, 15 * k + 14)}, {"c": _pod(10 * k, 15 * k + 1)}))
    found = [each for each in _readings(*readings) if each.block is not None]
    assert [(each.block.t, each.even) for each in found if each.block] == [(31, False), (46, True), (61, True)]


def test_pages_that_count_no_requests_come_along_when_both_arms_have_them() -> None:
    """Beside a gateway, which is scraped more often: its counts wait for nobody."""

    def seen(at: float, stable: float, canary: float) -> Counters:
        pages = {"stable": _page(stable * 10, stable), "canary": _page(canary, canary)}
        return _seen(at, {"g": _pod(at * 10, at), "s": pages["stable"]}, {"g2": _pod(at, at), "c": pages["canary"]})

    found = _readings(seen(10, 10, 3), seen(18, 10, 18), seen(20, 10, 18), seen(25, 25, 18), seen(26, 25, 18))
    assert [sorted(_requests(each.block)) for each in found] == [["g2"], ["g2"], ["c", "g2"], ["g2"]]
    block = found[2].block
    assert block is not None
    assert block.arms["canary"]["c"].histograms["ttft"][math.inf] == 15
    assert block.arms["stable"]["s"].histograms["ttft"][math.inf] == 150


def test_what_another_target_of_a_replica_says_is_waited_for_by_itself() -> None:
    """A queue-proxy each 5 s and the server beside it in the same pod each 15 s, at phases of their own."""

    def pod(requests: float, at: float, tokens: float, apart: float) -> PodCounters:
        return replace(_pod(requests, at), totals={"tokens": tokens}, apart={"tokens": apart})

    found = _readings(
        _seen(10, {"s": pod(100, 10, 5, 4)}, {"c": pod(10, 10, 1, 9)}),
        _seen(15, {"s": pod(150, 15, 5, 4)}, {"c": pod(15, 15, 1, 9)}),
        _seen(20, {"s": pod(200, 20, 9, 19)}, {"c": pod(20, 20, 1, 9)}),
        _seen(25, {"s": pod(250, 25, 9, 19)}, {"c": pod(25, 25, 3, 24)}),
    )
    assert [_requests(each.block) for each in found] == [{"c": 5}] * 3
    tokens = [[dict(each.block.arms[arm][name].totals) for arm, name in BOTH] for each in found if each.block]
    assert tokens == [[{}, {}], [{}, {}], [{"tokens": 4}, {"tokens": 2}]]


def test_what_others_count_of_a_replica_between_its_scrapes_is_kept_for_its_next_one() -> None:
    """Its dollars grow with each reading, whether its page was scraped or not."""

    def pod(requests: float, at: float, dollars: float) -> PodCounters:
        return replace(_pod(requests, at), totals={"dollars": dollars})

    found = _readings(
        _seen(10, {"s": pod(100, 10, 10)}, {"c": pod(10, 3, 10)}),
        _seen(18, {"s": pod(100, 10, 18)}, {"c": pod(20, 18, 18)}),
        _seen(25, {"s": pod(190, 25, 25)}, {"c": pod(20, 18, 25)}),
        _seen(33, {"s": pod(190, 25, 33)}, {"c": pod(30, 33, 33)}),
        _seen(40, {"s": pod(280, 40, 40)}, {"c": pod(30, 33, 40)}),
    )
    dollars = [[each.block.arms[arm][name].totals["dollars"] for arm, name in BOTH] for each in found if each.block]
    assert dollars == [[15, 15], [15, 15]]
    assert not any(each.held for each in found if each.block)


BOTH: list[tuple[Arm, str]] = [("stable", "s"), ("canary", "c")]


@given(
    st.lists(st.tuples(st.sets(st.sampled_from("stuc"), min_size=1), st.booleans(), st.integers(1, 40)), max_size=40),
)
def test_whatever_the_order_of_scrapes_no_request_is_lost_and_none_counted_twice(
    rounds: list[tuple[set[str], bool, int]],
) -> None:
    """Restarts too: what a replica had counted before one is held already."""
    now, true = 0.0, dict.fromkeys("stuc", 0.0)
    pods = {name: _pod(0, 0) for name in "stuc"}

    def seen() -> Counters:
        return _seen(now, {name: pods[name] for name in "stu"}, {"c": pods["c"]})

    readings = [seen()]
    for number, (scraped, restarts, wait) in enumerate(rounds):
        now += wait
        for name in scraped:
            more = 7.0 + number
            true[name] += more
            before = pods[name].requests or 0.0
            pods[name] = _pod(more if restarts and more < before else before + more, now)
        readings.append(seen())
    found = _readings(*readings)
    counted = dict.fromkeys("stuc", 0.0)
    for each in found:
        for arm in ARMS if each.block else ():
            for name, requests in _requests(each.block, arm).items():
                counted[name] += requests or 0.0
    for replicas in (found[-1].held if found else {}).values():
        for each_arm in replicas.values():
            for name, held in each_arm.items():
                assert now - held.first <= AT_MOST_S
                counted[name] += (held.added and held.added.requests) or 0.0
    assert counted == true


class _Court:
    """A judge that is shown two replicas, each scraped every 15 s."""

    def __init__(self) -> None:
        self.config = judge.compile_gates(plan(ERRORS_AT_MOST, ERRORS_LIKE_STABLE, hold=3600.0))
        self.state = judge.begin(self.config)

    def look(self, at: float, stable: PodCounters, canary: PodCounters, since: float = 0.0) -> judge.Analysis:
        counters = _seen(at, {"s": stable}, {"c": canary})
        analysis = judge.watch(
            self.config,
            self.state,
            stage=0,
            weights=Weights.of_share(0.05),
            evidence=MetricsStatus(at, counters),
            now=at,
            stage_since=since,
        )
        self.state = analysis.state
        return analysis


def test_the_hard_stop_waits_for_no_scrape_of_stable() -> None:
    court = _Court()
    court.look(14, _pod(1000, 14), _pod(100, 3))
    court.look(29, _pod(2000, 29), _pod(200, 18))
    court.look(33, _pod(2000, 29), _pod(300, 33, errors=100))
    stopped = court.look(48, _pod(2000, 29), _pod(400, 48, errors=200))
    assert court.state.held, "stable is waited for"
    assert "hard stop" in " ".join(
        verdict.gate for verdict in stopped.judgement.gates if verdict.verdict.value == "fail"
    )


def test_held_increments_survive_a_restart() -> None:
    """Stored and read again while one replica is waited for, in the middle of every round, a judge says the same."""
    straight, restarted = _Court(), _Court()
    for k in range(40):
        stable, canary = 15 * (k // 2 + 1) - 1.0, 15.0 * ((k + 1) // 2) + 7
        seen = max(stable, canary), _pod(stable * 10, stable, stable // 9), _pod(canary, canary, canary // 5)
        assert straight.look(*seen).judgement == restarted.look(*seen).judgement
        restarted.state = STATE.validate_json(STATE.dump_json(restarted.state))
        assert restarted.state == straight.state
    assert remembered(straight.state).everything.totals.blocks > 15


def test_a_block_that_began_before_the_stage_did_does_not_begin_it() -> None:
    court = _Court()
    court.look(14, _pod(1000, 14), _pod(100, 7), since=20.0)
    court.look(22, _pod(1000, 14), _pod(200, 22), since=20.0)
    court.look(29, _pod(2000, 29), _pod(200, 22), since=20.0)
    assert not remembered(court.state).stage.settled, "it holds requests from 7 on"
    court.look(37, _pod(2000, 29), _pod(300, 37), since=20.0)
    court.look(44, _pod(3000, 44), _pod(300, 37), since=20.0)
    assert remembered(court.state).stage.settled


@pytest.mark.parametrize("by", [-3600.0, 40.0])
def test_ages_stay_what_they_were_when_the_clock_is_set(by: float) -> None:
    (found,) = _readings(
        _seen(10, {"s": _pod(100, 10)}, {"c": _pod(10, 3)}), _seen(18, {"s": _pod(100, 10)}, {"c": _pod(20, 18)})
    )
    moved = alignment.clock_moved(found.held, by)["requests"]["canary"]["c"]
    assert (moved.since, moved.first, moved.at) == (3 + by, 18 + by, 18 + by)
