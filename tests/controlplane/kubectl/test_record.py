"""A rollout as far as its ModelCanary tells."""

import pytest

from canary.errors import ExternalError
from canary.weights import Weights
from controlplane.kubectl.record import Record, record_of
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.resources import MODEL_CANARY
from tests.controlplane.kubectl.desk import PLACE, broken, desk, faulty, good, under_way


def left(story: object) -> Object:
    """The ModelCanary after this story."""
    return desk(story).kube.objects(MODEL_CANARY)[PLACE, "chat"]  # type: ignore[arg-type]  # - one of desk's stories


def test_the_state_and_the_plan_are_the_operators_own() -> None:
    found = record_of(left(good))
    assert isinstance(found, Record)
    assert found.rollout.result == "promoted"
    assert found.plan.spec.canary.name == "v2"


def test_the_weights_in_force_are_those_that_the_operator_saw() -> None:
    """Asked for and seen are two things: an operator that waits for its route says so."""
    object_ = left(under_way)
    object_["status"]["weightSeen"] = "2.5 %"
    found = record_of(object_)
    assert isinstance(found, Record)
    assert found.rollout.weights == Weights.of_share(0.05)
    assert found.seen().route.weights == Weights.of_share(0.025)


def test_an_ended_rollout_is_shown_at_its_last_moment() -> None:
    found = record_of(left(broken))
    assert isinstance(found, Record)
    assert found.until(found.rollout.history[-1].at + 1e6) == found.rollout.history[-1].at


def test_without_a_rollout_it_says_why_there_is_none() -> None:
    told = record_of(left(faulty))
    assert isinstance(told, str)
    assert "sticky" in told


def test_a_status_that_somebody_else_wrote_is_an_error_and_no_crash() -> None:
    object_ = left(good)
    object_["status"]["state"] = {"name": 7}
    with pytest.raises(ExternalError, match="cannot be read"):
        record_of(object_)
    person = desk(good)
    person.kube.seed(MODEL_CANARY, object_)
    told = person("why", "chat")
    assert told.exit_code == 1
    assert "The status of ModelCanary chat cannot be read" in told.stderr
