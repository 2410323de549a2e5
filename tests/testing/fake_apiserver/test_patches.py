"""JSON patches and merge patches do what their RFCs say, and leave the document alone where they cannot."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testing.fake_apiserver.patches import PatchFailed, json_patched, merge_patched

DOCUMENT: dict[str, Any] = {"a": {"b": 1, "x/y": 2, "m~n": 3}, "l": ["p", "q"], "none": None}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from("xy"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("operation", "at", "value"),
    [
        ({"op": "add", "path": "/a/c", "value": 9}, ("a", "c"), 9),
        ({"op": "add", "path": "/a/b", "value": 9}, ("a", "b"), 9),
        ({"op": "add", "path": "/l/-", "value": "r"}, ("l",), ["p", "q", "r"]),
        ({"op": "add", "path": "/l/1", "value": "r"}, ("l",), ["p", "r", "q"]),
        ({"op": "add", "path": "/l/2", "value": "r"}, ("l",), ["p", "q", "r"]),
        ({"op": "replace", "path": "/l/0", "value": "r"}, ("l",), ["r", "q"]),
        ({"op": "replace", "path": "/a/x~1y", "value": 9}, ("a", "x/y"), 9),
        ({"op": "remove", "path": "/l/0"}, ("l",), ["q"]),
        ({"op": "remove", "path": "/a/m~0n"}, ("a",), {"b": 1, "x/y": 2}),
        ({"op": "replace", "path": "", "value": {"z": 1}}, (), {"z": 1}),
        ({"op": "test", "path": "/none", "value": None}, ("none",), None),
        ({"op": "test", "path": "/l/1", "value": "q"}, ("l",), ["p", "q"]),
        ({"op": "test", "path": "/missing", "value": None}, ("l",), ["p", "q"]),
    ],
    ids=str,
)
def test_each_operation_does_its_work(operation: dict[str, Any], at: tuple[str, ...], value: object) -> None:
    patched = json_patched(DOCUMENT, [operation])
    for step in at:
        patched = patched[step]
    assert patched == value


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a/b", "value": 2},
        {"op": "test", "path": "/a/c", "value": 1},
        {"op": "add", "path": "/x/y", "value": 1},
        {"op": "add", "path": "/a/b/c", "value": 1},
        {"op": "add", "path": "/l/3", "value": 1},
        {"op": "add", "path": "/l/x", "value": 1},
        {"op": "replace", "path": "/a/c", "value": 1},
        {"op": "remove", "path": "/a/c"},
        {"op": "remove", "path": "/l/2"},
        {"op": "copy", "path": "/l", "from": "/a"},
    ],
    ids=str,
)
def test_an_operation_that_cannot_be_carried_out_changes_nothing(operation: dict[str, Any]) -> None:
    """Nor do those before it."""
    before = copy.deepcopy(DOCUMENT)
    with pytest.raises(PatchFailed):
        json_patched(DOCUMENT, [{"op": "add", "path": "/new", "value": 1}, operation])
    assert before == DOCUMENT


@pytest.mark.parametrize(
    ("document", "patch", "merged"),
    [
        # The examples of RFC 7396, appendix A.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_is_merged(document: object, patch: object, merged: object) -> None:
    assert merge_patched(document, patch) == merged


@given(JSON, JSON)
def test_merging_twice_is_merging_once_and_touches_neither_argument(document: object, patch: object) -> None:
    before = copy.deepcopy((document, patch))
    once = merge_patched(document, patch)
    assert merge_patched(once, patch) == once
    assert (document, patch) == before
