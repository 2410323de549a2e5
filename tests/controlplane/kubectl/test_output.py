"""What `-o` takes, and what it says of shapes that other tools know."""

import pytest

from tests.controlplane.kubectl.desk import desk, good, under_way


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("jsonpath={.status.phase}", "use `kubectl get mcan -o jsonpath={.status.phase}`, or pipe `-o json` into"),
        ("custom-columns=NAME:.metadata.name", "kubectl get mcan -o custom-columns=NAME:.metadata.name"),
        ("go-template={{.kind}}", "go-template is not done here"),
        ("xml", "'xml' is none of table, wide, json, yaml, name"),
    ],
)
def test_what_cannot_be_printed_is_refused_before_the_cluster_is_asked(output: str, why: str) -> None:
    place = desk(good)
    told = place("list", "-o", output)
    assert (told.exit_code, why in " ".join(told.stderr.split())) == (2, True), told.stderr
    assert sum(place.kube.counts.values()) == 0


@pytest.mark.parametrize("verb", ["get", "status"])
def test_every_verb_that_prints_objects_says_what_to_use_for_a_jsonpath(verb: str) -> None:
    told = desk(under_way)(verb, "chat", "-o", "jsonpath={.phase}")
    assert (told.exit_code, "pipe `-o json` into a tool such as jq" in " ".join(told.stderr.split())) == (2, True)


def test_watching_takes_no_shape_that_is_complete_only_at_its_end() -> None:
    told = desk(good)("get", "chat", "-w", "-o", "yaml")
    assert (told.exit_code, "has no end to write" in told.stderr) == (2, True)
