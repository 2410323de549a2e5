"""What a running rollout leaves beside its store for viewers in other processes: its last look, and samples over time.

Written by `controlplane.program` after each pass, at most once a second; read by the API. Neither file decides
anything: when they cannot be written the rollout goes on, and when they are missing the store alone is shown.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from canary.errors import Unavailable
from canary.judge import compile_gates
from canary.judge.confidence_sequence import Interval, intervals
from canary.rollout import Rollout
from canary.snapshot import Snapshot
from canary.spec.models import CanarySpec
from canary.verdict import GateVerdict
from canary.weights import Arm, Weights
from controlplane.private_files import open_private, read_file, read_json, replace_file
from controlplane.view.pace import RefreshPace

PERIOD = 1.0
"""Seconds between two writes."""
SAMPLES_PER_AGE = 500.0
"""Samples get rarer as a rollout gets older (a 500th of its age apart), so that four weeks cost a megabyte or two."""


@dataclass(frozen=True, slots=True)
class Live:
    """The last look of the process that carries a rollout out."""

    name: str
    attempt: int
    events: int
    """How many events there had been: tells whether it belongs to what the store says."""
    at: float
    """When, in seconds since the epoch."""
    seen: Snapshot
    """Without the totals themselves; only when they were read."""
    rates: Mapping[Arm, float] = field(default_factory=dict)
    """Requests a second by arm."""
    verdicts: tuple[GateVerdict, ...] = ()
    bands: Mapping[str, Mapping[Arm, Interval]] = field(default_factory=dict)
    """By gate and arm the values that the counts allow."""


_LIVE = TypeAdapter(Live)


class LiveRecord:
    """Writes both files for whatever rollout it is shown."""

    def __init__(self, folder: Path, now: Callable[[], float], spec: CanarySpec | None = None) -> None:
        """`now`: seconds since the epoch. Without the plan there are no intervals."""
        self._folder, self._now = folder, now
        self._config = compile_gates(spec) if spec is not None else None
        self._pace = RefreshPace()
        self._told: tuple[int, int] = (0, 0)
        self._split: tuple[Weights, Weights | None] | None = None
        self._written = self._sampled = float("-inf")

    def note(self, rollout: Rollout, seen: Snapshot) -> None:
        """Take in one pass. Returns at once and never raises for the disk's sake."""
        rates, now = self._pace.take(seen.evidence.counters), self._now()
        told, split = (rollout.attempt, rollout.events), (rollout.weights, seen.route.weights)
        moved, self._split = split != self._split, split
        if now - self._written < PERIOD and told == self._told and not moved:
            return
        self._written, self._told = now, told
        with suppress(OSError, ValueError, TypeError):  # a text that cannot be written must not stop a rollout either
            bands = {} if self._config is None else intervals(self._config, rollout.judge, stage=rollout.stage)
            self._write(Live(rollout.name, *told, now, _without_totals(seen), rates, rollout.verdicts, bands))
            if moved or now - self._sampled >= max(PERIOD, (now - rollout.began) / SAMPLES_PER_AGE):
                self._sampled = now
                self._append(rollout, seen, rates, bands, now)

    def _write(self, live: Live) -> None:
        replace_file(self._folder / "live.json", json.dumps(_LIVE.dump_python(live), separators=(",", ":")))

    def _append(
        self,
        rollout: Rollout,
        seen: Snapshot,
        rates: Mapping[Arm, float],
        bands: Mapping[str, Mapping[Arm, Interval]],
        now: float,
    ) -> None:
        weights = seen.route.weights
        line = {
            "t": round(now - rollout.began, 3),
            "asked": rollout.weights.share,
            "in_force": None if weights is None else weights.share,
            "rates": dict(rates),
            "gates": {v.gate: [v.stable, v.canary, v.limit] for v in rollout.verdicts},
            "bands": bands,
        }
        with open_private(_samples_file(self._folder, rollout.name, rollout.attempt), "a") as file:
            file.write(json.dumps(line, separators=(",", ":")) + "\n")


def read_live(folder: Path, name: str) -> Live | None:
    """The last look at this rollout; None where there is none or it cannot be understood."""
    try:
        live = _LIVE.validate_python(read_json(folder / "live.json"))
    except (Unavailable, ValidationError):
        return None
    return live if live.name == name else None


def read_samples(folder: Path, name: str, attempt: int) -> Sequence[Mapping[str, Any]]:
    """The samples of one attempt, oldest first; a line that a crash cut off is left out."""
    samples = []
    try:
        lines = (read_file(_samples_file(folder, name, attempt)) or b"").splitlines()
    except Unavailable:
        return []
    for line in lines:
        with suppress(ValueError):
            sample = from_json(line)
            if isinstance(sample, dict) and isinstance(sample.get("t"), int | float):
                samples.append(sample)
    return samples


def _samples_file(folder: Path, name: str, attempt: int) -> Path:
    return folder / f"samples-{name}-{attempt}.jsonl"


def _without_totals(seen: Snapshot) -> Snapshot:
    """A look without what only the judge needs."""
    counters = seen.evidence.counters
    if counters is None:
        return seen
    bare = replace(counters, arms={}, readings={})
    return replace(seen, evidence=replace(seen.evidence, counters=bare))
