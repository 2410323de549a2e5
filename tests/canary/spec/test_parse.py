"""Texts become plans, or all their faults at once."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary.errors import SpecError
from canary.spec import parse, parse_document, revision
from canary.spec.parse import FAULTS_SHOWN

EXAMPLES = Path(__file__).parents[3] / "manifests" / "examples"
GOLDEN = Path(__file__).parents[2] / "golden" / "spec"
PLAN = """\
metadata: {name: a}
spec:
  model: {name: m}
  stable: {name: v1}
  canary: {name: v2}
  stages:
    - {traffic: 5%, hold: 1h, gates: [error_rate <= 1%]}
    - {traffic: 100%}
"""


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.canary.yml")), ids=lambda path: path.name)
def test_r15_every_example_is_a_plan(path: Path) -> None:
    """The samples work as they stand, in all three forms."""
    canary = parse(path.read_bytes(), path.name)
    assert canary.spec.stages[-1].traffic == 1.0
    assert len(revision(canary)) == 16


def test_the_examples_are_there() -> None:
    assert len(list(EXAMPLES.glob("*.canary.yml"))) >= 4


def test_the_four_week_plan_is_understood() -> None:
    """Units, gates and names of the longest example, value by value."""
    spec = parse((EXAMPLES / "four-week.canary.yml").read_bytes(), "four-week.canary.yml").spec
    assert [stage.traffic for stage in spec.stages] == [0.05, 0.25, 0.75, 1.0]
    assert {stage.hold for stage in spec.stages} == {7 * 86_400.0}
    assert [gate.text for gate in spec.stages[0].gates] == ["latency p95 <= 200ms", "error_rate <= 0.1%"]
    [conversion] = spec.stages[1].gates
    assert (conversion.metric, conversion.comparison, conversion.limit) == ("kpi/conversion", "drift", 0.02)
    assert (conversion.events, conversion.of) == ("checkout_completed_total", "chat_sessions_total")
    assert spec.alerts[0].slack is not None
    assert spec.alerts[0].slack.channel == "#ml-releases"


def test_ten_faults_get_ten_messages() -> None:
    """Each with file, line, column, path, what was expected and an excerpt, exactly as in the golden file."""
    path = GOLDEN / "ten-faults.canary.yml"
    with pytest.raises(SpecError) as refused:
        parse(path.read_bytes(), path.name)
    assert len(refused.value.faults) == 10
    assert all(fault.excerpt for fault in refused.value.faults)
    assert str(refused.value) + "\n" == (GOLDEN / "ten-faults.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a\n", "expected a mapping"),
        ("just text\n", "expected a mapping"),
        ("{}\n", "is missing"),
        ("metadata:\nspec:\n", "got nothing"),
        ("apiVersion: serinus.dev/v2\n" + PLAN, "serinus.dev/v1alpha1"),
        ("kind: Canary\n" + PLAN, 'did you mean "ModelCanary"'),
        (PLAN.replace("stages:", "steps:"), 'did you mean "stages"'),
        (PLAN.replace("  model: {name: m}\n", ""), "spec.model: is missing"),
        (PLAN + "  max_blind: 3m\n", 'did you mean "maxBlind"'),
        (PLAN.replace("5%, hold", "5%, gates: error_rate <= 1%, hold"), "stands twice"),
    ],
)
def test_a_text_that_is_no_plan_says_why(text: str, words: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse(text, "x.yml")
    assert words in str(refused.value)


def test_faults_come_in_the_order_of_the_file_and_each_once() -> None:
    text = PLAN.replace("5%", "5").replace("{name: v2}", "{name: V2}").replace("{name: m}", "{nam: m}")
    with pytest.raises(SpecError) as refused:
        parse(text, "x.yml")
    places = [(fault.line, fault.column) for fault in refused.value.faults]
    assert places == sorted(places)
    assert len(set(refused.value.faults)) == len(places)


def test_a_file_of_nothing_but_faults_is_cut_short() -> None:
    """Nobody reads a thousand messages; the rest is counted."""
    text = PLAN + "".join(f"  wrong{number}: 1\n" for number in range(1000))
    with pytest.raises(SpecError) as refused:
        parse(text, "x.yml")
    assert len(refused.value.faults) == FAULTS_SHOWN + 1
    assert refused.value.faults[-1].message == f"and {1000 - FAULTS_SHOWN} more faults"


def test_the_place_of_a_fault_in_a_gate_is_its_word() -> None:
    """The caret stands under the word that does not fit, in plain and in quoted lines."""
    for written, column in (("error_rate <= 5", 53), ('"error_rate <= 5"', 54)):
        with pytest.raises(SpecError) as refused:
            parse(PLAN.replace("error_rate <= 1%", written), "x.yml")
        [fault] = refused.value.faults
        assert (fault.line, fault.column) == (7, column)


def test_common_gates_reach_every_stage_that_can_decide_them() -> None:
    text = PLAN + "  gates: [latency p95 <= 1s, error_rate not worse than stable by 1pp, error_rate <= 1% over 2h]\n"
    stages = parse(text.replace("{traffic: 100%}", "{traffic: 100%, hold: 3h}"), "x.yml").spec.stages
    assert [gate.text for gate in stages[0].gates] == [
        "error_rate <= 1%",
        "latency p95 <= 1s",
        "error_rate not worse than stable by 1pp",
    ]
    assert [gate.text for gate in stages[1].gates] == ["latency p95 <= 1s", "error_rate <= 1% over 2h"]


def test_a_stage_says_more_about_its_gate_than_the_plan() -> None:
    """A gate that a stage has itself is not added again from the common ones."""
    text = PLAN.replace("error_rate <= 1%", "{metric: error_rate, max: 1%, onBreach: hold}")
    [gate] = parse(text + "  gates: [error_rate <= 1%]\n", "x.yml").spec.stages[0].gates
    assert gate.on_breach == "hold"


def test_on_breach_of_the_plan_reaches_gates_that_do_not_say_their_own() -> None:
    text = PLAN.replace("[error_rate <= 1%]", "[error_rate <= 1%, {metric: latency, max: 1s, onBreach: rollback}]")
    first, second = parse(text + "  onBreach: pause\n", "x.yml").spec.stages[0].gates
    assert (first.on_breach, second.on_breach) == ("pause", "rollback")


def test_texts_stay_as_they_were_written() -> None:
    text = PLAN.replace("{name: v1}", '{name: "1.10", quantization: 12e34567, env: {PORT: 080, ON: on}}')
    stable = parse(text, "x.yml").spec.stable
    assert (stable.name, stable.quantization, stable.env) == ("1.10", "12e34567", {"PORT": "080", "ON": "on"})


@pytest.mark.parametrize(
    "more",
    [
        "",
        "  judge: {falseRollback: 1%, hardStop: {scrapes: 2}}\n",
        "  platform:\n    local:\n",
        "  alerts: [{slack: {urlFrom: {secret: a, key: b}}}]\n",
        "  # only a comment\n",
    ],
)
def test_a_revision_does_not_change_with_what_does_not_matter(more: str) -> None:
    """Defaults said aloud, comments, labels and who is told are no new plan. The digest is the same for ever."""
    labelled = PLAN.replace("{name: a}", "{name: a, labels: {team: ml}}")
    assert revision(parse(labelled + more, "x.yml")) == revision(parse(PLAN, "y.yml")) == "0e6c16fbda89893b"


@pytest.mark.parametrize(
    "changed",
    [
        PLAN.replace("1h", "2h"),
        PLAN.replace("{name: a}", "{name: b}"),
        PLAN.replace("<= 1%", "<= 2%"),
        PLAN.replace("{name: v2}", "{name: v2, quantization: awq}"),
        PLAN + "  judge: {falseRollback: 2%}\n",
    ],
)
def test_a_revision_changes_with_the_plan(changed: str) -> None:
    assert revision(parse(changed, "x.yml")) != revision(parse(PLAN, "x.yml"))


def test_a_document_keeps_the_places_of_its_parts() -> None:
    node = parse_document(PLAN, "x.yml").root.get("spec", "canary", "name")
    assert node is not None
    assert (node.place.line, node.place.column) == (5, 18)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@settings(deadline=None)
def test_any_bytes_are_a_plan_or_faults(raw: bytes) -> None:
    """Nothing else ever comes out of a file."""
    with pytest.raises(SpecError):
        parse(raw, "x.yml")


MUTATIONS = st.tuples(
    st.integers(0, len(PLAN) - 1), st.integers(0, 12), st.text("abc{}[]:,%&*!|> \n\t-'\"#0.5", max_size=6)
)


@given(st.lists(MUTATIONS, min_size=1, max_size=3))
@settings(deadline=None)
def test_a_damaged_plan_is_a_plan_or_faults_with_places(mutations: list[tuple[int, int, str]]) -> None:
    """Cutting and inserting at random never gives anything but a plan or faults that point into the file."""
    text = PLAN
    for at, cut, inserted in mutations:
        text = text[:at] + inserted + text[at + cut :]
    try:
        parse(text, "x.yml")
    except SpecError as error:
        lines = text.count("\n") + 1
        faults = error.faults
    else:
        return
    assert all(1 <= fault.line <= lines and fault.column >= 1 and fault.message for fault in faults)
