"""`serinus run`: one rollout on this machine, to its end.

Reads the plan, opens a view, and turns signals into requests; the rollout itself is `controlplane.program`. Ctrl-C asks
first and then puts everything back on stable; TERM leaves everything serving as it is, and the same command goes on.
"""

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from controlplane.cli.catalogue import catalogue_option
from controlplane.cli.person import os_user
from controlplane.cli.signals import on_signals
from controlplane.cli.telemetry import history_in, log_format, tracing

if TYPE_CHECKING:
    from canary.rollout import Event, Rollout
    from canary.spec.models import ModelCanary
    from controlplane.evaluation.loading import Loaded
    from controlplane.program import Controls
    from controlplane.view.watcher import Watcher
    from profiles.catalogue import Catalogue

QUESTION = "Put everything back on {stable}, then leave? [Y]es, [n]o go on, [l]eave everything serving as it is: "
ENDS = {"promoted": 0, "rolled_back": 1, "failed": 1, "aborted": 1, "superseded": 1}
NOT_ENDED = 3


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), help="Folder for state and logs.")
@click.option("--settings", type=click.Path(path_type=Path), help="Settings for a short form, instead of serinus.yml.")
@catalogue_option
@click.option("--keep", is_flag=True, help="Keep the winner serving after the rollout.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), help="Exit after this many seconds, with code 3."
)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="What to print.")
@log_format("text")
def command(
    file: Path,
    state: Path | None,
    settings: Path | None,
    additions: tuple[Path, ...],
    keep: bool,
    timeout: float | None,
    output: str,
    log_format: str,
) -> None:
    """Run the rollout in FILE on this machine, to its end.

    After a crash, the same command continues where it was. Exit codes: 0 promoted, 1 rolled back or
    failed, 2 bad input, 3 left before its end.
    """
    from canary.errors import BadInput, SerinusError, SpecError
    from controlplane.adapters.state_dir import default_state_folder
    from controlplane.profiles.sources import catalogue
    from profiles.errors import ProfileError

    try:
        known = catalogue(additions)
        plan, evaluation = _plan(file, settings, known)
        folder = state or default_state_folder(plan.metadata.name)
        code = asyncio.run(
            _run(
                plan,
                evaluation,
                known,
                folder,
                keep,
                leave_after=timeout,
                output=output,
                log_format=log_format,
                again=_command_again(file, state),
            )
        )
    except (BadInput, SpecError, ProfileError) as error:
        click.echo(f"{error}\nNothing was started.", err=True)
        code = 2
    except SerinusError as error:
        click.echo(str(error), err=True)
        code = 1
    except ExceptionGroup as group:
        click.echo("\n".join(str(error) for error in _ours(group)), err=True)
        code = 1
    raise SystemExit(code)


def _plan(file: Path, settings: Path | None, known: "Catalogue") -> "tuple[ModelCanary, Loaded | None]":
    """The plan in the file and its data set, if this machine can do all of it and its variants fit their GPUs."""
    from canary.errors import SpecError
    from canary.spec.local import local_faults
    from canary.spec.parse import in_order
    from controlplane import spec_files
    from controlplane.adapters.cost_source import dollars_an_hour
    from controlplane.cli.validate import as_warning
    from controlplane.evaluation.loading import load as load_evaluation
    from controlplane.profiles.canary_check import checked

    document = spec_files.load(file, settings=settings)
    found = checked(document, known)
    if faults := in_order([*local_faults(document, partial(dollars_an_hour, known=known)), *found.faults]):
        raise SpecError(faults)
    for warning in found.warnings:
        click.echo(as_warning(warning), err=True)
    evaluation = document.canary.spec.evaluation
    if evaluation is None:
        return document.canary, None
    model = document.canary.spec.model.name
    return document.canary, load_evaluation(evaluation, file.parent, model=model)


