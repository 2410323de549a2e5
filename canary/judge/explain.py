"""The smallest change that would flip a verdict: for people who ask why, never part of a decision.

A verdict that waits flips with more requests like those so far; one that has passed or failed, with another limit.
That limit is found by asking the likelihood ratio again about the totals, so it is close to, not exactly, where the
running evidence would have turned. Also here: the noise floor, the difference that stable shows against itself.
Called by `judge.py` for `why` and `plan`.
"""

import math
from collections.abc import Callable

from canary import format as fmt
from canary.judge import bounds, messages, risk_difference_test, share_test
from canary.judge.config import GateConfig
from canary.judge.gate_summary import GateSummary
from canary.judge.noise import REPLICAS
from canary.judge.portable_math import exp, log, log1p, log_sum
from canary.verdict import GateAnswer, GateVerdict

ROUNDS = 50


def smallest_change(facts: GateSummary, verdict: GateVerdict) -> str:
    """One sentence; empty where nothing sensible can be said."""
    case = facts.gate
    if case.params is None or not case.params.counts:
        return _more(facts, verdict)
    if verdict.verdict is GateAnswer.WAIT:
        return _more(facts, verdict)
    failed = verdict.verdict is GateAnswer.FAIL
    if case.series == "histogram" and not case.relative:
        return _other_latency(facts, failed=failed)
    turning = _turning_point(facts, failed=failed)
    if turning is None:
        return ""
    allowed = _allowed(case, turning, facts)
    return f"It would {'not have failed' if failed else 'still have passed'} with {allowed}."


def _more(facts: GateSummary, verdict: GateVerdict) -> str:
    """What a WAIT needs."""
    more = facts.samples_missing()
    if verdict.verdict is not GateAnswer.WAIT or more is None or facts.beyond:
        return ""
    eta = facts.seconds_for(more)
    when = f", about {fmt.duration(eta)}" if eta is not None else ""
    needed = f"{fmt.count(math.ceil(more))} more canary {facts.gate.counted}"
    return f"It would pass with about {needed} like those so far{when}."


def _other_latency(facts: GateSummary, *, failed: bool) -> str:
    """For a latency limit: the bucket bound that the canary's quantile lies under."""
    case = facts.gate
    histogram, edges = facts.arms.canary.histograms.get(case.name), facts.known.get(case.name)
    if not histogram or not edges or case.quantile is None:
        return ""
    value = bounds.quantile(case.quantile, histogram, edges)
    bound = next((edge for edge in edges if value is not None and edge >= value), math.inf)
    if math.isinf(bound):
        return "No limit that its buckets can tell would have changed that."
    return f"It would {'not have failed' if failed else 'still have passed'} with a limit of {fmt.seconds(bound)}."


def _turning_point(facts: GateSummary, *, failed: bool) -> float | None:
    """The share (against a limit) or ratio (against stable) at which the totals would say otherwise."""
    e = facts.e
    relative = facts.gate.relative
    if failed:
        (xv, nv, xc, nc), noise = e.onset.since, e.baseline.aa_test.noise(REPLICAS)
        needed = facts.config.fails_at - log(max(facts.gate.weight, 1e-9))
    else:
        (xv, nv), (xc, nc) = facts.bad_of(facts.arms.canary), facts.bad_of(facts.arms.stable)
        noise = e.clearing_noise
        needed = facts.config.passes_at
    if nv <= 0 or (relative and nc <= 0):
        return None

    points = facts.gate.params is not None and facts.gate.params.points is not None

    def evidence(allowed: float) -> float:
        if points:
            counts = (xv, nv, xc, nc)
            grown = (
                risk_difference_test.growths(counts, allowed, harmful=failed)
                if risk_difference_test.usable(counts)
                else [0.0]
            )
            return _log_mean([growth / (noise.phi * noise.vr) for growth in grown])
        trials = xv + xc if relative else nv
        null = nv * allowed / (nv * allowed + nc) if relative else allowed
        if not share_test.usable(trials, null):
            return 0.0
        hits, null = (xv, null) if failed else (trials - xv, 1 - null)
        return _log_evidence(facts.gate, hits, trials, null, noise.phi * noise.vr)

    low, high = (1e-3, 1e3) if relative and not points else (1e-7, 1 - 1e-7)
    # Evidence against falls as more is allowed, evidence for rises: either way there is one place where it turns.
    return _bisect(lambda allowed: (evidence(allowed) < needed) == failed, low, high)


def _log_evidence(case: GateConfig, hits: float, trials: float, null: float, noise: float) -> float:
    """The likelihood ratio on totals, averaged over effect sizes, without the cap of single scrapes."""
    grid = case.params.grid if case.params is not None else ()
    growth = [(hits * log_ratio - trials * log1p(null * more)) / noise for more, log_ratio in grid]
    return _log_mean(growth)


def _log_mean(growth: list[float]) -> float:
    """Log of the mean of the exponentials."""
    return log_sum(growth) - log(len(growth))


def _bisect(turned: Callable[[float], bool], low: float, high: float) -> float | None:
    """Where `turned` becomes true between `low` and `high` (in logarithms); None if it does nowhere."""
    if turned(low) or not turned(high):
        return None
    for _ in range(ROUNDS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if turned(middle) else (middle, high)
    return high


def _allowed(case: GateConfig, turning: float, facts: GateSummary) -> str:
    """The turning point as a limit or margin in the gate's own terms."""
    if not case.relative:
        value = turning if case.gate.better == "lower" else 1 - turning
        return f"a limit of {messages.amount(case.unit, value)}"
    if case.params is not None and case.params.points is not None:
        return f"a margin of {fmt.share(turning)} (absolute)"
    if case.series == "histogram":
        return f"{turning:.2g} times as many slow requests as stable's, where {facts.rho():.2g} times are allowed"
    return f"a margin of {fmt.share(max(turning - 1, 0.0))}"


def noise_floor(facts: GateSummary, over: float) -> float | None:
    """By how much stable differs from itself over so many seconds, as a fraction: two standard deviations.

    For latency it is a factor on latency less one. None until there are enough blocks to tell. A margin below this
    cannot be told from noise in that time.
    """
    placebo, interval = facts.e.baseline.aa_test, facts.memory.clock.interval
    if placebo.blocks < 10 or interval <= 0 or placebo.x <= 0:
        return None
    noise = facts.e.clearing_noise
    events = placebo.x / placebo.blocks
    # Two halves of the events: the log of their ratio has variance noise / (events θ(1-θ)) a block, with θ = 1/2.
    spread = math.sqrt(4 * noise.at(events) * noise.vr / events / max(over / interval, 1.0))
    ratio = exp(2 * spread)
    if facts.gate.series != "histogram":
        return ratio - 1
    return _slower(facts, ratio)


def _slower(facts: GateSummary, ratio: float) -> float | None:
    """How much slower an arm is that exceeds the bound `ratio` times as often."""
    history, edges, pick = facts.population.history.get(facts.gate.name), facts.known.get(facts.gate.name), facts.pick
    if pick is None or history is None or edges is None:
        return None
    index = pick.clears
    factor = _bisect(lambda slower: bounds.allowed_ratio(index, slower, history, edges) >= ratio, 1.0, 100.0)
    return factor - 1 if factor is not None else None
