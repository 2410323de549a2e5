"""Byte-exact edits: what a promotion and a rollback write, and that nothing else ever changes."""

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from canary.spec.faults import Path
from canary.yaml_edit import CannotEdit, Written, copy, is_no_op, promoted, replace_values, rolled_back

FILE = """\
# Our chat model. Ask Ann before you touch the prompts.
apiVersion: serinus.dev/v1alpha1
kind:   ModelCanary          # spacing is ours
metadata: {name: chat}
spec:
  model: {name: chat}
  stable:
    # in service since March
    name: v1                 # the good one
    command: [serve, "{port}", --model, one]
    env:
      SPEED: "1.0"
      OLD: yes
  canary:
    name: v2   # to be tried
    command:
      - serve
      - "{port}"
      # the new weights
      - --model
      - two
    env: {SPEED: "1.0"}
    replicas: 2

  # one stage is enough
  stages: [{traffic: 100%}]
"""


def plain(text: str) -> Any:
    return yaml.safe_load(text)


def test_a_promotion_makes_stable_say_what_canary_says_and_keeps_every_other_line() -> None:
    edited = promoted(FILE)
    assert plain(edited)["spec"]["stable"] == plain(FILE)["spec"]["canary"]
    assert is_no_op(Written.of(edited).root)
    head, tail = FILE[: FILE.index("  stable:\n")], FILE[FILE.index("  canary:\n") :]
    assert edited.startswith(head)
    assert edited.endswith(tail)
    assert "    # in service since March\n    name: v2                 # the good one\n" in edited


def test_a_rollback_makes_canary_say_what_stable_says_and_keeps_every_other_line() -> None:
    edited = rolled_back(FILE)
    assert plain(edited)["spec"]["canary"] == plain(FILE)["spec"]["stable"]
    assert edited.startswith(FILE[: FILE.index("  canary:\n")])
    assert edited.endswith(FILE[FILE.index("\n  # one stage is enough") :])
    assert "    name: v1   # to be tried\n" in edited
    assert rolled_back(edited) == edited


def test_a_rollback_after_a_change_of_the_canary_alone_is_a_revert_to_the_byte() -> None:
    """Comments in the block come back too, as `git revert` would bring them."""
    before = rolled_back(FILE).replace("  canary:\n", "  canary:\n    # says why\n")
    after = before.replace("    # says why\n    name: v1   # to be tried\n", "    name: v3 # new\n")
    assert after != before
    assert rolled_back(after, before) == before


def test_an_earlier_version_that_was_not_at_rest_or_had_another_stable_is_not_brought_back() -> None:
    """A canary that was never proven is not what was good."""
    for before in (FILE.replace("two", "never-proven"), rolled_back(FILE).replace("one", "another")):
        assert rolled_back(FILE, before) == rolled_back(FILE)


def test_everything_but_the_canary_that_changed_with_it_stays() -> None:
    """Whoever tightened a gate in the same commit keeps the gate."""
    before = rolled_back(FILE)
    after = FILE.replace("traffic: 100%", "traffic: 100%, hold: 1h")
    assert "hold: 1h" in rolled_back(after, before)


