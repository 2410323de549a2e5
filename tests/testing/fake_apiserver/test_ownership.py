"""Field owners, as the shared suite cannot reach them: the shape of managed fields, mappings against leaves."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testing.fake_apiserver.ownership import Contested, applied, leaves, updated

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"
SPECS = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(
        st.integers(0, 2) | st.lists(st.integers(0, 1), max_size=2),
        lambda inner: st.dictionaries(st.sampled_from("xy"), inner, min_size=1, max_size=2),
        max_leaves=4,
    ),
    max_size=3,
)


def an_object(spec: object) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Sample", "metadata": {"name": "a"}, "spec": spec}


def test_managed_fields_have_the_shape_that_kubectl_shows() -> None:
    made = applied({"metadata": {}}, an_object({"a": {"b": 1}, "l": [1]}), "serinus", NOW, force=False)
    assert made["metadata"]["managedFields"] == [
        {
            "manager": "serinus",
            "operation": "Apply",
            "apiVersion": "v1",
            "time": NOW,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:a": {"f:b": {}}, "f:l": {}}},
        }
    ]


def test_writing_the_status_is_a_manager_of_its_own() -> None:
    made = applied({"metadata": {}}, an_object({"a": 1}), "serinus", NOW, force=False)
    after = updated(made, made | {"status": {"b": 1}}, "serinus", LATER, subresource="status")
    entries = after["metadata"]["managedFields"]
    assert [(each["operation"], each.get("subresource")) for each in entries] == [("Apply", None), ("Update", "status")]
    assert entries[1]["fieldsV1"] == {"f:status": {"f:b": {}}}


@pytest.mark.parametrize(("theirs", "ours"), [({"x": 1}, 5), (5, {"x": 1}), ([1], {"x": 1}), ({"x": 1}, [1])])
def test_a_mapping_in_place_of_a_leaf_is_contested_and_so_is_the_reverse(theirs: object, ours: object) -> None:
    live = applied({"metadata": {}}, an_object({"a": theirs}), "argocd", NOW, force=False)
    with pytest.raises(Contested, match='"argocd"'):
        applied(live, an_object({"a": ours}), "serinus", LATER, force=False)
    taken = applied(live, an_object({"a": ours}), "serinus", LATER, force=True)
    assert taken["spec"] == {"a": ours}


def test_an_empty_mapping_is_no_claim_on_what_others_put_in() -> None:
    live = applied({"metadata": {}}, an_object({"a": {}}), "argocd", NOW, force=False)
    both = applied(live, an_object({"a": {"x": 1}}), "serinus", LATER, force=False)
    again = applied(both, an_object({"a": {}}), "argocd", LATER, force=False)
    assert again["spec"] == {"a": {"x": 1}}


@given(SPECS, SPECS, SPECS)
def test_an_apply_has_its_way_and_takes_nothing_else_from_anybody(
    theirs: dict[str, Any], first: dict[str, Any], second: dict[str, Any]
) -> None:
    live = applied({"metadata": {}}, an_object(theirs), "argocd", NOW, force=False)
    live = applied(live, an_object(first), "serinus", NOW, force=True)
    after = applied(live, an_object(second), "serinus", LATER, force=True)
    wanted, standing = dict(leaves(an_object(second))), dict(leaves(after))
    # Everything wanted is there; whatever else is there belongs to the other.
    for path, value in wanted.items():
        assert standing.get(path) == value or value == {}
    kept = {path for path, value in standing.items() if path not in wanted and value != {}}
    before = dict(leaves(an_object(theirs)))
    assert all(before.get(path) == standing[path] for path in kept)
    # And once more changes nothing at all.
    assert applied(after, an_object(second), "serinus", "another time", force=False) == after
