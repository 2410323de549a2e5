"""Reads YAML strictly and with positions. The only module of `canary` that knows PyYAML.

Called by `parse.py` and the dialects with text, never with a path. Scalars stay raw text: what `1.10` or `true` means
is decided by the field that takes it (`units.py`), so a version stays a version and a commit hash stays a hash. YAML
1.2 rules: `on` is text, `1:30` is text, `025` is text, only `null`, `~` and nothing are null. Duplicate keys, tags
and further documents are faults. Built on events, not on PyYAML's own composer, so that depth, size and aliases are
counted before anything is built: hostile input costs no more than honest input.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from canary.errors import Fault
from canary.spec.source import Place, Plain, Source, printable, quoted

SIZE_LIMIT = 256 * 1024
NODE_LIMIT = 5_000
CHARACTER_LIMIT = 1024 * 1024
DEPTH_LIMIT = 32
ALIAS_LIMIT = 100
"""A canary.yml is a page or two: each of these is far beyond an honest one. Aliases count in full."""

NULLS = frozenset({"", "~", "null", "Null", "NULL"})
NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that YAML does not allow in a file: NUL, other controls, lone surrogates."""
_TOO_DEEP = f"more than {DEPTH_LIMIT} levels deep; a canary.yml needs fewer than ten"

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Node:
    """One value of the file with its place."""

    place: Place
    value: "str | float | bool | tuple[Node, ...] | dict[str, Node] | None"
    """`Plain` or `str` for scalars, None for null, a tuple for a list. Numbers only in options from a program."""
    key: Place | None = None
    """Where its key stands, for values of mappings."""
    end: int = field(default=0, compare=False)
    """Index after its last character, in the text of `place`; what an editor replaces. Of no meaning for options."""

    def plain(self) -> Any:
        """The value as plain Python: dict, list, `Plain`, `str`, None."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, tuple):
            return [child.plain() for child in self.value]
        return self.value

    def get(self, *path: str | int) -> "Node | None":
        """The node at a path below this one, or None."""
        node: Node = self
        for part in path:
            found: Node | None = None
            if isinstance(node.value, dict):
                found = node.value.get(str(part))
            elif isinstance(node.value, tuple) and isinstance(part, int) and part < len(node.value):
                found = node.value[part]
            if found is None:
                return None
            node = found
        return node


def read(source: Source) -> tuple[Node | None, tuple[Fault, ...]]:
    """The tree of a text and all faults of its form; no tree where the text ends being YAML."""
    try:
        source = Source(source.file, _decoded(source))
        composer = _Composer(source)
        root = composer.compose()
    except _Stop as stop:
        return None, (*stop.before, stop.fault)
    return root, tuple(composer.faults)


def of_python(value: Any, place: Place) -> Node:
    """The tree of plain Python values (options, defaults), all at one place."""
    if isinstance(value, Mapping):
        return Node(place, {str(key): of_python(child, place) for key, child in value.items()}, place)
    if isinstance(value, list | tuple):
        return Node(place, tuple(of_python(child, place) for child in value), place)
    if value is None or isinstance(value, str | int | float):
        return Node(place, value, place)
    raise TypeError(f"a canary.yml holds text, numbers, lists and mappings, not {type(value).__name__}")


class _Stop(Exception):  # noqa: N818 - ends the reading; never leaves this module
    """Nothing after this can be read."""

    def __init__(self, place: Place, message: str, before: tuple[Fault, ...] = ()) -> None:
        super().__init__(message)
        self.fault = place.fault("", message)
        self.before = before


def _decoded(source: Source) -> str:
    """The text as characters; refuses what is too large or not text before anything looks at it closely."""
    raw = source.text
    if len(raw) > SIZE_LIMIT:
        raise _Stop(
            Place(Source(source.file, "")),
            f"the file is larger than {SIZE_LIMIT // 1024} KiB; a canary.yml is a page; put long texts beside it",
        )
    if isinstance(raw, bytes):
        if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in raw[:4]:
            raise _Stop(
                Place(Source(source.file, "")), "the file is not UTF-8 (it looks like UTF-16); save it as UTF-8"
            )
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            index = len(raw[: error.start].decode("utf-8"))
            raise _Stop(
                Place(source, index), f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
            ) from None
    else:
        text = raw
    text = text.removeprefix("\ufeff")
    found = NOT_YAML.search(text)
    if found:
        raise _Stop(
            Place(Source(source.file, text), found.start()),
            f"character U+{ord(found[0]):04X} is not allowed in YAML; remove it",
        )
    return text


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet."""

    place: Place
    anchor: str | None
    nodes_before: int
    characters_before: int
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Node] | None = None
    key: Node | None = None
    """The key that waits for its value, in a mapping."""
    height: int = 1
    """Levels from here to the deepest value below."""
    last: int = 0
    """Where the last value in it ends."""


