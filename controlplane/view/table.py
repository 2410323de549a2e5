"""Columns for people: the tables of `list`, `events` and `diff`, of a laptop's rollouts and of a cluster's.

Called by the verbs that print a line for each thing. Knows nothing of what stands in the cells, but for the difference
of two variants.
"""

import difflib
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from controlplane.view.text import clean

GAP = "   "
NOTHING = "–"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> list[str]:
    """Lines of columns; the last one is cut where the line would be wider than `width`."""
    lines = [head, *rows] if head else list(rows)
    if not lines:
        return []
    wide = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    made = [GAP.join(f"{cell:<{size}}" for cell, size in zip(line, wide, strict=True)).rstrip() for line in lines]
    if width is None:
        return made
    return [line if len(line) <= width else f"{line[: width - 1]}…" for line in made]


def width_here() -> int | None:
    """Columns of the terminal; None where the output is none, and nothing is to be cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def differences(changed: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A table of what differs; long texts are compared line by line below it."""
    long = {field: both for field, both in changed.items() if any("\n" in str(value) for value in both.values())}
    rows = [
        (field, *(clean(_shown(both[arm])) for arm in ("stable", "canary")))
        for field, both in changed.items()
        if field not in long
    ]
    shown = table(("FIELD", "STABLE", "CANARY"), rows) if rows else []
    for field, both in long.items():
        before, after = (str(both[arm] or "").splitlines() for arm in ("stable", "canary"))
        shown += ["", field, *map(clean, difflib.unified_diff(before, after, "stable", "canary", lineterm="", n=2))]
    return shown


def _shown(value: Any) -> str:
    if value is None:
        return NOTHING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
