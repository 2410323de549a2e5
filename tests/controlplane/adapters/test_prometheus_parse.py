"""Reading an answer in pieces says what parsing all of it would say, whatever one of its series says."""

import json
import math
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic_core import from_json

from controlplane.adapters import prometheus_parse
from controlplane.adapters.prometheus_parse import PIECE, Newest, labels_in, newest_in, parted, series_in

HOSTILE = '},"values":[[7,"8"]]}]},{"metric":{"a":"b'
"""A label that contains all the marks: inside a string their quotes are written with a backslash."""
GOOD = '{"metric":{"a":"b"},"values":[[1.5,"2"],[2.5,"3"]]}'


def _text(series: list[tuple[dict[str, str], list[list[Any]]]], **more: Any) -> str:
    result = [{"metric": labels, "values": points} for labels, points in series]
    body = {"status": "success", "data": {"resultType": "matrix", "result": result}, **more}
    return json.dumps(body, separators=(",", ":"))


def _answer(*series: str) -> str:
    return f'{{"status":"success","data":{{"resultType":"matrix","result":[{",".join(series)}]}}}}'


def _read(text: str) -> tuple[str, Newest]:
    found = parted(text)
    assert found is not None
    whole = Newest([], [], [])
    for piece in found[1]:
        whole.add(newest_in(piece))
    return found[0], whole


SERIES = some.tuples(
    some.dictionaries(some.text(), some.text() | some.just(HOSTILE)),
    some.lists(some.tuples(some.floats(1, 2e9), some.floats()), min_size=1, max_size=3),
)


@given(
    some.lists(SERIES, min_size=1, max_size=4),
    some.lists(some.text() | some.just(HOSTILE), max_size=2),
    some.sampled_from([1, 60, PIECE]),
)
def test_whatever_the_labels_and_warnings_are_the_newest_points_and_the_rest_are_found(
    series: list[tuple[dict[str, str], list[tuple[float, float]]]], warnings: list[str], size: int
) -> None:
    text = _text([(labels, [[at, str(value)] for at, value in points]) for labels, points in series], warnings=warnings)
    with mock.patch.object(prometheus_parse, "PIECE", size):
        envelope, points = _read(text)
    assert json.loads(envelope) == {**json.loads(text), "data": {"resultType": "matrix", "result": []}}
    assert [labels_in(labels) for labels in points.labels] == [labels for labels, _ in series]
    assert points.at == [told[-1][0] for _, told in series]
    assert [str(value) for value in points.values] == [str(told[-1][1]) for _, told in series]
    assert points.unreadable == 0


@pytest.mark.parametrize(
    "text",
    ["", "<html>", _text([]), json.dumps({"data": {"result": [{"metric": {}, "values": [[1, "2"]]}]}})],
    ids=["empty", "no-json", "nothing", "spaces"],
)
def test_a_text_of_another_form_is_left_to_the_ordinary_parser(text: str) -> None:
    assert parted(text) is None


BAD = [
    '{"metric":{foo},"values":[[1,"2"]]}',
    '{"metric":{"a":7},"values":[[1,"2"]]}',
    '{"metric":{"a":["b"]},"values":[[1,"2"]]}',
    '{"metric":{"a":"b"},"values":[[1,"none"]]}',
    '{"metric":{"a":"b"},"values":[[1e999,"2"]]}',
    '{"metric":{"a":"b"},"values":[["x","2"]]}',
    '{"metric":{"a":"b"},"values":7}',
    '{"metric":{"a":"\\ud800"},"histograms":[[1,{"count":"x"}]]}',
]
UNCLOSED = ['{"metric":{"a":"b"},"values":' + "[" * 5000, '{"metric":{"a":"b"']


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("last", [False, True])
def test_s14_a_series_without_sense_is_left_out_and_counted_and_costs_no_other(bad: str, *, last: bool) -> None:
    envelope, points = _read(_answer(*([GOOD, bad] if last else [bad, GOOD])))
    assert json.loads(envelope) == json.loads(_answer())
    known = [labels_in(labels) for labels in points.labels]
    assert [(at, value) for at, value, labels in zip(points.at, points.values, known, strict=True) if labels] == [
        (2.5, 3.0)
    ]
    assert points.unreadable + known.count(None) == 1


@pytest.mark.parametrize("bad", UNCLOSED)
def test_s14_a_series_without_an_end_costs_no_other_and_an_answer_without_one_is_none(bad: str) -> None:
    _, points = _read(_answer(bad, GOOD))
    assert (points.at, points.values, points.unreadable) == ([2.5], [3.0], 1)
    with pytest.raises(ValueError):
        from_json(_read(_answer(GOOD, bad))[0])


JUNK = some.text('{}[]":,\\1e-x', max_size=30)


@given(some.lists(some.one_of(JUNK, some.sampled_from(BAD), JUNK.map('{{"metric":{{{},"values":[[1,"2"]]}}'.format))))
def test_s14_whatever_stands_before_it_a_good_series_is_read(junk: list[str]) -> None:
    _, points = _read(_answer(*junk, GOOD))
    assert (points.labels[-1], points.at[-1], points.values[-1]) == ('{"a":"b"', 2.5, 3.0)


@pytest.mark.parametrize("text", ['{"metric":{' * 200_000, GOOD[:30] * 70_000, '{"metric":{},"values":[[' * 90_000])
def test_s14_a_text_that_only_looks_like_series_is_given_up_and_costs_no_more_than_one_that_is(text: str) -> None:
    """What would be looked at again from every beginning takes hours."""
    with pytest.raises(ValueError, match="nearly nothing"):
        _read(_answer(text))


def test_what_is_no_number_for_the_judge_is_one_here() -> None:
    """Telling NaN from a number is the reader's business."""
    _, points = _read(_text([({"a": "b"}, [[1.5, "2"], [2.5, "NaN"]])]))
    assert points.at == [2.5]
    assert math.isnan(points.values[0])


def test_a_piece_has_all_its_points_where_they_are_asked_for() -> None:
    (series,), unreadable = series_in(GOOD)
    assert (series.points, unreadable) == ([(1.5, 2.0), (2.5, 3.0)], 0)
