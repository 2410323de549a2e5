"""`kubectl canary promote`, `pause`, `resume`, `approve`, `abort`, `retry`: a person's word to a rollout in a cluster.

Each is written beside the spec as an annotation, where the operator finds it, decides and answers. What hurts is
confirmed first, in the words of the dashboard's buttons, and `--dry-run=server` says them and does nothing else. These
commands only ask; they never change any weight.
"""

import asyncio
import secrets
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from canary.format import duration
from canary.snapshot import HARMFUL, OperatorRequest, Verb, request_id
from controlplane.cli.ask import far_of, how_far, somebody_sits_there
from controlplane.cli.seconds import SECONDS
from controlplane.kubectl.names import complete_names, complete_shares
from controlplane.kubectl.session import FAILED, TIMED_OUT, KubectlSession, at_cluster, trying

if TYPE_CHECKING:
    from controlplane.kubectl.record import Record
    from controlplane.kubernetes.api import Object

PATIENCE = 15.0
"""Seconds to wait for the answer, unless somebody says otherwise."""
WORDS: dict[Verb, str] = {
    "promote": "Skip the rest of the current stage; with --to, everything before a later one; with --full, all.",
    "pause": "Freeze the weights. A paused rollout still rolls back by itself.",
    "resume": "Continue after a pause.",
    "approve": "Agree to the next stage, where the plan asks for somebody's word.",
    "abort": "Return all traffic to stable and end the rollout.",
    "retry": "Begin a rollout that was put back once more, with the same plan.",
}


def _command(verb: Verb) -> click.Command:
    """The command that asks for this."""

    async def body(
        session: KubectlSession,
        name: str,
        wait: bool,
        timeout: float,  # noqa: ASYNC109 - a person's word, not a deadline of asyncio's
        dry_run: bool,
        **flags: Any,
    ) -> int:
        full, to = far_of(flags)
        if dry_run:
            return await try_to_ask(session, name, verb, full=full, to=to)
        sure, patience = bool(flags.get("yes")), timeout if wait else None
        return await ask(session, name, verb, full=full, to=to, sure=sure, patience=patience)

    body.__name__, body.__doc__ = verb, f"{WORDS[verb]}\n\nWaits for the operator's answer and prints it."
    made = at_cluster(body)
    if verb == "promote":
        made = how_far(complete_shares)(made)
    if verb in HARMFUL:
        made = click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")(made)
    waits = click.option(
        "--timeout", type=SECONDS, metavar="TIME", default=PATIENCE, help=f"Wait for so long (default: {PATIENCE:g}s)."
    )
    made = trying("server: say what it would do, ask the server whether you may, and change nothing.")(waits(made))
    made = click.option("--wait/--no-wait", default=True, help="Wait for the answer (the default), or only ask.")(made)
    return click.command(verb)(click.argument("name", shell_complete=complete_names)(made))


async def ask(
    session: KubectlSession,
    name: str,
    verb: Verb,
    *,
    full: bool = False,
    to: float | None = None,
    sure: bool = False,
    patience: float | None = PATIENCE,
) -> int:
    """Ask, and say what was answered; answers the exit code. `patience`: seconds to wait, None for not at all."""
    from controlplane.kubectl.find import canary
    from controlplane.kubectl.record import record_of

    object_ = await canary(session, name)
    found = record_of(object_)
    name = object_["metadata"]["name"]
    if sentence := _pointless(session, name, verb, found):
        click.echo(sentence, err=True)
        return FAILED
    if verb in HARMFUL and not sure and not isinstance(found, str):
        _confirm(found, OperatorRequest("meant", verb, session.person, session.now(), full, to))
    request = await _request(session, found, verb, full, to)
    asked = await _put(session, name, request)
    if patience is None:
        click.echo(f"{name} was asked to {verb}; the answer will be in `kubectl canary history {name}`.")
        return 0
    try:
        async with asyncio.timeout(patience):
            sentence, done = await _answer(session, asked or object_, request)
    except TimeoutError:
        from controlplane.kubectl.operators import whether_one_runs

        click.echo(f"Nobody answered within {duration(patience)}. The request stays until somebody does.", err=True)
        click.echo(await whether_one_runs(session), err=True)
        return TIMED_OUT
    click.echo(sentence, err=not done)
    return 0 if done else FAILED


async def try_to_ask(
    session: KubectlSession, name: str, verb: Verb, *, full: bool = False, to: float | None = None
) -> int:
    """Say what it would do, and let the server say whether it may be asked for; answers the exit code."""
    from canary.preview import preview
    from controlplane.kubectl.find import canary
    from controlplane.kubectl.record import record_of

    found = record_of(await canary(session, name))
    if (sentence := _pointless(session, name, verb, found)) or isinstance(found, str):
        click.echo(sentence, err=True)
        return FAILED
    meant = await _request(session, found, verb, full, to)
    previewed = preview(found.spec, found.rollout, found.seen(), meant)
    if previewed.reason:
        click.echo(f"{found.rollout.name}: {previewed.reason}", err=True)
        return FAILED
    await _put(session.on_trial(), found.rollout.name, meant)
    click.echo(f"{found.rollout.name}: {previewed.effect} The API server takes the request (nothing was changed).")
    return 0


