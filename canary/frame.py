"""Frames: all that went into a rollout's decisions, in order, so that they can be made again.

Noted by `controlplane.reconcile.recording`, kept by a store, decided again by `canary.replay`. `advance` is a pure
function, so what it was given is all there is to keep; a look that changed nothing is not worth a frame. As text, a
frame says only what is different from the one before it: `FrameEncoder` and `FrameDecoder` go through them in order.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json

from canary.rollout import Rollout
from canary.snapshot import Counters, Snapshot


@dataclass(frozen=True, slots=True)
class Begun:
    """A rollout began."""

    at: float
    name: str
    revision: str
    attempt: int
    plan: str
    """Its plan, as `canary.spec.stored` writes it."""


@dataclass(frozen=True, slots=True)
class Taught:
    """The judge was shown what stable did before the rollout."""

    at: float
    history: tuple[Counters, ...]


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """After a restart, the judge was shown what had happened meanwhile."""

    at: float
    history: tuple[Counters, ...]


@dataclass(frozen=True, slots=True)
class Looked:
    """A pass decided upon this snapshot."""

    at: float
    seen: Snapshot


@dataclass(frozen=True, slots=True)
class NotWatched:
    """The clock moved by so many seconds more than the loop had watched; they were not counted."""

    at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Restated:
    """The state was another one than the frames before lead to: some of what happened is not on record."""

    at: float
    rollout: Rollout


Frame = Begun | Taught | Rebuilt | Looked | NotWatched | Restated

_KINDS: Mapping[str, TypeAdapter[Any]] = {
    kind.__name__.lower(): TypeAdapter(kind) for kind in (Begun, Taught, Rebuilt, Looked, NotWatched, Restated)
}


class FrameEncoder:
    """Writes frames as lines of JSON, each snapshot as what is new in it."""

    def __init__(self) -> None:
        self._seen: dict[str, Any] = {}
        """The snapshot before, field by field."""

    def line(self, frame: Frame) -> str:
        """One frame. Frames come in their order."""
        kind = type(frame).__name__.lower()
        plain = _KINDS[kind].dump_python(frame)
        if isinstance(frame, Looked):
            plain["seen"] = self._what_is_new(plain["seen"])
        return json.dumps({"frame": kind, **plain}, ensure_ascii=False, separators=(",", ":"))

    def _what_is_new(self, seen: dict[str, Any]) -> dict[str, Any]:
        flat = _flat(seen)
        new = {key: value for key, value in flat.items() if key not in self._seen or self._seen[key] != value}
        self._seen = flat
        return new


class FrameDecoder:
    """Reads the lines that `FrameEncoder` wrote, from their beginning."""

    def __init__(self) -> None:
        self._seen: dict[str, Any] = {}

    def frame(self, line: str) -> Frame:
        """One frame; raises ValueError for anything else."""
        plain = from_json(line)
        if not isinstance(plain, dict) or plain.get("frame") not in _KINDS:
            raise ValueError("not a frame of a recording")
        kind = plain.pop("frame")
        if kind == "looked":
            self._seen |= plain.get("seen", {})
            plain["seen"] = _deep(self._seen)
        frame: Frame = _KINDS[kind].validate_python(plain)
        return frame


def frames_of(lines: Iterable[str]) -> Iterator[Frame]:
    """All frames of a recording's lines; raises ValueError with the number of a line that is none."""
    reader = FrameDecoder()
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield reader.frame(line)
            except ValueError as error:
                raise ValueError(f"line {number}: {str(error).splitlines()[0]}") from error


def _flat(seen: dict[str, Any]) -> dict[str, Any]:
    """The evidence's fields beside the others: its totals are most of a snapshot, and new only once a scrape."""
    flat = {key: value for key, value in seen.items() if key != "evidence"}
    return flat | {f"evidence.{key}": value for key, value in seen["evidence"].items()}


def _deep(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The snapshot's own shape again."""
    prefix = "evidence."
    evidence = {key.removeprefix(prefix): value for key, value in flat.items() if key.startswith(prefix)}
    return {key: value for key, value in flat.items() if not key.startswith(prefix)} | {"evidence": evidence}
