"""What a model server counts of itself has the levels that were asked for."""

import numpy as np
import pytest
from numpy.random import default_rng

from controlplane.simulation.engine import SimulatedEngine

N, BAD, SLOW = np.full((200, 2), 1000), np.full((200, 2), 10), np.ones((200, 2))
UP = np.full(2, 5.0)


def test_nothing_is_counted_that_nobody_asks_for() -> None:
    """It would only cost time."""
    assert SimulatedEngine({}).increments(default_rng(1), N, BAD, SLOW, UP) == {}
    assert SimulatedEngine({}).totals == ()


def test_ratios_of_totals_are_the_levels() -> None:
    """Tokens a second, preemptions a request, dollars a thousand, shares of finish reasons."""
    asked = {
        "tokens_per_second": 50.0,
        "preemptions": 0.02,
        "cost_per_1k_requests": 0.4,
        "finish_reason/length": 0.06,
        "tokens_per_answer": 80.0,
    }
    engine = SimulatedEngine(asked, load=200.0)
    total = {name: values.sum() for name, values in engine.increments(default_rng(1), N, BAD, SLOW, UP).items()}
    assert set(total) == set(engine.totals)
    assert total["generation_tokens"] / total["decode_seconds"] == pytest.approx(50)
    assert total["generation_tokens"] / total["finished"] == pytest.approx(80, rel=0.01)
    assert total["preemptions"] / N.sum() == pytest.approx(0.02, rel=0.05)
    assert total["dollars"] / N.sum() * 1000 == pytest.approx(0.4)
    assert total["finish_reason/length"] / total["finished"] == pytest.approx(0.06, rel=0.05)


def test_gauges_follow_the_load() -> None:
    """And never exceed the whole."""
    engine = SimulatedEngine({"kv_cache_usage": 0.4})
    assert engine.gauges(1.0) == {"kv_cache_usage": 0.4}
    assert engine.gauges(1.5)["kv_cache_usage"] > 0.4
    assert engine.gauges(100.0)["kv_cache_usage"] == 1.0
