"""What may stand in the status of a GitSource, whoever wrote it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.errors import BadInput, ExternalError, Unavailable
from controlplane.gitsources.secret_files import NoSecret
from controlplane.gitsources.status import reason_of, status_in, stopped
from controlplane.kubernetes.api import Rejected, ResourceExpired, TooManyRequests
from tests.canary.rollouts import JSON

OURS = {"version": 3, "observedGeneration": 1, "state": "{}", "conditions": [{"type": "Ready"}], "commit": "4f2c1e9"}


def test_our_own_status_is_read_as_it_is() -> None:
    assert status_in({"status": OURS}) == OURS
    assert status_in({}) == {}


@pytest.mark.parametrize(
    "status", [[], "x", 7, {"version": "3"}, {"state": {}}, {"conditions": {}}, {"conditions": ["Ready"]}]
)
def test_s14_a_status_of_another_shape_is_none(status: Any) -> None:
    assert status_in({"status": status}) == {}


@given(status=st.one_of(JSON, st.dictionaries(st.sampled_from(sorted(OURS)), JSON)))
def test_s14_over_whatever_stands_there_it_can_be_said_that_a_source_is_not_followed(status: Any) -> None:
    said = stopped("HostDown", "It is away.", status_in({"status": status}), 1, 5.0)
    assert said["conditions"][0]["reason"] == "HostDown"


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (NoSecret("x"), "NoSecret"),
        (Unavailable("x"), "Unavailable"),
        (Rejected("x"), "Refused"),
        (ResourceExpired("x"), "Gone"),
        (TooManyRequests("x"), "Busy"),
        (ExternalError("x"), "CannotFollow"),
        (BadInput("x"), "CannotFollow"),
    ],
)
def test_the_reason_of_a_condition_stays_when_a_class_gets_another_name(
    problem: ExternalError | BadInput, reason: str
) -> None:
    """People and tools wait for a reason; it does not follow from how our code calls its errors."""
    assert reason_of(problem) == reason
