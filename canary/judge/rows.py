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


def numbers(case: Case, arms: Sequence[ArmSums], pick: Pick | None, held: list[float]) -> tuple[Numbers, list[float]]:
    """What a block, by `told_apart`, means to one case, and what is held for the next one instead of what is `held`.

    With a single stable replica a scrape is held, for the placebo of the next.
    """
    (xv, nv), (xc, nc), *halves = counts(case, arms, pick, 0)
    clear_xv, clear_xc = xv, xc
    if pick is not None and pick[0] != pick[1]:
        (clear_xv, _), (clear_xc, _) = counts(case, arms[:2], pick, 1)
    summed = _contrast(case, (xv, nv), (xc, nc)) if case.kind == "sums" else NO_SUM
    rho = case.rho if pick is None else pick[2]
    told = xv, nv, xc, nc, clear_xv, clear_xc, rho, *summed
    if halves:
        return Numbers(*told, *halves[0], *halves[1], single=False), held
    if nc > 0 and held[1] > 0:
        return Numbers(*told, held[0], held[1], xc, nc, single=True), [0.0, 0.0]
    return Numbers(*told, *NOTHING, *NOTHING, single=True), [xc, nc] if nc > 0 else held


def told_apart(sides: Sides) -> tuple[ArmSums, ...]:
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
    index, name = int(pick[side]), case.name
    return [_slow(arm.histograms.get(name), index) for arm in arms]


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
    if not case.relative:
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
