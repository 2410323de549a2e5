"""Data sets: what is read, and that every bad line is named."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.evaluation.item import MOST_FAULTS, MOST_LINE_BYTES, parse_items


def only_fault(line: str) -> str:
    items, (fault,) = parse_items([b'{"id": "a", "prompt": "x"}\n', line.encode()])
    assert [item.id for item in items] == ["a"]
    return str(fault)


def test_a_prompt_is_one_message_of_the_user() -> None:
    items, faults = parse_items([b'{"id": 7, "prompt": "Hi", "expected": ["a"], "tags": ["t"], "cluster": "c"}', b"\n"])
    assert faults == ()
    (item,) = items
    assert (item.id, item.expected, item.tags, item.group, item.line) == ("7", ["a"], ("t",), "c", 1)
    assert item.messages == ({"role": "user", "content": "Hi"},)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "line 2: is no JSON: Expecting property name enclosed in double quotes"),
        ("[1]", "line 2: expected an object with id and prompt or messages, got a list"),
        ('{"prompt": "x"}', "line 2: has no id; every item needs one of its own"),
        ('{"id": "b"}', "line 2: expected exactly one of messages and prompt, found none"),
        ('{"id": "b", "prompt": "x", "messages": []}', "found messages and prompt"),
        ('{"id": "b", "messages": []}', "line 2: messages has no message"),
        ('{"id": "b", "messages": [{"role": "boss"}]}', "a message's role is one of"),
        ('{"id": "a", "prompt": "y"}', 'line 2: the id "a" stands in line 1 already'),
        ('{"id": "b\\u001b", "prompt": "y"}', "line 2: id is a text of 1 to 200 printable characters"),
        ('{"id": "b", "prompt": 5}', "line 2: prompt is a text, got 5"),
        ('{"id": "b", "prompt": "y", "tags": "t"}', "line 2: tags is a list of texts"),
        ("[" * 100_000, "line 2: is no JSON: it is nested too deeply"),
    ],
)
def test_a_bad_line_is_named_with_what_is_wrong(line: str, sentence: str) -> None:
    assert sentence in only_fault(line)


def test_every_bad_line_is_named_up_to_a_bound() -> None:
    _, faults = parse_items([b"{"] * 500)
    assert [fault.line for fault in faults[:3]] == [1, 2, 3]
    assert len(faults) == MOST_FAULTS + 1
    assert str(faults[-1]) == "The lines after 100 were not read: 100 faults are enough."


def test_an_empty_set_says_what_an_item_looks_like() -> None:
    _, (fault,) = parse_items([b"\n", b"  \n"])
    assert str(fault).startswith("The data set has no items; each line of it is one")
    example = str(fault).partition("such as ")[2].rstrip(".")
    assert parse_items([example.encode()])[1] == ()


def test_an_item_of_endless_length_is_refused_unread() -> None:
    _, (fault,) = parse_items([b'"' + b"x" * MOST_LINE_BYTES + b'"'])
    assert "an item has at most" in str(fault)


@given(st.lists(st.one_of(st.binary(max_size=60), st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["id", "prompt", "messages", "role", "tags", "tools", "group"]), inner, max_size=4)
).map(lambda plain: json.dumps(plain).encode())), max_size=6))  # fmt: skip
def test_s3_any_bytes_are_items_or_faults(lines: list[bytes]) -> None:
    items, faults = parse_items(lines)
    assert items or faults
    assert len({item.id for item in items}) == len(items)
    assert all(item.messages for item in items)
