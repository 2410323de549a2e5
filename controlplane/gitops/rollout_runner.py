"""What the controller needs of whatever carries rollouts out: `local_rollouts.py` on one machine, `gitsources` in a
cluster.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from canary.rollout import Event, Rollout
from controlplane.gitops.desired import DesiredRollout
from controlplane.ports import Stored


class RolloutRunner(Protocol):
    """Rollouts by name. What is told to begin or to end does so in its own time."""

    def open(self, tasks: asyncio.TaskGroup) -> None:
        """Run what is started from now on in this group."""
        ...

    async def resume(self, name: str, *, withdrawn_by: str = "") -> None:
        """Go on with what an earlier process left unfinished."""
        ...

    def wants(self, name: str) -> str:
        """The revision that runs, or is about to, under this name; empty where nothing does."""
        ...

    def is_running(self, name: str) -> bool:
        """Whether anything is under way for it."""
        ...

    def take(self, wanted: DesiredRollout) -> None:
        """Carry this plan out, in place of the one that runs under its name if there is one."""
        ...

    def mirror(self, wanted: DesiredRollout) -> None:
        """The file says this by now, and nothing is to begin by it."""
        ...

    def withdraw(self, name: str, why: str) -> None:
        """End what runs under this name: everything goes back to stable."""
        ...

    def forget(self, name: str) -> None:
        """Its file is gone."""
        ...

    def leave(self) -> None:
        """Stop watching; everything goes on serving."""
        ...

    async def stored(self, name: str) -> Stored | None:
        """The newest rollout under this name."""
        ...

    async def history(self, name: str, rollout: Rollout) -> Sequence[Event]:
        """Everything that happened in this rollout of that name, in order."""
        ...
