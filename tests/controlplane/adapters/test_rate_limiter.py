"""Buckets of one's own, filled again with time, and a bounded number of them."""

from controlplane.adapters.rate_limiter import RateLimiter


def test_s9_senders_have_budgets_of_their_own_and_cost_no_memory() -> None:
    """Who floods takes nothing from the others, and comes back with time."""
    limiter = RateLimiter(100.0, 20.0, senders=50)
    assert [limiter.take("a", 0.0) for _ in range(101)].count(True) == 100
    assert limiter.is_spent("a", 0.0)
    assert limiter.take("b", 0.0)
    assert limiter.take("a", 1.0)
    for number in range(150):
        limiter.take(f"c{number}", 2.0)
    assert len(limiter._left) == 50


def test_r14_a_clock_that_was_set_back_holds_nobody_up_for_longer_than_the_budget_itself() -> None:
    limiter = RateLimiter(2.0, 1.0)
    assert [limiter.take("a", 10_000.0) for _ in range(3)] == [True, True, False]
    assert [limiter.take("a", moment) for moment in (100.0, 101.0, 102.0)] == [False, True, True]
