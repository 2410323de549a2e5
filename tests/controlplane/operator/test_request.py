"""Requests as annotations: written by the plugin or by hand, read by the operator."""

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.observation import OperatorRequest, Verb
from controlplane.operator.request import PREFIX, annotation_of, requests_in

REQUESTS = st.builds(
    OperatorRequest,
    id=st.text(min_size=1),
    verb=st.sampled_from(get_args(Verb)),
    by=st.text(),
    at=st.floats(0, 1e12),
    to=st.none() | st.floats(0, 1),
) | st.builds(
    OperatorRequest, id=st.text(min_size=1), verb=st.just("promote"), by=st.text(), at=st.just(1.0), full=st.booleans()
)


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
