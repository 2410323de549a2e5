"""`kubectl canary get`: one rollout on one screen; with `-w` redrawn until it ends.

The same picture and the same screen as `serinus run` draws, from the record in the cluster. Without a terminal, `-w`
appends a line for each thing that happens.
"""

import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

import click

from controlplane.cli.shape import must_have_an_end, watched
from controlplane.kubectl.names import complete_names
from controlplane.kubectl.output import Shape
from controlplane.kubectl.session import BAD_INPUT, KubectlSession, at_cluster

if TYPE_CHECKING:
    from controlplane.kubectl.record import Record
    from controlplane.kubernetes.api import Object
    from controlplane.view.watcher import Watcher

AGAIN = 2.0
"""Seconds after which the same state is drawn once more."""
NEXT = {
    "back": "once more: kubectl canary retry {name}{spoken}   why: kubectl canary why {name}{spoken}",
    "": "promote: kubectl canary promote {name}{spoken}   stop: kubectl canary abort {name}{spoken}",
}


@click.command()
@click.argument("name", shell_complete=complete_names)
@watched(Shape("screen", "json", "yaml", "name"), "the ModelCanary")
@at_cluster
async def command(session: KubectlSession, name: str, watch: bool, output: str) -> int:
    """Show one rollout: traffic, stages, gates with both variants' values, why, and what is next."""
    from controlplane.kubectl.find import canary
    from controlplane.kubectl.output import show_objects

    object_ = await canary(session, name)
    must_have_an_end(output, watch=watch)
    if watch:
        return await _watch(session, object_, output)
    if output != "screen":
        show_objects(object_, output)
        return 0
    return await _show(session, object_)


def hint(session: KubectlSession, found: "Record") -> str:
    """What a person can do now, in commands to copy."""
    result = found.rollout.result
    kind = "back" if result in {"rolled_back", "failed", "aborted"} else result or ""
    return NEXT.get(kind, "").format(name=found.rollout.name, spoken=session.spoken)


async def _show(session: KubectlSession, object_: "Object") -> int:
    from controlplane.gitsources.provenance import origin_line
    from controlplane.kubectl.record import looked, record_of
    from controlplane.view.model import picture
    from controlplane.view.still import still
    from controlplane.view.text import clean

    found = record_of(object_)
    if isinstance(found, str):
        click.echo(f"{object_['metadata']['name']}: {found}", err=True)
        return BAD_INPUT
    now = found.until(session.now())
    shown = picture(found.spec, found.rollout, await looked(session, found), now, of_record=True)
    for line in still(shown, hint(session, found)):
        click.echo(line)
    if line := origin_line(object_):
        click.echo(f"  git: {clean(line)}")
    return 0


async def _watch(session: KubectlSession, object_: "Object", output: str) -> int:
    """Feed a view until the rollout has ended."""
    from controlplane.kubectl.follow import follow
    from controlplane.kubectl.record import events_of, looked, record_of

    view: Watcher | None = None
    revision = ""

    def say(sentence: str) -> None:
        if view is None:
            click.echo(sentence, err=True)
        else:
            view.say(sentence)

    try:
        async with aclosing(_states(session, object_, follow(session, object_, say))) as states:
            async for state in states:
                found = record_of(state)
                if isinstance(found, str):
                    say(f"{state['metadata']['name']}: {found}")
                    continue
                if view is None or revision != found.rollout.revision:
                    if view is not None:
                        view.close()
                    view, revision = _view(session, found, output), found.rollout.revision
                    for event in await events_of(session, found):
                        view.event(event)
                for event in found.rollout.history:
                    view.event(event)
                view.update(found.rollout, await looked(session, found))
                if found.rollout.finished and found.rollout.result != "superseded":
                    return 0 if found.rollout.result == "promoted" else 1
    finally:
        if view is not None:
            view.close()
    return 0


async def _states(
    session: KubectlSession, object_: "Object", changes: "AsyncGenerator[Object, None]"
) -> "AsyncGenerator[Object, None]":
    """Each change, and the last state once more every now and then: holds and readiness move between changes."""
    import asyncio

    async with aclosing(changes) as following:
        state = await anext(following)
        yield state
        pending = asyncio.ensure_future(anext(following))
        try:
            while True:
                done, _ = await asyncio.wait({pending}, timeout=AGAIN)
                if done:
                    state = pending.result()
                    pending = asyncio.ensure_future(anext(following))
                yield state
        finally:
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)


def _view(session: KubectlSession, found: "Record", output: str) -> "Watcher":
    from controlplane.view.watcher import open_watcher

    return open_watcher(
        "json" if output == "json" else "text",
        sys.stdout,
        found.spec,
        now=session.now,
        revision=found.rollout.revision,
        hint=hint(session, found),
        of_record=True,
    )
