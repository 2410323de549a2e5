"""Gates as rows: what is measured, both arms' values, the limit in force, the answer and why.

Made from the plan and the judge's verdicts; used by the picture. Values stay in base units.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from canary import format as fmt
from canary.rollout import Rollout
from canary.spec.gates import unit_of_values
from canary.spec.models import CanarySpec, Gate
from canary.spec.units import Unit
from canary.verdict import Edge, GateAnswer, GateVerdict
from canary.weights import Arm
from controlplane.view.marks import Marks
from controlplane.view.text import clean

Margin = Literal["", "relative", "points"]


@dataclass(frozen=True, slots=True)
class GateRow:
    """One gate with what both arms show. Values in base units."""

    label: str
    """Metric and statistic: `latency p95`."""
    unit: Unit
    stable: float | None
    canary: float | None
    limit: float | None
    """The limit in force; None while a relative one has no yardstick yet."""
    at_most: bool
    """Whether the limit is an upper one."""
    margin: float | None
    """For relative gates the distance allowed to stable; None for absolute ones."""
    margin_is: Margin
    verdict: GateAnswer
    why: str
    eta: float | None
    """Seconds until a WAIT is expected to be decided; None when unknown."""
    samples: Mapping[str, float]
    spoke: str
    gate: str = ""
    """As its owner wrote it: `latency p95 <= 200ms`."""
    edges: Mapping[Arm, Edge] = field(default_factory=dict)
    """By arm, where its value is only known to lie under, or over, that number."""

    def shown(self, arm: Arm) -> str:
        """An arm's value as people read it: `84 ms`, `under 300 ms`."""
        text = fmt.measure(self.stable if arm == "stable" else self.canary, self.unit)
        return f"{self.edges[arm]} {text}" if arm in self.edges else text


def gate_rows(spec: CanarySpec, rollout: Rollout) -> tuple[GateRow, ...]:
    """The stage's gates in the order of the plan, then whatever else spoke, such as the hard stop."""
    verdicts = {verdict.gate: verdict for verdict in rollout.verdicts}
    planned = spec.stages[rollout.stage].gates
    rows = [
        gate_row(gate, verdicts.pop(gate.text, GateVerdict(gate.text, GateAnswer.WAIT, "no evidence yet")))
        for gate in planned
    ]
    return (*rows, *(gate_row(None, verdict) for verdict in verdicts.values()))


def gate_row(gate: Gate | None, verdict: GateVerdict) -> GateRow:
    """A row; `gate` is None for a verdict without a gate in the plan, such as a share of failures at the hard stop."""
    relative = gate is not None and gate.relative
    if gate is None:
        own_limit, at_most = verdict.limit, True
    else:
        own_limit = None if relative else gate.limit
        at_most = gate.better == "lower" if relative else gate.comparison == "max"
    return GateRow(
        label=clean(verdict.gate if gate is None else " ".join(filter(None, (gate.metric, gate.statistic)))),
        unit=unit_of_values(verdict.gate),
        stable=verdict.stable,
        canary=verdict.canary,
        limit=verdict.limit if verdict.limit is not None else own_limit,
        at_most=at_most,
        margin=gate.limit if gate is not None and relative else None,
        margin_is=gate.margin if gate is not None and relative else "",
        verdict=verdict.verdict,
        why=clean(verdict.why),
        eta=verdict.eta,
        samples=verdict.samples,
        spoke=verdict.spoke,
        gate=clean(verdict.gate),
        edges=verdict.edges,
    )


def limit(row: GateRow, marks: Marks, *, margin: bool) -> str:
    """`≤ 200 ms`; for relative gates the limit in force and, where there is room, `stable +10 %`."""
    sign = marks.at_most if row.at_most else marks.at_least
    absolute = f"{sign} {fmt.measure(row.limit, row.unit)}"
    if row.margin is None:
        return absolute
    if row.margin_is == "relative":
        distance = fmt.share(row.margin)
    elif row.unit == "share":
        distance = f"{fmt.number(row.margin * 100)} pp"
    else:
        distance = fmt.measure(row.margin, row.unit)
    relative = f"stable {'+' if row.at_most else '-'}{distance}"
    if row.limit is None:
        return f"{sign} {relative}"
    return f"{absolute} ({relative})" if margin else absolute
