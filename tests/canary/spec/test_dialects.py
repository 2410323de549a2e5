"""The two short forms mean full ones, completed by options, a settings file and defaults, in this order."""

from typing import Any

import pytest

from canary.errors import Fault, SpecError
from canary.spec import Source, parse, parse_document
from canary.spec.dialects import slug, split
from canary.spec.models import ModelCanary
from canary.spec.units import UnreadableNumber

VARIANTS = """\
model: my-org/llama3-70b-instruct-v2
variants:
- name: control
  prompt: "You are a helpful assistant."
- name: v2
  prompt: "You are a meticulous assistant. Cite sources."
traffic_split: 95/5
"""
DEPLOY = """\
deploy:
  canary:
    weight: 5 %
    cohort: "tier_1_customers"
  a_b:
    control: "legacy_rule_engine"
    variant: "bot_v1_2026"
"""
SETTINGS = """\
metadata: {namespace: models}
platform: {local: {listen: "127.0.0.1:0"}}
stable: {command: [python, old.py, --port, "{port}"]}
canary: {command: [python, new.py, --port, "{port}"]}
cohort: {header: x-customer-tier}
stages:
  - {traffic: 10%, hold: 2m, gates: [error_rate <= 1%]}
  - {traffic: 50%, hold: 3m}
  - {traffic: 100%}
"""


def plan(text: str, settings: str | None = None, options: dict[str, Any] | None = None) -> ModelCanary:
    """The plan of a short form beside these settings."""
    return parse(text, "canary.yml", Source("serinus.yml", settings) if settings else None, options)


def faults(text: str, settings: str | None = None, options: dict[str, Any] | None = None) -> tuple[Fault, ...]:
    """The faults of a short form beside these settings."""
    with pytest.raises(SpecError) as refused:
        plan(text, settings, options)
    return refused.value.faults


def test_two_prompts_and_a_split_are_a_plan() -> None:
    spec = plan(VARIANTS).spec
    assert (spec.model.name, spec.model.uri) == (
        "my-org/llama3-70b-instruct-v2",
        "hf://my-org/llama3-70b-instruct-v2",
    )
    assert (spec.stable.name, spec.canary.name) == ("control", "v2")
    assert spec.canary.system_prompt is not None
    assert spec.canary.system_prompt.text == "You are a meticulous assistant. Cite sources."
    assert [stage.traffic for stage in spec.stages] == [0.05, 0.25, 0.75, 1.0]


def test_a_weight_a_cohort_and_two_names_are_a_plan() -> None:
    canary = plan(DEPLOY)
    assert canary.metadata.name == "legacy-rule-engine-to-bot-v1-2026"
    assert (canary.spec.stable.name, canary.spec.canary.name) == ("legacy-rule-engine", "bot-v1-2026")
    assert canary.spec.cohort is not None
    assert (canary.spec.cohort.header, canary.spec.cohort.values) == ("x-cohort", ("tier_1_customers",))
    assert [stage.traffic for stage in canary.spec.stages] == [0.05, 0.25, 0.75, 1.0]


def test_without_settings_every_stage_holds_and_is_judged() -> None:
    """A short form never lets a canary pass unseen: it is held against stable wherever stable has traffic."""
    *shared, last = plan(VARIANTS).spec.stages
    assert all(stage.hold == 3600 and len(stage.gates) == 2 for stage in shared)
    assert last.gates == ()


@pytest.mark.parametrize(
    ("weight", "shares"),
    [("1%", [0.01, 0.05, 0.25, 0.75, 1.0]), ("10%", [0.1, 0.25, 0.75, 1.0]), ("75%", [0.75, 1.0]), ("100%", [1.0])],
)
def test_the_ladder_goes_on_above_the_weight(weight: str, shares: list[float]) -> None:
    text = DEPLOY.replace("5 %", weight)
    assert [stage.traffic for stage in plan(text).spec.stages] == shares


def test_settings_say_what_a_short_form_leaves_open() -> None:
    canary = plan(DEPLOY, SETTINGS)
    spec = canary.spec
    assert canary.metadata.namespace == "models"
    assert spec.platform.local is not None
    assert spec.platform.local.listen == "127.0.0.1:0"
    assert spec.stable.command[1] == "old.py"
    assert spec.stable.name == "legacy-rule-engine"
    assert spec.cohort is not None
    assert spec.cohort.header == "x-customer-tier"


def test_stages_of_the_settings_follow_the_weight_of_the_file() -> None:
    """The first stage has the file's share, and otherwise what the settings' first stage says."""
    stages = plan(DEPLOY, SETTINGS).spec.stages
    assert [(stage.traffic, stage.hold) for stage in stages] == [(0.05, 120.0), (0.1, 120.0), (0.5, 180.0), (1.0, 0.0)]
    assert [gate.text for gate in stages[0].gates] == ["error_rate <= 1%"]


def test_a_stage_of_the_settings_with_the_same_share_is_the_first() -> None:
    stages = plan(DEPLOY.replace("5 %", "50%"), SETTINGS).spec.stages
    assert [(stage.traffic, stage.hold) for stage in stages] == [(0.5, 180.0), (1.0, 0.0)]


def test_gates_of_the_settings_replace_the_usual_ones() -> None:
    spec = plan(DEPLOY, "gates: [latency p99 <= 1s]\n").spec
    assert [[gate.text for gate in stage.gates] for stage in spec.stages] == [["latency p99 <= 1s"]] * 4


