"""The placebo: how far real counts stray from independent ones, measured on stable alone."""

import numpy as np
import pytest

from canary.judge import begin, compile_gates, read, update
from canary.judge.noise import CLEARING, REPLICAS, SINGLE, AATest
from canary.spec.models import Gate
from canary.verdict import GateAnswer
from tests.canary.judge.worlds import ERRORS_AT_MOST, IN_POINTS, block, plan

AS_FAST = 3.0
"""How many times as long a decision may take after an outage of stable's first seconds."""


def _halves(rng: np.random.Generator, clump: int, pods: float, blocks: int = 2000, size: float = 20.0) -> AATest:
    """A placebo that saw clumps of fixed size, and halves whose rates differ by log-noise of sd `pods`."""
    placebo = AATest()
    for _ in range(blocks):
        rates = np.exp(rng.normal(0, pods, 2)) * size / clump if pods else np.full(2, size / clump)
        x1, x2 = rng.poisson(rates) * clump
        placebo = placebo.plus(float(x1), 1000.0, float(x2), 1000.0)
    return placebo


def test_independent_events_have_no_extra_noise() -> None:
    noise = _halves(np.random.default_rng(1), clump=1, pods=0.0).noise(REPLICAS)
    assert noise.phi == pytest.approx(1.0, abs=0.12)
    assert noise.kappa == pytest.approx(0.0, abs=0.005)
    assert noise.vr == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize("clump", [3, 8])
def test_clumps_are_measured_by_their_size(clump: int) -> None:
    noise = _halves(np.random.default_rng(2), clump=clump, pods=0.0, size=60.0).noise(REPLICAS)
    assert noise.at(120.0) == pytest.approx(clump, rel=0.15)


def test_replicas_that_differ_show_as_noise_that_grows_with_counts() -> None:
    placebo = _halves(np.random.default_rng(3), clump=1, pods=0.3, size=400.0)
    noise = placebo.noise(REPLICAS)
    # Var of the first half's share is sd²/2 of log-rates over 4; times four in units of θ(1-θ).
    assert noise.at(800.0) == pytest.approx(1 + 0.3**2 / 2 * 800, rel=0.25)


def test_noise_that_lasts_over_blocks_raises_the_long_run_variance() -> None:
    rng, placebo, level = np.random.default_rng(4), AATest(), 0.0
    for _ in range(3000):
        level = 0.97 * level + rng.normal(0, 0.1)
        x1, x2 = rng.poisson([60 * np.exp(level), 60])
        placebo = placebo.plus(float(x1), 1000.0, float(x2), 1000.0)
    assert placebo.noise(REPLICAS).vr > 3


def _slow(rng: np.random.Generator, share: float, wander: float) -> AATest:
    """A placebo about requests slower than a bound, which a share of them is; one half's share wanders slowly."""
    placebo, level = AATest(), 0.0
    for _ in range(4000):
        level = 0.97 * level + rng.normal(0, wander)
        x1, x2 = rng.binomial(2000, [share * np.exp(level), share])
        placebo = placebo.plus(float(x1), 2000.0, float(x2), 2000.0)
    return placebo


def test_what_lasts_is_held_against_what_single_blocks_are_taken_for() -> None:
    """Half of all requests exceed p50, and their number strays half as far as that of rare ones: so do its sums."""
    half, rare = (_slow(np.random.default_rng(5), share, 0.003) for share in (0.5, 0.01))
    noise = half.noise(REPLICAS)
    assert noise.phi == 1.0
    assert noise.vr > 1.7
    assert half.lasting(noise) == pytest.approx(half.squares / half.blocks * noise.vr, rel=0.02)
    assert half.lasting(noise) < 0.75 * noise.vr
    assert rare.lasting(rare.noise(REPLICAS)) == pytest.approx(rare.noise(REPLICAS).vr, rel=0.1)


