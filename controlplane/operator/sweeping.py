"""When garbage is collected: once a tick's work is done, and not while numbers are read or a rollback is on its way.

Entered by `operator.py` while this replica leads. Left to itself Python looks for garbage once so many objects were
made, which is just while an answer of thousands of series is taken apart, and now and then looks through everything
that lives: a tenth of a second for two hundred rollouts, and many times that on a busy machine.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

YOUNG = 200_000
"""Objects more than at the last time after which Python looks by itself all the same. A tick makes far less."""
THOROUGH_EVERY = 60
"""Ticks after which everything is looked through that was made since the start."""
RECENT, ALL = 1, 2
"""Generations."""


@contextmanager
def swept() -> Iterator[Callable[[], None]]:
    """Collects garbage when the given function is called, which is after each tick, and else hardly ever."""
    before, ticks = gc.get_threshold(), 0
    gc.set_threshold(YOUNG, before[1], 10 * THOROUGH_EVERY)

    def sweep() -> None:
        nonlocal ticks
        ticks += 1
        gc.collect(ALL if ticks % THOROUGH_EVERY == 0 else RECENT)

    try:
        yield sweep
    finally:
        gc.set_threshold(*before)
