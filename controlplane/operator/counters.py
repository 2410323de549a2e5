"""What the operator counts of its own work: decisions, passes, ticks that slipped, bugs. Read by `metrics.py`.

Counts only what happened in this process; what rollouts are like now is read from their status.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from canary.rollout import Decision, Event, Phase, Rollout

Heard = Callable[[str, Event, Callable[[], Awaitable[Sequence[Event]]]], None]
"""Told of each event: its namespace, itself, and how to get the rollout's newest history."""
PAST = 10_000
"""Durations that are remembered for the histograms."""


@dataclass(slots=True)
class OperatorCounters:
    """Counters since the start."""

    passes: int = 0
    passing_now: int = 0
    bugs: int = 0
    ticks: int = 0
    ticks_slipped: int = 0
    slip: float = 0.0
    """Seconds by which the last tick was late."""
    tick_seconds: float = 0.0
    """How long the last tick took."""
    transitions: Counter[tuple[str, str]] = field(default_factory=Counter)
    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    rollbacks: Counter[str] = field(default_factory=Counter)
    alerts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By channel and outcome: `delivered` or `failed`."""
    heard: Heard = lambda _namespace, _event, _history: None
    durations: dict[str, list[float]] = field(default_factory=dict)
    """By what is measured: seconds of rollbacks that ended."""

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Around one pass."""
        self.passes += 1
        self.passing_now += 1
        try:
            yield
        finally:
            self.passing_now -= 1

    def told(self, channel: str, outcome: str) -> None:
        """Count an attempt to tell somebody."""
        self.alerts[channel, outcome] += 1

    def decided(self, before: Rollout, decision: Decision, namespace: str = "") -> list[Event]:
        """Count what is new in a decision, tell whoever hears of it, and answer it."""
        history = decision.rollout.history
        new = [event for event in history if event.seq > before.events]

        async def known() -> Sequence[Event]:
            return history

        for event in new:
            self._count(event, decision.rollout)
            self.heard(namespace, event, known)
        return new

    def _count(self, event: Event, rollout: Rollout) -> None:
        if event.event == "phase":
            self.transitions[event.phase.value, event.reason.value] += 1
            if event.phase is Phase.ROLLING_BACK:
                self.rollbacks[event.reason.value] += 1
        elif event.event == "verdict":
            self.verdicts[str(event.evidence.get("gate", "")), str(event.evidence.get("verdict", ""))] += 1
        elif event.event == "end" and rollout.decided is not None and rollout.zero is not None:
            self._took("decided_to_zero", rollout.zero - rollout.decided)
            if rollout.harm_began is not None:
                self._took("detection", rollout.decided - rollout.harm_began)
                self._took("breach_to_zero", rollout.zero - rollout.harm_began)

    def _took(self, what: str, seconds: float) -> None:
        times = self.durations.setdefault(what, [])
        times.append(max(seconds, 0.0))
        del times[:-PAST]
