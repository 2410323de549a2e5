"""The gate as a line that reads aloud: takes it apart into words, with the place of each for faults.

    metric [p95] (<= | >=) value                          latency p95 <= 200ms
    metric [p95] not worse than stable by margin          ttft p95 not worse than stable by 10%
    metric [p95] (drop | rise | drift) <= margin          csat drop <= 3%
    … [over window] [per label]                           … over 4h per tenant

Called by `gates.py`, which knows what the words mean. Nothing here knows a metric.
"""

import re
from dataclasses import dataclass
from typing import Literal

from canary.spec.source import quoted
from canary.spec.units import UnreadableNumber

Operator = Literal["<=", ">=", "not worse", "drop", "rise", "drift"]
LENGTH_LIMIT = 300

_METRIC = r"[A-Za-z][\w./-]*"
_STATISTIC = r"(?:p[0-9]+(?:\.[0-9]+)?|mean|avg|average|median|max|min)(?![\w./])"
_UNIT = r"(?!(?:over|per)\b)[A-Za-z%µ]+"
_VALUE = rf"[-+]?\$?\s*[0-9.][0-9.,]*(?:\s*{_UNIT}(?:\s*[0-9.]+\s*{_UNIT})*)?"
_LESS, _MORE = r"<=|≤|=<|<", r">=|≥|=>|>"


@dataclass(frozen=True, slots=True)
class Word:
    """A piece of the line and the character that it begins at."""

    text: str
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """A gate taken apart."""

    metric: Word
    statistic: Word | None
    operator: Operator
    value: Word
    """Limit or margin with its unit; `stable` where an evaluation compares with it."""
    window: Word | None = None
    label: Word | None = None


def read_line(text: str) -> Line:
    """The words of a gate. Raises `UnreadableNumber` at the first word that does not fit."""
    words = _Words(text)
    metric = words.expect(_METRIC, "a gate begins with its metric, such as latency or error_rate")
    statistic = words.take(_STATISTIC)
    operator = _operator(words)
    margin = operator not in {"<=", ">="}
    value = words.expect(
        _VALUE,
        "expected a margin such as 10% or 0.1pp here" if margin else "expected a limit such as 200ms or 0.1% here",
    )
    window = words.expect(_VALUE, 'expected a duration after "over", such as 4h') if words.take(r"over\b") else None
    label = (
        words.expect(r"[A-Za-z_]\w*", 'expected a label after "per", such as tenant') if words.take(r"per\b") else None
    )
    words.end("a gate ends here; another one belongs on its own line")
    return Line(metric, statistic, operator, value, window, label)


def read_criterion(text: str) -> Line:
    """The words of one line of an evaluation: `metric >= value`, `>= stable` or `not worse than stable by margin`."""
    words = _Words(text)
    metric = words.expect(_METRIC, "a criterion begins with its metric, such as first_turn_resolution")
    if words.take(r"not\s+worse\s+than\s+stable\b"):
        words.expect(r"by\b", 'expected "by" and a margin here: not worse than stable by 2pp')
        margin = words.expect(_VALUE, "expected a margin such as 2pp here")
        words.end("a criterion ends here; another one belongs on its own line")
        return Line(metric, None, "not worse", margin)
    less = words.take(_LESS)
    if not less and not words.take(_MORE):
        raise words.unfit("expected <=, >= or not worse than stable by here")
    value = words.take(r"stable\b") or words.expect(_VALUE, "expected a value such as 70%, or stable, here")
    words.end("a criterion ends here; another one belongs on its own line")
    return Line(metric, None, "<=" if less else ">=", value)


def _operator(words: "_Words") -> Operator:
    """How the canary's value is held against the limit."""
    if words.take(r"not\s+worse\s+than\s+stable\b"):
        words.expect(r"by\b", 'expected "by" and a margin here: not worse than stable by 10%')
        return "not worse"
    change = words.take(r"(?:drop|rise|drift)\b")
    if change:
        words.expect(_LESS, f"expected <= and a margin here: {change.text} <= 3%")
        changes: dict[str, Operator] = {"drop": "drop", "rise": "rise", "drift": "drift"}
        return changes[change.text]
    if words.take(_LESS):
        return "<="
    if words.take(_MORE):
        return ">="
    if words.take(r"not\b"):
        raise words.unfit("expected: not worse than stable by 10%")
    raise words.unfit("expected <=, >=, not worse than stable by, drop <= or rise <= here")


class _Words:
    """The line, taken from the left."""

    def __init__(self, text: str) -> None:
        if len(text) > LENGTH_LIMIT:
            raise UnreadableNumber(f"a gate is one short line, this has {len(text)} characters")
        self._text = text
        self._at = 0
        self._skip_blanks()

    def take(self, pattern: str) -> Word | None:
        """The next word if it has this form."""
        found = re.compile(pattern).match(self._text, self._at)
        if not found:
            return None
        word = Word(found[0].strip(), self._at)
        self._at = found.end()
        self._skip_blanks()
        return word

    def expect(self, pattern: str, otherwise: str) -> Word:
        """The next word, which must have this form."""
        word = self.take(pattern)
        if word is None:
            raise self.unfit(otherwise)
        return word

    def end(self, otherwise: str) -> None:
        """Nothing may follow."""
        if self._at < len(self._text):
            raise self.unfit(otherwise)

    def unfit(self, message: str) -> UnreadableNumber:
        """What is wrong with the next word."""
        rest = self._text[self._at :]
        got = f"got {quoted(rest)}" if rest else "but the line ends"
        return UnreadableNumber(f"{message}, {got}", offset=min(self._at, max(0, len(self._text) - 1)))

    def _skip_blanks(self) -> None:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
