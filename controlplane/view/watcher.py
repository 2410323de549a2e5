"""What a program tells a view: what happened, where the rollout is, sentences, the end. One protocol for three views.

Implemented by `terminal.py`, `plain.py` and `jsonl.py`; a command opens one and hands its methods to the program as its
audience. A view never decides, and every method returns at once.
"""

from collections.abc import Callable
from typing import Protocol, TextIO

from canary.rollout import Event, Rollout
from canary.snapshot import Snapshot
from canary.spec.models import CanarySpec
from controlplane.view.pace import Rates


class Watcher(Protocol):
    """Shows one rollout while it runs."""

    def event(self, event: Event) -> None:
        """Something happened and is saved. May be told more than once, with the same id."""
        ...

    def update(self, rollout: Rollout, seen: Snapshot) -> None:
        """Where the rollout is, after a pass."""
        ...

    def say(self, sentence: str) -> None:
        """Something that the program has to tell, such as a retry."""
        ...

    def close(self) -> None:
        """Nothing follows: show the last state and give the terminal back. May be repeated."""
        ...


class Once:
    """Tells events that are new from those told again."""

    def __init__(self) -> None:
        self._newest = (0, 0)

    def is_new(self, event: Event) -> bool:
        """Whether this event has not been told yet."""
        told, self._newest = self._newest, max(self._newest, (event.attempt, event.seq))
        return self._newest > told


def open_watcher(
    output: str,
    stream: TextIO,
    spec: CanarySpec,
    *,
    now: Callable[[], float],
    revision: str = "",
    hint: str = "",
    of_record: bool = False,
    rates: Rates | None = None,
) -> Watcher:
    """The view for this output (`text` or `json`): live on a terminal, lines elsewhere.

    `revision` names the plan that is drawn; the last moments of an older one are told as events only. `hint` says what
    a person can do, such as `stop: Ctrl-C`. `of_record`: what is shown was written down by somebody else. `rates` are
    worked out of the totals unless somebody else has done so.
    """
    if output == "json":
        from controlplane.view.jsonl import JsonLines

        return JsonLines(stream)
    if stream.isatty():
        from controlplane.view.terminal import Terminal

        return Terminal(stream, spec, now=now, revision=revision, hint=hint, of_record=of_record, rates=rates)
    from controlplane.view.plain import PlainLines

    return PlainLines(stream, spec, now=now, revision=revision)
