"""Counted readings beyond a limit, for `test: threshold`, gauges and user-written queries.

What people know from other tools: one reading beyond the limit more than `failures` times decides. No guarantee about
false rollbacks comes with it. Called by `judge.py`; the counts live in the judge's memory and start anew each stage.
"""

from dataclasses import dataclass, replace

from canary.judge import stage_totals as tally_
from canary.judge.arm_totals import ArmPair, Bounds
from canary.judge.config import GateConfig
from canary.judge.increments import Increments
from canary.judge.stage_totals import BothTotals
from canary.spec.models import Gate


@dataclass(frozen=True, slots=True)
class Readings:
    """The readings of one gate since the stage began."""

    since: float
    """When the present window began (seconds)."""
    count: int = 0
    breaches: int = 0
    """How many of them were beyond the limit."""
    canary: float | None = None
    """The last reading."""
    stable: float | None = None
    beyond: bool = False
    """Whether the last one was beyond the limit."""
    samples: float = 0.0
    first_breach: float | None = None
    """When the first one was beyond the limit (seconds)."""
    parts: BothTotals | None = None
    """What the present window holds so far."""

    def clock_moved(self, by: float) -> "Readings":
        """The source's clock was set: ages stay what they were."""
        first = None if self.first_breach is None else self.first_breach + by
        return replace(self, since=self.since + by, first_breach=first)


def look(
    gate: GateConfig,
    before: Readings,
    block: Increments,
    sides: ArmPair,
    alone: BothTotals,
    known: Bounds,
    seconds: float,
) -> Readings:
    """The readings after a block that was so many seconds long; `alone` are its sums by arm."""
    rule = gate.gate
    full = block.t - before.since >= (rule.window or 0.0)
    if gate.series in {"gauge", "rate", "query"}:
        canary, stable = _momentary(gate, block, sides, seconds)
        if canary is None or (rule.relative and stable is None):
            return before
        samples = before.samples + (sides.canary.requests or 0.0)
        now = replace(before, canary=canary, stable=stable, samples=samples)
        return _count(rule, now, block.t) if full else now
    parts = alone if before.parts is None else before.parts.plus(sides)
    canary, stable = tally_.value(gate, parts.canary, known), tally_.value(gate, parts.stable, known)
    if not full or canary is None or (rule.relative and stable is None):
        return replace(before, parts=parts)
    samples = before.samples + tally_.samples(gate, parts.canary)
    now = replace(before, parts=None, since=block.t, canary=canary, stable=stable, samples=samples)
    return _count(rule, now, block.t)


def _count(gate: Gate, now: Readings, t: float) -> Readings:
    """One more reading counted, if there were samples enough."""
    if now.canary is None or (gate.min_samples is not None and now.samples < gate.min_samples):
        return now
    beyond = is_beyond(gate, now.canary, now.stable)
    first = t if beyond and now.first_breach is None else now.first_breach
    breaches = now.breaches + beyond
    return replace(now, since=t, count=now.count + 1, breaches=breaches, beyond=beyond, first_breach=first)


def is_beyond(gate: Gate, canary: float, stable: float | None) -> bool:
    """Whether one reading is on the wrong side of the limit."""
    limit = limit_of(gate, stable)
    if limit is None:
        return False
    return canary > limit if gate.better == "lower" else canary < limit


def limit_of(gate: Gate, stable: float | None) -> float | None:
    """The limit in base units; relative ones follow stable's value."""
    if not gate.relative:
        return gate.limit
    if stable is None:
        return None
    sign = 1 if gate.better == "lower" else -1
    return stable + sign * gate.limit if gate.margin == "points" else stable * (1 + sign * gate.limit)


def _momentary(
    gate: GateConfig, block: Increments, sides: ArmPair, seconds: float
) -> tuple[float | None, float | None]:
    """Momentary values of both arms: the query's answer, requests a second, or the worst replica's gauge."""
    if gate.series == "rate":
        return _rate(sides.canary.requests, seconds), _rate(sides.stable.requests, seconds)
    readings = block.readings.get(gate.gate.text, {})
    worst = max if gate.gate.better == "lower" else min
    gauges = [side.gauges.get(gate.name) for side in (sides.canary, sides.stable)]
    canary = readings.get("canary", worst(gauges[0]) if gauges[0] else None)
    stable = readings.get("stable", worst(gauges[1]) if gauges[1] else None)
    return canary, stable


def _rate(requests: float | None, seconds: float) -> float | None:
    """Requests a second."""
    return None if requests is None or seconds <= 0 else requests / seconds
