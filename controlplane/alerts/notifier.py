"""The notifier of a rollout: whoever listens here, and the plan's alert channels, told together.

Opened by `controlplane.program`. Without `alerts` in the plan nothing of this package is even loaded.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from canary.errors import ExternalError
from canary.rollout import Event
from canary.spec.models import ModelCanary
from controlplane.ports import Clock, Notifier, RolloutStore

LAST_WORDS = 5.0
"""Seconds that channels have, when the rollout has ended, for what they were not told yet."""


class Both:
    """Two notifiers as one. The second is told even if the first fails."""

    def __init__(self, first: Notifier, second: Notifier) -> None:
        self._first, self._second = first, second

    async def tell(self, event: Event) -> None:
        """Tell both."""
        try:
            await self._first.tell(event)
        finally:
            await self._second.tell(event)


@asynccontextmanager
async def open_notifier(
    plan: ModelCanary,
    listener: Notifier,
    *,
    store: RolloutStore,
    state: Path,
    clock: Clock,
    say: Callable[[str], None],
    spawn: Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"],
    environment: Mapping[str, str] | None = None,
    commit: str = "",
) -> AsyncIterator[Notifier]:
    """The listener and the plan's alert channels while the block runs. `commit`: what brought the plan, if known.

    Missing secrets are told to `say` and keep nothing from starting. Raises `BadInput` for settings in the environment
    that mean nothing. At the end, channels have a moment for what is left; the next start with this state delivers the
    rest.
    """
    if not plan.spec.alerts:
        yield listener
        return
    from controlplane.alerts.alert_dispatcher import open_dispatcher

    desk = await open_dispatcher(plan, state, clock, say, os.environ if environment is None else environment, commit)
    try:
        await desk.catch_up(store, plan.metadata.name, clock.now())
    except ExternalError as error:
        say(f"{error} Alerts of an earlier rollout may stay untold.")
    tasks = [spawn(mailbox.run()) for mailbox in desk.mailboxes]
    try:
        yield Both(listener, desk)
        await asyncio.gather(*(mailbox.empty(LAST_WORDS) for mailbox in desk.mailboxes))
    finally:
        for task in tasks:
            task.cancel()
