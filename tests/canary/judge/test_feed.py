"""From running totals to increments, through restarts, new replicas, gaps and nonsense."""

import math

from canary.judge import compile_gates, feed
from canary.snapshot import Counters, PodCounters
from tests.canary.judge.worlds import FAST, plan

OF = compile_gates(plan(FAST))


def _counters(at: float, **pods: PodCounters) -> Counters:
    return Counters(at, {"canary": pods})


def _block(before: Counters, now: Counters, warmup: float = 0.0) -> dict[str, float | None]:
    """Requests of the canary's replicas."""
    block = feed.difference(before, now, stage=0, weight=0.1, warmup=warmup)
    return {name: pod.requests for name, pod in block.arms.get("canary", {}).items()}


def test_increments_are_taken_for_each_replica() -> None:
    before = _counters(0, a=PodCounters(100.0, 3.0), b=PodCounters(50.0, 0.0))
    now = _counters(5, a=PodCounters(130.0, 4.0), b=PodCounters(50.0, 0.0))
    assert _block(before, now) == {"a": 30.0, "b": 0.0}


def test_after_a_restart_everything_on_the_page_is_new() -> None:
    """A sum over replicas would have shown minus 60 requests."""
    before = _counters(0, a=PodCounters(100.0, 3.0, {"latency": {0.1: 90.0, math.inf: 100.0}}))
    now = _counters(5, a=PodCounters(40.0, 1.0, {"latency": {0.1: 39.0, math.inf: 40.0}}))
    pod = feed.difference(before, now, stage=0, weight=0.1, warmup=0.0).arms["canary"]["a"]
    assert (pod.requests, pod.errors) == (40.0, 1.0)
    assert pod.histograms["latency"] == {0.1: 39.0, math.inf: 40.0}


def test_a_new_replicas_first_sample_counts_only_if_it_was_born_in_between() -> None:
    before = _counters(10, a=PodCounters(1.0, 0.0))
    old = PodCounters(500.0, 5.0, started_at=3.0)
    young = PodCounters(7.0, 0.0, started_at=12.0)
    unknown = PodCounters(9.0, 0.0)
    assert _block(before, _counters(15, a=PodCounters(2.0, 0.0), o=old, y=young, u=unknown)) == {"a": 1.0, "y": 7.0}


def test_the_first_seconds_of_a_replica_are_left_out_for_both_arms() -> None:
    pods = {"young": PodCounters(10.0, 0.0, started_at=90.0), "old": PodCounters(10.0, 0.0, started_at=1.0)}
    more = {name: PodCounters(20.0, 0.0, started_at=pod.started_at) for name, pod in pods.items()}
    before, now = Counters(100.0, {"canary": pods, "stable": pods}), Counters(105.0, {"canary": more, "stable": more})
    block = feed.difference(before, now, stage=0, weight=0.5, warmup=30.0)
    assert {arm: list(pods) for arm, pods in block.arms.items()} == {"canary": ["old"], "stable": ["old"]}


def test_the_interval_in_which_a_replica_grows_old_enough_is_still_left_out() -> None:
    before, now = (
        _counters(100, a=PodCounters(0.0, 0.0, started_at=71.0)),
        _counters(105, a=PodCounters(9.0, 9.0, started_at=71.0)),
    )
    assert _block(before, now, warmup=30.0) == {}


def test_a_missing_scrape_only_makes_the_next_block_longer() -> None:
    first = _counters(0, a=PodCounters(10.0, 0.0), b=PodCounters(10.0, 0.0))
    gap = _counters(5, a=PodCounters(20.0, 0.0))
    remembered = feed.remember(first, gap, OF)
    assert _block(remembered, _counters(10, a=PodCounters(30.0, 0.0), b=PodCounters(40.0, 0.0))) == {"a": 10, "b": 30}


def test_what_is_not_a_number_is_no_data() -> None:
    before = _counters(0, a=PodCounters(10.0, 0.0, {"latency": {0.1: 5.0, math.inf: math.nan}}))
    now = _counters(5, a=PodCounters(math.nan, 1.0, {"latency": {0.1: 6.0, math.inf: 12.0}}))
    pod = feed.difference(feed.remember(None, before, OF), now, stage=0, weight=0.1, warmup=0.0).arms["canary"]["a"]
    assert pod.requests is None
    assert pod.errors == 1.0
    assert dict(pod.histograms) == {}


