"""The symbols of the views, each always beside a word. For terminals without Unicode there are plain ones.

Used by `terminal.py` and `plain.py`.
"""

from dataclasses import dataclass

from canary.rollout import Event, Phase
from canary.verdict import GateAnswer

GOOD, BAD, OPEN, BUSY, CALM, QUIET = "green", "red", "yellow", "cyan", "bold", "dim"


@dataclass(frozen=True, slots=True)
class Marks:
    """One set of symbols."""

    passed: str
    failed: str
    waits: str
    busy: str
    paused: str
    full: str
    empty: str
    at_most: str
    at_least: str
    dash: str


UNICODE = Marks("✔", "✖", "◌", "◑", "‖", "█", "░", "≤", "≥", "–")
ASCII = Marks("+", "x", ".", "*", "=", "#", "-", "<=", ">=", "-")

_PHASES = {
    Phase.PENDING: ("waits", QUIET),
    Phase.PREPARING: ("waits", BUSY),
    Phase.AWAITING_APPROVAL: ("paused", OPEN),
    Phase.PAUSED: ("paused", OPEN),
    Phase.BLIND: ("paused", OPEN),
    Phase.SUCCEEDED: ("passed", GOOD),
    Phase.ROLLING_BACK: ("failed", BAD),
    Phase.ROLLED_BACK: ("failed", BAD),
    Phase.SUPERSEDED: ("failed", OPEN),
}
_ANSWERS = {GateAnswer.PASS: ("passed", GOOD), GateAnswer.FAIL: ("failed", BAD), GateAnswer.WAIT: ("waits", OPEN)}


def marks_for(encoding: str) -> Marks:
    """The symbols that this encoding can write."""
    try:
        "".join(getattr(UNICODE, name) for name in Marks.__slots__).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def of_phase(marks: Marks, phase: Phase) -> tuple[str, str]:
    """Symbol and style of a phase."""
    name, style = _PHASES.get(phase, ("busy", BUSY))
    return getattr(marks, name), style


def of_answer(marks: Marks, answer: GateAnswer) -> tuple[str, str]:
    """Symbol and style of a gate's answer."""
    name, style = _ANSWERS[answer]
    return getattr(marks, name), style


def of_event(marks: Marks, event: Event) -> tuple[str, str]:
    """Symbol and style of something that happened."""
    if event.event == "verdict" and event.evidence.get("verdict") in set(GateAnswer):
        return of_answer(marks, GateAnswer(event.evidence["verdict"]))
    if event.event in {"phase", "end"}:
        return of_phase(marks, event.phase)
    return (marks.failed, BAD) if event.event == "alert" else (marks.busy, CALM)
