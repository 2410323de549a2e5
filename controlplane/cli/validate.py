"""`serinus validate` and `serinus lint`: check canary.yml files and say all that is wrong, before anything starts.

Starts nothing and changes nothing. What is only unknown, such as a model that the catalogue does not have, is a warning
on standard error. Exit codes: 0 when every file is in order, 2 otherwise.
"""

import json
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from canary.errors import BadInput, Fault, SpecError
from canary.spec import Document, local_faults, revision
from canary.spec.cluster import cluster_faults, cluster_notes, operator_notes
from canary.spec.parse import in_order
from canary.spec.reader import read
from canary.spec.units import show_seconds, show_share
from canary.yaml_edit import is_no_op
from controlplane.adapters.cost_source import dollars_an_hour
from controlplane.cli.catalogue import catalogue_option
from controlplane.profiles.canary_check import checked
from controlplane.profiles.sources import catalogue
from controlplane.spec_files import STANDARD_INPUT, load, read_source
from profiles.catalogue import Catalogue
from profiles.errors import ProfileError

BAD_INPUT = 2


@dataclass(frozen=True, slots=True)
class Sound:
    """A file that can be used, and what is worth knowing of it."""

    document: Document
    warnings: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class AtRest:
    """A file after a promotion or a rollback: its canary says what its stable says, so there is nothing to try."""


Result = Sound | AtRest | SpecError | BadInput
OF_REST = {"spec.canary", "spec.canary.name"}
"""Where the faults are that only say that stable and canary are the same."""


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--settings", type=click.Path(path_type=Path), help="Settings for short forms, in place of serinus.yml.")
@click.option(
    "--for",
    "where",
    type=click.Choice(["local", "cluster"]),
    help="Also check that it can run there: local is `serinus run`, cluster is the operator.",
)
@catalogue_option
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="json: one object a file.")
@click.pass_context
def command(
    context: click.Context,
    files: tuple[str, ...],
    settings: Path | None,
    where: str | None,
    additions: tuple[Path, ...],
    output: str,
) -> None:
    """Check canary.yml files; every fault with file, line and column. `-` reads standard input."""
    try:
        known = catalogue(additions)
    except ProfileError as error:
        raise click.UsageError(f"--catalogue: {error}") from error
    results = [_checked(file, settings, where, known) for file in files]
    for file, result in zip(files, results, strict=True):
        click.echo(
            json.dumps(_as_json(file, result), ensure_ascii=False) if output == "json" else _as_text(file, result)
        )
        if not isinstance(result, Sound):
            continue
        if output == "text":
            for warning in result.warnings:
                click.echo(as_warning(warning), err=True)
        if settings is not None and result.document.form == "full":
            click.echo(f"{file}: note: {settings} is not used, a full form takes nothing from settings", err=True)
    if not all(isinstance(result, Sound | AtRest) for result in results):
        context.exit(BAD_INPUT)


@click.command("lint")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="json: one object a file.")
@click.pass_context
def lint(context: click.Context, files: tuple[str, ...], output: str) -> None:
    """Check canary.yml files for this machine, as `serinus validate --for local` does.

    Exit codes: 0 every file is in order, 2 otherwise.
    """
    context.invoke(command, files=files, settings=None, where="local", additions=(), output=output)


def as_warning(fault: Fault) -> str:
    """`file:line:column: warning: path: message`."""
    return f"{fault.file}:{fault.line}:{fault.column}: warning: {fault.path}: {fault.message}"


def _checked(file: str, settings: Path | None, where: str | None, known: Catalogue) -> Result:
    """The plan of a file, or why there is none. One file's faults do not hide another's."""
    try:
        document = load(file, settings=settings)
    except SpecError as error:
        return AtRest() if _rests(file, error) else error
    except BadInput as error:
        return error
    found = checked(document, known)
    there, notes = _there(document, where, known)
    faults = in_order([*there, *found.faults])
    return SpecError(faults) if faults else Sound(document, (*found.warnings, *notes))


def _there(document: Document, where: str | None, known: Catalogue) -> tuple[tuple[Fault, ...], tuple[Fault, ...]]:
    """What keeps the plan from running in a place, and what is good to know of it there."""
    price = partial(dollars_an_hour, known=known)
    if where == "local":
        return local_faults(document, price), ()
    if where == "cluster":
        return cluster_faults(document, price), (*cluster_notes(document), *operator_notes(document))
    return (), ()


def _rests(file: str, error: SpecError) -> bool:
    """Whether nothing is wrong with the file but that it names nothing to try."""
    if file == STANDARD_INPUT or {fault.path for fault in error.faults} - OF_REST:
        return False
    root, _ = read(read_source(file))
    return root is not None and is_no_op(root)


def _as_text(file: str, result: Result) -> str:
    """`file: ok` with the plan in a line, or every fault."""
    if isinstance(result, SpecError):
        count = len(result.faults)
        return f"{result}\n{file}: {count} {'fault' if count == 1 else 'faults'}"
    if isinstance(result, BadInput):
        return str(result)
    if isinstance(result, AtRest):
        return f"{file}: ok: at rest, stable and canary are the same and there is nothing to try"
    return f"{file}: ok: {_summary(result.document)}"


def _summary(document: Document) -> str:
    """`support-llm, bf16 to nf4 over 5% (7d), 25% (7d), 100%, 4 gates`."""
    spec = document.canary.spec
    stages = ", ".join(
        f"{show_share(stage.traffic)} ({show_seconds(stage.hold)})" if stage.hold else show_share(stage.traffic)
        for stage in spec.stages
    )
    count = sum(len(stage.gates) for stage in spec.stages)
    gates = f"{count or 'no'} {'gate' if count == 1 else 'gates'}"
    return f"{document.canary.metadata.name}, {spec.stable.name} to {spec.canary.name} over {stages}, {gates}"


def _as_json(file: str, result: Result) -> dict[str, Any]:
    """One object a file: what it is, or its faults."""
    if isinstance(result, SpecError):
        return {"file": file, "ok": False, "faults": [asdict(fault) for fault in result.faults]}
    if isinstance(result, BadInput):
        return {"file": file, "ok": False, "faults": [asdict(Fault(file, 0, 0, "", str(result)))]}
    if isinstance(result, AtRest):
        return {"file": file, "ok": True, "at_rest": True, "faults": [], "warnings": []}
    document = result.document
    spec = document.canary.spec
    return {
        "file": file,
        "ok": True,
        "name": document.canary.metadata.name,
        "revision": revision(document.canary),
        "form": document.form,
        "stable": spec.stable.name,
        "canary": spec.canary.name,
        "stages": [
            {"traffic": stage.traffic, "hold": stage.hold, "gates": [gate.text for gate in stage.gates]}
            for stage in spec.stages
        ],
        "faults": [],
        "warnings": [asdict(warning) for warning in result.warnings],
    }