@pytest.mark.parametrize(
    "text",
    [
        "spec:\n  stable: {name: v1, command: [a]}\n  canary: {name: v2, command: [b]}  # try\n",
        "spec:\n  stable: {name: v1}\n  canary:\n    name: v2\n    env:\n      A: |\n        x\n        y\n\n  z: 1\n",
        "spec:\n    stable:\n        name: v1\n    canary: {name: v2}\n",
        "spec:\n  stable:\n    name: v1\n    env:\n      A: |+\n        x\n\n  canary:\n    name: v2",
        "spec:\n  canary:\n    name: v2\n    replicas: 2\n  stable:\n    name: v1",
        "spec:\n  stable:\n    name: v1\n    env:\n  canary:\n    env: ~\n    name: 'v2'\n",
        "variants:\n  - name: v1\n    prompt: short\n  - name: v2\n    prompt: >-\n      a\n      long one\nmodel: m\n",
        "variants: [{name: v1}, {name: v2}]\nmodel: m\n",
        "deploy:\n  canary: {weight: 5%}\n  a_b:\n    control: bot-1\n    variant: bot-2   # new\n",
        "spec:\n  stable: &s\n    name: v1\n    env: &e {A: 1}\n  canary:\n    name: v2\n    env: *e\n",
        "spec:\n  stable: {name: v1}\n  canary: {name: v2, env: {T: 'a, b', É: \"😀\"}}\n",
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_way_to_write_the_two_variants_can_be_promoted_and_put_back(text: str, newline: str) -> None:
    """Flow and block, block texts, anchors, short forms, no newline at the end, Windows line ends."""
    text = text.replace("\n", newline)
    for edited in (promoted(text), rolled_back(text)):
        assert is_no_op(Written.of(edited).root)
        assert edited.count("\r\n") == (edited.count("\n") if newline == "\r\n" else 0)


def test_a_value_that_others_repeat_is_not_edited() -> None:
    """An alias further down would change its meaning, so a person has to do it."""
    text = "spec:\n  stable: {name: v1}\n  canary: &c\n    name: v2\nelsewhere: *c\n"
    with pytest.raises(CannotEdit, match="edit line 3 by hand"):
        rolled_back(text)


def test_a_canary_that_only_repeats_stable_by_an_alias_can_be_promoted_over() -> None:
    text = "base: &b {name: v1}\nspec:\n  stable: *b\n  canary: {name: v2}\n"
    assert promoted(text) == text.replace("stable: *b", "stable: {name: v2}")
    assert rolled_back(text) == text.replace("canary: {name: v2}", "canary: *b")


@pytest.mark.parametrize("text", ["a: [", "a: 1\na: 2\n", ""])
def test_a_text_that_cannot_be_read_is_not_edited(text: str) -> None:
    with pytest.raises(CannotEdit, match="cannot be read"):
        rolled_back(text)


def test_a_file_without_a_canary_is_not_edited() -> None:
    with pytest.raises(CannotEdit, match=r"no spec\.canary"):
        rolled_back("spec:\n  stable: {name: v1}\n")


SCALARS = st.one_of(
    st.integers(0, 999),
    st.booleans(),
    st.none(),
    st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=12),
)
KEYS = st.text("abcxyz_", min_size=1, max_size=6)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
MAPPINGS = st.dictionaries(KEYS, VALUES, min_size=1, max_size=5)
STYLES = st.fixed_dictionaries(
    {"default_flow_style": st.sampled_from([None, False, True]), "indent": st.integers(2, 6), "width": st.just(60)}
)


def written(value: Any, style: dict[str, Any]) -> str:
    """YAML in some style, with comments between its lines where that is allowed."""
    text = yaml.safe_dump(value, allow_unicode=True, sort_keys=False, **style)
    block = style["default_flow_style"] is False and "'" not in text and '"' not in text
    return "".join(
        f"{line}  # c{i}\n" if block and line else f"{line}\n" for i, line in enumerate(text.rstrip("\n").split("\n"))
    )


def texts(text: str) -> Any:
    """The document with every scalar as its text."""
    return yaml.load(text, yaml.BaseLoader)  # noqa: S506 - this loader makes nothing but texts


def leaves(value: Any, path: Path = ()) -> list[Path]:
    """Paths of all scalars."""
    if isinstance(value, dict) and value:
        return [leaf for key, child in value.items() for leaf in leaves(child, (*path, key))]
    if isinstance(value, list) and value:
        return [leaf for index, child in enumerate(value) for leaf in leaves(child, (*path, index))]
    return [path]


def changed(value: Any, path: Path, new: Any) -> Any:
    if not path:
        return new
    if isinstance(value, dict):
        return {**value, path[0]: changed(value[path[0]], path[1:], new)}
    return [changed(child, path[1:], new) if index == path[0] else child for index, child in enumerate(value)]


@settings(max_examples=50, deadline=None)
@given(value=MAPPINGS, style=STYLES, data=st.data())
def test_any_leaf_of_any_document_is_replaced_and_nothing_else(value: Any, style: dict[str, Any], data: Any) -> None:
    """By PyYAML's own reading, and by the bytes before and behind it."""
    text = written(value, style)
    path = data.draw(st.sampled_from(leaves(value)))
    edited = replace_values(text, {path: '"new é"'})
    assert texts(edited) == changed(texts(text), path, "new é")
    start = edited.index('"new é"')
    assert text.startswith(edited[:start])
    assert text.endswith(edited[start + len('"new é"') :])


@settings(max_examples=50, deadline=None)
@given(stable=MAPPINGS, canary=MAPPINGS, rest=MAPPINGS, style=STYLES)
def test_any_two_variants_can_be_promoted_and_put_back(
    stable: Any, canary: Any, rest: Any, style: dict[str, Any]
) -> None:
    """By PyYAML's own reading; what stands before and behind the two keeps its bytes."""
    text = written({"before": rest, "spec": {"stable": stable, "canary": canary, "after": rest}}, style)
    for edited, wanted in ((promoted(text), canary), (rolled_back(text), stable)):
        read = yaml.safe_load(edited)
        assert read["spec"]["stable"] == read["spec"]["canary"] == wanted
        assert read["before"] == read["spec"]["after"] == rest
        assert edited[: edited.index("spec")] == text[: text.index("spec")]
        assert edited[edited.index("after") :] == text[text.index("after") :]


def test_a_copy_of_what_is_there_already_changes_nothing() -> None:
    text = "a: {b: 1}\nc:   {b: 1}  # x\n"
    assert copy(text, source=("a",), target=("c",)) == text
