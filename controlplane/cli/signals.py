"""What Ctrl-C and TERM mean to a command that runs until somebody ends it: one place for setting that up.

Used by the commands that run for long. What is done about a signal is theirs.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import click

INTERRUPTED = 130
"""The exit code that shells expect of what Ctrl-C has ended."""


@contextmanager
def waiting_for(name: str) -> Iterator[None]:
    """Around waiting for a rollout, inside a coroutine: who leaves by Ctrl-C is told that it goes on without them."""
    try:
        yield
    except asyncio.CancelledError:
        click.echo(f"Stopped waiting. Nothing was asked of {name}: it goes on as before.", err=True)
        raise


def on_signals(*, interrupt: Callable[[], None], terminate: Callable[[], None]) -> None:
    """Call these on Ctrl-C and on TERM, in the running loop, instead of what Python does."""
    loop = asyncio.get_running_loop()
    for number, called in ((signal.SIGINT, interrupt), (signal.SIGTERM, terminate)):
        with suppress(NotImplementedError):  # Windows has no such handlers
            loop.add_signal_handler(number, called)


def on_any_signal(called: Callable[[], None]) -> None:
    """Call this on either."""
    on_signals(interrupt=called, terminate=called)
