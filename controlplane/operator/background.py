"""Work beside the rollouts that nobody waits for, such as writing histories and asking what a Prometheus has.

Used by the controller and the world, each with its own. Whatever is wrong with a piece of work is said, and ends
nothing else.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from canary.errors import ExternalError


class Background:
    """A task for each piece of work, while there is somebody to end them."""

    def __init__(self, say: Callable[[str], None], on_bug: Callable[[], None] = lambda: None) -> None:
        """`say` hears what is wrong with a piece of work; `on_bug` of those failures that should not be possible."""
        self._say = say
        self._on_bug = on_bug
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def is_open(self) -> bool:
        """Whether work is taken."""
        return self._tasks is not None

    def open(self, tasks: asyncio.TaskGroup) -> None:
        """From now on work is a task of this group."""
        self._tasks = tasks

    def close(self) -> None:
        """No more work is taken; what has begun is its group's business."""
        self._tasks = None

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Begin with it, if work is taken."""
        if self._tasks is None:
            work.close()
        else:
            self._tasks.create_task(self._guarded(work))

    async def _guarded(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            await work
        except ExternalError as error:
            self._say(str(error))
        except Exception as error:  # noqa: BLE001 - nothing in the background may end the rollouts
            self._on_bug()
            self._say(f"A bug of ours, please report it: {error!r}.")
