"""A gate's evidence: seldom high for the healthy, quick for the harmed, whole through restarts and changing shares."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from canary.judge import compile_gates, onset_prior
from canary.judge.e_process import EProcess, EProcessParams, EvidenceRequest, GateCounts, update
from tests.canary.judge.worlds import ERRORS_AT_MOST, ERRORS_LIKE_STABLE, plan

RELATIVE = compile_gates(plan(ERRORS_LIKE_STABLE)).tested[0].params
ABSOLUTE = compile_gates(plan(ERRORS_AT_MOST)).tested[0].params


def _walk(
    params: EProcessParams | None,
    rng: np.random.Generator,
    *,
    canary: float,
    stable: float,
    blocks: int,
    clump: int = 1,
    e: EProcess | None = None,
) -> tuple[EProcess, list[float], list[float]]:
    """Blocks of 1000 requests, first at 5, then 25, then 75 %; the base rate drifts by half an order."""
    assert params is not None
    e = e or EProcess()
    against, in_favour = [], []
    for k in range(blocks):
        share = (0.05, 0.25, 0.75)[3 * k // blocks]
        drift = math.exp(0.5 * math.sin(k / 40)) if params.limit is None else 1.0
        n_v, n_c = 1000 * share, 1000 * (1 - share)
        x_v = clump * rng.poisson(n_v * canary * drift / clump)
        x1, x2 = clump * rng.poisson([n_c / 2 * stable * drift / clump] * 2)
        block = GateCounts(x_v, n_v, x1 + x2, n_c, x_v, x1 + x2, 1.1, x1=x1, n1=n_c / 2, x2=x2, n2=n_c / 2)
        spend = onset_prior.first(3) if k == 0 else onset_prior.between(5.0 * (k - 1), 5.0 * k, 5.0 * blocks)
        e = update(e, params, block, EvidenceRequest(5.0 * k, spend, k % 50 == 0))
        against.append(e.log_e)
        in_favour.append(e.passing.log_e)
    return e, against, in_favour


def _ever(runs: list[float], level: float) -> tuple[float, float]:
    """Share of runs beyond a level, and its standard error at the level's own promise."""
    promise = math.exp(-level)
    return sum(run >= level for run in runs) / len(runs), math.sqrt(promise * (1 - promise) / len(runs))


@pytest.mark.parametrize("clump", [1, 4])
def test_a_canary_at_its_tolerance_is_seldom_ever_accused(clump: int) -> None:
    """80 rollouts, 300 looks each, at exactly 10 % more errors, share and base rate changing: at most 5 %, and 3 SE."""
    rng = np.random.default_rng(11)
    runs = [max(_walk(RELATIVE, rng, canary=0.011, stable=0.01, blocks=300, clump=clump)[1]) for _ in range(80)]
    rate, error = _ever(runs, math.log(20))
    assert rate <= 0.05 + 3 * error


def test_an_arm_of_one_restless_replica_is_seldom_accused_of_being_slower_than_p50() -> None:
    """Half of the requests are slow, and each replica's latency wanders for minutes: 60 rollouts of 200 looks.

    Stable's halves have nine such replicas each and nine times the requests, so what they show is what the canary has.
    """
    assert RELATIVE is not None
    rng, pods, runs = np.random.default_rng(18), (1, 9, 9), []
    for _ in range(60):
        e, most, wander = EProcess(), -math.inf, np.zeros(3)
        for k in range(-200, 200):
            wander = 0.85 * wander + rng.normal(0, 0.03, 3) / np.sqrt(pods)
            n_v, n_1, n_2 = 50.0, 450.0, 450.0
            x_v, x_1, x_2 = rng.binomial([50, 450, 450], 0.5 * np.exp(wander)).tolist()
            block = GateCounts(x_v, n_v, x_1 + x_2, n_1 + n_2, x_v, x_1 + x_2, 1.02, x1=x_1, n1=n_1, x2=x_2, n2=n_2)
            spend = onset_prior.between(5.0 * (k - 1), 5.0 * k, 1000.0) if k > 0 else onset_prior.first(3)
            e = update(e, RELATIVE, block, EvidenceRequest(5.0 * k, spend, k % 50 == 0) if k >= 0 else None)
            most = max(most, e.log_e)
        runs.append(most)
    assert _ever(runs, math.log(20))[0] <= 0.05


