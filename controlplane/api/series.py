"""A rollout over time, for charts: weights, rates and each gate's values, in columns.

Used by the routes. Taken from the samples that a running rollout leaves beside its store; where there are none, from
its events, which are few but true.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from canary.rollout import Event

Point = tuple[float | None, float | None, float | None]
"""Stable, canary, limit."""


class GateSeries(BaseModel):
    """One gate's values, as long as `t`; null where there was none."""

    gate: str
    stable: list[float | None]
    canary: list[float | None]
    limit: list[float | None]


class Series(BaseModel):
    """Columns of equal length."""

    source: str = Field(description="samples (about one a second, rarer as it gets older) or events")
    t: list[float] = Field(description="Seconds since the rollout began.")
    asked: list[float | None] = Field(description="The canary's share asked for.")
    in_force: list[float | None] = Field(description="The canary's share seen in force.")
    gates: list[GateSeries]


def series(samples: Sequence[Mapping[str, Any]], events: Sequence[Event]) -> Series:
    """All that is known of one attempt."""
    if samples:
        rows = [(s["t"], s.get("asked"), s.get("in_force"), s.get("gates") or {}) for s in samples]
        return _columns("samples", rows)
    return _columns("events", _rows_of(events))


def _rows_of(events: Sequence[Event]) -> list[tuple[float, float, None, dict[str, Point]]]:
    """A row for each change of weights or of a verdict; what did not change is carried on."""
    rows: list[tuple[float, float, None, dict[str, Point]]] = []
    for event in events:
        gates: dict[str, Point] = {}
        said = event.evidence
        if event.event == "verdict" and isinstance(said.get("gate"), str):
            gates[said["gate"]] = (said.get("stable"), said.get("canary"), said.get("limit"))
        if event.event in {"weights", "verdict", "end"}:
            rows.append((max(event.t, 0.0), event.weight, None, gates))
    return rows


def _columns(source: str, rows: Sequence[tuple[float, Any, Any, Mapping[str, Sequence[Any]]]]) -> Series:
    ordered = sorted(rows, key=lambda row: row[0])
    names = dict.fromkeys(name for row in ordered for name in row[3])
    return Series(
        source=source,
        t=[row[0] for row in ordered],
        asked=_numbers(row[1] for row in ordered),
        in_force=_numbers(row[2] for row in ordered),
        gates=[
            GateSeries(
                gate=name,
                stable=_numbers(_part(row[3], name, 0) for row in ordered),
                canary=_numbers(_part(row[3], name, 1) for row in ordered),
                limit=_numbers(_part(row[3], name, 2) for row in ordered),
            )
            for name in names
        ],
    )


def _part(gates: Mapping[str, Sequence[Any]], name: str, index: int) -> Any:
    values = gates.get(name, ())
    return values[index] if len(values) > index else None


def _numbers(values: Iterable[Any]) -> list[float | None]:
    """JSON has no word for NaN and infinities: null means no data."""
    return [float(v) if isinstance(v, int | float) and abs(v) < float("inf") else None for v in values]
