"""Reads a template of kubectl's JSONPath into text, paths and ranges. Pure; `jsonpath.py` carries them out."""

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from canary.errors import BadInput

OPEN_END = 2**62
"""The end of a slice that names none: `[1:]`."""
_NAME = re.compile(r"(?:[^\s.,\[\]$@{}!<>=()'\"\\]|\\.)+")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?![\w.])")
_SIGN = re.compile(r"==|!=|<=|>=|<|>")
_SLICE = re.compile(r"(-?\d*)(?::(-?\d*))?(?::(-?\d*))?")
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")


@dataclass(frozen=True, slots=True)
class Text:
    """Printed as it stands."""

    text: str


@dataclass(frozen=True, slots=True)
class Field:
    """`.name`."""

    name: str


@dataclass(frozen=True, slots=True)
class Every:
    """`.*`: what is in every field, or at every place."""


@dataclass(frozen=True, slots=True)
class Places:
    """`[*]`: what is at every place of a list."""


@dataclass(frozen=True, slots=True)
class Descent:
    """`..`: the value and everything below it."""


@dataclass(frozen=True, slots=True)
class Slice:
    """`[start:end:stride]`; a place alone has neither end nor stride."""

    start: int | None
    end: int | None
    stride: int | None


@dataclass(frozen=True, slots=True)
class Union:
    """`[0,2]` or `['a','b']`."""

    steps: "tuple[Slice | Field | Places, ...]"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a filter asks; without a sign, whether there is anything."""

    left: Any
    sign: str | None
    right: Any


@dataclass(frozen=True, slots=True)
class Filter:
    """`[?(@.type=="Ready")]`."""

    comparison: Comparison


Step = Field | Every | Places | Descent | Slice | Union | Filter


@dataclass(frozen=True, slots=True)
class Path:
    """Where to look, from the whole (`$`) or from the present value (`@`, or nothing)."""

    steps: tuple[Step, ...]
    from_root: bool = False


@dataclass(frozen=True, slots=True)
class Range:
    """`{range .items[*]}…{end}`."""

    over: Path
    inner: "tuple[Text | Path | Range, ...]"


def template_of(text: str) -> tuple[Text | Path | Range, ...]:
    """The parts of a template; what stands outside of braces is text."""
    reader = _Reader(text)
    nodes, end = reader.nodes()
    if end:
        reader.fail("an {end} has no {range} before it")
    return nodes


class _Reader:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def fail(self, why: str) -> NoReturn:
        """Say what cannot be read, and where."""
        raise BadInput(f"The jsonpath {self._text!r} cannot be read at character {self._at + 1}: {why}.")

    def nodes(self) -> tuple[tuple[Text | Path | Range, ...], bool]:
        """Parts up to an `{end}` or the end; and whether it was an `{end}`."""
        found: list[Text | Path | Range] = []
        while self._at < len(self._text):
            if self._text[self._at] != "{":
                until = self._text.find("{", self._at)
                until = len(self._text) if until < 0 else until
                found.append(Text(self._text[self._at : until]))
                self._at = until
                continue
            self._at += 1
            self._spaces()
            if self._word("end"):
                self._close()
                return tuple(found), True
            if self._word("range"):
                found.append(self._range())
                continue
            found.append(Path(()) if self._peek() == "}" else self._action())
            self._close()
        return tuple(found), False

    def _range(self) -> Range:
        self._spaces()
        over = self._path()
        self._close()
        inner, ended = self.nodes()
        if not ended:
            self.fail("a {range} has no {end}")
        return Range(over, inner)

    def _action(self) -> Text | Path:
        if self._peek() in {'"', "'"}:
            return Text(self._quoted())
        if number := _NUMBER.match(self._text, self._at):
            self._at = number.end()
            return Text(number[0])
        return self._path()

    def _path(self) -> Path:
        from_root = self._take("$")
        if not from_root:
            self._take("@")
        steps: list[Step] = []
        while True:
            if self._text.startswith("..", self._at):
                self._at += 2
                steps.append(Descent())
                if self._take("*"):
                    steps.append(Every())
                elif self._peek() != "[":
                    steps.append(Field(self._name()))
            elif self._take("."):
                if self._take("*"):
                    steps.append(Every())
                elif self._peek() not in {"", "}", "[", " ", ")"}:
                    steps.append(Field(self._name()))
            elif self._take("["):
                steps.append(self._brackets())
            elif not steps and not from_root and _NAME.match(self._text, self._at):
                self.fail(f"{self._name()!r} is no command; a field begins with a dot")
            elif self._peek() in {"}", " ", ")", "=", "!", "<", ">"}:
                return Path(tuple(steps), from_root)
            else:
                self.fail("a brace is not closed" if not self._peek() else f"unexpected {self._peek()!r}")

    def _brackets(self) -> Step:
        self._spaces()
        if self._take("?"):
            return self._filter()
        steps = [self._choice()]
        self._spaces()
        while self._take(","):
            self._spaces()
            steps.append(self._choice())
            self._spaces()
        if not self._take("]"):
            self.fail("a bracket holds places (0, -1, 0:2), names in single quotes, * or ?(…)")
        return steps[0] if len(steps) == 1 else Union(tuple(steps))

    def _choice(self) -> Slice | Field | Places:
        if self._take("*"):
            return Places()
        if self._peek() == "'":
            return self._key()
        part = _SLICE.match(self._text, self._at)
        if part is None or not part[0] or part[0] == "-":
            self.fail("a bracket holds places (0, -1, 0:2), names in single quotes, * or ?(…)")
        self._at = part.end()
        start, end, stride = (None if said is None else said for said in part.groups())
        if end is None:
            return Slice(int(start or 0), None, None)
        if stride and int(stride) <= 0:
            self.fail("the stride of a slice is above zero")
        return Slice(int(start) if start else None, int(end) if end else OPEN_END, int(stride) if stride else None)

    def _key(self) -> Field:
        r"""`['name']`; kubectl takes a bare dot in it for a path and prints nothing, so that it has to be `\.` here."""
        found = _QUOTED.match(self._text, self._at)
        if found is None:
            self.fail("a quote is not closed")
        if "." in re.sub(r"\\.", "", found[1]):
            self.fail(r"a dot inside of a name is written \.")
        self._at = found.end()
        return Field(re.sub(r"\\(.)", r"\1", found[1]))

    def _filter(self) -> Filter:
        if not self._take("("):
            self.fail("a filter is written ?(…)")
        self._spaces()
        left = self._side()
        self._spaces()
        sign = _SIGN.match(self._text, self._at)
        right = None
        if sign:
            self._at = sign.end()
            self._spaces()
            right = self._side()
            self._spaces()
        if self._text.startswith(("&&", "||", "=~"), self._at):
            self.fail(f"{self._text[self._at : self._at + 2]} is not known to kubectl either: one comparison a filter")
        if not (self._take(")") and self._take("]")):
            self.fail("a filter ends with )]")
        return Filter(Comparison(left, sign[0] if sign else None, right))

    def _side(self) -> Any:
        if self._peek() in {'"', "'"}:
            return self._quoted()
        if number := _NUMBER.match(self._text, self._at):
            self._at = number.end()
            return float(number[0]) if "." in number[0] else int(number[0])
        for word, value in (("true", True), ("false", False)):
            if self._word(word):
                return value
        return self._path()

    def _quoted(self) -> str:
        found = _QUOTED.match(self._text, self._at)
        if found is None:
            self.fail("a quote is not closed")
        self._at = found.end()
        inner = found[1] if found[1] is not None else found[2]
        try:
            # The escapes of Go and JSON agree on what is written in templates: \\n, \\t, \\", \\\\.
            return str(json.loads('"' + inner.replace("\\'", "'").replace('"', '\\"').replace('\\\\"', '\\"') + '"'))
        except ValueError:
            self.fail("a quoted text has an escape that is not known")

    def _name(self) -> str:
        found = _NAME.match(self._text, self._at)
        if found is None:
            self.fail("a name is expected")
        self._at = found.end()
        return re.sub(r"\\(.)", r"\1", found[0])

    def _word(self, word: str) -> bool:
        found = re.compile(rf"{word}(?![\w.])").match(self._text, self._at)
        if found:
            self._at = found.end()
        return bool(found)

    def _take(self, letter: str) -> bool:
        taken = self._text.startswith(letter, self._at)
        self._at += len(letter) * taken
        return taken

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _spaces(self) -> None:
        while self._peek().isspace():
            self._at += 1

    def _close(self) -> None:
        self._spaces()
        if not self._take("}"):
            self.fail("a pair of braces holds one path, text in quotes, range or end")