@dataclass(frozen=True, slots=True)
class _Anchored:
    """What an alias repeats, and what it costs written out."""

    node: Node
    nodes: int
    characters: int
    height: int


class _Composer:
    """Builds the tree from events, counting as it goes."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.faults: list[Fault] = []
        self._open: list[_Open] = []
        self._root: Node | None = None
        self._anchors: dict[str, _Anchored | None] = {}
        """By anchor name; None until the end of what is anchored has come."""
        self._nodes = 0
        self._characters = 0
        self._aliases = 0

    def compose(self) -> Node:
        """The root of the only document."""
        documents = 0
        for event in self._events():
            place = self._place(event.start_mark)
            match event:
                case yaml.DocumentStartEvent():
                    documents += 1
                    if documents > 1:
                        raise self._stop(place, "a second document begins here; a canary.yml holds exactly one")
                case yaml.ScalarEvent():
                    self._count(place, 1, len(event.value))
                    self._scalar(event, place)
                case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                    self._count(place, 1, 0)
                    self._begin(event, place)
                case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                    self._end(event)
                case yaml.AliasEvent():
                    self._alias(str(event.anchor), place, self._place(event.end_mark).index)
                case _:
                    pass
        if self._root is None:
            raise self._stop(Place(self.source), "the file is empty; expected a rollout, see docs/canary-yml.md")
        return self._root

    def _events(self) -> Iterator[Any]:
        """PyYAML's events, its complaints in our words."""
        try:
            yield from yaml.parse(self.source.characters, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            raise self._stop(*self._explained(error)) from None
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise self._stop(Place(self.source), f"this is not YAML: {error}") from None

    def _explained(self, error: yaml.MarkedYAMLError) -> tuple[Place, str]:
        """Where and why PyYAML gave up, said for a person."""
        place = self._place(error.problem_mark or error.context_mark)
        problem, context = error.problem or "", error.context or ""
        opened = f" (it began in line {self._place(error.context_mark).line})" if error.context_mark else ""
        at = self.source.characters[place.index : place.index + 1]
        if "tab" in problem or (at == "\t" and "cannot start" in problem):
            return place, "a tab cannot indent YAML; use spaces"
        if "cannot start any token" in problem:
            return place, f"a value cannot begin with {quoted(at)}; put it in quotes"
        if "mapping values are not allowed" in problem:
            return place, 'a ":" is not expected here; check the indentation, or put the text in quotes'
        if "quoted scalar" in context:
            return place, f"a quote is not closed{opened}"
        if "flow sequence" in context:
            return place, f'expected "," or "]" here, the list is not closed{opened}'
        if "flow mapping" in context:
            return place, f'expected "," or "}}" here, the mapping is not closed{opened}'
        if "block mapping" in context or "block collection" in context or "simple key" in context:
            return place, 'expected "key: value" or "- item" here; check the indentation and the ":"'
        if "document start" in problem:
            return place, "expected nothing more after the value of the file"
        return place, f"this is not YAML: {problem or context}"

    def _scalar(self, event: Any, place: Place) -> None:
        """A piece of text or a null."""
        self._refuse_tag(event, place)
        unquoted = event.implicit[0] and not event.style
        value = None if unquoted and event.value in NULLS else Plain(event.value) if unquoted else event.value
        node = Node(place, value, end=event.end_mark.index)
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(node, 1, len(event.value), 0)
        self._attach(node, 0, node.end)

    def _begin(self, event: Any, place: Place) -> None:
        """A list or mapping opens."""
        if len(self._open) >= DEPTH_LIMIT:
            raise self._stop(place, _TOO_DEEP)
        self._refuse_tag(event, place)
        entries: dict[str, Node] | None = {} if isinstance(event, yaml.MappingStartEvent) else None
        self._open.append(_Open(place, event.anchor, self._nodes - 1, self._characters, entries=entries))
        if event.anchor:
            self._anchors[event.anchor] = None

    def _end(self, event: Any) -> None:
        """The innermost list or mapping is complete."""
        done = self._open.pop()
        # A block ends with its last value: what PyYAML calls its end lies behind the comments that follow it.
        closed = event.end_mark.index > event.start_mark.index
        end = event.end_mark.index if closed else max(done.last, done.place.index)
        node = Node(done.place, tuple(done.items) if done.entries is None else done.entries, end=end)
        if done.anchor:
            nodes, characters = self._nodes - done.nodes_before, self._characters - done.characters_before
            self._anchors[done.anchor] = _Anchored(node, nodes, characters, done.height)
        self._attach(node, done.height, end)

    def _alias(self, anchor: str, place: Place, ended: int) -> None:
        """A repetition of something earlier: counted as if it had been written out."""
        self._aliases += 1
        if self._aliases > ALIAS_LIMIT:
            raise self._stop(place, f"more than {ALIAS_LIMIT} aliases; write the values out")
        if anchor not in self._anchors:
            raise self._stop(place, f"alias *{anchor} has no anchor &{anchor} before it")
        target = self._anchors[anchor]
        if target is None:
            raise self._stop(place, f"alias *{anchor} stands inside what it repeats")
        if len(self._open) + target.height > DEPTH_LIMIT:
            raise self._stop(place, _TOO_DEEP)
        self._count(place, target.nodes, target.characters)
        self._attach(target.node, target.height, ended)

    def _attach(self, node: Node, height: int, ended: int) -> None:
        """Put a finished node into what surrounds it; `ended` is where it ends in the text, also for an alias."""
        if not self._open:
            self._root = node
            return
        around = self._open[-1]
        around.height = max(around.height, height + 1)
        around.last = max(around.last, ended)
        if around.entries is None:
            around.items.append(node)
        elif around.key is None:
            around.key = node
        else:
            self._enter(around.entries, around.key, node)
            around.key = None

    def _enter(self, entries: dict[str, Node], key: Node, node: Node) -> None:
        """Put a value under its key, once."""
        if not isinstance(key.value, str):
            self.faults.append(key.place.fault(self._path(), "expected a key, one piece of text"))
        elif key.value in entries:
            first = entries[key.value].key or entries[key.value].place
            message = f"key {quoted(key.value)} stands twice, first in line {first.line}; keep one of them"
            self.faults.append(key.place.fault(self._path(), message))
        else:
            entries[str(key.value)] = replace(node, key=key.place)

    def _refuse_tag(self, event: Any, place: Place) -> None:
        """Tags ask the reader to make something of a value; fields decide that here."""
        if event.tag:
            message = f"a tag ({quoted(event.tag)}) is not accepted; write the plain value"
            self.faults.append(place.fault(self._path(), message))

    def _path(self) -> str:
        """Dotted path of the value that is being read."""
        path = ""
        for around in self._open:
            if around.entries is None:
                path += f"[{len(around.items)}]"
            elif around.key is not None and isinstance(around.key.value, str):
                path += f".{around.key.value}"
        return printable(path.removeprefix("."))

    def _count(self, place: Place, nodes: int, characters: int) -> None:
        """Stop before a small text becomes a large tree."""
        self._nodes += nodes
        self._characters += characters
        if self._nodes > NODE_LIMIT:
            raise self._stop(place, f"more than {NODE_LIMIT:,} values (aliases written out); this is not a canary.yml")
        if self._characters > CHARACTER_LIMIT:
            raise self._stop(place, f"more than {CHARACTER_LIMIT:,} characters with aliases written out")

    def _place(self, mark: Any) -> Place:
        """PyYAML's mark as a place."""
        return Place(self.source, mark.index if mark is not None else 0)

    def _stop(self, place: Place, message: str) -> _Stop:
        return _Stop(place, message, tuple(self.faults))
