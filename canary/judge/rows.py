"""From the sums of a block to the numbers that each gate's evidence is weighed with.

Called by `judge.py`. Knows the series of each case (errors, buckets, KPIs), the bounds in use and the margin of
relative gates; no statistics happen here.
"""

from collections.abc import Sequence

from canary.judge.arms import ArmSums, Sides
from canary.judge.bounds import Pick
from canary.judge.docket import Case
from canary.judge.evidence import Numbers

NOTHING = (0.0, 0.0)
NO_SUM = (0.0, 0.0, 0.0)


def numbers(case: Case, sides: Sides, pick: Pick | None, held: list[float]) -> tuple[Numbers, list[float]]:
    """What the block means to one case, and what is to be held for the next one instead of what is `held`.

    With a single stable replica a scrape is held, for the placebo of the next.
    """
    single = not sides.halves[1].pods
    (xv, nv), (xc, nc), *halves = counts(case, _arms(sides), pick, 0)
    clear_xv, clear_xc, summed = xv, xc, NO_SUM
    if pick is not None and pick[0] != pick[1]:
        (clear_xv, _), (clear_xc, _) = counts(case, (sides.canary, sides.stable), pick, 1)
    if case.kind == "sums":
        summed = _contrast(case, (xv, nv), (xc, nc))
    placebo, hold = (*NOTHING, *NOTHING), held
    if not single:
        placebo = (*halves[0], *halves[1])
    elif nc > 0:
        paired = held[1] > 0
        hold = [0.0, 0.0] if paired else [xc, nc]
        if paired:
            placebo = (held[0], held[1], xc, nc)
    rho = _allowed(case, pick)
    return Numbers(xv, nv, xc, nc, clear_xv, clear_xc, rho, *summed, *placebo, single), hold


def _arms(sides: Sides) -> tuple[ArmSums, ...]:
    """Canary and stable, and stable's halves where it has two."""
    return (sides.canary, sides.stable, *(sides.halves if sides.halves[1].pods else ()))


def counts(case: Case, arms: Sequence[ArmSums], pick: Pick | None, side: int) -> list[tuple[float, float]]:
    """Bad events and trials of each arm (for sums: the sum and its denominator); zeros where there is no data."""
    if case.series == "errors":
        return [NOTHING if arm.errors is None else (arm.errors, arm.errors_of) for arm in arms]
    if case.series != "histogram":
        return [_events(case, arm) for arm in arms]
    if pick is None:
        return [NOTHING] * len(arms)
    index = int(pick[side])
    return [_slow(arm.histograms.get(case.name), index) for arm in arms]


def _slow(histogram: Sequence[float] | None, index: int) -> tuple[float, float]:
    """Requests beyond the bound of this index (all of them for -1), and all."""
    if histogram is None:
        return NOTHING
    total = histogram[-1]
    return (total - histogram[index] if index >= 0 else total), total


def _events(case: Case, arm: ArmSums) -> tuple[float, float]:
    """Bad events and trials of a KPI or of a ratio of totals; for sums the sum and its denominator."""
    events, of = events_of(case, arm)
    if case.kind == "sums":
        return events, of
    if events > of:
        return NOTHING
    return (events if case.gate.better == "lower" else of - events), of


def events_of(case: Case, arm: ArmSums) -> tuple[float, float]:
    """Numerator and denominator of a KPI or of a ratio of totals."""
    if case.series == "kpi":
        return arm.kpis.get(case.name, NOTHING)
    events = arm.totals.get(case.name)
    of = arm.requests if case.per == "requests" else arm.totals.get(case.per)
    return NOTHING if events is None or of is None else (events * case.scale, of)


def _contrast(case: Case, canary: tuple[float, float], stable: tuple[float, float]) -> tuple[float, float, float]:
    """For sums: harm of the canary beyond what is allowed, what its variance is proportional to, and its worth.

    Both arms come as a sum and its denominator.
    """
    gate = case.gate
    sign = 1.0 if gate.better == "lower" else -1.0
    (av, bv), (ac, bc) = canary, stable
    if bv <= 0:
        return 0.0, 0.0, 0.0
    if not gate.relative:
        return sign * (av - gate.limit * bv), bv, bv
    if bc <= 0:
        return 0.0, 0.0, 0.0
    weight = bv * bc / (bv + bc)
    share = bv / (bv + bc)
    information = min(weight, abs(av + ac) * share * (1 - share))
    if gate.margin == "points":
        contrast = sign * (av * bc - ac * bv) / (bv + bc) - gate.limit * weight
    else:
        contrast = sign * (av * bc - (1 + sign * gate.limit) * ac * bv) / (bv + bc)
    return contrast, weight, information


def _allowed(case: Case, pick: Pick | None) -> float:
    """For relative counts: the rate of bad events that the canary may have, as a multiple of stable's.

    Margins in points do without it.
    """
    gate = case.gate
    if not gate.relative or case.kind != "counts":
        return 1.0
    if case.series == "histogram":
        return pick[2] if pick is not None else 1.0
    return 1 + gate.limit
