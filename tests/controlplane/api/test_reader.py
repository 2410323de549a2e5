"""A status that is read again and again is understood as if it were read for the first time."""

from collections.abc import Sequence
from typing import Any

import pytest

from canary.errors import ExternalError
from canary.rollout import Event
from controlplane.api.reader import Reader
from controlplane.kubernetes.api import Object
from controlplane.operator.state import packed, state_of
from controlplane.operator.store import stored_in
from tests.canary.rollouts import a_rollout, an_event


def told(version: int, events: Sequence[Event], **more: Any) -> Object:
    """A ModelCanary whose status has these events."""
    state = state_of(a_rollout(history=tuple(events), events=len(events), **more))
    return {
        "metadata": {"name": "chat", "uid": "u", "resourceVersion": str(version)},
        "status": {"version": version, "plan": "a plan", "state": state},
    }


def test_every_status_is_read_as_if_it_were_the_first() -> None:
    """A history that grows, that is cut, whose events change, that is empty, and that comes back."""
    events = [an_event(number, evidence={"of": float("inf")}) for number in range(1, 9)]
    other = [an_event(3, message="another sentence under the same id")]
    reader = Reader()
    for version, shown in enumerate([events[:3], events[:5], events[3:], other, [], events], 1):
        object_ = told(version, shown, message=f"version {version}")
        assert reader.read(object_) == stored_in(object_)


def test_what_has_not_changed_is_not_understood_anew() -> None:
    events = [an_event(number) for number in range(1, 5)]
    reader = Reader()
    first, again = reader.read(told(1, events[:3])), reader.read(told(1, events[:3]))
    assert first is not None
    assert again is first
    second = reader.read(told(2, events))
    assert second is not None
    assert all(one is other for one, other in zip(first.rollout.history, second.rollout.history, strict=False))


@pytest.mark.parametrize(
    "history",
    [
        "no list",
        [{"no": "id"}],
        ["no object"],
        [{"id": 7}],
        [{"id": "chat/1/1", "at": "never"}],
        None,
    ],
)
def test_a_broken_history_is_told_as_ever_and_what_is_read_afterwards_is_right(history: Any) -> None:
    reader, good = Reader(), told(1, [an_event(1)])
    assert reader.read(good) == stored_in(good)
    broken = told(2, [])
    broken["status"]["state"]["history"] = history
    for _ in range(2):
        with pytest.raises(ExternalError, match="cannot be read"):
            reader.read(broken)
    mended = told(3, [an_event(1), an_event(2)])
    assert reader.read(mended) == stored_in(mended)


def test_the_same_event_told_twice_is_read_as_it_stands() -> None:
    object_ = told(1, [an_event(1), an_event(1)])
    assert Reader().read(object_) == stored_in(object_)


def test_a_state_that_was_packed_for_memory_is_read_too() -> None:
    object_ = told(1, [an_event(1)])
    small = {**object_, "status": {**object_["status"], "state": packed(object_["status"]["state"])}}
    assert Reader().read(small) == stored_in(object_)


def test_a_modelcanary_without_a_rollout_has_nothing_to_read() -> None:
    assert Reader().read({"metadata": {"name": "chat", "uid": "u", "resourceVersion": "1"}}) is None
