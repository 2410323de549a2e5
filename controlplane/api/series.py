"""A rollout over time, for charts: weights, rates and each gate's values, in columns.

Used by the routes. Taken from the samples that a running rollout leaves beside its store; where there are none, from
its events, which are few but true.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from canary.rollout import Event
from canary.weights import ARMS

Point = tuple[float | None, float | None, float | None]
"""Stable, canary, limit."""
Bands = Mapping[str, Mapping[str, Sequence[Any]]]
"""By gate and arm the lowest and highest value that the counts allow."""
Row = tuple[float, Any, Any, Mapping[str, Sequence[Any]], Bands]
"""When, the share asked for and in force, the gates' points, their bands."""


class GateSeries(BaseModel):
    """One gate's values, as long as `t`; null where there was none."""

    gate: str
    stable: list[float | None]
    canary: list[float | None]
    limit: list[float | None]
    bands: dict[str, tuple[list[float | None], list[float | None]]] = Field(
        description="By arm the lowest and the highest value that the counts allow at every look together."
    )


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
        return _columns("samples", [_row_of(sample) for sample in samples])
    return _columns("events", _rows_of(events))


def _row_of(sample: Mapping[str, Any]) -> Row:
    gates, bands = sample.get("gates") or {}, sample.get("bands") or {}
    return sample["t"], sample.get("asked"), sample.get("in_force"), gates, bands


def _rows_of(events: Sequence[Event]) -> list[Row]:
    """A row for each change of weights or of a verdict; what did not change is carried on."""
    rows: list[Row] = []
    for event in events:
        gates: dict[str, Point] = {}
        said = event.evidence
        if event.event == "verdict" and isinstance(said.get("gate"), str):
            gates[said["gate"]] = (said.get("stable"), said.get("canary"), said.get("limit"))
        if event.event in {"weights", "verdict", "end"}:
            rows.append((max(event.t, 0.0), event.weight, None, gates, {}))
    return rows


def _columns(source: str, rows: Sequence[Row]) -> Series:
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
                bands={arm: _band(ordered, name, arm) for arm in ARMS},
            )
            for name in names
        ],
    )


def _band(rows: Sequence[Row], name: str, arm: str) -> tuple[list[float | None], list[float | None]]:
    """The ends of one arm's band; empty where there never was one."""
    of_gate = [row[4].get(name, {}) for row in rows]
    if not any(arm in bands for bands in of_gate):
        return [], []
    low, high = (_numbers(_part(bands, arm, end) for bands in of_gate) for end in (0, 1))
    return low, high


def _part(gates: Mapping[str, Sequence[Any]], name: str, index: int) -> Any:
    values = gates.get(name, ())
    return values[index] if len(values) > index else None


def _numbers(values: Iterable[Any]) -> list[float | None]:
    """JSON has no word for NaN and infinities: null means no data."""
    return [float(v) if isinstance(v, int | float) and abs(v) < float("inf") else None for v in values]
