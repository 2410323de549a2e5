"""A rollout as a trace: its stages, analyses, shifts and rollback as spans, made from the history alone.

Used by `controlplane.view.log` for the ids of log lines and by `tracer.py` for what is exported. Ids follow from what a
span is about, so a restart, another replica and a log line all name the same one. Pure: no clock, no random source.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from canary.rollout import Event, Phase

NAMES = {
    Phase.PENDING: "pending",
    Phase.PREPARING: "prepare",
    Phase.EVALUATING: "evaluation",
    Phase.SHADOWING: "shadow",
    Phase.SHIFTING: "shift",
    Phase.ANALYZING: "analysis",
    Phase.AWAITING_APPROVAL: "approval",
    Phase.PAUSED: "pause",
    Phase.PROMOTING: "shift",
    Phase.WATCHING: "watch",
    Phase.ROLLING_BACK: "rollback",
    Phase.BLIND: "blind",
}
"""What a phase is called as a span; phases that are an end are none."""
STAGED = frozenset({Phase.SHIFTING, Phase.ANALYZING, Phase.AWAITING_APPROVAL, Phase.PROMOTING, Phase.WATCHING})
"""Phases that belong to a stage. A pause or blindness within one does, too."""
BAD = frozenset({"rolled_back", "failed"})


@dataclass(frozen=True, slots=True)
class Point:
    """Something that happened within a span."""

    at: float
    name: str
    attributes: Mapping[str, Any]


@dataclass(slots=True)
class Span:
    """A part of a rollout with a beginning and, once it has one, an end; seconds since the epoch."""

    key: str
    """What it is about, unique within its trace."""
    name: str
    began: float
    parent: str = ""
    """The parent's key; empty for the rollout itself."""
    ended: float | None = None
    failed: str = ""
    """Why it is an error, as a sentence; empty where it is none."""
    attributes: dict[str, Any] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)


def trace_id(rollout: str, attempt: int, began: float, namespace: str = "") -> str:
    """128 bits in hexadecimal: of one attempt, wherever and whenever they are asked for.

    `began`: seconds since the epoch, to the second: of two rollouts with deleted state in between, both are number 1.
    """
    return _digest(f"{namespace}/{rollout}/{attempt}/{round(began)}", 16)


def trace_of(event: Event, namespace: str = "") -> str:
    """The trace that an entry of the history belongs to."""
    return trace_id(event.rollout, event.attempt, event.at - event.t, namespace)


def span_id(trace: str, key: str) -> str:
    """64 bits in hexadecimal."""
    return _digest(f"{trace}/{key}", 8)


def span_of(event: Event, namespace: str = "") -> str:
    """The id of the span that an entry of the history begins or falls into, as far as the entry alone can tell."""
    trace = trace_of(event, namespace)
    return span_id(trace, f"{event.id}" if event.event == "phase" and event.phase in NAMES else "rollout")


def spans(events: Sequence[Event]) -> list[Span]:
    """The spans of one attempt's history, which may be cut off at its beginning; the rollout itself comes first."""
    if not events:
        return []
    return list(_Teller(events[0]).tell(events))


class _Teller:
    """Goes through a history once."""

    def __init__(self, first: Event) -> None:
        self._root = Span("rollout", f"rollout {first.rollout}", first.at - first.t)
        attempt = first.attempt
        self._root.attributes = {
            "serinus.rollout": first.rollout,
            "serinus.attempt": attempt,
            "serinus.revision": first.revision,
        }
        self._stage: Span | None = None
        self._phase: Span | None = None

    def tell(self, events: Sequence[Event]) -> Iterator[Span]:
        """All spans, each when it begins; they go on changing until the last event."""
        yield self._root
        for event in events:
            if event.event == "phase":
                yield from self._change(event)
            elif event.event == "end":
                self._end(event)
            else:
                self._point(event)

    def _change(self, event: Event) -> Iterator[Span]:
        if self._phase is not None:
            self._phase.ended = event.at
        within = event.phase in STAGED or (self._stage is not None and event.phase in {Phase.PAUSED, Phase.BLIND})
        if self._stage is not None and not (within and self._stage.attributes["serinus.stage"] == event.stage):
            self._stage.ended, self._stage = event.at, None
        if within and self._stage is None:
            key, name = f"stage/{event.id}", f"stage {event.stage + 1}"
            self._stage = Span(key, name, event.at, self._root.key, attributes={"serinus.stage": event.stage})
            yield self._stage
        self._phase = None
        if event.phase in NAMES:
            parent = self._stage if within and self._stage is not None else self._root
            self._phase = Span(event.id, NAMES[event.phase], event.at, parent.key, attributes=_attributes(event))
            if event.phase is Phase.ROLLING_BACK:
                self._phase.failed = self._root.failed = event.message
            yield self._phase

    def _point(self, event: Event) -> None:
        span = self._phase or self._root
        facts = {"serinus.message": event.message, "serinus.weight": event.weight}
        for name in ("gate", "verdict", "canary", "stable", "limit", "by"):
            if isinstance(value := event.evidence.get(name), str | int | float):
                facts[f"serinus.{name}"] = value
        span.points.append(Point(event.at, event.event, facts))

    def _end(self, event: Event) -> None:
        for span in (self._phase, self._stage, self._root):
            if span is not None:
                span.ended = event.at
        result = str(event.evidence.get("result", ""))
        self._root.attributes["serinus.result"] = result
        self._root.failed = event.message if result in BAD else ""
        for name in ("harm_began", "decided", "zero", "decided_to_zero"):
            if isinstance(value := event.evidence.get(name), int | float):
                self._root.attributes[f"serinus.{name}"] = float(value)


def _attributes(event: Event) -> dict[str, Any]:
    return {
        "serinus.phase": event.phase.value,
        "serinus.stage": event.stage,
        "serinus.weight": event.weight,
        "serinus.reason": event.reason.value,
        "serinus.message": event.message,
    }


def _digest(text: str, size: int) -> str:
    return hashlib.sha256(text.encode()).digest()[:size].hex()
