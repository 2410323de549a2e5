"""Counted readings beyond a limit, for `test: threshold`, gauges and user-written queries.

What people know from other tools: one reading beyond the limit more than `failures` times decides. No guarantee about
false rollbacks comes with it. Called by `judge.py`; the counts live in the judge's memory and start anew each stage.
"""

from typing import Any

from canary.judge import tally as tally_
from canary.judge.arms import Sides
from canary.judge.block import Block
from canary.judge.config import GateConfig
from canary.judge.tally import Tally
from canary.spec.models import Gate
from canary.weights import Arm

Looks = dict[str, Any]


def empty(t: float) -> Looks:
    """No reading yet; `since` is when the present window began."""
    return {
        "since": t,
        "looks": 0,
        "breaches": 0,
        "canary": None,
        "stable": None,
        "beyond": False,
        "samples": 0.0,
        "first_breach": None,
        "parts": None,
    }


def look(
    case: GateConfig,
    looks: Looks,
    block: Block,
    sides: Sides,
    alone: dict[Arm, Tally],
    known: dict[str, list[float]],
    seconds: float,
) -> Looks:
    """The readings after a block that was so many seconds long; `alone` are its sums by arm."""
    gate = case.gate
    window = gate.window or 0.0
    if case.series in {"gauge", "rate", "query"}:
        canary, stable = _momentary(case, block, sides, seconds)
        if canary is None or (gate.relative and stable is None):
            return looks
        now = {
            **looks,
            "canary": canary,
            "stable": stable,
            "samples": looks["samples"] + (sides.canary.requests or 0.0),
        }
        return _count(gate, now, block.t) if block.t - looks["since"] >= window else now
    before = looks["parts"]
    parts = alone if before is None else tally_.both(before, sides)
    canary, stable = tally_.value(case, parts["canary"], known), tally_.value(case, parts["stable"], known)
    now = {**looks, "parts": parts}
    if block.t - looks["since"] < window or canary is None or (gate.relative and stable is None):
        return now
    samples = looks["samples"] + tally_.samples(case, parts["canary"])
    now |= {"parts": None, "since": block.t, "canary": canary, "stable": stable, "samples": samples}
    return _count(gate, now, block.t)


def _count(gate: Gate, looks: Looks, t: float) -> Looks:
    """One more reading counted, if there were samples enough."""
    if gate.min_samples is not None and looks["samples"] < gate.min_samples:
        return looks
    beyond = is_beyond(gate, looks["canary"], looks["stable"])
    first = looks["first_breach"] if looks["first_breach"] is not None or not beyond else t
    return {
        **looks,
        "since": t,
        "looks": looks["looks"] + 1,
        "breaches": looks["breaches"] + beyond,
        "beyond": beyond,
        "first_breach": first,
    }


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


def _momentary(case: GateConfig, block: Block, sides: Sides, seconds: float) -> tuple[float | None, float | None]:
    """Momentary values of both arms: the query's answer, requests a second, or the worst replica's gauge."""
    if case.series == "rate":
        return _rate(sides.canary.requests, seconds), _rate(sides.stable.requests, seconds)
    readings = block.readings.get(case.gate.text, {})
    worst = max if case.gate.better == "lower" else min
    gauges = [side.gauges.get(case.name) for side in (sides.canary, sides.stable)]
    canary = readings.get("canary", worst(gauges[0]) if gauges[0] else None)
    stable = readings.get("stable", worst(gauges[1]) if gauges[1] else None)
    return canary, stable


def _rate(requests: float | None, seconds: float) -> float | None:
    """Requests a second."""
    return None if requests is None or seconds <= 0 else requests / seconds
