"""State directories to show: one rollout under way, made by hand, and ended ones from the simulation.

What is under way has a fresh last look beside its store, as a running `serinus run` leaves it.
"""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from canary.rollout import Event, Rollout
from canary.snapshot import OperatorRequest
from canary.spec.models import Metadata, ModelCanary
from canary.spec.stored import to_text
from controlplane.adapters.sqlite_store import SqliteStore
from controlplane.simulation.sample import SAMPLE
from controlplane.simulation.scenarios import SCENARIOS
from controlplane.simulation.story import Story, simulate
from controlplane.spec_files import load
from controlplane.view.live import LiveRecord
from tests.controlplane.view import scenes

T = TypeVar("T")


@cache
def story(scenario: str) -> tuple[ModelCanary, Story]:
    """A simulated rollout of the sample plan."""
    plan = load(SAMPLE).canary
    return plan, simulate(plan, SCENARIOS[scenario], seed=1)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Wait for this in a thread of its own: where a browser is driven, the test's own thread has a loop already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


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
    run(keep(home / name, plan, replace(told.rollout, name=name), renamed))


def under_way(home: Path, name: str = "support-llm", *, secret: str = "", **changes: Any) -> Rollout:
    """A rollout in its second stage, being judged, with a controller that looked just now.

    `secret` is put wherever a plan may hold one.
    """
    plan = ModelCanary(metadata=Metadata(name=name), spec=scenes.plan())
    if secret:
        variant = plan.spec.canary.model_copy(
            update={
                "uri": f"https://u:{secret}@models.example.com/x",
                "env": {"HF_TOKEN": secret, "DATABASE_URL": f"postgres://u:{secret}@db/x"},
                "command": (
                    *("serve", "--api-key", secret, f"--auth-token={secret}", "--port", "{port}"),
                    *("-e", f"API_KEY={secret}", "sh", "-c", f"exec serve --hf_token {secret}"),
                ),
                "engine": {"apiKey": secret, "nested": {"password": secret}},
                "labels": {"token": secret},
            }
        )
        metadata = plan.metadata.model_copy(update={"annotations": {"example.com/api-key": secret}})
        plan = plan.model_copy(update={"metadata": metadata})
        plan = plan.model_copy(update={"spec": plan.spec.model_copy(update={"canary": variant})})
    rollout, _, then = scenes.analyzing()
    now = time.time()
    moved = _moved(replace(rollout, name=name, **changes), now - then)
    run(keep(home / name, plan, moved, moved.history))
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


def put_back(home: Path, name: str = "fraud-scorer", **texts: str) -> Rollout:
    """A rollout that was rolled back; `texts` replaces messages and the verdicts' sentences."""
    plan = ModelCanary(metadata=Metadata(name=name), spec=scenes.plan())
    rollout, _, then = scenes.rolled_back()
    began = rollout.began
    times = {"harm_began": began + 910.2, "decided": began + 913.0, "zero": began + 913.1}
    end = rollout.history[-1]
    history = (*rollout.history[:-1], replace(end, evidence={**end.evidence, **times}))
    moved = _moved(replace(rollout, name=name, history=history), time.time() - then)
    if texts:
        said = texts["said"]
        moved = replace(
            moved,
            message=said,
            history=tuple(
                replace(event, message=said, evidence={**event.evidence, said: said}) for event in moved.history
            ),
            verdicts=tuple(replace(verdict, grounds=said) for verdict in moved.verdicts),
        )
    run(keep(home / name, plan, moved, moved.history))
    return moved


def answer(home: Path, request: OperatorRequest, message: str) -> None:
    """What the loop writes when it has answered a request."""
    evidence = {"id": request.id, "verb": request.verb, "by": request.by}
    happen(home, under_way(home), message, event="operator", evidence=evidence)


def happen(home: Path, rollout: Rollout, message: str, **fields: Any) -> Rollout:
    """One more event, an alert unless said otherwise."""
    last = rollout.history[-1]
    number = rollout.events + 1
    id_ = f"{rollout.name}/{rollout.attempt}/{number}"
    event = replace(last, **{"id": id_, "event": "alert", "message": message, "evidence": {}, **fields})
    later = replace(rollout, history=(*rollout.history, event), events=number)
    plan = ModelCanary(metadata=Metadata(name=rollout.name), spec=scenes.plan())
    run(keep(home / rollout.name, plan, later, later.history))
    return later


def next_attempt(home: Path, name: str = "support-llm", **changes: Any) -> Rollout:
    """Another rollout of the name, just begun."""
    plan = ModelCanary(metadata=Metadata(name=name), spec=scenes.plan())
    rollout, _, then = scenes.preparing()
    moved = _moved(replace(rollout, name=name, attempt=4, **changes), time.time() - then)
    events = tuple(replace(event, id=event.id.replace("/3/", "/4/")) for event in moved.history)
    run(keep(home / name, plan, moved, events))
    return moved