async def _request(
    session: KubectlSession, found: "Record | str", verb: Verb, full: bool, to: float | None
) -> OperatorRequest:
    """This person's request, by the name that the server knows them by, or else the kubeconfig.

    With those of their groups whose word the plan asks for: the server lets nobody speak for another one.
    """
    from canary.requests import groups_asked
    from controlplane.kubernetes.whoami import own_identity

    me, now = await own_identity(session.kube), session.now()
    groups = () if isinstance(found, str) else groups_asked(found.spec, me.groups)
    id_ = request_id(verb, now, secrets.token_hex(3))
    return OperatorRequest(id_, verb, me.name or session.person, now, full, to, groups)


async def _put(session: KubectlSession, name: str, request: OperatorRequest) -> "Object | None":
    """Write it beside the spec; the ModelCanary as it is then."""
    from controlplane.kubernetes.cache import Cache
    from controlplane.kubernetes.resources import MODEL_CANARY
    from controlplane.operator.store import StatusStore

    written = Cache(MODEL_CANARY)
    await StatusStore(session.kube, written, session.namespace, now=session.now).ask(name, request)
    return written.get(session.namespace, name)


def _pointless(session: KubectlSession, name: str, verb: Verb, found: "Record | str") -> str:
    """Why there is nobody to ask; empty where there is."""
    if isinstance(found, str):
        return f"{session.called(name)} has no rollout under way ({found.rstrip('.')}): nothing was asked."
    rollout = found.rollout
    ended = (rollout.result or "ended").replace("_", " ")
    if verb == "retry":
        if not rollout.finished:
            return f"{session.called(name)} is under way ({rollout.phase}), so there is nothing to begin once more."
        if rollout.result == "promoted":
            return f"{session.called(name)} was promoted: there is nothing to try again; nothing was asked."
        return ""
    if rollout.finished:
        return f"{session.called(name)} has no rollout under way ({ended}): nothing was asked."
    return ""


def _confirm(found: "Record", meant: OperatorRequest) -> None:
    """Say what will happen and ask whether it is meant. Raises `click.Abort`, or a usage error where nobody sits."""
    from canary.preview import preview

    effect = preview(found.spec, found.rollout, found.seen(), meant).effect
    if not effect:
        return  # the operator refuses in its own words
    click.echo(f"{found.rollout.name}: {effect}", err=True)
    if not somebody_sits_there():
        raise click.UsageError(
            f"Nobody can be asked here whether {meant.verb} is meant: add --yes. Nothing was asked for."
        )
    click.confirm("Go on?", abort=True, err=True)


async def _answer(session: KubectlSession, object_: "Object", request: OperatorRequest) -> tuple[str, bool]:
    """The operator's sentence, and whether it did what was asked."""
    from canary.requests import was_accepted
    from controlplane.kubectl.follow import follow
    from controlplane.kubectl.record import record_of
    from controlplane.operator.request_annotations import requests_in

    before = record_of(object_)
    attempt = 0 if isinstance(before, str) else before.rollout.attempt
    async with aclosing(follow(session, object_, lambda sentence: click.echo(sentence, err=True))) as states:
        async for state in states:
            found = record_of(state)
            if isinstance(found, str):
                continue
            rollout = found.rollout
            if request.verb == "retry" and rollout.attempt > attempt:
                return f"Attempt {rollout.attempt} of {rollout.name} has begun: {rollout.message}", True
            for event in reversed(rollout.history):
                if event.event == "operator" and event.evidence.get("id") == request.id:
                    return event.message, was_accepted(event, rollout.history)
            open_ids = {each.id for each in requests_in(state).values() if each}
            if request.id in rollout.answered:
                return rollout.message, True  # its entry is shed already, or was never kept
            if request.id not in open_ids:
                return await _put_away(session, state, request)
    raise AssertionError  # following ends by itself only through an error


async def _put_away(session: KubectlSession, state: "Object", request: OperatorRequest) -> tuple[str, bool]:
    """What an Event says of a request that was put away without a rollout, and whether it was granted."""
    from canary.errors import ExternalError
    from controlplane.kubectl.events import about

    name = state["metadata"]["name"]
    for _ in range(10):
        try:
            for event in reversed(await about(session, state)):
                reason, note = event.get("reason"), str(event.get("note", ""))
                if reason in {"RequestRefused", "RequestGranted"} and note.startswith(request.by):
                    return note, reason == "RequestGranted"
        except ExternalError:
            break
        await asyncio.sleep(0.2)  # Events are written after everything else
    return f"The request was put away without an answer; `kubectl canary events {name}` may say why.", False


promote, pause, resume, approve, abort, retry = (_command(verb) for verb in WORDS)
