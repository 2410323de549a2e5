"""Running totals of the traffic that passed through our own Envoy, by variant: `ai_requests_total` and its like.

Noted by `controlplane.program` after each pass and kept in a file beside the rollout's state, so that the totals go on
over restarts of the servers, of Envoy and of the run itself, and go with the folder. Read by the dashboard's
`/metrics`. Labels are the names of a plan's model and two variants: no more than there are rollouts. Decides nothing.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from canary.errors import Unavailable
from canary.snapshot import Counters, PodCounters
from canary.spec.models import CanarySpec
from canary.weights import ARMS
from controlplane.private_files import read_json, replace_file

FILE = "serving.json"
PERIOD = 1.0
"""Seconds between two writes."""
BOUNDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
"""Upper bounds in seconds of what is told: edges of Envoy's own buckets (`adapters.envoy_config`), a few of them."""
TOKENS = {"input": "prompt_tokens", "output": "generation_tokens"}
"""Direction to the server's counter."""
MOST_REPLICAS = 64
"""Replicas whose newest totals are remembered; of one that is forgotten and comes back, only what is new is lost."""


@dataclass(slots=True)
class Version:
    """Totals of one variant since its first request here."""

    requests: float = 0.0
    errors: float = 0.0
    latency: dict[float, float] = field(default_factory=dict)
    """Answers by upper bound in seconds, cumulative; `inf` is all of them."""
    tokens: dict[str, float] = field(default_factory=dict)
    """By direction; empty where the server counts none."""


@dataclass(slots=True)
class Served:
    """All that was served under one rollout's name."""

    model: str
    versions: dict[str, Version] = field(default_factory=dict)
    replicas: dict[str, PodCounters] = field(default_factory=dict)
    """The newest totals of each replica, by `version/replica`: what the next ones are differenced against."""


_SERVED = TypeAdapter(Served)


class ServingRecord:
    """Adds up what every reading has more than the one before."""

    def __init__(self, folder: Path, now: Callable[[], float], name: str, spec: CanarySpec) -> None:
        """Goes on from the folder's file; `now`: seconds since the epoch."""
        self._file, self._now = folder / FILE, now
        self._versions = {"stable": spec.stable.name, "canary": spec.canary.name}
        self._served = read_served(folder) or Served(spec.model.name or name)
        self._served.model = spec.model.name or name
        self._read_at = self._written_at = float("-inf")
        self._unwritten = False

    def note(self, counters: Counters | None, *, last: bool = False) -> None:
        """Take in one reading, `last` at the rollout's end. Returns at once and never raises for the disk's sake."""
        if counters is not None and counters.at != self._read_at:
            self._read_at, self._unwritten = counters.at, True
            for arm in ARMS:
                for name, pod in counters.arms.get(arm, {}).items():
                    self._add(self._versions[arm], name, pod)
        now = self._now()
        if self._unwritten and (last or now - self._written_at >= PERIOD):
            self._written_at, self._unwritten = now, False
            with suppress(OSError):
                self.write()

    def write(self) -> None:
        """Replace the file whole."""
        replace_file(self._file, json.dumps(_SERVED.dump_python(self._served), separators=(",", ":")))

    def _add(self, version: str, replica: str, pod: PodCounters) -> None:
        totals, replicas = self._served.versions.setdefault(version, Version()), self._served.replicas
        key = f"{version}/{replica}"
        before = replicas.pop(key, PodCounters())
        totals.requests += _more(before.requests, pod.requests)
        totals.errors += _more(before.errors, pod.errors)
        for direction, counter in TOKENS.items():
            if counter in pod.totals:
                more = _more(before.totals.get(counter), pod.totals[counter])
                totals.tokens[direction] = totals.tokens.get(direction, 0.0) + more
        self._add_latency(totals, before, pod)
        replicas[key] = _kept(before, pod)
        while len(replicas) > MOST_REPLICAS:
            del replicas[next(iter(replicas))]

    def _add_latency(self, totals: Version, before: PodCounters, pod: PodCounters) -> None:
        now, earlier = pod.histograms.get("latency", {}), before.histograms.get("latency", {})
        whole = now.get(float("inf"), 0.0)
        began_again = whole < earlier.get(float("inf"), 0.0)
        for bound in (*BOUNDS, float("inf")):
            if bound in now:
                more = now[bound] - (0.0 if began_again else earlier.get(bound, 0.0))
                totals.latency[bound] = totals.latency.get(bound, 0.0) + max(more, 0.0)


def read_served(folder: Path) -> Served | None:
    """What was served under this folder's rollouts; None where nothing is known or it cannot be understood."""
    try:
        return _SERVED.validate_python(read_json(folder / FILE))
    except (Unavailable, ValidationError):
        return None


def _more(before: float | None, now: float | None) -> float:
    """By how much a running total has grown; one that is smaller than before has begun again at zero."""
    if now is None:
        return 0.0
    return now - before if before is not None and now >= before else now


def _kept(before: PodCounters, pod: PodCounters) -> PodCounters:
    """What has to be remembered of a replica; a series that is missing now is kept as it was."""
    totals = {**before.totals, **pod.totals}
    latency: Mapping[float, Any] = pod.histograms.get("latency") or before.histograms.get("latency", {})
    bounds = {bound: count for bound, count in latency.items() if bound in BOUNDS or bound == float("inf")}
    return PodCounters(
        requests=pod.requests if pod.requests is not None else before.requests,
        errors=pod.errors if pod.errors is not None else before.errors,
        histograms={"latency": bounds},
        totals={name: totals[name] for name in TOKENS.values() if name in totals},
    )
