"""How sure one may be of each arm's value: intervals that hold however often one looks, for charts and cards.

Called by views, never by the judge: a verdict weighs the arms against each other and needs no interval. That of a
share is the beta-binomial confidence sequence (Robbins 1970; Howard, Ramdas, McAuliffe and Sekhon 2021, section 4.1),
its counts divided by the noise that the judge has measured; that of a quantile is the one of its share, carried over
to values (Howard and Ramdas 2022). Gates without counts have none. `docs/judge.md` says what the noise is.
"""

from canary.judge.arm_totals import Bounds
from canary.judge.bounds import quantile
from canary.judge.config import GateConfig, JudgeConfig
from canary.judge.gate_summary import GateSummary
from canary.judge.noise import CLEARING
from canary.judge.portable_math import exp, expm1, log, log_gamma
from canary.judge.stage_totals import ArmTotals, events_of
from canary.judge.state import JudgeState
from canary.weights import Arm

Interval = tuple[float, float]
PRIOR = 0.5
"""Of the mixture: Beta(1/2, 1/2), which favours neither rare nor frequent events."""
CLOSE = 1e-9
"""By how much of itself an end may be off, which is more than a screen can show; a handful of steps comes there,"""
MOST_STEPS = 30
"""and never more than so many."""
NOTHING = -700.0
"""The logarithm of a share that is as good as none."""


def intervals(config: JudgeConfig, state: JudgeState, *, stage: int) -> dict[str, dict[Arm, Interval]]:
    """By gate text and arm the lowest and highest value that the stage's counts allow, in base units.

    Each holds at every look together with probability `judge.confidence`. Left out where there is nothing to count.
    """
    memory = state.memory
    if memory is None or memory.stage.index != stage:
        return {}
    found: dict[str, dict[Arm, Interval]] = {}
    arms: tuple[tuple[Arm, ArmTotals], ...]
    for case in config.by_stage[stage]:
        facts = GateSummary.of(config, case, memory, memory.everything, here=True)
        noise = facts.e.baseline.aa_test.noise(CLEARING) if case.params is not None else None
        arms = (("stable", facts.arms.stable), ("canary", facts.arms.canary))
        for arm, totals in arms:
            bad, n = _counts(case, totals)
            if n > 0:
                a_block = bad / max(memory.everything.totals.blocks, 1)
                clumping = 1.0 if noise is None else max(noise.at(a_block) * noise.vr, 1.0)
                ends = _ends(case, totals, facts.known, bad, n, clumping, config.beta)
                if ends is not None:
                    found.setdefault(case.text, {})[arm] = ends
    return found


def share_interval(hits: float, trials: float, alpha: float) -> Interval:
    """The shares that `hits` of `trials` allow at every look together, but for a chance of `alpha`.

    Both counts may be fractions (counts divided by their noise); `trials` is above 0.
    """
    misses = max(trials - hits, 0.0)
    mixture = _log_beta(hits + PRIOR, misses + PRIOR) - _log_beta(PRIOR, PRIOR)
    bound, peak = mixture + log(alpha), hits / trials
    return min(_lowest(hits, misses, bound), peak), max(1 - _lowest(misses, hits, bound), peak)


def _lowest(hits: float, misses: float, bound: float) -> float:
    """The smallest share whose likelihood `share ** hits * (1 - share) ** misses` is not below that bound (logarithms).

    By Newton's steps in the share's logarithm: the function is concave there, so that from below none goes too far.
    """
    if hits == 0 or bound / hits < NOTHING:
        return 0.0
    end = bound / hits  # where it would be if the misses said nothing
    for _ in range(MOST_STEPS):
        share, others = exp(end), -expm1(end)
        step = (bound - hits * end - misses * log(others)) / (hits - misses * share / others)
        end += step
        if step < CLOSE:
            break
    return exp(end)


def _counts(case: GateConfig, totals: ArmTotals) -> tuple[float, float]:
    """Events and trials of one arm; no trials where the gate's value is no count."""
    match case.series:
        case "errors":
            return totals.errors, totals.errors_of
        case "histogram" if case.quantile is not None and totals.histograms.get(case.name):
            n = totals.histograms[case.name][-1]
            return (1 - case.quantile) * n, n
        case "kpi" | "total" if case.unit == "share":
            events, of = events_of(case, totals)
            return (events, of) if 0 <= events <= of else (0.0, 0.0)
    return 0.0, 0.0


def _ends(
    case: GateConfig, totals: ArmTotals, known: Bounds, bad: float, n: float, clumping: float, alpha: float
) -> Interval | None:
    low, high = share_interval(bad / clumping, n / clumping, alpha)
    if case.series != "histogram":
        return low, high
    if case.name not in known:
        return None
    histogram, edges = totals.histograms[case.name], known[case.name]
    ends = quantile(1 - high, histogram, edges), quantile(1 - low, histogram, edges)
    return None if ends[0] is None or ends[1] is None else (ends[0], ends[1])


def _log_beta(a: float, b: float) -> float:
    return log_gamma(a) + log_gamma(b) - log_gamma(a + b)
