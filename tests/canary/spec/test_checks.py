"""What each field allows for itself but not together with the others."""

import pytest

from canary.errors import Fault, SpecError
from canary.spec import parse

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


def faults(text: str) -> list[Fault]:
    """The faults of a plan; none where it has none."""
    try:
        parse(text, "x.yml")
    except SpecError as error:
        return list(error.faults)
    return []


def stages(*lines: str) -> str:
    """The plan with these stages."""
    return PLAN[: PLAN.index("    - {traffic: 5%")] + "".join(f"    - {line}\n" for line in lines)


def test_a_sound_plan_has_no_faults() -> None:
    assert faults(PLAN) == []


@pytest.mark.parametrize(
    ("lines", "place", "words"),
    [
        (["{traffic: 0%}", "{traffic: 100%}"], (7, 17), "at least 0.0001%"),
        (["{traffic: 0.00001%}", "{traffic: 100%}"], (7, 17), "at least 0.0001%"),
        (["{traffic: -5%}", "{traffic: 100%}"], (7, 17), "must not be negative"),
        (["{traffic: 120%}"], (7, 17), "at most 100%"),
        (["{traffic: 25%}", "{traffic: 5%}", "{traffic: 100%}"], (8, 17), "more than the 25% of line 7, got 5%"),
        (["{traffic: 25%}", "{traffic: 25%}", "{traffic: 100%}"], (8, 17), "more than the 25% of line 7"),
        (["{traffic: 100%}", "{traffic: 100%}"], (8, 17), "more than the 100% of line 7"),
        (["{traffic: 5%}", "{traffic: 50%}"], (8, 17), "expected 100%, got 50%"),
    ],
)
def test_stages_rise_to_all_traffic(lines: list[str], place: tuple[int, int], words: str) -> None:
    [fault] = faults(stages(*lines))
    assert (fault.line, fault.column) == place
    assert words in fault.message


def test_every_stage_out_of_order_is_named() -> None:
    found = faults(stages("{traffic: 50%}", "{traffic: 25%}", "{traffic: 10%}", "{traffic: 100%}"))
    assert [fault.path for fault in found] == ["spec.stages[1].traffic", "spec.stages[2].traffic"]


@pytest.mark.parametrize(
    ("stable", "canary"),
    [
        ("{name: v1}", "{name: v1}"),
        ("{name: v1, quantization: awq}", "{name: v2, quantization: awq}"),
        ("{name: v1, command: [run, '{port}']}", "{name: v2, command: [run, '{port}']}"),
        ("{name: v1, command: [run], env: {A: '1'}}", "{name: v2, command: [run], env: {A: 1}}"),
        ("{name: v1, systemPrompt: {text: hi}, replicas: 2}", "{name: v2, systemPrompt: {text: hi}}"),
    ],
)
def test_a_stable_equal_to_the_canary_is_refused(stable: str, canary: str) -> None:
    [fault] = faults(PLAN.replace("{name: v1}", stable).replace("{name: v2}", canary))
    assert fault.line == 5
    assert "nothing to try" in fault.message or "a name of its own" in fault.message


@pytest.mark.parametrize(
    ("stable", "canary"),
    [
        ("{name: v1}", "{name: v2}"),
        ("{name: v1, quantization: awq}", "{name: v2, quantization: fp8}"),
        ("{name: v1, command: [run, '{name}']}", "{name: v2, command: [run, '{name}']}"),
        ("{name: v1, env: {V: '{name}'}}", "{name: v2, env: {V: '{name}'}}"),
        ("{name: v1}", "{name: v2, uri: 'hf://a/b'}"),
        ("{name: v1, engine: {maxNumSeqs: 64}}", "{name: v2, engine: {maxNumSeqs: '64'}}"),
    ],
)
def test_variants_that_may_differ_are_accepted(stable: str, canary: str) -> None:
    """Two names with nothing else said are two variants: what they are stands elsewhere."""
    assert faults(PLAN.replace("{name: v1}", stable).replace("{name: v2}", canary)) == []


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("{traffic: 5%, gates: [error_rate <= 0%]}", "no number of requests shows that it is 0"),
        ("{traffic: 5%, gates: [latency p95 <= 0ms]}", "no number of requests shows that it is 0"),
        ("{traffic: 5%, gates: [{metric: latency, max: 0ms, test: threshold}]}", "give a limit above 0"),
        ("{traffic: 5%, gates: [error_rate <= 100%]}", "can never fail"),
        ("{traffic: 5%, gates: [tokens_per_second >= 0]}", "can never fail"),
        ("{traffic: 5%, gates: [conversion >= 100%]}", "shows that it is 100%"),
        ("{traffic: 5%, gates: [error_rate not worse than stable by 0%]}", "margin of 0"),
        ("{traffic: 5%, gates: [csat drop <= 0]}", "margin of 0"),
        ("{traffic: 5%, hold: 1h, gates: [error_rate <= 1% over 4h]}", "4h does not fit into the stage's hold of 1h"),
    ],
)
def test_a_gate_that_can_never_be_decided_is_refused(stage: str, words: str) -> None:
    [fault] = faults(stages(stage, "{traffic: 100%}"))
    assert "can never be decided" in fault.message
    assert words in fault.message


