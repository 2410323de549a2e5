"""Draws a picture for a terminal: header, stage rail, arms, gates, why, events, next. Pure: a picture and a width in.

Called by `terminal.py`. Columns fold away as the terminal gets narrower; nothing is told by colour alone.
"""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from canary import format as fmt
from canary.format import duration
from canary.rollout import Event, Phase
from canary.verdict import GateAnswer
from controlplane.view.gates import GateRow, limit
from controlplane.view.marks import BAD, CALM, GOOD, OPEN, QUIET, Marks, of_answer, of_event, of_phase
from controlplane.view.model import ArmRow, Picture, StageStep
from controlplane.view.text import clean

WIDE, MEDIUM, NARROW = 100, 78, 60
"""From these widths on: everything; without the margin; without the limit."""
EVENTS_SHOWN = 4
STALE_SECONDS = 5.0
INDENT = 2


def screen(picture: Picture, width: int, marks: Marks, hint: str = "") -> RenderableType:
    """The whole screen; `hint` is what a person can do now."""
    parts: list[RenderableType] = [_header(picture, width, marks)]
    if picture.cause:
        parts.append(_labelled("cause", Text(picture.cause, style=BAD)))
        parts.append(_labelled("back", Text(" · ".join(_how_it_went(picture)))))
    parts.append(_labelled("stages", _rail(picture, marks)))
    parts += [_arm(row, picture, width, marks) for row in picture.arms]
    if picture.gates:
        parts.append(_gates(picture.gates, width, marks))
    parts.append(_labelled("end" if picture.finished else "why", Text(picture.waits_for)))
    parts += _events(picture, width, marks)
    if picture.follows or hint:
        parts.append(_labelled("next", Text.assemble(picture.follows, "   ", (clean(hint), QUIET))))
    return Group(*parts)


def _header(picture: Picture, width: int, marks: Marks) -> Text:
    symbol, style = of_phase(marks, picture.phase)
    line = Text(picture.name, style=CALM)
    line.append(f"  {symbol} {_spaced(picture.phase)}", style=style)
    line.append(f"  stage {picture.stage + 1} of {len(picture.stages)}  {duration(max(picture.t, 0.0))}")
    for age in _ages(picture):
        room = width - line.cell_len - age.cell_len
        if room >= 2:
            return line + Text(" " * room) + age
    line.truncate(width, overflow="ellipsis")
    return line


