"""What commands that carry rollouts out have in common for log stores and tracers: `--log-format`, and traces.

Used by `run.py`, `controller.py` and `cluster.py`. The lines are `controlplane.view.log`, the spans
`controlplane.observability.tracer`; nothing is loaded that nobody asked for.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from canary.rollout import Event
    from controlplane.observability.tracer import History, Tracer

F = TypeVar("F", bound=Callable[..., Any])


def log_format(default: str | None) -> Callable[[F], F]:
    """The option; `default` None where it depends on others."""
    words = "Log format: sentences for people, or one JSON object per line."
    return click.option("--log-format", type=click.Choice(["text", "json"]), default=default, help=words)


@asynccontextmanager
async def tracing(say: Callable[[str], None]) -> "AsyncIterator[Tracer | None]":
    """A tracer while the block runs; None where nobody asked for traces. Raises `BadInput` without the extra."""
    from controlplane.observability import otlp

    if not otlp.wanted():
        yield None
        return
    from controlplane.observability import tracer

    async with tracer.opened(otlp.Otlp(), say) as opened:
        yield opened


def history_in(folder: Path, name: str) -> "History":
    """Reads the newest attempt's history from a state folder, whenever it is wanted."""

    async def read() -> "Sequence[Event]":
        from controlplane.adapters.sqlite_store import SqliteStore

        store = SqliteStore(folder / "serinus.db")
        try:
            return await store.history(name)
        finally:
            await store.close()

    return read
