"""`serinus profile validate`: the error table of the predictor against measurements in a CSV file."""

import csv
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import click

from controlplane.profiles.commands.options import ProfileCommand, additions, output
from controlplane.profiles.sources import catalogue, read_text
from profiles.errors import Malformed
from profiles.points import REQUIRED, MeasuredPoint, read_points
from profiles.validation import Errors, validate


@click.command(cls=ProfileCommand)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--fitted",
    type=click.Path(path_type=Path),
    help="CSV of the rows that the constants were fitted on: reported apart.",
)
@additions
@output
def command(file: Path, fitted: Path | None, catalogues: tuple[Path, ...], output: str) -> None:
    """Print the predictor's errors on the measurements in FILE.

    FILE has the columns of the public table: model, params_b, quant, gpu, num_gpus, engine, concurrency_or_batch,
    input_tokens, output_tokens, metric, value, unit, source. Rows that cannot be read are skipped, with their reasons
    on standard error.
    """
    known = catalogue(catalogues)
    seen = keys(rows(fitted)) if fitted else set()
    measured = rows(file)
    points, skipped = read_points(measured, known)
    for reason in skipped:
        click.echo(f"{file}: skipped {reason}", err=True)
    if not points:
        raise Malformed(f"{file}: no row can be used ({len(skipped)} skipped)")
    if not fitted:
        show(points, len(skipped), output, "")
        return
    was_fitted = {line for line, row in enumerate(measured, start=2) if key(row) in seen}
    show([point for point in points if point.line not in was_fitted], len(skipped), output, "not fitted")
    show([point for point in points if point.line in was_fitted], 0, output, "fitted")


def rows(file: Path) -> list[dict[str, str]]:
    """The rows of a CSV with the columns that are needed; raises `Malformed` naming those that are missing."""
    table = csv.DictReader(read_text(file).splitlines())
    missing = [column for column in REQUIRED if column not in (table.fieldnames or ())]
    if missing:
        raise Malformed(f"{file}: the header lacks {', '.join(missing)}")
    return [
        {name: value or "" for name, value in row.items() if isinstance(name, str) and not isinstance(value, list)}
        for row in table
    ]


def key(row: dict[str, str]) -> tuple[str, ...]:
    """What makes two rows the same measurement."""
    return tuple(row[column].strip() for column in REQUIRED)


def keys(table: list[dict[str, str]]) -> set[tuple[str, ...]]:
    """All of a file."""
    return {key(row) for row in table}


def show(points: list[MeasuredPoint], skipped: int, output: str, group: str) -> None:
    """The table of one group of rows: one line a class."""
    table = validate(points)
    if output == "json":
        for errors in table:
            click.echo(json.dumps(line(errors, skipped if errors.name == "all" else 0, group)))
        return
    if group:
        click.echo(f"{group.capitalize()}:")
    click.echo("class           n   median      p90   inside the 80 % interval")
    for errors in table:
        if errors.median is not None and errors.p90 is not None and errors.covered is not None:
            click.echo(f"{errors.name:<11}{errors.n:>6}{errors.median:>9.1%}{errors.p90:>9.1%}{errors.covered:>9.1%}")
    gpus = Counter(point.deployment.gpu.name for point in points)
    click.echo(
        f"Rows by GPU: {', '.join(f'{name} {count}' for name, count in gpus.most_common())}. Skipped: {skipped}."
    )


def line(errors: Errors, skipped: int, group: str) -> dict[str, object]:
    """The object of one class."""
    found = asdict(errors)
    found["class"] = found.pop("name")
    found["skipped"] = skipped
    if group:
        found["group"] = group
    return found
