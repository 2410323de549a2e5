"""Event lines for other programs: one JSON object for each thing that happened (`docs/contracts.md`, section 1).

Used for `-o json`. Sentences of the program itself go to standard error, so that standard output stays readable by
machines.
"""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from canary.rollout import Event, Rollout
from canary.serial import event_line
from canary.snapshot import Snapshot
from controlplane.view.lines import LineWriter
from controlplane.view.text import clean
from controlplane.view.watcher import Once


class JsonLines:
    """Prints each event once, at once."""

    def __init__(
        self,
        stream: TextIO,
        *,
        errors: TextIO | None = None,
        extra: Callable[[Event], Mapping[str, Any]] = lambda _event: {},
    ) -> None:
        """`extra` adds keys of its own to a line."""
        self._lines = LineWriter(stream)
        self._errors = LineWriter(errors or sys.stderr)
        self._extra = extra
        self._once = Once()

    def event(self, event: Event) -> None:
        """Print it."""
        if self._once.is_new(event):
            self._lines.write(json.dumps({**event_line(event), **self._extra(event)}, ensure_ascii=False))

    def update(self, rollout: Rollout, seen: Snapshot) -> None:
        """Passes are no events."""

    def say(self, sentence: str) -> None:
        """Tell the person, not the program that reads."""
        self._errors.write(clean(sentence))

    def close(self) -> None:
        """Everything has been printed."""
