"""From the sums of a block to the numbers that each gate's evidence is weighed with.

Called by `judge.py`. Knows the series of each case (errors, buckets, KPIs), the bounds in use and the margin of
relative gates; no statistics happen here.
"""

from collections.abc import Sequence

from canary.judge.arm_totals import ArmPair, ArmSums
from canary.judge.bounds import Pick
from canary.judge.config import GateConfig
from canary.judge.e_process import GateCounts

NOTHING = (0.0, 0.0)
NO_SUM = (0.0, 0.0, 0.0)


def numbers(case: GateConfig, arms: Sequence[ArmSums], pick: Pick | None, held: Sequence[float]) -> GateCounts:
    """What a block, by `told_apart`, means to one gate. With a single stable replica the scrape before is `held`."""
    (xv, nv), (xc, nc), *halves = counts(case, arms, None if pick is None else pick.accuses)
    clear_xv, clear_xc, rho, clear_rho = xv, xc, case.rho, None
    if pick is not None:
        rho = pick.ratio
        if pick.accuses != pick.clears and case.relative:
            (clear_xv, _), (xc, nc), *halves = counts(case, arms, pick.clears)
            clear_xc, rho, clear_rho = xc, 1.0, pick.ratio
        elif pick.accuses != pick.clears:
            (clear_xv, _), (clear_xc, _) = counts(case, arms[:2], pick.clears)
    summed = worse = NO_SUM
    if case.kind == "sums":
        summed = _contrast(case, (xv, nv), (xc, nc))
        if case.params is not None and case.params.union:
            worse = _worse(case, (xv, nv), (xc, nc), otherwise=summed)
    seen = xv, nv, xc, nc, clear_xv, clear_xc, rho, *summed, worse, clear_rho
    if halves:
        return GateCounts(*seen, *halves[0], *halves[1])
    x1, n1 = held
    if nc > 0 and n1 > 0:
        return GateCounts(*seen, x1, n1, xc, nc, single=True)
    return GateCounts(*seen, single=True)


def told_apart(sides: ArmPair) -> tuple[ArmSums, ...]:
    """Canary and stable, and stable's halves where it has two."""
    return (sides.canary, sides.stable, *(sides.halves if sides.halves[1].pods else ()))


def counts(case: GateConfig, arms: Sequence[ArmSums], index: int | None) -> list[tuple[float, float]]:
    """Bad events and trials of each arm (for sums: the sum and its denominator); zeros where there is no data.

    Of a histogram these are the requests beyond the bound at `index` (all of them where it is -1), and all.
    """
    if case.series == "errors":
        return [NOTHING if arm.errors is None else (arm.errors, arm.errors_of) for arm in arms]
    if case.series != "histogram":
        return [_events(case, arm) for arm in arms]
    if index is None:
        return [NOTHING] * len(arms)
    name = case.name
    told = []
    for arm in arms:
        histogram = arm.histograms.get(name)
        if histogram is None:
            told.append(NOTHING)
        else:
            total = histogram[-1]
            told.append((total - histogram[index] if index >= 0 else total, total))
    return told


def _events(case: GateConfig, arm: ArmSums) -> tuple[float, float]:
    """Bad events and trials of a KPI or of a ratio of totals; for sums the sum and its denominator."""
    events, of = events_of(case, arm)
    if case.kind == "sums":
        return events, of
    if events > of:
        return NOTHING
    return (events if case.gate.better == "lower" else of - events), of


def events_of(case: GateConfig, arm: ArmSums) -> tuple[float, float]:
    """Numerator and denominator of a KPI or of a ratio of totals."""
    if case.series == "kpi":
        return arm.kpis.get(case.name, NOTHING)
    events = arm.totals.get(case.name)
    of = arm.requests if case.per == "requests" else arm.totals.get(case.per)
    return NOTHING if events is None or of is None else (events * case.scale, of)


def _contrast(case: GateConfig, canary: tuple[float, float], stable: tuple[float, float]) -> tuple[float, float, float]:
    """For sums: harm of the canary beyond what is allowed, what its variance is proportional to, and its worth.

    Both arms come as a sum and its denominator.
    """
    gate = case.gate
    sign = 1.0 if gate.better == "lower" else -1.0
    av, bv = canary
    if bv <= 0:
        return NO_SUM
    if not case.relative:
        return sign * (av - gate.limit * bv), bv, bv
    if stable[1] <= 0:
        return NO_SUM
    if gate.margin == "points":
        contrast, weight, information = _against_stable(sign, 0.0, canary, stable)
        return contrast - gate.limit * weight, weight, information
    return _against_stable(sign, gate.limit, canary, stable)


def _worse(
    case: GateConfig,
    canary: tuple[float, float],
    stable: tuple[float, float],
    *,
    otherwise: tuple[float, float, float],
) -> tuple[float, float, float]:
    """For sums with a limit: the same of being worse than stable; `otherwise` where stable has nothing to compare."""
    if stable[1] <= 0:
        return otherwise
    contrast, weight, _ = _against_stable(1.0 if case.gate.better == "lower" else -1.0, 0.0, canary, stable)
    return contrast, weight, weight  # as against the limit: what the sum is in dollars or marks says nothing


def _against_stable(
    sign: float, margin: float, canary: tuple[float, float], stable: tuple[float, float]
) -> tuple[float, float, float]:
    """Contrast, weight and information of a sum that is worse than stable's by more than `margin` times that."""
    (av, bv), (ac, bc) = canary, stable
    if bv <= 0:
        return NO_SUM
    weight, share = bv * bc / (bv + bc), bv / (bv + bc)
    information = min(weight, abs(av + ac) * share * (1 - share))
    return sign * (av * bc - (1 + sign * margin) * ac * bv) / (bv + bc), weight, information
