"""`kubectl canary list`: order, columns, and output for other programs."""

import json

import pytest
import yaml

from controlplane.kubernetes.resources import MODEL_CANARY
from tests.contracts.nesting import nested
from tests.controlplane.kubectl.desk import Desk, a_canary, broken, desk, faulty, under_way


def put(person: Desk, name: str, phase: str, **status: object) -> None:
    """A ModelCanary with this status."""
    object_ = a_canary(name)
    object_["status"] = {"phase": phase, "message": f"{name} speaks.", "since": "2026-01-01T00:58:00Z", **status}
    person.kube.seed(MODEL_CANARY, object_)


@pytest.fixture
def person() -> Desk:
    """Someone with a rollout of each kind."""
    person = desk()
    for name, phase in (("a", "Succeeded"), ("b", "Analyzing"), ("c", "Paused"), ("d", "RollingBack"), ("e", "Blind")):
        put(person, name, phase, weight="5 %", stageText="1/3", verdict="wait")
    return person


def test_what_may_need_somebody_comes_first(person: Desk) -> None:
    assert person("list", "-o", "name").stdout.split() == [f"modelcanary.serinus.dev/{name}" for name in "decba"]


def test_a_line_says_where_it_is_and_why(person: Desk) -> None:
    head, first, *_ = person("list").stdout.splitlines()
    assert head.split() == ["NAME", "PHASE", "STAGE", "WEIGHT", "VERDICT", "SINCE", "MESSAGE"]
    assert first.split() == ["d", "RollingBack", "1/3", "5", "%", "wait", "2", "min", "d", "speaks."]
    assert person("list", "--no-headers").stdout.splitlines()[0].split() == first.split()


def test_all_namespaces_are_told_apart_and_wide_says_more(person: Desk) -> None:
    head = person("list", "-A", "-o", "wide").stdout.splitlines()[0].split()
    assert head[0] == "NAMESPACE"
    assert {"STABLE", "CANARY", "ATTEMPT", "REVISION"} <= set(head)


def test_json_and_yaml_are_the_objects_themselves(person: Desk) -> None:
    as_json = json.loads(person("list", "-o", "json").stdout)
    assert as_json == yaml.safe_load(person("list", "-o", "yaml").stdout)
    assert as_json["kind"] == "List"
    assert len(as_json["items"]) == 5


def test_a_spec_that_was_refused_says_why() -> None:
    told = desk(faulty)("list").stdout
    assert "InvalidSpec" in told
    assert "sticky" in told


def test_one_that_waits_for_others_of_its_namespace_says_for_which() -> None:
    person, queued = desk(), {"type": "Queued", "status": "True", "message": "It begins after b."}
    for truth in ("True", "False"):
        status = {"conditions": [{"type": "Accepted", "status": "True"}, queued | {"status": truth}]}
        person.kube.seed(MODEL_CANARY, {**a_canary(f"is-{truth.lower()}"), "status": status})
    first, second = sorted(person("list", "--no-headers").stdout.splitlines())
    assert "Queued" not in first
    assert "Queued" in second
    assert second.endswith("It begins after b.")
    assert "It begins after b." in person("get", "is-true").stderr + person("get", "is-true").stdout


def test_one_that_no_operator_has_seen_says_so() -> None:
    person = desk()
    person.kube.seed(MODEL_CANARY, a_canary())
    assert "No operator has looked at it yet." in person("list").stdout


def test_an_empty_namespace_says_how_to_look_further() -> None:
    told = desk()("list")
    assert (told.exit_code, told.stdout) == (0, "")
    assert "-A looks everywhere" in told.stderr


def test_a_message_cannot_take_the_terminal_over() -> None:
    person = desk()
    put(person, "x", "Analyzing", message="\x1b]0;owned\x07hello")
    assert "\x1b" not in person("list").stdout


def test_the_options_may_stand_before_the_verb_too() -> None:
    assert "chat" in desk(broken)("-n", "models", "list").stdout
    assert "chat" not in desk(under_way)("-n", "elsewhere", "list").stdout


def test_r3_one_of_thousands_of_levels_hides_no_other(person: Desk) -> None:
    """Its line says why it is not carried out, and it is printed as far as it can be read."""
    deep = a_canary("deep")
    deep["spec"]["canary"]["engine"] = {"a": nested(600)}
    refused = {"type": "Accepted", "status": "False", "message": "has more than 32 levels."}
    person.kube.seed(MODEL_CANARY, deep | {"status": {"conditions": [refused]}})
    line = next(each for each in person("list").stdout.splitlines() if each.startswith("deep "))
    assert "InvalidSpec" in line
    assert "32 levels" in line
    for output in ("wide", "name", "json", "yaml"):
        told = person("list", "-o", output)
        assert told.exit_code == 0, told.output
        assert "deep" in told.stdout
    assert person("get", "deep").exit_code in {0, 2}


def test_s14_one_of_another_shape_hides_no_other(person: Desk) -> None:
    """A status of another release, or one that somebody wrote to: its line says less, and the others say all."""
    broken: list[object] = [
        "text",
        {"conditions": ["a"], "phase": 5, "since": [], "stageText": {}},
        {"since": "soon"},
        [],
    ]
    for number, status in enumerate(broken):
        strange = a_canary(f"strange-{number}")
        strange["spec"] |= {"stable": "v1", "canary": ["v2"]}
        person.kube.seed(MODEL_CANARY, strange | {"status": status})
    for output in ("table", "wide", "name", "json", "yaml"):
        told = person("list", "-o", output)
        assert told.exit_code == 0, told.output
        assert told.stdout.count("strange-") >= len(broken)
    assert len(person("list", "--no-headers").stdout.splitlines()) == 5 + len(broken)