def test_a_relative_gate_at_all_traffic_is_refused() -> None:
    """At 100 % the stable variant answers nothing, so there is nothing to compare with."""
    [fault] = faults(stages("{traffic: 100%, gates: [error_rate not worse than stable by 1pp]}"))
    assert "stable, which has no traffic at 100%" in fault.message


@pytest.mark.parametrize(
    "gate",
    [
        "{metric: error_rate, max: 0%, test: threshold}",
        "{metric: error_rate, notWorseThan: 0%, test: threshold, failures: 3}",
        "error_rate <= 0.0001%",
        "error_rate <= 1% over 1h",
    ],
)
def test_a_gate_that_can_be_decided_is_accepted(gate: str) -> None:
    assert faults(stages("{traffic: 5%, hold: 1h, gates: [" + gate + "]}", "{traffic: 100%}")) == []


def test_a_common_gate_that_no_stage_can_decide_is_refused() -> None:
    text = stages("{traffic: 100%}") + "  gates: [error_rate not worse than stable by 1pp]\n"
    [fault] = faults(text)
    assert fault.path == "spec.gates[0]"
    assert "no stage can" in fault.message


def test_a_gate_stands_once_in_a_list_however_it_is_written() -> None:
    [fault] = faults(
        stages("{traffic: 5%, gates: [latency <= 1s, error_rate <= 1%, latency p95<=1000ms]}", "{traffic: 100%}")
    )
    assert fault.path == "spec.stages[0].gates[2]"
    assert "already, in line 7" in fault.message


@pytest.mark.parametrize(
    ("more", "path", "words"),
    [
        ("shadow: {traffic: 0%, judge: {kind: exact}}", "spec.shadow.traffic", "nothing"),
        (
            "shadow: {for: 1d, judge: {kind: exact}, promote: {days: 2}}",
            "spec.shadow.promote.days",
            "do not fit into 1d",
        ),
        ("shadow: {for: 3d, judge: {endpoint: 'http://j/v1'}}", "spec.shadow.judge.model", "needs model and endpoint"),
        ("evaluation: {dataset: a.jsonl, metrics: [f1 >= 70%, f1>=70 %]}", "spec.evaluation.metrics[1]", "already"),
        ("budget: {perDay: $10, onExceed: throttle}", "spec.budget.to", "is missing"),
        ("budget: {perDay: $10, to: 1%}", "spec.budget.to", "only counts with onExceed: throttle"),
        ("platform: {kserve: {}}\n  progressDeadline: x", "spec.progressDeadline", "such as 200ms"),
    ],
)
def test_parts_of_a_plan_fit_together(more: str, path: str, words: str) -> None:
    [fault] = faults(PLAN + f"  {more}\n")
    assert fault.path == path
    assert words in fault.message


def test_a_file_on_this_machine_is_no_place_for_a_cluster() -> None:
    local = PLAN.replace("{name: m}", "{name: m, uri: 'file:///models/m'}")
    assert faults(local) == []
    [fault] = faults(local + "  platform: {kserve: {}}\n")
    assert fault.path == "spec.model.uri"


def test_one_wrong_number_hides_no_other_fault() -> None:
    """Checks between fields see what can be read, even of a stage or variant that is at fault."""
    text = (
        stages("{traffic: 50%, hold: soon}", "{traffic: 25%, gates: [error_rate <= 0%, wrong]}", "{traffic: 90%}")
        .replace("{name: v1}", "{name: same, replicas: none}")
        .replace("{name: v2}", "{name: same}")
    )
    assert [fault.path for fault in faults(text)] == [
        "spec.stable.replicas",
        "spec.canary.name",
        "spec.stages[0].hold",
        "spec.stages[1].traffic",
        "spec.stages[1].gates[0]",
        "spec.stages[1].gates[1]",
        "spec.stages[2].traffic",
    ]
