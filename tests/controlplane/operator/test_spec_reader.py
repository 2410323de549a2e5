"""What a ModelCanary asks for, where that is more than a plan can be."""

import asyncio
from typing import Any

import pytest

from controlplane.kubernetes.resources import EVENT, MODEL_CANARY
from controlplane.operator.spec_reader import read
from controlplane.simulation.clock import VirtualClock
from testing.fake_apiserver.kube import MemoryKube
from tests.contracts.nesting import depth_of, nested
from tests.controlplane.operator.town import NAME, PLACE, Office, Town, a_canary, a_spec, plays


def deep(spec: dict[str, Any], levels: int = 600) -> dict[str, Any]:
    """The same plan with an engine that is nested so deep."""
    return spec | {"canary": spec["canary"] | {"engine": {"a": nested(levels)}}}


def with_gates(*gates: object) -> dict[str, Any]:
    """A plan that has these gates besides."""
    return a_spec() | {"gates": list(gates)}


SPECS = {
    "a deep engine": deep(a_spec()),
    "a deep gate": with_gates({"metric": "latency", "max": "1s", "x": nested(600)}),
    "a deep limit": with_gates({"metric": "latency", "max": nested(600)}),
    "a broad engine": a_spec() | {"canary": {"name": "v2", "engine": {"a": [{}] * 20_000}}},
    "a long prompt": a_spec() | {"canary": {"name": "v2", "systemPrompt": {"text": "x" * 2_000_000}}},
    "no variant at all": a_spec() | {"canary": nested(600)},
}


@pytest.mark.parametrize("name", SPECS)
def test_r3_a_plan_that_is_more_than_a_plan_can_be_is_refused_by_a_sentence(name: str) -> None:
    reading = read(a_canary(spec=SPECS[name]) | {"metadata": {"name": "chat", "namespace": "models", "generation": 3}})
    assert reading.plan is None
    assert reading.generation == 3
    assert reading.faults
    assert sum(map(len, reading.faults)) < 1_000
    assert any("32 levels" in each or "expected" in each for each in reading.faults)


@plays
async def test_r3_a_deep_plan_is_refused_on_its_own_object_and_hides_no_other(town: Town, office: Office) -> None:
    """In a list and in a watch; by its condition and an Event, which `kubectl canary` and the dashboard show."""
    await town.apply()
    await town.kube.acting_as("kubectl").apply(MODEL_CANARY, a_canary("aaa", deep(a_spec())))
    await town.until(town.at_rest)
    assert town.status()["phase"] == "Succeeded"
    [accepted] = town.status("aaa")["conditions"]
    assert (accepted["type"], accepted["status"]) == ("Accepted", "False")
    assert "has more than 32 levels" in accepted["message"]
    told = [each["note"] for each in town.kube.objects(EVENT).values() if each["reason"] == "InvalidSpec"]
    assert len(told) == 1
    assert "has more than 32 levels" in told[0]


@plays
async def test_r3_a_deep_edit_leaves_what_runs_as_it_is(town: Town, office: Office) -> None:
    """Were its object left out of sight, nobody would watch its canary any more."""
    await town.apply()
    await town.until(lambda: town.status().get("phase") == "Analyzing")
    await town.kube.acting_as("kubectl").apply(MODEL_CANARY, a_canary(NAME, deep(a_spec())))
    await town.until(lambda: town.status()["conditions"][0]["status"] == "False")
    town.place().broken_since = town.clock.now()
    await town.until(lambda: town.status().get("phase") == "RolledBack")
    assert town.place().router.history[-1][1].share == 0


def test_what_the_tests_call_deep_is_too_deep_for_every_reader() -> None:
    async def story() -> int:
        kube = MemoryKube(VirtualClock())
        kube.seed(MODEL_CANARY, a_canary(NAME, deep(a_spec())))
        found = await kube.get(MODEL_CANARY, PLACE, NAME)
        return depth_of(found["spec"]["canary"]["engine"])

    assert 100 < asyncio.run(story()) < 200