def test_calm_blocks_never_make_evidence_count_for_more_than_it_says() -> None:
    calm = _slow(np.random.default_rng(6), 0.5, 0.0)
    assert calm.squares < 0.6 * calm.blocks
    assert calm.lasting(calm.noise(REPLICAS)) == 1.0


def test_without_data_the_prior_holds() -> None:
    assert (AATest().noise(REPLICAS).phi, AATest().noise(REPLICAS).kappa) == (1.5, 0.0)
    single = AATest().noise(SINGLE)
    assert (single.phi, single.kappa, single.vr) == (3.0, 0.05, 1.5)
    assert AATest().noise(CLEARING).phi == 1.0


def test_blocks_without_events_or_without_one_half_teach_nothing() -> None:
    placebo = AATest()
    assert placebo.plus(0.0, 100.0, 0.0, 100.0) is placebo
    assert placebo.plus(3.0, 100.0, 0.0, 0.0) is placebo


@pytest.mark.parametrize(("before", "after"), [((40.0, 40.0), (0.0, 40.0)), ((0.0, 40.0), (40.0, 40.0))])
def test_an_outage_that_begins_or_ends_is_hardly_noise(before: tuple[float, float], after: tuple[float, float]) -> None:
    quiet = _halves(np.random.default_rng(8), clump=1, pods=0.0, blocks=100, size=2.0)
    noise = quiet.plus(*before, *after).noise(CLEARING)
    assert noise.phi + noise.kappa * 4 < 1.5 * (1 + quiet.noise(CLEARING).kappa * 4)
    first = AATest().plus(*before, *after).noise(CLEARING)
    assert first.at(4.0) <= 2.0, "no block more than doubles what is believed"


def test_noise_that_is_really_high_is_learnt_whatever_single_blocks_may_teach() -> None:
    """Clumps of sixteen: nearly every block is a surprise at first."""
    noise = _halves(np.random.default_rng(9), clump=16, pods=0.0, blocks=300, size=60.0).noise(REPLICAS)
    assert noise.at(120.0) == pytest.approx(16, rel=0.3)


def _decided_after(gate: Gate, outage: float, seconds: int, canary: float, answer: GateAnswer, seed: int) -> int:
    """Scrapes of a second until this answer; stable, one replica, fails for its first seconds, then hardly ever."""
    rng = np.random.default_rng(seed)
    config = compile_gates(plan(gate, shares=(0.25, 1.0), hold=3600.0))

    def served(requests: float, errors: float) -> tuple[float, float]:
        n = rng.poisson(requests)
        return float(n), float(rng.binomial(n, errors))

    state = begin(config)
    for second in range(1, 31):
        state = update(config, state, block(second, None, served(40, outage if second <= seconds else 0.0), weight=0.0))
    for second in range(31, 2000):
        state = update(config, state, block(second, served(10, canary), served(30, 0.0)))
        if read(config, state, stage=0, now=second).gates[0].verdict is answer:
            return second - 30
    raise AssertionError("it was never decided")


@pytest.mark.parametrize(
    ("canary", "answer"), [(0.0, GateAnswer.PASS), (0.15, GateAnswer.FAIL)], ids=["a-good-canary", "a-bad-canary"]
)
@pytest.mark.parametrize("gate", [ERRORS_AT_MOST, IN_POINTS], ids=["absolute", "relative"])
@pytest.mark.parametrize(("outage", "seconds"), [(0.5, 10), (0.5, 9), (1.0, 5)])
def test_a_stable_variant_that_fails_for_its_first_seconds_delays_no_decision_much(
    gate: Gate, outage: float, seconds: int, canary: float, answer: GateAnswer
) -> None:
    undisturbed = [_decided_after(gate, 0.0, seconds, canary, answer, seed) for seed in range(3)]
    disturbed = [_decided_after(gate, outage, seconds, canary, answer, seed) for seed in range(3)]
    assert sorted(disturbed)[1] <= AS_FAST * sorted(undisturbed)[1]
