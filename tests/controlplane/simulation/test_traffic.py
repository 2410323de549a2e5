"""The traffic model: what is drawn has the rates, shares, clumps and tails that were asked for."""

import numpy as np
import pytest
from numpy.random import default_rng

from controlplane.simulation import shape
from controlplane.simulation.levels import Levels
from controlplane.simulation.noise import NOISES
from controlplane.simulation.regression import Regression
from controlplane.simulation.traffic import ERRORS, REQUESTS, Blocks, Fleet, Strain, Traffic

LEVELS = Levels(
    errors=0.005,
    times={"latency": 0.06, "itl": 0.01},
    bounds={"latency": shape.bounds_around(0.06, {0.2}), "itl": shape.bounds_around(0.01, set())},
    kpis={"conversion": 0.2, "complaints": 0.01, "revenue": 30.0},
    better_low=frozenset({"complaints"}),
    engine={"tokens_per_second": 40.0},
    queries=(),
)
FLEET = Fleet.of({"stable": 4, "canary": 2})


def traffic(noise: str = "iid", flaw: Regression | None = None, seed: int = 1) -> Traffic:
    """A service with 200 requests a second."""
    return Traffic(
        default_rng(seed),
        NOISES[noise],
        LEVELS,
        FLEET,
        rps=200.0,
        flaw=flaw or Regression(),
        period=21600.0,
        leak=7200.0,
    )


def drawn(users: Traffic, blocks: int = 4000, share: float = 0.25, ready: str = "111111") -> Blocks:
    """Blocks of 5 s."""
    strain = Strain(
        ready=np.array([flag == "1" for flag in ready]),
        errors=np.ones((blocks, 6)),
        latency=np.ones(6),
        first_traffic=0.0,
    )
    return users.draw(np.linspace(0.0, 5.0 * blocks, blocks + 1), share, strain)


def arm(blocks: Blocks, users: Traffic, name: str, column: str) -> float:
    """An arm's total."""
    rows = FLEET.rows("stable" if name == "stable" else "canary")
    return float(blocks.grown[:, rows, users.columns[column].start].sum())


def test_requests_come_at_the_rate_and_are_split_by_the_share() -> None:
    """200 a second, a quarter of them to the canary, evenly over its pods; independent requests are Poisson."""
    users = traffic()
    blocks = drawn(users)
    per_block = blocks.grown[:, :, REQUESTS].sum(axis=1)
    assert per_block.mean() == pytest.approx(1000, rel=0.005)
    assert per_block.var() == pytest.approx(1000, rel=0.1)
    assert arm(blocks, users, "canary", "requests") / per_block.sum() == pytest.approx(0.25, abs=0.002)
    assert blocks.grown[:, 4, REQUESTS].sum() == pytest.approx(blocks.grown[:, 5, REQUESTS].sum(), rel=0.02)


def test_independent_errors_are_binomial_and_real_ones_clump() -> None:
    """The variance of counts is their mean in iid, and a multiple of it in harsh."""
    calm = drawn(traffic("iid")).grown[:, :4, ERRORS].sum(axis=1)
    harsh = drawn(traffic("harsh")).grown[:, :4, ERRORS].sum(axis=1)
    assert calm.mean() == pytest.approx(1000 * 0.75 * 0.005, rel=0.05)
    assert calm.var() / calm.mean() == pytest.approx(1.0, abs=0.15)
    assert harsh.var() / harsh.mean() > 4


@pytest.mark.parametrize(
    ("flaw", "column", "factor"),
    [
        (Regression(errors=20), "errors", 20),
        (Regression(kpi=0.95), "kpi/conversion", 0.95),
        (Regression(kpi=0.95), "kpi/complaints", 1 / 0.95),
        (Regression(kpi=0.95), "kpi/revenue", 0.95),
        (Regression(), "errors", 1),
        (Regression(), "kpi/conversion", 1),
    ],
)
def test_a_flaw_shows_on_the_canary_alone_and_in_its_size(flaw: Regression, column: str, factor: float) -> None:
    """Per request, the canary has `factor` times what stable has; twenty times the errors leave fewer sessions."""
    users = traffic(flaw=flaw)
    blocks = drawn(users, share=0.5)
    rates = {
        name: arm(blocks, users, name, column) / arm(blocks, users, name, "requests") for name in ("stable", "canary")
    }
    assert rates["canary"] / rates["stable"] == pytest.approx(factor, rel=0.03)


def test_histograms_are_cumulative_and_count_every_request() -> None:
    """The last bucket is the number of requests, and the p95 is where the mixture has it."""
    users = traffic()
    blocks = drawn(users)
    counts = blocks.grown[:, :, users.columns["histogram/latency"]]
    assert (np.diff(counts, axis=-1) >= 0).all()
    assert (counts[..., -1] == blocks.grown[..., REQUESTS]).all()
    total = counts.sum(axis=(0, 1))
    share = total[LEVELS.bounds["latency"].index(0.2)] / total[-1]
    exact = 0.97 * shape.below(0.2 / 0.06, shape.QUICK) + 0.03 * shape.below(0.2 / 0.06, shape.SLOW)
    assert share == pytest.approx(exact, abs=0.001)


def test_an_arm_without_a_pod_fails_what_it_is_sent() -> None:
    """Every such request is an error and is counted as lost."""
    users = traffic()
    blocks = drawn(users, blocks=50, ready="111100")
    assert arm(blocks, users, "canary", "errors") == arm(blocks, users, "canary", "requests") == blocks.lost.sum() > 0


def test_a_pod_that_is_gone_gets_nothing() -> None:
    """The others of its arm take its share."""
    blocks = drawn(traffic(), blocks=50, ready="101111")
    assert blocks.grown[:, 1, REQUESTS].sum() == 0
    assert blocks.lost.sum() == 0


def test_the_same_seed_draws_the_same_traffic() -> None:
    """And another seed other traffic."""
    first, again, other = (drawn(traffic("real", seed=seed), blocks=20).grown for seed in (7, 7, 8))
    assert (first == again).all()
    assert (first != other).any()
