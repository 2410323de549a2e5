"""A status that anybody may have written, in the shape that its readers rely on."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.errors import ExternalError
from controlplane.kubectl.listing import phase_of, refusal_of
from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.resources import MODEL_CANARY
from controlplane.operator.counters import OperatorCounters
from controlplane.operator.informers import slim_canary
from controlplane.operator.metrics import Numbers, exposition
from controlplane.operator.shape import STATE, STATUS, shaped, status_in
from controlplane.operator.spec_reader import is_at_rest, is_refused, is_tidying
from controlplane.operator.status import StatusUpdate, status_of
from controlplane.operator.store import stored_in
from tests.canary.rollouts import a_rollout
from tests.controlplane.operator.town import a_canary

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
STATES = ANYTHING | st.dictionaries(st.sampled_from(sorted(STATE)), ANYTHING)
SOUND = status_of(StatusUpdate(a_rollout(), "a plan", 3), {}, 0.0)
STATUSES = ANYTHING | st.dictionaries(st.sampled_from(sorted(STATUS)) | st.text(max_size=4), ANYTHING | STATES)


def resource(status: Any) -> dict[str, Any]:
    made = a_canary()
    made["metadata"] |= {"uid": "u", "resourceVersion": "1", "generation": 1}
    return made | {"status": status}


@given(status=STATUSES)
def test_s14_whatever_a_status_holds_is_this_objects_trouble_alone(status: Any) -> None:
    """The questions that are asked of every ModelCanary of the cluster, outside of any rollout's own pass."""
    object_ = resource(status)
    cache = Cache(MODEL_CANARY, slim_canary)
    failures: list[str] = []
    cache.complain = failures.append
    cache.put(object_)
    kept = cache.get("models", "chat")
    assert kept is not None
    assert failures == []
    for ask in (is_at_rest, is_refused, is_tidying, phase_of, refusal_of):
        ask(kept)
    exposition(
        Numbers(cache, under_way=(), tally=OperatorCounters(), leading=True, queued=0, events_lost=0, requests={})
    )
    with suppress(ExternalError):  # said of this one alone, at its own pass
        assert (stored := stored_in(kept)) is None or stored.version


@pytest.mark.parametrize("field", ["version", "state", "plan", "conditions", "phase"])
def test_a_field_of_another_type_is_left_out_and_no_other(field: str) -> None:
    assert status_in(resource(SOUND)) == SOUND
    assert shaped(resource(SOUND)) == resource(SOUND)
    broken = status_in(resource(SOUND | {field: 1.5}))
    others = SOUND.keys() - {field, "state"}
    assert {name: broken[name] for name in others} == {name: SOUND[name] for name in others}
    assert broken.get(field) != 1.5


def test_a_status_without_a_version_that_is_one_is_not_taken_for_none() -> None:
    """A rollout is under way there: none may begin beside it, and nothing is written over what nobody understands."""
    broken = resource(SOUND | {"version": "seven"})
    with pytest.raises(ExternalError, match="a newer operator or somebody else wrote it"):
        stored_in(slim_canary(broken))


def test_an_object_without_a_status_gets_none() -> None:
    assert shaped(a_canary()) == a_canary()
    assert status_in(a_canary()) == {}