def _spaced(phase: Phase) -> str:
    """`RollingBack` as `rolling back`."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in phase.value).strip()


def _ages(picture: Picture) -> list[Text]:
    """How old the newest metrics are (or the record, where that is all), from the longest wording to the shortest."""
    if picture.of_record:
        last = picture.t - picture.events[-1].t if picture.events else 0.0
        return [Text(f"last news {duration(float(int(max(last, 0.0))))} ago", style=QUIET)]
    if picture.evidence_age is None:
        return [Text("no metrics yet", style=QUIET)]
    if picture.evidence_age < STALE_SECONDS:
        return [Text(f"metrics {fmt.duration(picture.evidence_age)} old", style=QUIET)]
    old = f"metrics {duration(picture.evidence_age)} old"
    return [Text(f"{old}: {picture.problem or 'no answer'}", style=OPEN), Text(old, style=OPEN)]


def _rail(picture: Picture, marks: Marks) -> Text:
    rail = Text()
    for index, step in enumerate(picture.stages):
        rail.append("  " if index else "")
        rail.append(*_step(step, marks))
    return rail


def _step(step: StageStep, marks: Marks) -> tuple[str, str]:
    share = fmt.share(step.share)
    if step.state == "passed":
        return f"{share} {marks.passed}", GOOD
    if step.state == "failed":
        return f"{share} {marks.failed}", BAD
    if step.state == "ahead":
        return share, QUIET
    held = min(step.held, step.hold)
    return f"[{share} {duration(float(int(held)))} of {duration(step.hold)}]", CALM


def _arm(row: ArmRow, picture: Picture, width: int, marks: Marks) -> Text:
    cells = 20 if width >= WIDE else 12
    in_force = row.asked if row.in_force is None else row.in_force
    full = round(in_force * cells)
    if 0 < in_force < 1:
        full = min(max(full, 1), cells - 1)
    longest = max(len(arm.name) for arm in picture.arms)
    line = Text(" " * INDENT)
    line.append(f"{row.arm:<8}", style=CALM)
    line.append(f"{row.name:<{min(longest, 20)}.20} {fmt.share(in_force):>6} ")
    line.append(marks.full * full, style=GOOD if row.arm == "stable" else "cyan")
    line.append(marks.empty * (cells - full), style=QUIET)
    line.append(f"  {fmt.rate(row.rate if in_force else None):>11}")
    line.append(*_readiness(row, marks))
    if row.in_force != row.asked:
        line.append(f"  {fmt.share(row.asked)} asked", style=OPEN)
    line.truncate(width, overflow="ellipsis")
    return line


def _readiness(row: ArmRow, marks: Marks) -> tuple[str, str]:
    if row.ready >= row.wanted:
        return f"  {marks.passed} ready", GOOD
    told = f": {row.problem}" if row.problem else ""
    return f"  {marks.waits} {row.ready} of {row.wanted} ready{told}", OPEN


def _gates(rows: tuple[GateRow, ...], width: int, marks: Marks) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, expand=False, header_style=QUIET)
    table.add_column(" " * INDENT + "GATE", overflow="ellipsis", no_wrap=True, max_width=max(14, width - 58))
    table.add_column("STABLE", justify="right", no_wrap=True, min_width=7)
    table.add_column("CANARY", justify="right", no_wrap=True, min_width=7)
    if width >= NARROW:
        table.add_column("LIMIT", no_wrap=True)
    table.add_column("VERDICT", no_wrap=True, min_width=12)
    table.add_column("N" if width < WIDE else "REQUESTS", no_wrap=True, justify="right")
    for row in rows:
        cells: list[RenderableType] = [
            Text(" " * INDENT + row.label),
            row.shown("stable"),
            row.shown("canary"),
        ]
        if width >= NARROW:
            cells.append(Text(limit(row, marks, margin=width >= WIDE)))
        cells += [_verdict(row, marks), Text(_samples(row, both=width >= WIDE))]
        table.add_row(*cells)
    return table


def _verdict(row: GateRow, marks: Marks) -> Text:
    symbol, style = of_answer(marks, row.verdict)
    tail = ""
    if row.verdict is GateAnswer.WAIT and row.eta is not None:
        tail = f" {duration(row.eta)}"
    if row.verdict is GateAnswer.FAIL and row.spoke == "hard stop":
        tail = " at once"
    return Text(f"{symbol} {row.verdict.value}{tail}", style=style)


def _samples(row: GateRow, *, both: bool) -> str:
    canary = fmt.count(row.samples.get("canary"))
    return f"{fmt.count(row.samples.get('stable'))} / {canary}" if both and row.samples else canary


def _events(picture: Picture, width: int, marks: Marks) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for index, event in enumerate(_newest(picture)):
        symbol, style = of_event(marks, event)
        line = Text(" " * INDENT + f"{'events' if index == 0 else '':<8}", style=QUIET)
        line.append(f"{max(event.t, 0.0):>6.1f} s ", style=QUIET)
        line.append(f"{symbol} ", style=style)
        answer = f"{event.evidence['verdict']}: " if event.event == "verdict" else ""
        line.append(answer + clean(event.message), style="default")
        line.truncate(width, overflow="ellipsis")
        lines.append(line)
    return lines


def _newest(picture: Picture) -> list[Event]:
    """The newest events first, without those that the bars, the table and the lines above tell already."""
    newest: list[Event] = []
    above = {picture.waits_for, picture.cause}
    for event in reversed(picture.events):
        waits = event.event == "verdict" and event.evidence["verdict"] == GateAnswer.WAIT
        if not waits and event.event not in {"weights", "end"} and clean(event.message) not in above:
            newest.append(event)
    return newest[:EVENTS_SHOWN]


def _how_it_went(picture: Picture) -> list[str]:
    ending = picture.ending
    if ending is None:
        return []
    parts = []
    if ending.harm_to_verdict is not None:
        parts.append(f"decided {fmt.duration(ending.harm_to_verdict)} after the harm began (estimated)")
    if ending.verdict_to_zero is not None:
        parts.append(f"no traffic {fmt.duration(ending.verdict_to_zero)} later")
    parts.append(f"at most {fmt.share(ending.peak)} of the traffic")
    if picture.served:
        parts.append(f"{fmt.count(picture.served.get('canary'))} requests went to the canary")
    return parts


def _labelled(label: str, text: Text) -> Table:
    """A label and a text that wraps beside it."""
    grid = Table.grid(padding=0)
    grid.add_column(width=INDENT + 8)
    grid.add_column(overflow="fold")
    grid.add_row(Text(" " * INDENT + label, style=QUIET), text)
    return grid