async def _run(
    plan: "ModelCanary",
    evaluation: "Loaded | None",
    known: "Catalogue",
    folder: Path,
    keep: bool,
    *,
    leave_after: float | None,
    output: str,
    log_format: str,
    again: str,
) -> int:
    """Carry the rollout through; the exit code."""
    from canary.spec import revision
    from controlplane.adapters.system_clock import SystemClock
    from controlplane.program import Audience, Controls, Serving, run_rollout
    from controlplane.view.jsonl import JsonLines
    from controlplane.view.log import LogView, LogWatcher
    from controlplane.view.watcher import open_watcher

    clock, controls, name = SystemClock(), Controls(), plan.metadata.name
    view: Watcher
    if log_format == "json":
        events = JsonLines(sys.stdout) if output == "json" else None
        view = LogWatcher(LogView(sys.stderr if events else sys.stdout, clock.now), name, events)
    else:
        hint = "put everything back: Ctrl-C"
        view = open_watcher(output, sys.stdout, plan.spec, now=clock.now, revision=revision(plan), hint=hint)

    def serving(at: Serving) -> None:
        view.say(f"Clients connect to http://{at.address}; numbers come from {at.metrics}; state and logs: {folder}")

    history = history_in(folder, name)
    loop = asyncio.get_running_loop()
    interrupts = Interrupts(plan, controls, view)
    on_signals(interrupt=interrupts.interrupt, terminate=controls.leave.set)
    if leave_after is not None:
        loop.call_later(leave_after, controls.leave.set)
    try:
        async with tracing(view.say) as tracer:

            def event(happened: "Event") -> None:
                view.event(happened)
                if tracer is not None:
                    tracer.happened(happened, history)

            audience = Audience(say=view.say, event=event, update=view.update, serving=serving)
            rollout = await run_rollout(
                plan,
                state=folder,
                keep=keep,
                audience=audience,
                controls=controls,
                known=known,
                evaluation=evaluation,
            )
    finally:
        view.close()
    last = view.say if log_format == "json" else lambda words: click.echo(words, err=True)
    return _last_words(rollout, plan, keep, again, last)


class Interrupts:
    """What Ctrl-C means: the first time a question, after that an answer."""

    def __init__(self, plan: "ModelCanary", controls: "Controls", view: "Watcher") -> None:
        self._stable = plan.spec.stable.name
        self._controls = controls
        self._view = view
        self._asking: asyncio.Future[str] | None = None
        self._aborted = False

    def interrupt(self) -> None:
        """Called by the signal. While the question stands, the rollout goes on and stays safe."""
        if self._aborted:
            self._view.say("Leaving at once: everything goes on serving as it is.")
            self._controls.leave.set()
        elif self._asking is not None or not sys.stdin.isatty():
            self._put_back()
        else:
            self._view.say(QUESTION.format(stable=self._stable))
            self._asking = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
            self._asking.add_done_callback(self._answered)

    def _answered(self, answer: "asyncio.Future[str]") -> None:
        self._asking = None
        word = answer.result().strip().lower()[:1] if not answer.cancelled() else "y"
        if word == "n":
            self._view.say("The rollout goes on.")
        elif word == "l":
            self._controls.leave.set()
        else:
            self._put_back()

    def _put_back(self) -> None:
        from controlplane.adapters.system_clock import SystemClock

        self._aborted = True
        self._view.say(f"Putting everything back on {self._stable}. Ctrl-C again leaves at once.")
        self._controls.ask("abort", os_user(), SystemClock().now())


def _last_words(rollout: "Rollout", plan: "ModelCanary", keep: bool, again: str, say: Callable[[str], None]) -> int:
    """Say how it ended and what can be done next; the exit code."""
    name = plan.metadata.name
    if not rollout.finished:
        share = f"{plan.spec.canary.name} keeps {rollout.weights} of the traffic"
        say(f"{name} was left while {rollout.phase}: {share}, and everything goes on serving.")
        say(f"Go on with `serinus run {again}`, or end it with `serinus stop {again}`.")
        return NOT_ENDED
    if keep:
        say(f"What won goes on serving. Stop it with `serinus stop {again}`.")
    return ENDS[rollout.result or "failed"]


def _command_again(file: Path, state: Path | None) -> str:
    return f"{file}{f' --state {state}' if state else ''}"


def _ours(group: "ExceptionGroup[Exception]") -> list[BaseException]:
    """The product's own errors in a group, flat; anything else is a bug and is raised as it is."""
    from canary.errors import SerinusError

    ours, others = group.split(SerinusError)
    if others is not None or ours is None:
        raise group
    return [leaf for error in ours.exceptions for leaf in _leaves(error)]


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]
