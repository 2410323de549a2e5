"""One gate as the API answers it: both arms' values with their intervals, the limit, what is gathered and needed, why.

Used by `state.py`. Values and sentences are the judge's own; nothing is computed but their words.
"""

from collections.abc import Mapping

from pydantic import BaseModel, Field

from canary import format as fmt
from canary.judge.confidence_sequence import Interval
from canary.judge.config import counted
from canary.spec.models import CanarySpec, Gate
from canary.weights import ARMS, Arm
from controlplane.adapters.prometheus_gates import query_of
from controlplane.readmodel.rollout_view import RolloutView
from controlplane.readmodel.value import TONES, Badge, Value, finite, seconds
from controlplane.view.gates import GateRow, limit
from controlplane.view.marks import UNICODE, of_answer
from controlplane.view.text import clean

NOTHING = 1e-3
"""A lower end below this part of the upper one is shown as zero: more digits would say nothing."""


class Band(BaseModel):
    """Between which values an arm is, at every look together with the judge's confidence."""

    low: float
    high: float
    text: str


class GateView(BaseModel):
    """One gate with both arms' values and the answer."""

    gate: str
    label: str
    unit: str
    stable: Value
    canary: Value
    limit: Value
    at_most: bool
    samples: dict[str, float]
    samples_text: str
    needed: Value = Field(description="Canary requests until it is expected to be decided, those gathered included.")
    gathered: str = Field(description="Samples gathered and needed, how long that takes, and which rule spoke.")
    bands: dict[str, Band] = Field(description="By arm; left out where the value is no count.")
    query: str = Field(
        description="Its owner's own PromQL as it is asked; for built-in metrics what a graph can draw, or empty."
    )
    query_link: str = Field(description="The same in Prometheus' own page; empty where no browser would get there.")
    badge: Badge
    why: str
    eta: Value
    spoke: str


def gate_view(row: GateRow, looked: RolloutView, spec: CanarySpec, band: Mapping[Arm, Interval]) -> GateView:
    """The gate of this row; `band` has both arms' intervals where there are any."""
    gate = next((each for each in spec.stages[looked.rollout.stage].gates if each.text == row.gate), None)
    symbol, style = of_answer(UNICODE, row.verdict)
    needed = _needed(row, gate, looked)
    query = _query(gate, looked)
    samples = ", ".join(f"{fmt.count(row.samples[arm])} on {arm}" for arm in ARMS if arm in row.samples)
    return GateView(
        gate=row.gate,
        label=row.label,
        unit=row.unit,
        stable=Value(value=finite(row.stable), text=row.shown("stable")),
        canary=Value(value=finite(row.canary), text=row.shown("canary")),
        limit=Value(value=finite(row.limit), text=limit(row, UNICODE, margin=True)),
        at_most=row.at_most,
        samples={clean(arm): count for arm, count in row.samples.items()},
        samples_text=samples or "none yet",
        needed=needed,
        gathered=_gathered(row, samples, needed),
        bands={arm: _band(band[arm], row) for arm in ARMS if arm in band},
        query=query,
        query_link="" if looked.graphs is None else looked.graphs.link(query),
        badge=Badge(symbol=symbol, word=row.verdict.value, tone=TONES[style]),
        why=row.why,
        eta=seconds(row.eta),
        spoke=row.spoke,
    )


def _gathered(row: GateRow, samples: str, needed: Value) -> str:
    """`31k on stable, 2.4k of about 3.5k on canary, about 3 min more; too little data so far`."""
    parts = [f"Samples: {samples or 'none yet'}"]
    if needed.value is not None:
        parts.append(f"about {needed.text} needed on canary")
    if row.eta:
        parts.append(f"about {seconds(row.eta).text} more")
    parts.append("too little data so far" if row.spoke == "data" else f"rule: {row.spoke}")
    return " · ".join(parts)


def _query(gate: Gate | None, looked: RolloutView) -> str:
    if gate is None:
        return ""
    if looked.graphs is not None:
        return looked.graphs.query(gate)
    return query_of(gate) if gate.asks else ""


def _band(ends: Interval, row: GateRow) -> Band:
    low, high = ends
    shown = low if low > high * NOTHING else 0.0
    return Band(low=low, high=high, text=f"{fmt.measure(shown, row.unit)} to {fmt.measure(high, row.unit)}")


def _needed(row: GateRow, gate: Gate | None, looked: RolloutView) -> Value:
    """Gathered so far, and what will have come when it is decided, at the present rate of requests."""
    rate, gathered = looked.rates.get("canary"), row.samples.get("canary")
    one_each = gate is not None and counted(gate) == "requests"
    if row.eta is None or rate is None or gathered is None or not one_each:
        return Value(value=None, text=fmt.DASH)
    needed = gathered + row.eta * rate
    return Value(value=needed, text=fmt.count(needed))
