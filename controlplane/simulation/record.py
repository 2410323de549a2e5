"""Keeps a simulated rollout in a state folder, as one that ran on this machine would be kept.

Used by `serinus simulate --record`, so that `serinus history`, `why` and `replay` work on it. Writes nothing else.
"""

from dataclasses import replace
from pathlib import Path

from canary.errors import BadInput
from canary.spec.models import ModelCanary
from canary.spec.stored import to_text
from controlplane.adapters.sqlite_store import SqliteStore
from controlplane.simulation.story import Story

PIECE = 50
"""Frames a write."""


async def keep(story: Story, plan: ModelCanary, folder: Path) -> None:
    """Write it to a folder that has no rollout yet; raises `BadInput` where there is one, or nothing to keep."""
    if story.rollout is None:
        raise BadInput("The simulated rollout never began: there is nothing to record.")
    store = SqliteStore(folder / "serinus.db")
    try:
        if await store.names():
            raise BadInput(f"{folder} has the state of another rollout; give a new folder. Nothing was recorded.")
        whole, version = replace(story.rollout, history=tuple(story.events)), 0
        for start in range(0, len(story.frames), PIECE):
            for frame in story.frames[start : start + PIECE]:
                store.record(frame)
            version = await store.save(whole, to_text(plan), version)
    finally:
        await store.close()
