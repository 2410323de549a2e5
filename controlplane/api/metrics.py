"""Our own Prometheus metrics, read from the stores when they are asked for: how many rollouts, where, and how it went.

Used by `/metrics`. Counters count what the stores hold, so they fall when somebody deletes a state folder; Prometheus
takes that for the reset that it is. What an ended attempt has to tell is read once and kept.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from prometheus_client.core import GaugeMetricFamily, Metric

from canary.rollout import Event, Phase, Rollout
from canary.verdict import GateAnswer
from controlplane.observability import families as common
from controlplane.observability.counts import ALERTS, OPERATIONS, read_counts
from controlplane.observability.serving import BOUNDS, Version, read_served
from controlplane.readmodel.directory import RolloutHandle
from controlplane.readmodel.local import LocalRollout

K = TypeVar("K")
OWN_FOLDER = "_controller"
"""Where a controller keeps what it remembers, beside the folders of its rollouts or above them."""


@dataclass(slots=True)
class AttemptCounts:
    """What one attempt adds to the counters."""

    transitions: Counter[tuple[str, str]] = field(default_factory=Counter)
    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    rollbacks: Counter[str] = field(default_factory=Counter)
    times: dict[str, float] = field(default_factory=dict)


class Tally:
    """Reads all rollouts and answers the exposition."""

    def __init__(self) -> None:
        self._ended: dict[tuple[str, int, float], AttemptCounts] = {}

    async def exposition(self, places: Sequence[RolloutHandle], unreadable: int) -> bytes:
        """The page in Prometheus' text format."""
        rollouts, told = [], []
        for place in places:
            stored = await place.store.load(place.name)
            if stored is None:
                continue
            rollouts.append((place.id, stored.rollout))
            for attempt in range(1, stored.rollout.attempt + 1):
                key = (place.id, attempt, stored.rollout.began)
                known = self._ended.get(key)
                if known is None:
                    known = tell(await place.store.history(place.name, attempt))
                    if attempt < stored.rollout.attempt or stored.rollout.finished:
                        self._ended[key] = known
                told.append(known)
        return common.page(families(rollouts, told, unreadable, _files(places)))


@dataclass(frozen=True, slots=True)
class Files:
    """What stands beside the stores."""

    serving: Mapping[tuple[str, str], Version] = field(default_factory=dict)
    """By model and version."""
    alerts: common.Pairs = field(default_factory=Counter)
    git: common.Pairs = field(default_factory=Counter)


def _files(places: Sequence[RolloutHandle]) -> Files:
    """Read them: a few kilobytes a rollout."""
    folders = {place.folder for place in places if isinstance(place, LocalRollout)}
    homes = {folder.parent for folder in folders}
    controllers = {home / OWN_FOLDER for home in homes} | {home.parent for home in homes}
    return Files(
        _serving(folders),
        _sum(read_counts(folder / ALERTS) for folder in folders),
        _sum(read_counts(folder / OPERATIONS) for folder in controllers),
    )


def _serving(folders: Iterable[Path]) -> Mapping[tuple[str, str], Version]:
    """Totals by model and version: a stable variant serves in many rollouts."""
    found: dict[tuple[str, str], Version] = {}
    for served in filter(None, map(read_served, sorted(folders))):
        for name, version in served.versions.items():
            total = found.setdefault((served.model, name), Version())
            total.requests += version.requests
            total.errors += version.errors
            for direction, count in version.tokens.items():
                total.tokens[direction] = total.tokens.get(direction, 0.0) + count
            for bound in (*BOUNDS, float("inf")):
                total.latency[bound] = total.latency.get(bound, 0.0) + version.latency.get(bound, 0.0)
    return found


def tell(events: Sequence[Event]) -> AttemptCounts:
    """One attempt's history as counts and times."""
    told, back = AttemptCounts(), ""
    for event in events:
        if event.event == "phase":
            told.transitions[event.phase.value, event.reason.value] += 1
            if event.phase is Phase.ROLLING_BACK:
                back = event.reason.value
        elif event.event == "verdict":
            told.verdicts[str(event.evidence.get("gate", "")), str(event.evidence.get("verdict", ""))] += 1
        elif event.event == "end":
            if back:
                told.rollbacks[back] += 1
            began, decided, zero = (event.evidence.get(key) for key in ("harm_began", "decided", "zero"))
            if decided is not None and zero is not None:
                told.times["decided_to_zero"] = max(zero - decided, 0.0)
            if began is not None and decided is not None:
                told.times["detection"] = max(decided - began, 0.0)
            if began is not None and zero is not None:
                told.times["breach_to_zero"] = max(zero - began, 0.0)
    return told


def families(
    rollouts: Sequence[tuple[str, Rollout]], told: Sequence[AttemptCounts], unreadable: int, files: Files | None = None
) -> Iterator[Metric]:
    """Every metric, with bounded labels: names of rollouts, variants and channels, phases, reasons and gates."""
    files = files or Files()
    yield common.build_info()
    yield GaugeMetricFamily("canary_stores_unreadable", "State folders that cannot be read.", value=unreadable)

    phases = Counter(rollout.phase for _, rollout in rollouts)
    by_phase = GaugeMetricFamily("canary_rollouts", "Rollouts by phase.", labels=["state"])
    for phase in Phase:
        by_phase.add_metric([phase.value], phases[phase])
    yield by_phase
    yield from _now_families(rollouts)
    yield from common.decisions(
        _sum(t.transitions for t in told), _sum(t.verdicts for t in told), _sum(t.rollbacks for t in told)
    )
    times = {key: [t.times[key] for t in told if key in t.times] for key, _ in common.DURATIONS.values()}
    yield from common.durations(times)
    yield from common.deliveries(files.alerts, files.git)
    yield from common.serving(files.serving)


def _now_families(rollouts: Sequence[tuple[str, Rollout]]) -> Iterator[Metric]:
    weight = GaugeMetricFamily("canary_weight_ratio", "Share of traffic asked for.", labels=["name", "track"])
    value = GaugeMetricFamily(
        "canary_analysis_value", "A gate's value in its base unit.", labels=["name", "metric", "track"]
    )
    verdict = GaugeMetricFamily(
        "canary_analysis_verdict", "1 for the gate's present answer, else 0.", labels=["name", "metric", "verdict"]
    )
    for name, rollout in rollouts:
        weight.add_metric([name, "canary"], rollout.weights.share)
        weight.add_metric([name, "stable"], 1 - rollout.weights.share)
        for gate in rollout.verdicts:
            for track, number in (("stable", gate.stable), ("canary", gate.canary)):
                if number is not None:
                    value.add_metric([name, gate.gate, track], number)
            for answer in GateAnswer:
                verdict.add_metric([name, gate.gate, answer.value], float(gate.verdict is answer))
    yield from (weight, value, verdict)


def _sum(counters: Iterable[Counter[K]]) -> Counter[K]:
    total: Counter[K] = Counter()
    for each in counters:
        total.update(each)
    return total
