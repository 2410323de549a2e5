"""State directories to show: one rollout under way, made by hand, and ended ones from the simulation.

What is under way has a fresh last look beside its store, as a running `serinus run` leaves it.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from canary.rollout import Event, Rollout
from canary.spec.models import Metadata, ModelCanary
from canary.spec.stored import to_text
from controlplane.adapters.sqlite_store import SqliteStore
from controlplane.simulation.sample import SAMPLE
from controlplane.simulation.scenarios import SCENARIOS
from controlplane.simulation.story import Story, simulate
from controlplane.spec_files import load
from controlplane.view.live import LiveRecord
from tests.controlplane.view import scenes


@cache
def story(scenario: str) -> tuple[ModelCanary, Story]:
    """A simulated rollout of the sample plan."""
    plan = load(SAMPLE).canary
    return plan, simulate(plan, SCENARIOS[scenario], seed=1)


async def keep(folder: Path, plan: ModelCanary, rollout: Rollout, events: Sequence[Event]) -> None:
    """Save a rollout with all its events."""
    store = SqliteStore(folder / "serinus.db")
    stored = await store.load(rollout.name)
    version = stored.version if stored else 0
    await store.save(replace(rollout, history=tuple(events)), to_text(plan), version)
    await store.close()


def ended(home: Path, scenario: str, name: str = "sample") -> None:
    """A rollout that has ended, as its scenario wants it."""
    plan, told = story(scenario)
    assert told.rollout is not None
    renamed = tuple(replace(event, rollout=name, id=_renamed(event.id, name)) for event in told.events)
    asyncio.run(keep(home / name, plan, replace(told.rollout, name=name), renamed))


def under_way(home: Path, name: str = "support-llm", **changes: Any) -> Rollout:
    """A rollout in its second stage, being judged, with a controller that looked just now."""
    plan = ModelCanary(metadata=Metadata(name=name), spec=scenes.plan())
    rollout, _, then = scenes.analyzing()
    now = time.time()
    moved = _moved(replace(rollout, name=name, **changes), now - then)
    asyncio.run(keep(home / name, plan, moved, moved.history))
    look_again(home, moved, now)
    return moved


def look_again(home: Path, rollout: Rollout, now: float) -> None:
    """Leave a last look of `now`."""
    _, seen, _ = scenes.analyzing()
    fresh = replace(
        seen,
        evidence=replace(seen.evidence, counters=replace(scenes.counters(0, 1, 1), at=now - 1)),
    )
    LiveRecord(home / rollout.name, lambda: now).note(rollout, fresh)


def _moved(rollout: Rollout, by: float) -> Rollout:
    """The same moments, `by` seconds later."""
    events = tuple(
        replace(event, at=event.at + by, rollout=rollout.name, id=_renamed(event.id, rollout.name))
        for event in rollout.history
    )
    return replace(
        rollout,
        began=rollout.began + by,
        since=rollout.since + by,
        stage_since=rollout.stage_since + by,
        history=events,
    )


def _renamed(id_: str, name: str) -> str:
    return "/".join((name, *id_.rsplit("/", 2)[1:]))
