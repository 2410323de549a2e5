"""From the sums of a block to the numbers that each row of evidence is weighed with.

Called by `judge.py`. Knows the series of each case (errors, buckets, KPIs), the bounds in use and the margin of
relative gates; no statistics happen here.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from canary.judge.arms import ArmSums, Sides
from canary.judge.docket import Case, Docket
from canary.judge.evidence import Evidence, Numbers

NOTHING = (0.0, 0.0)
COLUMNS = tuple(field.name for field in fields(Numbers) if field.name != "single")
Pick = list[float]
"""Bound that accuses, bound that clears (-1: none), allowed ratio of exceedances, stable requests before."""


def numbers(
    docket: Docket,
    sides: Sides,
    picks: Mapping[str, Pick],
    evidence: Evidence,
    held: list[list[float]],
) -> tuple[Numbers, list[list[float]], list[bool]]:
    """The block's numbers, what one-replica placebos hold back for the next scrape, and which rows had canary data."""
    table: list[tuple[Any, ...]] = []
    keep: list[list[float]] = []
    told: list[bool] = []
    one_pod = not sides.halves[1].pods
    for case in docket.tested:
        pick = picks.get(case.gate.text)
        xv, nv = _counts(case, sides.canary, pick, 0)
        xc, nc = _counts(case, sides.stable, pick, 0)
        clear_xv, clear_xc = xv, xc
        if pick is not None and pick[0] != pick[1]:
            clear_xv, clear_xc = _counts(case, sides.canary, pick, 1)[0], _counts(case, sides.stable, pick, 1)[0]
        contrast = weight = information = 0.0
        if case.kind == "sums":
            contrast, weight, information = _contrast(case, sides)
        if one_pod:
            x1, n1 = held[case.row]
            x2, n2 = (xc, nc) if n1 > 0 else NOTHING
            keep.append([0.0, 0.0] if n1 > 0 and nc > 0 else [x1, n1] if n1 > 0 else [xc, nc])
            if n2 <= 0:
                x1, n1 = NOTHING
        else:
            x1, n1 = _counts(case, sides.halves[0], pick, 0)
            x2, n2 = _counts(case, sides.halves[1], pick, 0)
            keep.append([0.0, 0.0])
        rho = _allowed(case, pick, evidence)
        table.append((xv, nv, xc, nc, clear_xv, clear_xc, rho, contrast, weight, information, x1, n1, x2, n2))
        told.append(nv > 0 or weight > 0)
    columns = np.array(table, dtype=float).reshape(len(table), len(COLUMNS)).T
    return Numbers(**dict(zip(COLUMNS, columns, strict=True)), single=np.full(len(table), one_pod)), keep, told


def _counts(case: Case, arm: ArmSums, pick: Pick | None, side: int) -> tuple[float, float]:
    """Bad events and trials of one arm; zeros where there is no data."""
    if case.series == "errors":
        return (arm.errors, arm.errors_of) if arm.errors is not None else NOTHING
    if case.series == "histogram":
        histogram = arm.histograms.get(case.name)
        if histogram is None or pick is None:
            return NOTHING
        total = float(histogram[-1])
        index = int(pick[side])
        return (total - float(histogram[index]) if index >= 0 else total), total
    events, of = (arm.kpis if case.series == "kpi" else arm.totals).get(case.name, NOTHING)
    if case.kind == "sums":
        return events, of
    if events > of:
        return NOTHING
    return (events if case.gate.better == "lower" else of - events), of


def _contrast(case: Case, sides: Sides) -> tuple[float, float, float]:
    """For sums: harm of the canary beyond what is allowed, what its variance is proportional to, and its worth."""
    gate = case.gate
    sign = 1.0 if gate.better == "lower" else -1.0
    av, bv = _counts(case, sides.canary, None, 0)
    ac, bc = _counts(case, sides.stable, None, 0)
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


def _allowed(case: Case, pick: Pick | None, evidence: Evidence) -> float:
    """For relative counts: the rate of bad events that the canary may have, as a multiple of stable's."""
    gate = case.gate
    if not gate.relative or case.kind != "counts":
        return 1.0
    if case.series == "histogram":
        return pick[2] if pick is not None else 1.0
    if gate.margin == "relative":
        return 1 + gate.limit
    x, n, _ = evidence.slow[case.row]
    return float(1 + gate.limit * (n + 1) / (x + 0.5))