def test_the_expected_evidence_of_a_healthy_canary_is_at_most_one() -> None:
    """Monte Carlo of the expectation itself, after 60 looks, for canaries at the limit."""
    rng = np.random.default_rng(12)
    ends = np.exp([_walk(ABSOLUTE, rng, canary=0.05, stable=0.01, blocks=60)[1][-1] for _ in range(250)])
    assert ends.mean() <= 1 + 3 * ends.std() / math.sqrt(len(ends))


def test_a_canary_at_the_limit_is_seldom_passed() -> None:
    """What speaks for a canary is an e-process too: at exactly the limit it reaches 20 in at most 5 % of stages."""
    rng = np.random.default_rng(13)
    runs = [max(_walk(ABSOLUTE, rng, canary=0.05, stable=0.01, blocks=120)[2]) for _ in range(150)]
    rate, error = _ever(runs, math.log(20))
    assert rate <= 0.05 + 3 * error


def test_twenty_times_the_errors_are_found_in_a_few_blocks() -> None:
    _, against, _ = _walk(RELATIVE, np.random.default_rng(14), canary=0.1, stable=0.005, blocks=12)
    assert max(against) >= math.log(100)


def test_a_better_canary_earns_its_pass_and_no_accusation() -> None:
    _, against, in_favour = _walk(RELATIVE, np.random.default_rng(15), canary=0.004, stable=0.01, blocks=300)
    assert max(against) < 1
    assert in_favour[-1] > math.log(20)


def test_zero_errors_clear_a_limit_with_about_four_over_the_limit_requests() -> None:
    """3.0 over the limit for the best bettor alone, and one nat more for betting on all sizes."""
    assert ABSOLUTE is not None
    e, requests = EProcess(), 0
    while e.passing.log_e < math.log(20):
        requests += 1
        e = update(e, ABSOLUTE, GateCounts(0, 1, 0, 19), EvidenceRequest(float(requests), 0.0, opens=False))
    assert 60 <= requests <= 90


def test_what_speaks_for_the_canary_begins_anew_with_a_stage_and_what_speaks_against_it_does_not() -> None:
    assert RELATIVE is not None
    e, _, _ = _walk(RELATIVE, np.random.default_rng(16), canary=0.012, stable=0.01, blocks=60)
    assert e.passing.clear != (1.0,) * 8
    after = update(
        e.beginning_stage(), RELATIVE, GateCounts(0, 1, 0, 1, rho=1.1), EvidenceRequest(301.0, 0.0, opens=False)
    )
    assert after.passing.clear == (1.0,) * 8
    assert after.passing.sums == (0.0, 0.0)
    assert after.against.bet == e.against.bet


def test_evidence_goes_on_after_a_restart_as_if_nothing_had_happened() -> None:
    """Written to JSON and read back in the middle, the rest of the walk is the same to the last bit."""
    whole, _, _ = _walk(RELATIVE, np.random.default_rng(17), canary=0.02, stable=0.01, blocks=40)
    adapter = TypeAdapter(EProcess)
    copy = adapter.validate_json(json.dumps(adapter.dump_python(whole)))
    assert copy == whole
    assert RELATIVE is not None
    block = GateCounts(3, 50, 9, 950, 3, 9, 1.1, x1=4, n1=475, x2=5, n2=475)
    asked = EvidenceRequest(205.0, 0.001, opens=True)
    assert update(copy, RELATIVE, block, asked) == update(whole, RELATIVE, block, asked)


def test_when_stable_breaks_the_limit_too_the_canary_is_not_accused_of_it() -> None:
    """A shared outage: both arms at 20 % where 5 % is allowed."""
    _, against, _ = _walk(ABSOLUTE, np.random.default_rng(18), canary=0.2, stable=0.2, blocks=60)
    assert max(against) < math.log(20)


@pytest.mark.parametrize("beyond", [0.055, 0.065, 0.1])
def test_r8_a_service_a_little_beyond_the_limit_is_seldom_blamed_on_the_canary(beyond: float) -> None:
    """Both arms alike at 5.5 to 10 % where 5 % is allowed, on and on: 25 rollouts of 240 looks."""
    rng = np.random.default_rng(28)
    highest = [max(_walk(ABSOLUTE, rng, canary=beyond, stable=beyond, blocks=240)[1]) for _ in range(25)]
    assert sum(most >= math.log(20) for most in highest) <= 2
    assert ABSOLUTE is not None
    alone = replace(ABSOLUTE, union=False)
    assert max(_walk(alone, rng, canary=0.1, stable=0.1, blocks=120)[1]) > math.log(100), "a plan may insist on it"


