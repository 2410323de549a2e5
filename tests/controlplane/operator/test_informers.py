"""What caches keep of a ModelCanary: what each pass looks at as it is, and the state in a tenth of the room."""

import asyncio
import copy
import json
import sys
from dataclasses import replace

import pytest

from canary.errors import ExternalError
from canary.judge import compile_gates
from canary.judge.hard_stop import Outage
from canary.judge.segments import Label
from canary.judge.stratum import Stratum
from canary.machine import begin
from canary.rollout import Rollout
from controlplane.kubernetes.allowance import weight
from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.resources import MODEL_CANARY
from controlplane.operator.informers import LAST_APPLIED, following, slim_canary
from controlplane.operator.spec_reader import read
from controlplane.operator.state import LOOKED_AT, packed, rollout_of, state_of
from controlplane.operator.store import stored_in
from controlplane.simulation.clock import VirtualClock
from testing.fake_apiserver.kube import MemoryKube
from tests.canary.judge.worlds import remembered
from tests.controlplane.operator.town import NAME, PLACE, Office, Town, a_canary, a_spec, plays
from tests.simulation.plans import SHORT_PLAN

INF = float("inf")


def a_rollout() -> Rollout:
    """With a judge that remembers much, infinity among it."""
    rollout = begin(compile_gates(SHORT_PLAN.spec), name="chat", revision="r", attempt=2, now=12.1)
    parts = {f"segment {number}": Stratum(requests=number / 7) for number in range(100)}
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
    with pytest.raises(ExternalError, match="a newer operator or somebody else wrote it"):
        stored_in(slim_canary(given))
    assert slim_canary(a_canary()) == a_canary()


def test_s14_a_plan_that_is_more_than_any_plan_is_not_kept() -> None:
    """A text of two megabytes was thirty in memory; a dozen of them ended the operator of everybody."""
    broad = a_canary(spec=a_spec() | {"canary": {"name": "v2", "engine": {"a": [{}] * 600_000}}})
    broad["metadata"]["resourceVersion"] = "1"
    assert len(json.dumps(broad)) > 1_500_000
    cache = Cache(MODEL_CANARY, slim_canary)
    cache.put(broad)
    kept = cache.get("models", "chat")
    assert kept is not None
    assert weight(kept) < 2_000
    reading = read(kept)
    assert reading.plan is None
    assert reading.faults == read(broad).faults
    assert "has more than 32 levels, 5,000 values" in reading.faults[0]


def test_s14_what_a_namespace_may_have_is_said_to_every_cache() -> None:
    clock = VirtualClock()
    followed = following(MemoryKube(clock), None, clock, most=7)
    assert len(followed.reflectors) > 10
    assert {each.cache.allowance.most for each in followed.reflectors} == {7}


@plays
async def test_s14_of_a_refused_plan_no_more_is_kept_than_why(town: Town, office: Office) -> None:
    """And a refused one that is edited is read again, whole."""
    prompt = {"name": "v2", "systemPrompt": {"text": "x" * 200_000}}
    await town.apply(spec=a_spec() | {"canary": prompt, "sticky": {"header": "x-user"}})
    await town.until(lambda: town.status().get("observedGeneration") == 1)
    await asyncio.sleep(1)
    kept = office.canaries.get(PLACE, NAME)
    assert kept is not None
    assert weight(kept) < 5_000
    told = town.status()["conditions"][0]["message"]
    assert "sticky" in told
    assert " ".join(read(kept).faults) == told, "whoever reads it again comes to the same"
    await town.apply(spec=a_spec() | {"canary": prompt})
    await town.until(town.at_rest)
    assert town.status()["phase"] == "Succeeded"


@plays
async def test_s14_a_namespace_without_room_waits_and_what_runs_goes_on(town: Town, office: Office) -> None:
    """Its plans beyond that are not read until there is room; it is said of each, and nothing else is any different."""
    prompt = {"name": "v2", "systemPrompt": {"text": "x" * 100_000}}
    await town.apply("running", spec=a_spec() | {"canary": prompt})
    await town.until(lambda: town.status("running").get("phase") == "Analyzing")
    office.canaries.allowance.most = 450_000
    said: list[str] = []
    office.canaries.complain = said.append
    for number in range(4):
        spec = a_spec() | {"canary": prompt, "sticky": {"header": "x"}} if number < 3 else a_spec() | {"canary": prompt}
        await town.apply(f"p{number}", spec=spec)
    await town.apply("last", spec=a_spec() | {"canary": {**prompt, "systemPrompt": {"text": "x" * 400_000}}})
    await town.until(lambda: bool(town.status("last").get("conditions")))
    message = town.status("last")["conditions"][0]["message"]
    assert message.startswith("is not read: the ModelCanaries of namespace models take more memory")
    assert len(said) >= 1
    await town.until(lambda: town.at_rest("running"))
    assert town.status("running")["phase"] == "Succeeded"
    assert town.status("last")["conditions"][0]["status"] == "False"
    office.canaries.allowance.most = 10_000_000
    await town.until(lambda: town.status("last").get("phase") == "Succeeded")


@plays
async def test_s14_an_edit_without_room_is_read_once_there_is_some(town: Town, office: Office) -> None:
    """Also where the rollout before it has ended in the meantime; until then it is asked about of nobody."""
    await town.apply(spec=a_spec())
    await town.until(lambda: town.status().get("phase") == "Analyzing")
    office.canaries.allowance.most = 50_000
    await town.apply(spec=a_spec() | {"canary": {"name": "v3", "systemPrompt": {"text": "x" * 100_000}}})
    await town.until(lambda: town.status()["conditions"][0]["status"] == "False")
    await town.until(town.at_rest)
    assert town.status()["phase"] == "Succeeded"
    before = len(office.life.told)
    await asyncio.sleep(300)
    assert len(office.life.told) == before
    office.canaries.allowance.most = 10_000_000
    await town.until(lambda: town.status()["phase"] == "Analyzing")
    await town.until(town.at_rest)
    assert town.status()["conditions"][0]["status"] == "True"