def test_the_file_comes_before_options_and_options_before_settings() -> None:
    options = {"metadata": {"name": "chosen"}, "maxBlind": "2m", "model": {"name": "other", "uri": "s3://b/k"}}
    canary = plan(VARIANTS, SETTINGS + "maxBlind: 9m\nonBlind: pause\n", options)
    assert canary.metadata.name == "chosen"
    assert canary.spec.max_blind == 120
    assert canary.spec.on_blind == "pause"
    assert canary.spec.model.name == "my-org/llama3-70b-instruct-v2"
    assert canary.spec.model.uri == "s3://b/k"


def test_a_variant_of_a_short_form_may_say_what_a_full_one_may() -> None:
    text = VARIANTS.replace("- name: v2\n", "- name: v2\n  quantization: awq\n  engine: {maxNumSeqs: 64}\n")
    canary = plan(text).spec.canary
    assert canary.quantization == "awq"
    assert canary.engine == {"maxNumSeqs": 64}


def test_a_full_form_takes_nothing_from_settings() -> None:
    spec = "{model: {name: m}, stable: {name: a}, canary: {name: b}, stages: [{traffic: 100%}]}"
    full = f"metadata: {{name: a}}\nspec: {spec}\n"
    assert plan(full, "maxBlind: 9m\n") == plan(full)
    assert parse_document(full, "x").form == "full"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("95-5", "such as 95/5"),
        ("90/5", "make 95 %"),
        ("100/0", "gets nothing"),
        ("5/95", "list the one in service first"),
        ("0.95/0.05", "make 1.00 %"),
    ],
)
def test_a_split_that_could_be_meant_otherwise_is_refused(written: str, words: str) -> None:
    with pytest.raises(UnreadableNumber) as refused:
        split(written)
    assert words in str(refused.value)
    [fault] = faults(VARIANTS.replace("95/5", written))
    assert (fault.path, fault.line, fault.column) == ("traffic_split", 7, 16)


def test_a_split_may_have_blanks_and_percent_signs() -> None:
    assert split("95 % / 5 %") == (0.95, 0.05)
    assert split("99.5/0.5") == (0.995, 0.005)


def test_faults_of_a_short_form_are_said_in_its_own_words_and_all_at_once() -> None:
    text = DEPLOY.replace("5 %", "5").replace("cohort", "cohrt").replace("  a_b:\n", "  a_b:\n    contrl: x\n")
    found = {fault.path: fault.message for fault in faults(text)}
    assert found == {
        "deploy.canary.weight": '"5" may be meant in percent or not; write 5% or 0.05',
        "deploy.canary.cohrt": 'unknown key, did you mean "cohort"?',
        "deploy.a_b.contrl": 'unknown key, did you mean "control"?',
    }


def test_a_field_of_the_full_form_in_a_short_one_is_shown_its_place() -> None:
    [fault] = faults(VARIANTS + "stages: []\n")
    assert fault.path == "stages"
    assert "serinus.yml" in fault.message


def test_three_variants_are_one_too_many() -> None:
    [fault] = faults(VARIANTS.replace("traffic_split", "- {name: v3}\ntraffic_split"))
    assert fault.path == "variants"
    assert "found 3" in fault.message


def test_faults_of_settings_point_into_the_settings() -> None:
    """Also together with faults of the short form itself."""
    found = faults(DEPLOY.replace("5 %", "5"), SETTINGS.replace("2m", "2 minutes") + "stagez: []\n")
    assert [(fault.file, fault.line) for fault in found] == [("canary.yml", 3), ("serinus.yml", 7), ("serinus.yml", 10)]
    assert 'did you mean "stages"' in found[2].message


def test_settings_that_are_no_mapping_or_no_yaml_are_faults() -> None:
    assert "mapping of spec fields" in faults(DEPLOY, "- a\n")[0].message
    assert faults(DEPLOY, "a: [\n")[0].file == "serinus.yml"
    assert "empty" in faults(DEPLOY, " \n")[0].message


def test_options_that_are_wrong_are_named_as_options() -> None:
    [fault] = faults(DEPLOY, options={"onBreach": "explode"})
    assert (fault.file, fault.path) == ("options", "spec.onBreach")


@pytest.mark.parametrize(
    "text",
    [
        "variants: 3\n",
        "traffic_split: {a: 1}\nmodel: [x]\n",
        "variants: [x, y]\ntraffic_split:\nmodel:\n",
        "deploy:\n",
        "deploy: x\n",
        "deploy: {canary: [], a_b: 3}\n",
        "deploy: {canary: {weight: [1]}, a_b: {control: {}, variant: }}\n",
        "variants: [{name: {}}, {name: [1], prompt: {a: b}}]\ntraffic_split: []\nmodel: {}\n",
    ],
)
def test_a_malformed_short_form_is_only_ever_a_fault(text: str) -> None:
    assert faults(text)
    assert faults(text, "stages: 3\ngates: {a: b}\nstable: []\nmetadata: x\ncohort: 3\nmodel: 5\n")


@pytest.mark.parametrize(
    ("written", "name"),
    [("bot_v1_2026", "bot-v1-2026"), ("my-org/Llama3", "llama3"), ("a" * 80, "a" * 63), ("…", "unnamed"), ("-x-", "x")],
)
def test_names_are_made_fit_for_kubernetes(written: str, name: str) -> None:
    assert slug(written) == name
