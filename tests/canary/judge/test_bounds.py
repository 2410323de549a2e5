"""The bucket bounds that speak for a latency gate."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import pytest

from canary.judge import bounds, compile_gates
from canary.spec.gates import gate
from tests.canary.judge.worlds import FAST, FAST_LIKE_STABLE, plan

EDGES = [0.1, 0.2, 0.5, 1.0, math.inf]
HISTORY = [500.0, 900.0, 960.0, 995.0, 1000.0]


@pytest.mark.parametrize(
    ("limit", "convicts", "clears"),
    [(0.2, 1, 1), (0.15, 1, 0), (0.05, 0, -1), (3.0, 4, 3), (1.0, 3, 3)],
)
def test_a_limit_is_judged_at_the_bounds_around_it(limit: float, convicts: int, clears: int) -> None:
    """Between two buckets the upper one convicts and the lower one clears; beyond the last nothing can convict."""
    assert bounds.around(limit, EDGES) == (convicts, clears)


def test_the_bound_nearest_to_the_quantile_speaks_for_it() -> None:
    assert bounds.nearest(0.05, HISTORY) == 2
    assert bounds.nearest(0.5, HISTORY) == 0
    assert bounds.nearest(0.05, [0.0, 0.0, 10.0]) is None, "all requests in the last bucket tell nothing"


def test_a_slower_canary_may_exceed_the_bound_as_often_as_stable_exceeds_a_lower_one() -> None:
    """0.2 s at 2.0 times as slow is stable's 0.1 s: exceeded by 500 instead of 100."""
    assert bounds.allowed_ratio(1, 2.0, HISTORY, EDGES) == pytest.approx(5.0)
    assert bounds.allowed_ratio(1, 1.0, HISTORY, EDGES) == pytest.approx(1.0)


def _counted(edges: Sequence[float], middle: float, spread: float, requests: float = 1e6) -> list[float]:
    """A histogram of log-normal times."""
    return [requests * NormalDist(math.log(middle), spread).cdf(math.log(edge)) for edge in edges[:-1]] + [requests]


ITL = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, math.inf]


@pytest.mark.parametrize("spread", [0.4, 0.6, 0.8])
@pytest.mark.parametrize("q", ["p50", "p95", "p99"])
def test_r8_a_margin_is_read_within_buckets_that_show_how_times_are_spread(spread: float, q: str) -> None:
    """A canary exactly 10 % slower, in buckets two and a half times as wide: it has what it is allowed."""
    edges = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, math.inf]
    case = compile_gates(plan(gate(f"latency {q} not worse than stable by 10%"))).tested[0]
    history = _counted(edges, 0.12, spread)
    pick = bounds.pick(case, None, edges, history)
    assert pick is not None
    if pick.accuses == pick.clears:
        slower = _counted(edges, 0.132, spread)
        assert pick.ratio == pytest.approx((1e6 - slower[pick.accuses]) / (1e6 - history[pick.accuses]), rel=1e-3)
    else:
        assert history[pick.clears - 1] < bounds.SHOWN * 1e6


def test_r8_a_margin_that_buckets_cannot_show_is_held_against_a_bound_beyond_it() -> None:
    """23 ms that vary by 5 %, in vLLM's buckets: 1 % more has twice as many tokens beyond 25 ms, 10 % twelve times."""
    case = compile_gates(plan(gate("itl p95 not worse than stable by 10%"))).tested[0]
    pick = bounds.pick(case, None, ITL, _counted(ITL, 0.023, 0.05))
    assert pick is not None
    assert (ITL[pick.accuses], ITL[pick.clears]) == (0.05, 0.025)
    assert pick.ratio < 1.4, "for a pass no more than a straight line allows"


def test_a_bound_that_stable_never_exceeds_allows_a_finite_ratio() -> None:
    assert 1 <= bounds.allowed_ratio(1, 1.5, [10.0, 10.0, 10.0, 10.0, 10.0], EDGES) < math.inf


def test_quantiles_lie_on_straight_lines_within_buckets_and_never_beyond_the_last_bound() -> None:
    assert bounds.quantile(0.95, HISTORY, EDGES) == pytest.approx(0.2 + 0.3 * 50 / 60)
    assert bounds.quantile(0.9999, HISTORY, EDGES) == 1.0
    assert bounds.quantile(0.5, [0.0] * 5, EDGES) is None


def test_against_stable_a_bound_is_picked_only_from_enough_history_and_reconsidered_as_it_grows() -> None:
    case = compile_gates(plan(FAST_LIKE_STABLE)).tested[0]
    assert bounds.pick(case, None, EDGES, None) is None
    assert bounds.pick(case, None, EDGES, [count / 10 for count in HISTORY]) is None
    first = bounds.pick(case, None, EDGES, HISTORY)
    assert first is not None
    assert (first.accuses, first.clears) == (2, 2)
    assert bounds.pick(case, first, EDGES, [count * 1.4 for count in HISTORY]) is first
    assert bounds.pick(case, first, EDGES, [count * 1.6 for count in HISTORY]) != first


def test_a_limit_needs_no_history() -> None:
    case = compile_gates(plan(FAST)).tested[0]
    assert bounds.pick(case, None, EDGES, None) == bounds.Pick(accuses=2, clears=1)
