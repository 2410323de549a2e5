"""What Ctrl-C and TERM mean to a command that runs until somebody ends it: one place for setting that up.

Used by the commands that run for long. What is done about a signal is theirs.
"""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress


def on_signals(*, interrupt: Callable[[], None], terminate: Callable[[], None]) -> None:
    """Call these on Ctrl-C and on TERM, in the running loop, instead of what Python does."""
    loop = asyncio.get_running_loop()
    for number, called in ((signal.SIGINT, interrupt), (signal.SIGTERM, terminate)):
        with suppress(NotImplementedError):  # Windows has no such handlers
            loop.add_signal_handler(number, called)


def on_any_signal(called: Callable[[], None]) -> None:
    """Call this on either."""
    on_signals(interrupt=called, terminate=called)
