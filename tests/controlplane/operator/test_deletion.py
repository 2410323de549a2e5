"""What a deleted ModelCanary leaves behind where a variant cannot be put away in order."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from canary.weights import ALL_CANARY, ALL_STABLE, Arm
from controlplane.kubernetes.resources import EVENT, MODEL_CANARY
from controlplane.operator.deletion import AWAY_PATIENCE, PATIENCE
from controlplane.simulation.clock import play
from tests.controlplane.operator.town import KEY, NAME, PLACE, DeskSite, Town, a_spec


class Clinging:
    """Puts nothing away in order; what is forced goes, unless `holds`."""

    def __init__(self) -> None:
        self.holds = False
        self.forced: list[Arm] = []

    async def put_away(self, site: DeskSite, arm: Arm, *, force: bool = False) -> bool:
        """In place of the site's own."""
        if not force or self.holds:
            return False
        self.forced.append(arm)
        await site.stop(arm)
        return True


def plays(story: Callable[[Town, Clinging], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test of a story with one operator at work in such a place, in virtual time."""

    def test() -> None:
        async def played() -> None:
            town, clinging = Town(), Clinging()

            async def put_away(site: DeskSite, arm: Arm, *, force: bool = False) -> bool:
                return await clinging.put_away(site, arm, force=force)

            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(DeskSite, "put_away", put_away)
                async with asyncio.TaskGroup() as tasks:
                    living = tasks.create_task(town.office().live())
                    await story(town, clinging)
                    living.cancel()
            assert not [each for each in town.said if "bug of ours" in each]

        play(played())

    test.__name__, test.__doc__ = story.__name__, story.__doc__
    return test


async def deleted(town: Town) -> float:
    """Delete it, and wait until it is let go; the seconds that took."""
    began = town.clock.now()
    await town.kube.delete(MODEL_CANARY, PLACE, NAME)
    await town.until(lambda: KEY not in town.kube.objects(MODEL_CANARY), seconds=2 * AWAY_PATIENCE)
    took = town.clock.now() - began
    await asyncio.sleep(1)
    return took


def farewell(town: Town) -> str:
    return next(str(each["note"]) for each in town.kube.objects(EVENT).values() if each["reason"] == "Deleted")


@plays
async def test_a_variant_that_leaves_in_many_steps_gets_longer_than_the_way_back(
    town: Town, clinging: Clinging
) -> None:
    """Its traffic is back at once; then it has two minutes, and what is left goes at once."""
    await town.apply()
    await town.until(lambda: town.status().get("stage") == 1)
    took = await deleted(town)
    assert PATIENCE < AWAY_PATIENCE <= took < AWAY_PATIENCE + 5
    assert (clinging.forced, town.place().router._weights) == (["canary"], ALL_STABLE)
    assert "Not everything was put away in order within 120 s: the rest was removed at once." in farewell(town)
    assert "v1 serves on" in farewell(town)


@plays
async def test_who_was_promoted_keeps_the_traffic_however_its_modelcanary_goes(town: Town, clinging: Clinging) -> None:
    """It is the old variant that is put away then, and the winner that serves on."""
    await town.apply()
    await town.until(lambda: town.status().get("result") == "promoted")
    await deleted(town)
    assert (clinging.forced, town.place().router._weights) == (["stable"], ALL_CANARY)
    assert town.place().platform._variants.keys() == {"canary"}
    assert "v2 serves on" in farewell(town)


@plays
async def test_what_cannot_be_removed_at_all_is_named_with_the_command_that_removes_it(
    town: Town, clinging: Clinging
) -> None:
    clinging.holds = True
    await town.apply()
    await town.until(lambda: town.status().get("stage") == 1)
    await deleted(town)
    left = "v2 is still there: kubectl -n models delete inferenceservice/chat-v2. chat was deleted: v1 serves on"
    assert left in farewell(town)


@plays
async def test_in_a_mode_with_one_service_the_loser_is_said_to_be_part_of_it(town: Town, clinging: Clinging) -> None:
    clinging.holds = True
    kserve = {"kserve": {"mode": "knative"}}
    await town.apply(spec=a_spec(platform=kserve))
    await town.until(lambda: town.status().get("stage") == 1)
    await deleted(town)
    assert "v2 is still part of inferenceservice/chat in models, without traffic." in farewell(town)


@plays
async def test_a_deleted_canary_answers_what_it_had_begun_however_long_that_takes(
    town: Town, clinging: Clinging
) -> None:
    """As long as its plan gives it; the two minutes for putting it away begin after that."""
    await town.apply()
    await town.until(lambda: town.status().get("stage") == 1)
    town.place().router.begin("canary", 3)
    await town.kube.delete(MODEL_CANARY, PLACE, NAME)
    await asyncio.sleep(PATIENCE + AWAY_PATIENCE + 10)
    assert town.place().router._weights == ALL_STABLE
    assert clinging.forced == []
    town.place().router.end("canary", 3)
    await town.until(lambda: KEY not in town.kube.objects(MODEL_CANARY), seconds=2 * AWAY_PATIENCE)
    assert clinging.forced == ["canary"]
