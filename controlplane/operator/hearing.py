"""New numbers, heard by many rollouts together: their judges take them in at once, before each is looked at by itself.

Used by `charge.py`: the first of a tick that is looked at takes others along that have numbers to hear. What a judge
has taken in so, its own pass finds worked out. Decides nothing; a rollout that hears alone comes to the same answer.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from typing import Protocol

from canary import judge
from canary.judge import Heard

TOGETHER = 32
"""Rollouts that hear at the same time. More would be cheaper still, and the first of them would wait for longer."""


class Listener(Protocol):
    """Whoever hears numbers."""

    evidence_due: bool
    """Whether there is something to hear."""

    alarmed: bool
    """Whether its newest numbers look bad: it hears them before others, and not with them."""

    @property
    def lowers(self) -> bool:
        """Whether it cannot wait for others."""
        ...

    async def listen(self) -> None:
        """Look at the numbers, so that none are due any more; never raises."""
        ...

    def heard(self) -> Heard | None:
        """What its judge has to take in; None where that is nothing, or not yet its judge's business."""
        ...


class Hearing:
    """All that listen, in the order in which they came."""

    def __init__(self) -> None:
        self._listeners: dict[Listener, None] = {}

    def join(self, listener: Listener) -> None:
        """Let it hear with the others from now on."""
        self._listeners[listener] = None

    def leave(self, listener: Listener) -> None:
        """It hears nothing any more."""
        self._listeners.pop(listener, None)

    async def hear(self, first: Listener) -> None:
        """Let one hear what is due, and others with it."""
        together = [first] if first.lowers else list(islice(chain([first], self._due_besides(first)), TOGETHER))
        for listener in together:
            await listener.listen()
        with _nothing_collected():
            judge.ahead([heard for listener in together if (heard := listener.heard()) is not None])

    def _due_besides(self, first: Listener) -> Iterator[Listener]:
        alike = (each for each in self._listeners if each.alarmed == first.alarmed)
        return (each for each in alike if each.evidence_due and each is not first)


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Without collecting garbage for a few milliseconds: there is none, and all that is new would be looked through."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
