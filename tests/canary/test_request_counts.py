"""What each arm has answered, exactly, whatever happens to the counters."""

from canary.judge import begin, compile_gates, watch
from canary.request_counts import served_since, unrouted_since
from canary.snapshot import Counters, MetricsStatus, PodCounters
from canary.weights import ALL_STABLE
from tests.canary.story import plan


def totals(at: float, canary: float | None, stable: float | None = 0.0, unrouted: float | None = 0.0) -> Counters:
    """Totals of one replica an arm."""
    pods = {"canary": {"canary-0": PodCounters(requests=canary)}, "stable": {"stable-0": PodCounters(requests=stable)}}
    return Counters(at=at, arms=pods, unrouted=unrouted)  # type: ignore[arg-type]  # the keys are the two arms


def test_the_first_reading_only_sets_the_mark() -> None:
    """What a proxy counted before the rollout is not the rollout's."""
    assert served_since(None, totals(1, 500)) == {}


def test_totals_are_differenced() -> None:
    """Increments of both arms."""
    assert served_since(totals(1, 500, 10), totals(2, 520, 15)) == {"stable": 5.0, "canary": 20.0}


def test_a_smaller_total_counts_from_zero() -> None:
    """The proxy was started again."""
    assert served_since(totals(1, 500), totals(2, 30))["canary"] == 30.0


def test_the_same_reading_twice_counts_nothing() -> None:
    """A pass may see the same totals again."""
    assert served_since(totals(1, 500), totals(1, 500)) == {}


def test_what_the_judge_remembers_is_enough_to_count_lost_requests_once() -> None:
    """The running total of unrouted requests is differenced, not added at every pass."""
    config = compile_gates(plan())
    state = begin(config)
    lost = 0.0
    for at in range(1, 6):
        counters = totals(float(at), 10.0 * at, 10.0 * at, unrouted=7.0)
        lost += unrouted_since(state.previous, counters) or 0.0
        seen = MetricsStatus(at=float(at), counters=counters)
        analysis = watch(config, state, stage=0, weights=ALL_STABLE, evidence=seen, now=float(at), stage_since=None)
        state = analysis.state
    assert lost == 0.0
