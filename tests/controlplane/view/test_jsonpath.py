"""Ours prints what kubectl prints; what it does not do is an error that says why."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.errors import BadInput
from controlplane.view.jsonpath import rendered
from tests.controlplane.kubectl.desk import PLACE, desk, good, under_way
from tests.controlplane.kubectl.jsonpaths import OBJECT, PRINTED


@pytest.mark.parametrize("template", [each for each, printed in PRINTED.items() if printed is not None])
def test_it_prints_what_kubectl_prints(template: str) -> None:
    assert rendered(template, OBJECT) == PRINTED[template]


@pytest.mark.parametrize("template", [each for each, printed in PRINTED.items() if printed is None])
def test_it_refuses_what_kubectl_refuses(template: str) -> None:
    with pytest.raises(BadInput, match="jsonpath"):
        rendered(template, OBJECT)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{.metadata.labels['app.kubernetes.io/name']}", r"a dot inside of a name is written \\\."),
        ("{.kind .apiVersion}", "a pair of braces holds one path"),
        ("{range .metadata.finalizers[*]}{.x}", r"a \{range\} has no \{end\}"),
        ("{.metadata.finalizers[0:2:-1]}", "the stride of a slice is above zero"),
        ("{.metadata.finalizers[?(@.x =~ 'x')]}", "not known to kubectl either"),
    ],
)
def test_where_kubectl_prints_nothing_or_anything_ours_says_why(template: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        rendered(template, OBJECT)


def test_fields_of_a_map_come_in_order_where_kubectl_shuffles_them() -> None:
    assert rendered("{.metadata.annotations.*}", OBJECT) == "1 2"
    assert rendered("{..uid}", OBJECT) == "u1 u2 u3"


@given(st.text(alphabet="{}[]().*@$?'\"=<>!,:-\\ abr0123end\n", max_size=40))
def test_no_template_ends_in_anything_but_text_or_a_clear_error(template: str) -> None:
    try:
        assert isinstance(rendered(template, OBJECT), str)
    except BadInput as error:
        assert "jsonpath" in str(error)  # noqa: PT017 - most templates raise nothing


def test_list_get_and_status_take_it() -> None:
    """Over what `-o json` prints, and without a line's end of our own."""
    place = desk(under_way)
    assert place("get", "chat", "-o", "jsonpath={.status.phase}").stdout == "Analyzing"
    assert place("list", "-o", 'jsonpath={range .items[*]}{.metadata.name}{"\\n"}{end}').stdout == "chat\n"
    assert place("status", "chat", "-o", "jsonpath={.phase} {.stage}").stdout == "Analyzing 0"
    assert json.loads(place("list", "-o", "jsonpath={.items[0].metadata}").stdout)["namespace"] == PLACE


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("jsonpath={.a", "cannot be read at character 4"),
        ("jsonpath=", "jsonpath needs a template"),
        ("custom-columns=NAME:.metadata.name", "kubectl get mcan -o custom-columns=NAME:.metadata.name"),
        ("go-template={{.kind}}", "go-template is not done here"),
        ("xml", "none of table, wide, json, yaml, name and jsonpath=TEMPLATE"),
    ],
)
def test_what_cannot_be_printed_is_refused_before_the_cluster_is_asked(output: str, why: str) -> None:
    place = desk(good)
    told = place("list", "-o", output)
    assert (told.exit_code, why in " ".join(told.stderr.split())) == (2, True), told.stderr
    assert sum(place.kube.counts.values()) == 0


def test_watching_takes_none_of_it() -> None:
    told = desk(good)("get", "chat", "-w", "-o", "jsonpath={.kind}")
    assert (told.exit_code, "has no end to write" in told.stderr) == (2, True)
