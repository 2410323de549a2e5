"""Two histories of one rollout side by side: what was decided when, by the plan that was and by another.

Used by `serinus replay`. An entry stands beside the entry of the other side that says the same (the same phase of the
same stage for the same reason, the same answer of the same gate), whenever that was.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from canary.rollout import Event, Phase, Reason
from canary.serial import event_to_text
from controlplane.view.marks import Marks, of_event
from controlplane.view.text import clean

WIDEST_CELL = 60


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One thing that was decided on one side or on both."""

    recorded: Event | None
    replayed: Event | None

    @property
    def t(self) -> float:
        """Seconds since the rollout began: of whoever decided it first."""
        return min(event.t for event in (self.recorded, self.replayed) if event is not None)


def rows(recorded: Sequence[Event], replayed: Sequence[Event]) -> list[ComparisonRow]:
    """Every entry of both histories, each side in its own order; what only one side says is sorted in by its time."""
    found: list[ComparisonRow] = []
    same_words = SequenceMatcher(None, [_says(e) for e in recorded], [_says(e) for e in replayed], autojunk=False)
    for kind, i, i_end, j, j_end in same_words.get_opcodes():
        if kind == "equal":
            found += [ComparisonRow(*pair) for pair in zip(recorded[i:i_end], replayed[j:j_end], strict=True)]
        else:
            alone = [ComparisonRow(event, None) for event in recorded[i:i_end]] + [
                ComparisonRow(None, event) for event in replayed[j:j_end]
            ]
            found += sorted(alone, key=lambda row: row.t)
    return found


def same(recorded: Sequence[Event], replayed: Sequence[Event]) -> bool:
    """Whether both made the same decisions at the same times, with the same evidence."""
    return list(map(event_to_text, recorded)) == list(map(event_to_text, replayed))


def table(found: Sequence[ComparisonRow], titles: tuple[str, str], marks: Marks, width: int) -> Iterator[str]:
    """The rows that change the course of things, as lines."""
    cell = max(min((width - 4) // 2, WIDEST_CELL), 30)
    yield f"{titles[0]:<{cell}}    {titles[1]}"
    for row in found:
        if any(event is not None and _matters(event) for event in (row.recorded, row.replayed)):
            left, right = (_cell(event, marks, cell) for event in (row.recorded, row.replayed))
            yield f"{left:<{cell}}    {right}".rstrip()


def _cell(event: Event | None, marks: Marks, width: int) -> str:
    if event is None:
        return ""
    symbol, _ = of_event(marks, event)
    when = f"{max(event.t, 0.0):>8.1f} s  {symbol} "
    words = clean(_words(event))
    room = width - len(when)
    return when + (words if len(words) <= room else f"{words[: room - 1]}…")


def _words(event: Event) -> str:
    match event.event:
        case "phase" if event.phase is Phase.SHIFTING:
            return f"to stage {event.stage + 1} ({event.reason})"
        case "phase":
            return f"{event.phase} ({event.reason})"
        case "verdict":
            return f"{event.evidence.get('verdict')}: {event.evidence.get('gate')}"
        case _:
            return event.message


def _matters(event: Event) -> bool:
    if event.event == "verdict":
        return event.evidence.get("verdict") != "wait"
    return event.event in {"phase", "alert", "operator"} and event.reason is not Reason.ACCEPTED


def _says(event: Event) -> tuple[object, ...]:
    """What an entry says, whenever it says it."""
    told = event.event, event.phase, event.stage
    if event.event == "verdict":
        return (*told, event.evidence.get("gate"), event.evidence.get("verdict"))
    return (*told, event.weight, event.reason)
