"""Structured logs: one JSON object a line, for log stores. Time, level, message; of a rollout also its name and trace.

Used by the commands with `--log-format json`. Lines carry no colours and no secrets, and a reader who leaves stops
nothing. What is logged is said elsewhere; here it gets its form. The keys are in `docs/observability.md`.
"""

import json
from collections.abc import Callable
from typing import Any, Literal, TextIO

from canary.rollout import Event, Phase, Rollout
from canary.serial import event_line, rfc3339
from canary.snapshot import Snapshot
from controlplane.observability.redact import redacted
from controlplane.observability.trace import span_of, trace_of
from controlplane.view.lines import LineWriter
from controlplane.view.text import clean
from controlplane.view.watcher import Once, Watcher

Level = Literal["info", "warning", "error"]
OURS = "bug of ours"
"""What every sentence about a failure that should not be possible has in it."""


class LogView:
    """Writes lines about any number of rollouts."""

    def __init__(self, stream: TextIO, now: Callable[[], float]) -> None:
        """`now`: seconds since the epoch."""
        self._lines, self._now = LineWriter(stream), now
        self._once: dict[str, Once] = {}
        self._traces: dict[str, str] = {}
        """The newest trace of each rollout: what is said of it besides its events belongs there."""

    def say(self, sentence: str, rollout: str = "", trace: str = "") -> None:
        """Something that is no event. `rollout`: its name, with its namespace before it where it has one."""
        about = {"rollout": rollout} if rollout else {}
        if known := trace or self._traces.get(rollout, ""):
            about["trace_id"] = known
        self._write(self._now(), "error" if OURS in sentence else "info", sentence, about)

    def event(self, event: Event, namespace: str = "") -> None:
        """An entry of a history; told again it is written once."""
        name = f"{namespace}/{event.rollout}" if namespace else event.rollout
        if not self._once.setdefault(name, Once()).is_new(event):
            return
        self._traces[name] = trace_of(event, namespace)
        line = event_line(event)
        keys = ("id", "revision", "event", "phase", "stage", "weight", "reason", "result")
        ids = {"rollout": name, "trace_id": self._traces[name], "span_id": span_of(event, namespace)}
        self._write(event.at, level_of(event), event.message, ids | {key: line[key] for key in keys if key in line})

    def _write(self, at: float, level: Level, message: str, more: dict[str, Any]) -> None:
        line = {"time": rfc3339(at), "level": level, "message": redacted(clean(message)), **more}
        self._lines.write(json.dumps(line, ensure_ascii=False))


class LogWatcher:
    """One rollout's view (`controlplane.view.watcher.Watcher`) that is a log."""

    def __init__(self, log: LogView, rollout: str, beside: Watcher | None = None) -> None:
        """`beside`: another view that gets the events too, such as event lines on standard output."""
        self._log, self._rollout, self._beside = log, rollout, beside

    def event(self, event: Event) -> None:
        """See `Watcher`."""
        self._log.event(event)
        if self._beside is not None:
            self._beside.event(event)

    def update(self, rollout: Rollout, seen: Snapshot) -> None:
        """A pass in which nothing happened is no line."""

    def say(self, sentence: str) -> None:
        """See `Watcher`."""
        self._log.say(sentence, self._rollout)

    def close(self) -> None:
        """Every line was written."""


def level_of(event: Event) -> Level:
    """Alerts, failed gates and everything that goes back to stable are warnings."""
    back = event.phase in {Phase.ROLLING_BACK, Phase.ROLLED_BACK}
    failed = event.event == "verdict" and event.evidence.get("verdict") == "fail"
    return "warning" if event.event == "alert" or back or failed else "info"
