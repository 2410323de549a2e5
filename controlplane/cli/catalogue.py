"""The option `--catalogue`, of every command that asks what a variant's GPUs can do and cost. Reads nothing itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def catalogue_option(command: F) -> F:
    """Add `--catalogue FILE`, which may be repeated; the command gets the paths as `additions`."""
    option = click.option(
        "--catalogue",
        "additions",
        metavar="FILE",
        type=click.Path(path_type=Path),
        multiple=True,
        help="YAML with your own GPUs, models and quantizations; repeatable.",
    )
    return option(command)
