"""What caches keep of a ModelCanary: what each pass looks at as it is, and the state in a tenth of the room."""

import copy
import json
import sys
from dataclasses import replace

import pytest

from canary.errors import WorldError
from canary.judge import compile_gates
from canary.judge.hard_stop import Outage
from canary.judge.population import Population
from canary.judge.segments import Label
from canary.machine import begin
from canary.rollout import Rollout
from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.resources import MODEL_CANARY
from controlplane.operator.following import LAST_APPLIED, slim_canary
from controlplane.operator.state import LOOKED_AT, packed, rollout_of, state_of
from controlplane.operator.store import stored_in
from tests.canary.judge.worlds import remembered
from tests.controlplane.operator.town import a_canary
from tests.simulation.plans import SHORT_PLAN

INF = float("inf")


def a_rollout() -> Rollout:
    """With a judge that remembers much, infinity among it."""
    rollout = begin(compile_gates(SHORT_PLAN.spec), name="chat", revision="r", attempt=2, now=12.1)
    parts = {f"segment {number}": Population(requests=number / 7) for number in range(100)}
    memory = replace(remembered(rollout.judge), labels={"tenant": Label(parts=parts)}, outage=Outage(began=INF))
    return replace(rollout, judge=replace(rollout.judge, memory=memory))


def test_a_packed_state_is_the_same_rollout_and_a_tenth_as_large() -> None:
    rollout = a_rollout()
    state = state_of(rollout, dismissed=("abort-1",))
    small = packed(json.loads(json.dumps(state)))
    assert rollout_of(small) == rollout_of(state) == rollout
    assert {name: small[name] for name in LOOKED_AT} == {name: state[name] for name in LOOKED_AT}
    assert sum(map(sys.getsizeof, small.values())) < len(json.dumps(state)) / 10
    assert packed(small) is small


def test_a_cache_keeps_a_canary_without_field_managers_and_leaves_what_it_is_given_alone() -> None:
    given = a_canary()
    given["metadata"] |= {"resourceVersion": "1", "managedFields": [{}], "annotations": {LAST_APPLIED: "{}", "a": "b"}}
    given["status"] = {"version": 3, "plan": "text", "state": state_of(a_rollout())}
    before = copy.deepcopy(given)
    cache = Cache(MODEL_CANARY, slim_canary)
    cache.put(given)
    assert given == before
    kept = cache.get("models", "chat")
    assert kept is not None
    assert "managedFields" not in kept["metadata"]
    assert kept["metadata"]["annotations"] == {"a": "b"}
    assert stored_in(kept) == stored_in(given) is not None
    cache.replace([given])
    assert cache.get("models", "chat") == kept


@pytest.mark.parametrize("state", ["nonsense", [], {"answered": 5}, {"attempt": 1, "weights": {"canary": "all"}}])
def test_a_state_that_somebody_has_broken_cannot_be_read_and_is_not_taken_for_none(state: object) -> None:
    """Otherwise another rollout would begin beside the one that is under way."""
    given = a_canary() | {"status": {"version": 3, "state": state}}
    with pytest.raises(WorldError, match="somebody else wrote to it"):
        stored_in(slim_canary(given))
    assert slim_canary(a_canary()) == a_canary()
