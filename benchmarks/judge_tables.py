"""What `judge.py` found as the tables of `docs/judge.md`, so that nobody copies figures by hand.

Called by `judge_publish.py`. A table is known by its first line, after the one before it, and replaced up to its last.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

OURS = {
    "ours": "**this judge**",
    "ours at 5%": "**this judge, `falseRollback: 5%`**",
    "ours at 1%": "**this judge, `falseRollback: 1%`**",
}
WORLDS = {
    "real, 200 rps": "real",
    "harsh, 200 rps": "harsh",
    "held-out, 200 rps": "held-out",
    "iid, 200 rps": "iid",
    "real, 5 rps": "real, 5 rps",
    "real, 2000 rps": "real, 2000 rps",
}

Cells = Mapping[str, Any]


def tables(found: Cells) -> Iterator[list[str]]:
    """The lines of each table, in the order of the document."""
    yield _false_rollbacks(found["healthy"])
    yield _delays(found["regressions"], "own", ("ours at 5%", "ours at 1%"))
    rules = tuple(next(iter(found["regressions"].values()))["retuned"])
    yield _delays(found["regressions"], "retuned", rules)
    yield _passes(found["advance"])


def written_into(document: str, found: Cells) -> str:
    """The document with these tables. Raises ValueError where one has no place in it."""
    done = ""
    for table in tables(found):
        before, head, after = document.partition(table[0] + "\n")
        if not head:
            raise ValueError(f"no table in the rest of the document begins with {table[0]}")
        rest = after.splitlines(keepends=True)
        length = next(number for number, line in enumerate(rest) if not line.startswith("|"))
        done += before + "\n".join(table) + "\n"
        document = "".join(rest[length:])
    return done + document


def _false_rollbacks(healthy: Cells) -> list[str]:
    lines = []
    for rule in next(iter(healthy.values())):
        cells = [_percent(healthy[world][rule]["rate"]) if rule in healthy[world] else "-" for world in WORLDS]
        lines.append([OURS.get(rule, rule), *(f"**{cell}**" if rule in OURS else cell for cell in cells)])
    return _table(["rule", *WORLDS.values()], lines)


def _delays(harms: Cells, kind: str, rules: Sequence[str]) -> list[str]:
    lines = [[OURS.get(rule, rule), *(_delay(cells[kind][rule]) for cells in harms.values())] for rule in rules]
    return _table(["rule", *harms], lines)


def _passes(advance: Cells) -> list[str]:
    lines = [[f"`{gate}`", *map(_pass, cells.values())] for gate, cells in advance.items()]
    return _table(["gate", *next(iter(advance.values()))], lines)


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    rule = "|---" * len(head) + "|"
    return [_line(head), rule, *map(_line, lines)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _pass(cell: Cells) -> str:
    """`3.5 %; 160 / 445`: wrong passes, and the seconds of right ones."""
    return f"{cell['wrong'] * 100:.1f} %; {seconds(cell['healthy median'])} / {seconds(cell['healthy p90'])}"


def _delay(cell: Cells) -> str:
    """`20 / 40`, and the share that was found at all where that is not every one."""
    both = f"{seconds(cell['median'])} / {seconds(cell['p90'])}"
    return both if cell["found"] == 1 else f"{both} ({cell['found'] * 100:.0f} %)"


def seconds(value: float | None) -> str:
    """Seconds, or a dash for never."""
    return "-" if value is None else f"{value:.0f}"


def _percent(share: float) -> str:
    return "100 %" if share == 1 else f"{share * 100:.1f} %"
