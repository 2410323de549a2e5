"""The items of a data set, from JSON lines: one question each, with what is expected of the answer.

Called by `controlplane.evaluation.loading`, which reads the file. Everything in an item is data. Every fault of a file
is found and named by its line, up to `MOST_FAULTS`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from canary.spec.source import quoted

MOST_ITEMS = 1_000_000
MOST_LINE_BYTES = 4 * 1024 * 1024
"""Bytes of one item: a book's worth of context."""
MOST_FAULTS = 100
LONGEST_ID = 200
EXAMPLE = '{"id": "france", "prompt": "Capital of France?", "expected": "Paris"}'
ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


@dataclass(frozen=True, slots=True)
class Item:
    """One question."""

    id: str
    messages: tuple[Mapping[str, Any], ...]
    """As the chat API takes them; a `prompt` is one message of the user."""
    expected: Any = None
    """What scorers hold the answer against: a text, a number, several texts, a tool call."""
    tags: tuple[str, ...] = ()
    group: str | None = None
    """Items of one group belong together (turns of a talk, questions on one document): one unit of evidence."""
    tools: tuple[Mapping[str, Any], ...] = ()
    """Tools that the model may call, as the chat API takes them."""
    line: int = 0


@dataclass(frozen=True, slots=True)
class LineFault:
    """One thing wrong with a data set."""

    line: int
    """From 1; 0 for the data set as a whole."""
    message: str

    def __str__(self) -> str:
        """`line 3: has no id`."""
        return f"line {self.line}: {self.message}" if self.line else self.message


class _Unfit(Exception):  # noqa: N818 - caught in this module
    """What is wrong with one line."""


def parse_items(lines: Iterable[bytes]) -> tuple[tuple[Item, ...], tuple[LineFault, ...]]:
    """The items of a data set and all of its faults. Empty lines say nothing."""
    items: list[Item] = []
    faults: list[LineFault] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if len(faults) >= MOST_FAULTS:
            faults.append(LineFault(0, f"The lines after {number - 1} were not read: {MOST_FAULTS} faults are enough."))
            break
        if len(items) >= MOST_ITEMS:
            faults.append(LineFault(number, f"is one item too many: a data set has at most {MOST_ITEMS}"))
            break
        try:
            item = _item(line, number)
        except _Unfit as unfit:
            faults.append(LineFault(number, str(unfit)))
            continue
        if item.id in seen:
            faults.append(LineFault(number, f"the id {quoted(item.id)} stands in line {seen[item.id]} already"))
            continue
        seen[item.id] = number
        items.append(item)
    if not items and not faults:
        faults.append(LineFault(0, f"The data set has no items; each line of it is one, such as {EXAMPLE}."))
    return tuple(items), tuple(faults)


def _item(line: bytes, number: int) -> Item:
    if len(line) > MOST_LINE_BYTES:
        raise _Unfit(f"has {len(line)} bytes; an item has at most {MOST_LINE_BYTES}")
    try:
        plain = json.loads(line)
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else "it is nested too deeply, or no UTF-8"
        raise _Unfit(f"is no JSON: {why}") from None
    if not isinstance(plain, dict):
        raise _Unfit(f"expected an object with id and prompt or messages, got {quoted(plain)}")
    group = plain.get("group", plain.get("cluster"))
    return Item(
        id=_id(plain.get("id"), "id"),
        messages=_messages(plain),
        expected=plain.get("expected"),
        tags=_texts(plain.get("tags", [])),
        group=None if group is None else _id(group, "group"),
        tools=_objects(plain.get("tools", []), "tools"),
        line=number,
    )


def _id(value: Any, name: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None:
        raise _Unfit("has no id; every item needs one of its own")
    if not isinstance(value, str) or not value or len(value) > LONGEST_ID or not value.isprintable():
        raise _Unfit(f"{name} is a text of 1 to {LONGEST_ID} printable characters, got {quoted(value)}")
    return value


def _messages(plain: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    given = [key for key in ("messages", "prompt") if plain.get(key) is not None]
    if len(given) != 1:
        raise _Unfit(f"expected exactly one of messages and prompt, found {' and '.join(given) or 'none'}")
    if given == ["prompt"]:
        if not isinstance(plain["prompt"], str):
            raise _Unfit(f"prompt is a text, got {quoted(plain['prompt'])}")
        return ({"role": "user", "content": plain["prompt"]},)
    messages = _objects(plain["messages"], "messages")
    if not messages:
        raise _Unfit("messages has no message")
    for message in messages:
        if message.get("role") not in ROLES:
            raise _Unfit(f"a message's role is one of {', '.join(sorted(ROLES))}, got {quoted(message.get('role'))}")
    return messages


def _objects(value: Any, name: str) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise _Unfit(f"{name} is a list of objects, got {quoted(value)}")
    return tuple(value)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _Unfit(f"tags is a list of texts, got {quoted(value)}")
    return tuple(value)
