"""Requests as annotations: written by the plugin or by hand, read by the operator."""

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.snapshot import OperatorRequest, Verb
from controlplane.operator.request_annotations import (
    LONGEST_PERSON,
    LONGEST_REQUEST,
    MOST_REQUESTS,
    PREFIX,
    annotation_of,
    requests_in,
)

IDS, PEOPLE = st.text(min_size=1, max_size=60), st.text(max_size=60)
REQUESTS = st.builds(
    OperatorRequest,
    id=IDS,
    verb=st.sampled_from(get_args(Verb)),
    by=PEOPLE,
    at=st.floats(0, 2e11),
    to=st.none() | st.floats(0, 1),
) | st.builds(OperatorRequest, id=IDS, verb=st.just("promote"), by=PEOPLE, at=st.just(1.0), full=st.booleans())


def read(value: str) -> OperatorRequest | None:
    return requests_in({"metadata": {"annotations": {f"{PREFIX}1": value}}})[f"{PREFIX}1"]


@given(request=REQUESTS)
def test_what_is_written_is_read(request: OperatorRequest) -> None:
    key, value = annotation_of(request)
    assert requests_in({"metadata": {"annotations": {key: value, "other.dev/x": "1"}}}) == {key: request}


@pytest.mark.parametrize("written", ["75%", "75 %", "0.75", 0.75])
def test_a_person_writes_a_share_as_in_canary_yml(written: object) -> None:
    found = read(json.dumps({"verb": "promote", "to": written}))
    assert found is not None
    assert (found.verb, found.to, found.full) == ("promote", 0.75, False)


def test_one_that_says_nothing_of_a_share_asks_for_the_next_stage() -> None:
    for value in ("promote", '{"verb": "promote"}', '{"verb": "promote", "to": null, "full": false}'):
        found = read(value)
        assert found is not None
        assert (found.to, found.full) == (None, False)


@pytest.mark.parametrize("to", ["75", 75, "much", "", -0.1, [0.5], {"share": 0.5}, True])
def test_a_share_that_nobody_can_read_is_no_request(to: object) -> None:
    """It would otherwise be a plain promote, which is not what was meant."""
    assert read(json.dumps({"verb": "promote", "to": to})) is None


def test_two_places_to_go_to_are_no_request() -> None:
    assert read('{"verb": "promote", "full": true, "to": "75%"}') is None
    found = read('{"verb": "promote", "full": true, "to": null}')
    assert found is not None
    assert (found.full, found.to) == (True, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)
BOMBS = {
    "deep lists": "[" * 20_000,
    "deep lists that end": "[" * 5_000 + "]" * 5_000,
    "deep mappings": '{"verb":' * 5_000,
    "a number that no float holds": '{"verb": "abort", "at": 1' + "0" * 400 + "}",
    "a share that no float holds": '{"verb": "promote", "to": 1' + "0" * 400 + "}",
    "a moment that no calendar has": '{"verb": "abort", "at": 1e300}',
    "no moment": '{"verb": "abort", "at": NaN}',
    "no moment at all": '{"verb": "abort", "at": Infinity}',
    "a person of a megabyte": json.dumps({"verb": "abort", "by": "x" * 1_000_000}),
    "a megabyte beside it": json.dumps({"verb": "abort", "note": "x" * 1_000_000}),
    "half a pair": '{"verb": "abort", "by": "\\ud800"}',
}


@pytest.mark.parametrize("value", BOMBS.values(), ids=BOMBS)
def test_s14_what_would_end_its_reader_is_no_request(value: str) -> None:
    """The reader is asked at each change in the cluster: what it raises would end everybody's rollouts."""
    assert read(value) is None


@given(
    value=st.text()
    | JSON.map(json.dumps)
    | st.dictionaries(st.sampled_from(["verb", "at", "to", "id"]), JSON).map(json.dumps)
)
def test_s14_no_annotation_is_more_than_its_reader_can_take(value: str) -> None:
    found = read(value)
    if found is not None:
        assert found.verb in get_args(Verb)
        assert 0 <= found.at < float("inf")
        assert len(found.by) <= LONGEST_PERSON
        assert len(found.id) <= LONGEST_REQUEST
        assert found.to is None or 0 <= found.to <= 1


def test_s14_thousands_of_requests_are_twenty_requests() -> None:
    """As many annotations as an object may have cost as much as twenty; the rest is asked by nobody."""
    many = {f"{PREFIX}{number:05}": "pause" for number in range(9_000)}
    found = requests_in({"metadata": {"annotations": many}})
    assert len(found) == len(many)
    assert sum(each is not None for each in found.values()) == MOST_REQUESTS


def test_a_long_name_is_cut_where_it_is_written() -> None:
    key, value = annotation_of(OperatorRequest("1", "pause", "x" * 5_000, 1.0))
    assert len(value) <= LONGEST_REQUEST
    found = requests_in({"metadata": {"annotations": {key: value}}})[key]
    assert found is not None
    assert found.by == "x" * (LONGEST_PERSON - 1) + "…"
