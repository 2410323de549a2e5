"""What each arm did since the stage began: the plain totals behind the values and sample counts of every verdict.

Part of the judge's memory, added to by `judge.py`, read by `gate_summary.py` and `threshold.py`. For people and for
thresholds; the sequential tests do not look here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import add

from canary.judge import bounds as bounds_
from canary.judge.arm_totals import ArmPair, ArmSums, Bounds
from canary.judge.config import GateConfig
from canary.judge.sums import by_name, counts, pair


@dataclass(frozen=True, slots=True)
class ArmTotals:
    """One arm."""

    requests: float = 0.0
    errors: float = 0.0
    errors_of: float = 0.0
    """Requests of replicas that also reported their errors."""
    histograms: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    kpis: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    totals: Mapping[str, float] = field(default_factory=dict)

    def plus(self, sums: ArmSums) -> "ArmTotals":
        """After another block of this arm."""
        return ArmTotals(
            self.requests + (sums.requests or 0.0),
            self.errors + (sums.errors or 0.0),
            self.errors_of + sums.errors_of,
            by_name(self.histograms, sums.histograms, counts),
            by_name(self.kpis, sums.kpis, pair),
            by_name(self.totals, sums.totals, add),
        )


@dataclass(frozen=True, slots=True)
class BothTotals:
    """Both arms."""

    canary: ArmTotals = ArmTotals()
    stable: ArmTotals = ArmTotals()

    def plus(self, sides: ArmPair) -> "BothTotals":
        """After another block."""
        return BothTotals(self.canary.plus(sides.canary), self.stable.plus(sides.stable))


@dataclass(frozen=True, slots=True)
class StageTotals:
    """What happened since the stage began."""

    arms: BothTotals = BothTotals()
    blocks: int = 0
    rate: float = 0.0
    """The canary's requests a second, lately."""

    def plus(self, sides: ArmPair, length: float) -> "StageTotals":
        """After another block of so many seconds; of 0 where its length is not known."""
        rate = self.rate
        if length > 0:
            now = (sides.canary.requests or 0.0) / length
            rate = now if rate == 0 else 0.9 * rate + 0.1 * now
        return StageTotals(self.arms.plus(sides), self.blocks + 1, rate)


def events_of(gate: GateConfig, totals: ArmTotals) -> tuple[float, float]:
    """Numerator and denominator of a KPI or of a ratio of totals."""
    if gate.series == "kpi":
        return totals.kpis.get(gate.name, (0.0, 0.0))
    of = totals.requests if gate.per == "requests" else totals.totals.get(gate.per, 0.0)
    return totals.totals.get(gate.name, 0.0) * gate.scale, of


def samples(gate: GateConfig, totals: ArmTotals) -> float:
    """Requests (or events' denominators) behind a gate's value."""
    match gate.series:
        case "errors":
            return totals.errors_of
        case "histogram":
            histogram = totals.histograms.get(gate.name)
            return histogram[-1] if histogram else 0.0
        case "kpi" | "total":
            return events_of(gate, totals)[1]
        case _:
            return totals.requests


def value(gate: GateConfig, totals: ArmTotals, known: Bounds) -> float | None:
    """The metric's value over the totals, in base units; None without data. `known` are the histograms' bounds."""
    match gate.series:
        case "errors":
            return totals.errors / totals.errors_of if totals.errors_of > 0 else None
        case "histogram":
            histogram = totals.histograms.get(gate.name)
            if not histogram or gate.quantile is None or gate.name not in known:
                return None
            return bounds_.quantile(gate.quantile, histogram, known[gate.name])
        case "kpi" | "total":
            events, of = events_of(gate, totals)
            return events / of if of > 0 else None
        case _:
            return None
