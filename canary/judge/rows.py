"""From the sums of a block to the numbers that each gate's evidence is weighed with.

Called by `judge.py`. Knows the series of each case (errors, buckets, KPIs), the bounds in use and the margin of
relative gates; no statistics happen here.
"""

from canary.judge.arms import ArmSums, Sides
from canary.judge.bounds import Pick
from canary.judge.docket import Case
from canary.judge.evidence import Evidence, Numbers

NOTHING = (0.0, 0.0)


def numbers(case: Case, sides: Sides, pick: Pick | None, e: Evidence) -> Numbers:
    """What the block means to one case. With a single stable replica, `e.held` keeps a scrape for the placebo."""
    xv, nv = counts(case, sides.canary, pick, 0)
    xc, nc = counts(case, sides.stable, pick, 0)
    row = Numbers(xv, nv, xc, nc, xv, xc, _allowed(case, pick))
    if pick is not None and pick[0] != pick[1]:
        row.clear_xv, row.clear_xc = counts(case, sides.canary, pick, 1)[0], counts(case, sides.stable, pick, 1)[0]
    if case.kind == "sums":
        row.contrast, row.weight, row.information = _contrast(case, (xv, nv), (xc, nc))
    if sides.halves[1].pods:
        row.x1, row.n1 = counts(case, sides.halves[0], pick, 0)
        row.x2, row.n2 = counts(case, sides.halves[1], pick, 0)
        return row
    row.single = True
    if nc > 0 and e.held[1] > 0:
        (row.x1, row.n1), (row.x2, row.n2) = e.held, (xc, nc)
        e.held = [0.0, 0.0]
    elif nc > 0:
        e.held = [xc, nc]
    return row


def counts(case: Case, arm: ArmSums, pick: Pick | None, side: int) -> tuple[float, float]:
    """Bad events and trials of one arm (for sums: the sum and its denominator); zeros where there is no data."""
    if case.series == "errors":
        return (arm.errors, arm.errors_of) if arm.errors is not None else NOTHING
    if case.series == "histogram":
        histogram = arm.histograms.get(case.name)
        if histogram is None or pick is None:
            return NOTHING
        total, index = histogram[-1], int(pick[side])
        return (total - histogram[index] if index >= 0 else total), total
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
