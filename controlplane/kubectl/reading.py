"""`kubectl canary status`, `why` and `history`: where a rollout is, why, and what happened to it.

Read from the cluster's own record; nothing is asked of the operator. The sentences are those of the status, of the
Events and of alerts.
"""

import asyncio

import click

from canary.format import duration
from controlplane.cli.printing import print_history, print_status, print_why
from controlplane.cli.seconds import SECONDS
from controlplane.cli.signals import waiting_for
from controlplane.kubectl.names import complete_names
from controlplane.kubectl.output import Shape
from controlplane.kubectl.session import BAD_INPUT, FAILED, TIMED_OUT, KubectlSession, at_cluster
from controlplane.kubernetes.api import Object

named = click.argument("name", shell_complete=complete_names)


@click.command()
@named
@click.option("--wait", is_flag=True, help="Wait until the rollout of the present spec has ended.")
@click.option("--timeout", type=SECONDS, metavar="TIME", help="With --wait: for so long at most, such as 10m.")
@click.option("-o", "--output", type=Shape("text", "json"), default="text", help="json: its last event.")
@at_cluster
async def status(session: KubectlSession, name: str, wait: bool, timeout: float | None, output: str) -> int:  # noqa: ASYNC109 - a person's word, not a deadline of asyncio's
    """Say where a rollout is; with --wait, how it ended.

    Exit codes: 0 under way or promoted, 1 rolled back or failed, 2 the spec cannot be carried out, 3 timed out, 130
    after Ctrl-C, which changes nothing.
    """
    from controlplane.kubectl.find import canary

    object_ = await canary(session, name)
    if wait:
        try:
            with waiting_for(session.called(name)):
                async with asyncio.timeout(timeout):
                    object_ = await _ended(session, object_)
        except TimeoutError:
            from controlplane.kubectl.operators import whether_one_runs

            click.echo(f"{session.called(name)} has not ended within {duration(timeout or 0.0)}.", err=True)
            if sentence := await whether_one_runs(session):
                click.echo(sentence, err=True)
            _say(await canary(session, name), output)
            return TIMED_OUT
    return _say(object_, output)


@click.command()
@named
@at_cluster
async def why(session: KubectlSession, name: str) -> int:
    """Explain a rollout's current verdicts, and the smallest change that would change each."""
    from controlplane.gitsources.provenance import origin_line
    from controlplane.kubectl.record import record
    from controlplane.view.text import clean

    found = await record(session, name)
    print_why(found)
    if line := origin_line(found.object_):
        click.echo(f"git: {clean(line)}")
    return 0


@click.command()
@named
@click.option("--attempt", type=click.IntRange(min=1), help="An earlier rollout of this name; the newest by default.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="json: one event a line.")
@at_cluster
async def history(session: KubectlSession, name: str, attempt: int | None, output: str) -> int:
    """Print everything that happened to a rollout, as far as it is kept."""
    from canary.errors import BadInput
    from controlplane.kubectl.record import events_of, record

    found = await record(session, name)
    events = await events_of(session, found, attempt)
    if not events:
        raise BadInput(f"Nothing is kept of attempt {attempt} of {session.called(name)}.")
    print_history(events, output)
    return 0


async def _ended(session: KubectlSession, object_: Object) -> Object:
    """The first state in which the operator has dealt with the present spec to its end, or refused it."""
    from contextlib import aclosing

    from controlplane.kubectl.follow import follow

    async with aclosing(follow(session, object_, lambda sentence: click.echo(sentence, err=True))) as states:
        async for state in states:
            object_ = state
            if _is_over(state):
                break
    return object_


def _is_over(object_: Object) -> bool:
    from controlplane.kubectl.listing import refusal_of
    from controlplane.view.urgency import ENDED

    status = object_.get("status") or {}
    if status.get("observedGeneration") != object_["metadata"].get("generation", 0):
        return False  # what the status tells is the end of an earlier spec
    return bool(refusal_of(object_)) or (status.get("phase") in ENDED and status.get("phase") != "Superseded")


def _say(object_: Object, output: str) -> int:
    """Print where it is; answers the exit code."""
    from controlplane.cli.history import CODES
    from controlplane.kubectl.listing import phase_of, refusal_of
    from controlplane.kubectl.record import record_of

    found, refusal = record_of(object_), refusal_of(object_)
    name = object_["metadata"]["name"]
    if isinstance(found, str):
        click.echo(f"{name}  {phase_of(object_)}\n{found}", err=bool(refusal))
        return BAD_INPUT if refusal else 0
    print_status(found, output)
    if refusal:
        click.echo(f"The spec as it is now is not carried out: {refusal}", err=True)
        return BAD_INPUT
    if object_["metadata"].get("generation", 0) != (object_.get("status") or {}).get("observedGeneration"):
        click.echo("The spec was edited since; no operator has looked at it yet.", err=True)
    return FAILED if CODES.get(found.rollout.result, 1) else 0
