"""What one object holds decides about this object alone."""

import asyncio

import pytest

from controlplane.kubernetes.api import Object
from controlplane.kubernetes.resources import MODEL_CANARY
from controlplane.operator import predicates
from controlplane.simulation.clock import play
from tests.controlplane.operator.town import NAME, PLACE, Town


def test_s14_a_rollout_that_cannot_be_told_urgent_or_not_is_looked_at_and_so_are_all_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pokes come from caches, from timers and from the tick, and each of those has others to poke."""
    wants_traffic_back = predicates.wants_traffic_back

    def fails(object_: Object | None) -> bool:
        if object_ is not None and object_["metadata"]["name"] == "other":
            raise RecursionError("too deep")
        return wants_traffic_back(object_)

    monkeypatch.setattr(predicates, "wants_traffic_back", fails)

    async def story() -> None:
        town = Town()
        office = town.office()
        async with asyncio.TaskGroup() as tasks:
            living = tasks.create_task(office.live())
            for name in ("other", NAME):
                await town.apply(name)
            await town.until(lambda: town.at_rest() and town.at_rest("other"))
            living.cancel()
        assert town.status()["phase"] == town.status("other")["phase"] == "Succeeded"
        assert office.tally.bugs > 0
        assert [each for each in town.said if "bug of ours" in each]

    play(story())


def test_an_object_that_is_not_ours_wakes_nobody() -> None:
    """A label that no rollout has, or has in another namespace."""

    async def story() -> None:
        town = Town()
        office = town.office()
        async with asyncio.TaskGroup() as tasks:
            living = tasks.create_task(office.live())
            await town.apply()
            await town.until(town.at_rest)
            before = office.tally.passes
            await town.kube.patch(MODEL_CANARY, PLACE, NAME, {"metadata": {"labels": {"team": "search"}}})
            await asyncio.sleep(5)
            assert office.tally.passes == before
            living.cancel()

    play(story())
