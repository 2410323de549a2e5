"""`serinus promote`, `pause`, `resume`, `abort`, `approve`: a person's word to a rollout on this machine.

Each puts a request into the rollout's store, where the running loop finds it within a quarter of a second, and prints
the answer that the loop writes into the history. The loop decides; these commands only ask.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from canary.snapshot import HARMFUL, Verb
from controlplane.cli.person import os_user
from controlplane.cli.share import SHARE, complete_shares
from controlplane.cli.stored import found, named

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
Far = tuple[bool, float | None]
"""How far `promote` goes: `full` and `to`, as `OperatorRequest` has them."""

PATIENCE = 10.0
"""Seconds to wait for the answer. A loop that does not run gives none, and finds the request when it is started."""
WORDS: dict[Verb, str] = {
    "promote": "Skip the rest of the current stage; with --to, everything before a later one; with --full, all.",
    "pause": "Freeze the weights. A paused rollout still rolls back by itself.",
    "resume": "Continue after a pause.",
    "abort": "Return all traffic to stable and end the rollout.",
    "approve": "Agree to the next stage, where the plan asks for somebody's word.",
}


def _command(verb: Verb) -> click.Command:
    """The command that asks for this."""

    @named
    def ask(target: str, state: Path | None, **flags: Any) -> None:
        far = far_of(flags)
        if verb in HARMFUL and not flags["yes"] and somebody_sits_there():
            _confirm(target, state, verb, far)
        code, sentence = _ask(target, state, verb, far)
        click.echo(sentence, err=code != 0)
        raise SystemExit(code)

    body: Callable[..., Any] = ask
    if verb == "promote":
        body = how_far(complete_shares)(body)
    if verb in HARMFUL:
        body = click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")(body)
    return click.command(name=verb, help=f"{WORDS[verb]}\n\nTARGET is the rollout's name or its canary.yml.")(body)


def how_far(complete: Complete) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options of `promote`: `full` and `to`. `complete` offers the shares of the plan that is meant."""

    def with_options(body: Callable[..., Any]) -> Callable[..., Any]:
        words = "Skip to the later stage of the plan that has this share: 75% or 0.75."
        body = click.option("--to", type=SHARE, metavar="SHARE", shell_complete=complete, help=words)(body)
        return click.option("--full", is_flag=True, help="Skip all stages and go to 100 %.")(body)

    return with_options


def far_of(flags: Mapping[str, Any]) -> Far:
    """What those options say; neither where the verb has none. Raises a usage error where both are given."""
    full, to = bool(flags.get("full")), flags.get("to")
    if full and to is not None:
        raise click.UsageError("--full goes to 100 % and --to to a share: give one of them. Nothing was asked for.")
    return full, to


def _confirm(target: str, state: Path | None, verb: Verb, far: Far) -> None:
    """Say what will happen and ask whether it is meant; leaves where it is not."""
    from canary.preview import preview
    from canary.snapshot import OperatorRequest
    from controlplane.adapters.system_clock import SystemClock

    here, now = found(target, state), SystemClock().now()
    looked, asked = here.looked(now), OperatorRequest("meant", verb, os_user(), now, *far)
    if effect := looked.with_nobody(preview(here.spec, looked.rollout, looked.seen, asked).effect):
        click.echo(f"{here.name}: {effect}", err=True)
        click.confirm("Go on?", abort=True, err=True)


def somebody_sits_there() -> bool:
    """Whether somebody sits there who can answer."""
    return sys.stdin.isatty()


def _ask(target: str, state: Path | None, verb: Verb, far: Far) -> tuple[int, str]:
    """Exit code and sentence."""
    from canary.errors import BadInput, ExternalError, SpecError
    from controlplane.cli.place import place_of

    try:
        name, folder = place_of(target, state)
        return asyncio.run(_put(name, folder, verb, far))
    except (BadInput, SpecError) as error:
        return 2, str(error)
    except ExternalError as error:
        return 1, str(error)


async def _put(name: str, folder: Path, verb: Verb, far: Far) -> tuple[int, str]:
    """Put the request and wait for its answer."""
    from secrets import token_hex

    from canary.snapshot import OperatorRequest, request_id
    from controlplane.adapters.sqlite_store import SqliteStore
    from controlplane.adapters.system_clock import SystemClock

    clock, store = SystemClock(), SqliteStore(folder / "serinus.db")
    try:
        stored = await store.load(name)
        if stored is None or stored.rollout.finished:
            return 1, f"{name} has no rollout under way: nothing was asked."
        request = OperatorRequest(request_id(verb, clock.now(), token_hex(3)), verb, os_user(), clock.now(), *far)
        await store.ask(name, request)
        for _ in range(int(PATIENCE / 0.1)):
            await clock.sleep(0.1)
            for event in await store.history(name):
                if event.event == "operator" and event.evidence.get("id") == request.id:
                    return 0, event.message
        return (
            3,
            f"No controller answered within {PATIENCE:g} s: the request waits until `serinus run` is started again.",
        )
    finally:
        await store.close()


promote, pause, resume, abort, approve = (_command(verb) for verb in WORDS)
