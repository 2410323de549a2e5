"""What each arm did since the stage began: the plain totals behind the values and sample counts of every verdict.

Kept in the judge's memory as lists, added to by `judge.py`, read by `verdicts.py` and `threshold.py`. For people and
for thresholds; the sequential tests do not look here.
"""

from operator import add
from typing import Any

from canary.judge import bounds as bounds_
from canary.judge.arms import ArmSums, Sides
from canary.judge.config import GateConfig
from canary.judge.sums import by_name, counts, pair
from canary.weights import Arm

Tally = dict[str, Any]


def empty() -> Tally:
    """Nothing yet."""
    return {"requests": 0.0, "errors": 0.0, "errors_of": 0.0, "histograms": {}, "kpis": {}, "totals": {}}


NOTHING: dict[Arm, Tally] = {"canary": empty(), "stable": empty()}
"""Both arms' tallies before a stage has begun; for reading only."""


def both(tallies: dict[Arm, Tally], sides: Sides) -> dict[Arm, Tally]:
    """Both arms' tallies after another block."""
    return {"canary": plus(tallies["canary"], sides.canary), "stable": plus(tallies["stable"], sides.stable)}


def plus(tally: Tally, sums: ArmSums) -> Tally:
    """The tally after another block of this arm."""
    return {
        "requests": tally["requests"] + (sums.requests or 0.0),
        "errors": tally["errors"] + (sums.errors or 0.0),
        "errors_of": tally["errors_of"] + sums.errors_of,
        "histograms": by_name(tally["histograms"], sums.histograms, counts),
        "kpis": {name: list(both) for name, both in by_name(tally["kpis"], sums.kpis, pair).items()},
        "totals": by_name(tally["totals"], sums.totals, add),
    }


def begin(memory: dict[str, Any]) -> None:
    """A stage begins: tallies, blocks and rate of a population anew."""
    memory["tally"], memory["blocks"], memory["rate"] = NOTHING, 0, 0.0


def count(memory: dict[str, Any], sides: Sides) -> None:
    """Add a block to a population's tallies, and note how fast its requests come."""
    memory["blocks"] += 1
    memory["tally"] = both(memory["tally"], sides)
    if memory["length"] > 0:
        rate = (sides.canary.requests or 0.0) / memory["length"]
        memory["rate"] = rate if memory["rate"] == 0 else 0.9 * memory["rate"] + 0.1 * rate


def events_of(case: GateConfig, tally: Tally) -> tuple[float, float]:
    """Numerator and denominator of a KPI or of a ratio of totals."""
    if case.series == "kpi":
        events, of = tally["kpis"].get(case.name, (0.0, 0.0))
        return events, of
    of = tally["requests"] if case.per == "requests" else tally["totals"].get(case.per, 0.0)
    return tally["totals"].get(case.name, 0.0) * case.scale, of


def samples(case: GateConfig, tally: Tally) -> float:
    """Requests (or events' denominators) behind a case's value."""
    if case.series == "errors":
        return float(tally["errors_of"])
    if case.series == "histogram":
        histogram = tally["histograms"].get(case.name)
        return float(histogram[-1]) if histogram else 0.0
    if case.series in {"kpi", "total"}:
        return float(events_of(case, tally)[1])
    return float(tally["requests"])


def value(case: GateConfig, tally: Tally, known: dict[str, list[float]]) -> float | None:
    """The metric's value over the tally, in base units; None without data. `known` are the histograms' bounds."""
    series = case.series
    if series == "errors":
        return tally["errors"] / tally["errors_of"] if tally["errors_of"] > 0 else None
    if series == "histogram":
        histogram, quantile = tally["histograms"].get(case.name), case.quantile
        if not histogram or quantile is None or case.name not in known:
            return None
        return bounds_.quantile(quantile, histogram, known[case.name])
    if series in {"kpi", "total"}:
        events, of = events_of(case, tally)
        return events / of if of > 0 else None
    return None
