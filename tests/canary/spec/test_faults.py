"""Complaints of single fields, said in our words at the right place."""

import pytest

from canary.errors import SpecError
from canary.spec import parse
from canary.spec.faults import dotted, place_of
from canary.spec.models import ModelCanary
from canary.spec.reader import read
from canary.spec.source import Source

PLAN = """\
metadata: {name: a}
spec:
  model: {name: m}
  stable: {name: v1}
  canary: {name: v2}
  stages:
    - {traffic: 5%, hold: 1h, gates: [{metric: kpi/a, drift: 5%, better: lower}]}
    - {traffic: 100%}
"""


@pytest.mark.parametrize(
    ("old", "new", "path", "place", "message"),
    [
        ("{name: m}", "{nam: m}", "spec.model.nam", (3, 11), 'unknown key, did you mean "name"?'),
        ("{name: m}", "{uri: hf://a/b}", "spec.model.name", (3, 3), "is missing"),
        ("{name: m}", "[m]", "spec.model", (3, 10), "expected a mapping (key: value), got a list"),
        ("{name: v1}", "v1", "spec.stable", (4, 11), 'expected a mapping (key: value), got "v1"'),
        ("{name: v1}", "~", "spec.stable", (4, 11), "expected a mapping (key: value), got nothing"),
        (
            "{name: v1}",
            "{name: v1, command: run}",
            "spec.stable.command",
            (4, 31),
            'expected a list, got "run"',
        ),
        (
            "{name: v1}",
            "{name: v1, replicas: 0}",
            "spec.stable.replicas",
            (4, 32),
            'must be at least 1, got "0"',
        ),
        (
            "{name: v1}",
            "{name: v1, engine: 3}",
            "spec.stable.engine",
            (4, 30),
            "expected a mapping (key: value), got 3",
        ),
        (
            "better: lower",
            "better: bigger",
            "spec.stages[0].gates[0].better",
            (7, 74),
            'expected lower or higher, got "bigger", did you mean "higher"?',
        ),
        (
            "better: lower",
            "bettr: lower",
            "spec.stages[0].gates[0].bettr",
            (7, 66),
            'unknown key, did you mean "better"?',
        ),
        (
            "drift: 5%",
            "drift: [5%]",
            "spec.stages[0].gates[0].drift",
            (7, 62),
            "expected a limit such as 200ms, 0.1% or 40, got a list",
        ),
        (
            "traffic: 100%",
            "traffic: ~",
            "spec.stages[1].traffic",
            (8, 17),
            "expected a share such as 5% or 0.05, got nothing",
        ),
        ("- {traffic: 100%}", "- 100%", "spec.stages[1]", (8, 7), 'expected a mapping (key: value), got "100%"'),
    ],
)
def test_a_complaint_says_what_was_expected_and_what_was_found(
    old: str, new: str, path: str, place: tuple[int, int], message: str
) -> None:
    with pytest.raises(SpecError) as refused:
        parse(PLAN.replace(old, new, 1), "x.yml")
    fault = refused.value.faults[0]
    assert (fault.path, fault.message) == (path, message)
    assert (fault.line, fault.column) == place


def test_a_path_is_written_with_dots_and_brackets() -> None:
    assert dotted(("spec", "stages", 1, "traffic")) == "spec.stages[1].traffic"
    assert dotted(()) == ""


def test_what_does_not_stand_in_the_file_is_placed_at_what_surrounds_it() -> None:
    root, _ = read(Source("x.yml", PLAN))
    assert root is not None
    assert place_of(root, ("spec", "stable", "command")).line == 4
    assert place_of(root, ("spec", "judge", "hardStop", "scrapes")).line == 2
    assert place_of(root, ("nothing",)).line == 1


def test_hostile_names_cannot_steer_a_terminal_from_a_message() -> None:
    """Escapes and right-to-left marks in keys and values are shown, never obeyed."""
    for hostile in ('"\\e[2Jx": 1', '"\\u202Ex": 1', 'model: {name: "\\e[2J"}'):
        with pytest.raises(SpecError) as refused:
            parse("metadata: {name: a}\nspec:\n  " + hostile + "\n", "x.yml")
        assert not any(character in str(refused.value) for character in "\x1b\N{RIGHT-TO-LEFT OVERRIDE}")


def test_every_model_of_the_spec_can_name_its_keys() -> None:
    """An unknown key anywhere is answered from the keys of that very place."""
    text = PLAN.replace("{traffic: 100%}", "{trafic: 100%}") + "  judge: {hardStop: {scrape: 3}}\n"
    with pytest.raises(SpecError) as refused:
        parse(text, "x.yml")
    messages = {fault.path: fault.message for fault in refused.value.faults}
    assert messages["spec.stages[1].trafic"] == 'unknown key, did you mean "traffic"?'
    assert messages["spec.judge.hardStop.scrape"] == 'unknown key, did you mean "scrapes"?'
    assert ModelCanary.model_fields.keys() == {"api_version", "kind", "metadata", "spec"}