def test_where_stable_has_no_traffic_the_limit_alone_decides() -> None:
    assert ABSOLUTE is not None
    e = EProcess()
    for k in range(10):
        e = update(e, ABSOLUTE, GateCounts(90, 1000), EvidenceRequest(5.0 * k, 0.5 * (k == 0), opens=k == 0))
    assert e.log_e > math.log(100)


def test_a_state_of_before_gets_its_case_of_being_worse_than_stable() -> None:
    """What an earlier build left has none: it begins as if it had said nothing so far, and finds harm as soon."""
    assert ABSOLUTE is not None
    rng = np.random.default_rng(29)
    e, _, _ = _walk(ABSOLUTE, rng, canary=0.01, stable=0.01, blocks=60)
    _, against, _ = _walk(ABSOLUTE, rng, canary=0.3, stable=0.01, blocks=12, e=replace(e, worse=None))
    assert against[0] < math.log(20)
    assert max(against) >= math.log(100)


def test_a_canary_much_worse_than_a_stable_beyond_the_limit_is_accused_all_the_same() -> None:
    _, against, _ = _walk(ABSOLUTE, np.random.default_rng(19), canary=0.6, stable=0.1, blocks=30)
    assert max(against) >= math.log(100)


def test_when_stable_alone_degrades_the_canary_neither_suffers_nor_profits() -> None:
    """Ten times the errors on stable: no case against the canary, and none for it."""
    assert RELATIVE is not None
    rng = np.random.default_rng(20)
    e, _, _ = _walk(RELATIVE, rng, canary=0.01, stable=0.01, blocks=90)
    before, cleared = e.log_e, e.passing.log_e
    for k in range(30):
        x1, x2 = rng.poisson([375 * 0.1] * 2)
        block = GateCounts(rng.poisson(2.5), 250, x1 + x2, 750, 2, x1 + x2, 1.1, x1=x1, n1=375, x2=x2, n2=375)
        e = update(e, RELATIVE, block, EvidenceRequest(450.0 + 5 * k, 0.0, opens=False))
    assert e.log_e <= before + 0.01
    assert e.passing.log_e <= cleared + 1.0


def test_harm_is_dated_from_where_the_evidence_began_to_rise() -> None:
    assert RELATIVE is not None
    rng = np.random.default_rng(21)
    e, _, _ = _walk(RELATIVE, rng, canary=0.01, stable=0.01, blocks=60)
    e, against, _ = _walk(RELATIVE, rng, canary=0.2, stable=0.01, blocks=6, e=e)
    assert against[-1] > math.log(100)
    assert e.onset.since[0] > 20


numbers = st.floats(0, 1e6, allow_nan=False)


@settings(max_examples=150, deadline=None)
@given(
    blocks=st.lists(st.tuples(*[numbers] * 8, st.floats(0.1, 50), st.floats(-1e9, 1e9)), max_size=12),
    counted=st.sampled_from([RELATIVE, ABSOLUTE, "sums"]),
)
def test_no_block_whatever_gives_infinity_or_nonsense(
    blocks: list[tuple[float, ...]], counted: EProcessParams | str | None
) -> None:
    """Counts of any size and in any relation, even impossible ones, leave finite numbers that JSON can write."""
    assert RELATIVE is not None
    params = replace(RELATIVE, counts=False) if isinstance(counted, str) else counted
    assert params is not None
    e = EProcess()
    for k, (xv, more_v, x1, more_1, x2, more_2, weight, information, rho, contrast) in enumerate(blocks):
        nc, xc = x1 + more_1 + x2 + more_2, x1 + x2
        block = GateCounts(xv, xv + more_v, xc, nc, xv, xc, rho, contrast, weight, information)
        block = block._replace(x1=x1, n1=x1 + more_1, x2=x2, n2=x2 + more_2)
        e = update(e, params, block, EvidenceRequest(float(k), 0.1, k % 2 == 0))
        assert math.isfinite(e.log_e)
        assert math.isfinite(e.passing.log_e)
        json.dumps(TypeAdapter(EProcess).dump_python(e), allow_nan=False)
