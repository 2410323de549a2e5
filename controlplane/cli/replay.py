"""`serinus replay`: a recorded rollout decided again, by its own plan or by another canary.yml.

Reads the recording that `serinus run` and `serinus controller` keep beside the state; asks nothing of a rollout and
changes nothing. Deciding is `canary.replay`, the table `controlplane.view.side_by_side`.
"""

import asyncio
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from canary.frame import Frame
    from canary.replay import Replayed
    from canary.rollout import Event
    from canary.spec.models import ModelCanary

DIFFERENT, BAD_INPUT, UNDECIDED = 1, 2, 3
RESULTS: dict[str | None, str] = {
    "promoted": "promoted",
    "rolled_back": "rolled back",
    "failed": "failed",
    "aborted": "ended by a person",
    "superseded": "replaced by a newer plan",
    None: "undecided",
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a store knows of one attempt."""

    name: str
    attempt: int
    events: Sequence["Event"]
    frames: Sequence["Frame"]


@click.command()
@click.argument("target")
@click.option("--plan", type=click.Path(path_type=Path), help="Decide by this canary.yml instead.")
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), help="Folder for state and logs.")
@click.option("--attempt", type=click.IntRange(min=1), help="An earlier rollout of this name; the newest by default.")
@click.option("--settings", type=click.Path(path_type=Path), help="Settings for a short form, instead of serinus.yml.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="What to print.")
def command(
    target: str, plan: Path | None, state: Path | None, attempt: int | None, settings: Path | None, output: str
) -> None:
    """Decide a recorded rollout again, and show both side by side.

    TARGET is the rollout's name, its state folder, or a canary.yml: then that file decides, edited or not. Exit codes:
    0 the same decisions, or the edited plan would have promoted; 1 other decisions of the same plan, or the edited plan
    would have rolled back; 2 bad input; 3 the edited plan is undecided when the recording ends.
    """
    from canary.errors import BadInput, SerinusError, SpecError
    from canary.replay import NoRecording
    from canary.spec import revision

    try:
        by = plan or (Path(target) if Path(target).is_file() else None)
        name, folder = _place(target, state, settings)
        recorded = asyncio.run(_read(name, folder, attempt))
        own = _own_plan(recorded)
        other = own if by is None else _load(by, settings)
        if revision(other) == revision(own):
            code = _again(own, recorded, output)
        else:
            code = _otherwise(own, other, str(by), recorded, output)
    except (BadInput, SpecError, SerinusError) as error:
        click.echo(f"{error}\nNothing was decided again.", err=True)
        code = BAD_INPUT
    except NoRecording as error:
        click.echo(f"The recording of {target} cannot be used: {error}. Nothing was decided again.", err=True)
        code = BAD_INPUT
    raise SystemExit(code)


def _again(plan: "ModelCanary", recorded: Recorded, output: str) -> int:
    """By the plan that it was recorded under: anything but the same decisions deserves a look."""
    from canary.replay import decided_again
    from controlplane.view.side_by_side import rows, same

    replayed = decided_again(plan.spec, recorded.frames)
    told = [event for event in recorded.events if event.at <= replayed.until]
    equal = same(told, replayed.events)
    _print(recorded, told, replayed, equal, "by the same plan, now", output, both=not equal)
    if output == "text":
        if equal:
            click.echo(f"Same decisions at the same times: {len(replayed.events)} of {len(told)}.")
        else:
            different = sum(row.recorded is None or row.replayed is None for row in rows(told, replayed.events))
            click.echo(
                f"The same plan decides otherwise today ({different} entries have no match): "
                f"it was recorded by another version of Serinus."
            )
    _notes(recorded, replayed, output)
    return 0 if equal else DIFFERENT


def _otherwise(own: "ModelCanary", other: "ModelCanary", file: str, recorded: Recorded, output: str) -> int:
    """By another plan: what would have been decided when."""
    from canary.format import duration
    from canary.replay import decided_otherwise
    from canary.rollout import Phase
    from canary.spec import revision

    replayed = decided_otherwise(own.spec, recorded.frames, other.spec, revision(other))
    _print(recorded, recorded.events, replayed, False, f"by {file}", output, both=True)
    rollout = replayed.rollout
    if output == "text":
        was = recorded.events[-1]
        ended = was.evidence.get("result") if was.event == "end" else None
        click.echo(f"Recorded  {RESULTS[ended]} after {duration(max(was.t, 0.0))}")
        if rollout.finished:
            why = next((event for event in replayed.events if event.phase is Phase.ROLLING_BACK), replayed.events[-1])
            length = duration(max(replayed.events[-1].t, 0.0))
            click.echo(f"Replayed  {RESULTS[rollout.result]} after {length}: {why.message}")
        else:
            length = duration(max(replayed.until - rollout.began, 0.0))
            click.echo(
                f"Replayed  undecided when the recording ends after {length}: {rollout.phase} with "
                f"{rollout.weights} of the traffic on the canary"
            )
        click.echo("Where the shares differ the larger arm is thinned, so verdicts come later rather than earlier.")
    _notes(recorded, replayed, output)
    if not rollout.finished:
        return UNDECIDED
    return 0 if rollout.result == "promoted" else DIFFERENT


def _print(
    recorded: Recorded,
    told: "Sequence[Event]",
    replayed: "Replayed",
    equal: bool,
    title: str,
    output: str,
    *,
    both: bool,
) -> None:
    """The table (where there are two sides to show), or one JSON object a row and one about it all."""
    from canary.serial import event_line
    from controlplane.view.marks import marks_for
    from controlplane.view.side_by_side import rows, table

    found = rows(told, replayed.events)
    if output == "json":
        for row in found:
            sides = {"recorded": row.recorded, "replayed": row.replayed}
            line = {"t": row.t} | {side: event_line(event) if event else None for side, event in sides.items()}
            print(json.dumps(line, ensure_ascii=False), flush=True)
        was = told[-1].evidence.get("result") if told[-1].event == "end" else None
        summary = {
            "event": "replay",
            "rollout": recorded.name,
            "attempt": recorded.attempt,
            "same": equal,
            "recorded": was,
            "replayed": replayed.rollout.result,
            "until": replayed.until - replayed.rollout.began,
            "gaps": len(replayed.gaps),
        }
        print(json.dumps(summary, ensure_ascii=False), flush=True)
        return
    click.echo(f"{recorded.name}, rollout {recorded.attempt}: {len(recorded.frames):,} recorded looks decided again.")
    if both:
        click.echo()
        width = shutil.get_terminal_size((120, 24)).columns
        for text in table(found, ("recorded", title), marks_for(sys.stdout.encoding or "utf-8"), width):
            click.echo(text)
        click.echo()


def _notes(recorded: Recorded, replayed: "Replayed", output: str) -> None:
    """What the record does not hold."""
    if output != "text":
        return
    if replayed.gaps:
        click.echo(
            f"The record restates the rollout {len(replayed.gaps)} times, where decisions could not be saved: what "
            f"happened just before is taken over, not decided again."
        )
    if later := sum(event.at > replayed.until for event in recorded.events):
        click.echo(f"{later} later events are beyond the end of the recording.")


def _place(target: str, state: Path | None, settings: Path | None) -> tuple[str, Path]:
    """The rollout's name (empty: the only one in that folder) and its state folder."""
    from canary.errors import BadInput
    from controlplane.cli.place import place_of
    from controlplane.readmodel.local import FILE

    folder = Path(target)
    if not folder.is_dir():
        return place_of(target, state, settings)
    if not (folder / FILE).is_file():
        raise BadInput(f"{folder} is not a state folder: there is no {FILE} in it.")
    return "", folder


async def _read(name: str, folder: Path, attempt: int | None) -> Recorded:
    from canary.errors import BadInput
    from controlplane.adapters.sqlite_store import SqliteStore

    store = SqliteStore(folder / "serinus.db")
    try:
        name = name or next(iter(await store.names()), "")
        stored = await store.load(name)
        number = attempt or (stored.rollout.attempt if stored else 0)
        events, frames = await store.history(name, number), await store.frames(name, number)
    finally:
        await store.close()
    if stored is None or not events:
        raise BadInput(f"{name or 'Nobody'} has no such rollout in {folder}.")
    if not frames:
        raise BadInput(
            f"Rollout {number} of {name} was not recorded: it ran under an older Serinus, or its recording made room "
            f"for those of newer ones."
        )
    return Recorded(name, number, events, frames)


def _own_plan(recorded: Recorded) -> "ModelCanary":
    """The plan that it was recorded under."""
    from canary.errors import BadInput, ExternalError
    from canary.frame import Begun
    from canary.replay import NoRecording
    from canary.spec.stored import from_text

    first = recorded.frames[0]
    if not isinstance(first, Begun):
        raise NoRecording("it does not begin with the rollout's beginning")
    try:
        return from_text(first.plan)
    except ExternalError as error:
        raise BadInput(f"In the recording: {error}") from error


def _load(file: Path, settings: Path | None) -> "ModelCanary":
    from controlplane import spec_files

    return spec_files.load(file, settings=settings).canary
