"""Lines for logs and for output that is no terminal: one for each thing that happened, appended, in words.

Used by the commands where standard output is a file or a pipe. Carries no escape sequences and no carriage returns.
"""

from collections.abc import Callable
from typing import TextIO

from canary import format as fmt
from canary.rollout import Event, Rollout
from canary.snapshot import Snapshot
from canary.spec.models import CanarySpec
from controlplane.view.lines import LineWriter
from controlplane.view.marks import Marks, marks_for, of_event
from controlplane.view.text import clean
from controlplane.view.waiting import what_it_waits_for
from controlplane.view.watcher import Once

HEARTBEAT = 30.0
"""Seconds without an event after which a line says what is waited for."""


class PlainLines:
    """Prints each event once; when nothing happens for long, what is waited for."""

    def __init__(self, stream: TextIO, spec: CanarySpec, *, now: Callable[[], float], revision: str = "") -> None:
        self._lines = LineWriter(stream)
        self._spec = spec
        self._now = now
        self._revision = revision
        self._once = Once()
        self._marks = marks_for(self._lines.encoding)
        self._last = now()

    def event(self, event: Event) -> None:
        """Print it."""
        if self._once.is_new(event):
            self._print(event_text(event, self._marks))

    def update(self, rollout: Rollout, seen: Snapshot) -> None:
        """Say what is waited for if nothing was printed for long."""
        now = self._now()
        if now - self._last < HEARTBEAT or (self._revision and rollout.revision != self._revision):
            return
        waits_for = clean(what_it_waits_for(self._spec, rollout, seen, now))
        self._print(f"{_when(now - rollout.began, rollout.weights.share)}  {self._marks.waits} {waits_for}")

    def say(self, sentence: str) -> None:
        """Tell something that is no event."""
        self._print(clean(sentence))

    def close(self) -> None:
        """Everything has been printed."""

    def _print(self, line: str) -> None:
        self._last = self._now()
        self._lines.write(line)


def event_text(event: Event, marks: Marks) -> str:
    """An event as a line; a verdict with its answer, the end with its result and the requests."""
    symbol, _ = of_event(marks, event)
    word, text = event.event, clean(event.message)
    if event.event == "verdict":
        word = event.evidence["verdict"]
    if event.event == "end":
        text = ending_text(event)
    return f"{_when(event.t, event.weight)}  {symbol} {word:<8} {text}"


def _when(t: float, weight: float) -> str:
    return f"{max(t, 0.0):>7.1f} s  {fmt.share(weight):>5}"


def ending_text(event: Event) -> str:
    """`rolled back; verdict to no traffic 34 ms; answered: 3,312 on stable, 385 on canary; lost by shifts: 0`."""
    parts = [str(event.evidence.get("result", "ended")).replace("_", " ")]
    to_zero = event.evidence.get("decided_to_zero")
    if to_zero is not None:
        parts.append(f"verdict to no traffic {fmt.duration(to_zero)}")
    requests = dict(event.evidence.get("requests", {}))
    lost, cut = requests.pop("failed_by_shift", None), requests.pop("cut_by_stop", None)
    if requests:
        parts.append("answered: " + ", ".join(f"{fmt.count(count)} on {arm}" for arm, count in requests.items()))
    if lost is not None:
        parts.append(f"lost by shifts: {lost}")
    if cut:
        parts.append(f"cut off by the stop: {cut}")
    return clean("; ".join(parts))