def test_buckets_are_differenced_at_the_bounds_that_both_readings_have() -> None:
    """A native histogram may become coarser while it runs."""
    before = _counters(0, a=PodCounters(10.0, 0.0, {"latency": {0.1: 3.0, 0.2: 5.0, math.inf: 10.0}}))
    now = _counters(5, a=PodCounters(20.0, 0.0, {"latency": {0.2: 6.0, 0.4: 9.0, math.inf: 20.0}}))
    block = feed.difference(before, now, stage=0, weight=0.1, warmup=0.0)
    assert block.arms["canary"]["a"].histograms == {"latency": {0.2: 1.0, math.inf: 10.0}}


def test_only_what_gates_read_is_remembered() -> None:
    page = PodCounters(
        10.0, 0.0, {"latency": {math.inf: 10.0}, "ttft": {math.inf: 9.0}}, totals={"x": 1.0}, kpis={"csat": (1.0, 2.0)}
    )
    kept = feed.remember(None, _counters(0, a=page), OF).arms["canary"]["a"]
    assert (set(kept.histograms), kept.totals, kept.kpis) == ({"latency"}, {}, {})


def test_a_block_tells_the_split_only_if_it_counts_every_replica() -> None:
    one, two = _counters(0, a=PodCounters(1.0, 0.0)), _counters(5, a=PodCounters(2.0, 0.0), b=PodCounters(9.0, 0.0))
    block = feed.difference(one, two, stage=0, weight=0.1, warmup=0.0)
    assert not feed.whole(block, feed.present(one), two)
    assert not feed.whole(block, feed.present(two), two), "nothing is known of what the new one added"
    assert feed.whole(block, feed.present(one), _counters(5, a=PodCounters(2.0, 0.0)))


def test_a_clock_set_back_is_told_from_an_old_answer_by_its_totals() -> None:
    latest = _counters(100, a=PodCounters(50.0, 0.0))
    assert feed.moved_on(latest, _counters(40, a=PodCounters(60.0, 0.0)))
    assert not feed.moved_on(latest, _counters(95, a=PodCounters(45.0, 0.0)))


def _begun(open_: float | None, begun: float, cancelled: float = 0.0, started_at: float | None = None) -> PodCounters:
    return PodCounters(1.0, 0.0, totals={"begun": begun, "cancelled": cancelled}, started_at=started_at, open=open_)


def test_what_has_ended_is_what_was_begun_without_what_is_open_now_and_was_not_before() -> None:
    """A replica whose page is missing for a while is counted once, and as it was."""
    before, now = _counters(0, a=_begun(4.0, 100.0)), _counters(5, a=_begun(9.0, 120.0, 2.0))
    pod = feed.difference(before, now, stage=0, weight=0.1, warmup=0.0).arms["canary"]["a"]
    assert pod.totals == {"begun": 20.0, "cancelled": 2.0, "ended": 15.0}
    assert pod.gauges == {"open": 9.0}
    kept = feed.remember(feed.remember(None, before, OF), _counters(3), OF)
    assert feed.difference(kept, now, stage=0, weight=0.1, warmup=0.0).arms["canary"]["a"] == pod


def test_after_a_restart_what_was_open_before_is_forgotten_with_what_was_begun() -> None:
    before, now = _counters(0, a=_begun(50.0, 100.0)), _counters(5, a=_begun(3.0, 12.0))
    pod = feed.difference(before, now, stage=0, weight=0.1, warmup=0.0).arms["canary"]["a"]
    assert (pod.totals["begun"], pod.totals["ended"]) == (12.0, 9.0)


def test_of_a_replica_that_was_born_in_between_everything_has_begun_since() -> None:
    now = _counters(15, a=_begun(3.0, 12.0, started_at=12.0))
    pod = feed.difference(_counters(10), now, stage=0, weight=0.1, warmup=0.0).arms["canary"]["a"]
    assert (pod.totals["begun"], pod.totals["ended"]) == (12.0, 9.0)
    untold = feed.difference(now, _counters(20, a=_begun(None, 20.0)), stage=0, weight=0.1, warmup=0.0)
    assert "ended" not in untold.arms["canary"]["a"].totals
