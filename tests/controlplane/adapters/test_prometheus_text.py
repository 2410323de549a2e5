"""Cutting points out of an answer's text says what parsing all of it would say, or nothing."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from controlplane.adapters.prometheus_text import cut

HOSTILE = '},"values":[[7,"8"]]}]},{"metric":{"a":"b'
"""A label that contains all the marks: inside a string their quotes are written with a backslash."""


def _text(series: list[tuple[dict[str, str], list[list[Any]]]], **more: Any) -> str:
    result = [{"metric": labels, "values": points} for labels, points in series]
    body = {"status": "success", "data": {"resultType": "matrix", "result": result}, **more}
    return json.dumps(body, separators=(",", ":"))


@given(
    some.lists(
        some.tuples(
            some.dictionaries(some.text(), some.text() | some.just(HOSTILE)),
            some.lists(some.tuples(some.floats(1, 2e9), some.floats()), min_size=1, max_size=3),
        ),
        min_size=1,
        max_size=4,
    ),
    some.lists(some.text() | some.just(HOSTILE), max_size=2),
)
def test_whatever_the_labels_and_warnings_are_the_newest_points_and_the_rest_are_found(
    series: list[tuple[dict[str, str], list[tuple[float, float]]]], warnings: list[str]
) -> None:
    text = _text([(labels, [[at, str(value)] for at, value in points]) for labels, points in series], warnings=warnings)
    found = cut(text)
    assert found is not None
    envelope, points = found
    assert json.loads(envelope) == {**json.loads(text), "data": {"resultType": "matrix", "result": []}}
    assert [json.loads(labels + "}") for labels in points.labels] == [labels for labels, _ in series]
    assert points.at == [told[-1][0] for _, told in series]
    assert [str(value) for value in points.values] == [str(told[-1][1]) for _, told in series]


@pytest.mark.parametrize(
    "text",
    [
        _text([]),
        "",
        "<html>",
        json.dumps({"data": {"result": [{"metric": {}, "values": [[1, "2"]]}]}}),
        _text([({}, [[1, "2"]])]).replace('"values":[[1,"2"]]', '"value":[1,"2"]'),
        _text([({}, [[1, "none"]])]),
        _text([({}, [[1, "2"]])])[:-8],
        _text([({}, [[1, "2"]])]).replace("]]}", ']],"histograms":[[1,{"buckets":[[0,"1"]]}]]}'),
    ],
    ids=["nothing", "empty", "no-json", "spaces", "vector", "no-number", "cut-off", "native-histograms"],
)
def test_a_text_of_another_form_is_left_to_the_ordinary_parser(text: str) -> None:
    assert cut(text) is None


def test_what_is_no_number_for_the_judge_is_one_here() -> None:
    """Telling NaN from a number is the reader's business."""
    found = cut(_text([({"a": "b"}, [[1.5, "2"], [2.5, "NaN"]])]))
    assert found is not None
    assert found[1].at == [2.5]
    assert math.isnan(found[1].values[0])
