"""JSON of any depth: what is too deep is left out, and nothing else is touched."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from controlplane.kubernetes import depth
from controlplane.kubernetes.depth import LEVELS, read, shallow

DEEPEST = 10_000
"""Levels that an API server takes."""
PIECES = st.sampled_from(
    ["[", "]", "{", "}", '"', "\\", '\\"', '"a":', '"[', '"]"', ",", "1", " ", '"\\\\"', '"\\\\\\""', '"é{"', "\n"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(st.sampled_from('ab"\\[]{},:é\n'), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab"\\[{', max_size=3), inner, max_size=3),
    max_leaves=20,
)


def nested(levels: int, opening: str = '{"a":', closing: str = "}", core: str = "1") -> str:
    return opening * levels + core + closing * levels


def levels_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max((levels_of(each) for each in inner), default=0) if isinstance(value, dict | list) else 0


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]"), ('{"[":[', "]}")])
@pytest.mark.parametrize("levels", [1, LEVELS - 1, LEVELS, LEVELS + 1, LEVELS + 2, 250, DEEPEST])
def test_r3_what_is_deeper_than_the_parser_reads_is_empty(opening: str, closing: str, levels: int) -> None:
    text = nested(levels, opening, closing)
    found = read(text.encode())
    assert levels_of(found) == min(levels * (closing.count("]") + closing.count("}")), LEVELS + 1)


def test_the_parser_reads_as_many_levels_as_are_left() -> None:
    """If another release of it reads fewer, all of a list would be unreadable again."""
    from_json(nested(LEVELS).encode())
    from_json(nested(LEVELS + 1, core="").encode().replace(b'{"a":}', b"{}"))
    with pytest.raises(ValueError, match="recursion limit exceeded"):
        from_json(nested(LEVELS + 1).encode())


@given(values=st.lists(VALUES, max_size=6), bombs=st.lists(st.integers(LEVELS, 1500), min_size=1, max_size=3))
@settings(deadline=None)
def test_r3_beside_what_is_too_deep_everything_is_as_it_was(values: list[Any], bombs: list[int]) -> None:
    """Whatever stands in texts and names: brackets, quotes, backslashes."""
    items = [json.dumps(value, ensure_ascii=False) for value in values]
    deep = [nested(levels) for levels in bombs]
    found = read(f'{{"items": [{",".join([*items, *deep, *items])}], "kind": "List"}}'.encode())
    assert found["kind"] == "List"
    assert found["items"][: len(values)] == values
    assert found["items"][-len(values) :] == values or not values
    assert len(found["items"]) == 2 * len(values) + len(bombs)


@given(pieces=st.lists(PIECES, max_size=60))
def test_what_is_no_json_is_no_json(pieces: list[str]) -> None:
    """Where the parser reads a text, nothing is left out of it; where it cannot, nothing else is raised."""
    text = "".join(pieces).encode()
    try:
        wanted = from_json(text)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            read(text)
    else:
        assert from_json(shallow(text)) == read(text) == wanted


@given(values=st.lists(VALUES, max_size=4), chunk=st.integers(1, 40))
@settings(deadline=None)
def test_a_long_document_is_looked_at_in_pieces(values: list[Any], chunk: int) -> None:
    """Wherever a piece ends: in a text, before a quote, after a backslash."""
    text = json.dumps([values, json.loads(nested(300))]).encode()
    whole = shallow(text)
    before, depth._CHUNK = depth._CHUNK, chunk
    try:
        assert shallow(text) == whole
    finally:
        depth._CHUNK = before
    assert from_json(whole)[0] == values
