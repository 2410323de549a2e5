"""The roster with whole rollouts, in virtual time, on an API server in memory."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from canary.weights import ALL_STABLE
from controlplane.simulation.clock import play
from tests.controlplane.operator.town import Office, Town


def _with(story: Callable[[Town, Office], Coroutine[Any, Any, None]], *, fatal: int | None = None) -> Town:
    """Play a story with one operator at work."""

    async def played() -> Town:
        town = Town()
        office = town.office(fatal)
        async with asyncio.TaskGroup() as tasks:
            living = tasks.create_task(office.live())
            await story(town, office)
            living.cancel()
        return town

    return play(played())


def test_a_good_canary_is_promoted_and_the_old_variant_put_away() -> None:
    async def story(town: Town, office: Office) -> None:
        await town.apply()
        await town.until(town.at_rest)
        status = town.status()
        assert (status["phase"], status["result"], status["weight"]) == ("Succeeded", "promoted", "100 %")
        assert [weights.share for _, weights in town.place().router.history] == [0.05, 0.5, 1.0]
        assert town.place().gone == ["stable"]
        ready = {each["type"]: each["status"] for each in status["conditions"]}
        assert ready == {
            "Ready": "True",
            "Progressing": "False",
            "Degraded": "False",
            "Blind": "False",
            "Accepted": "True",
        }

    _with(story)


def test_a_bad_canary_is_rolled_back_and_put_away() -> None:
    async def story(town: Town, office: Office) -> None:
        await town.apply()
        await town.until(lambda: town.status().get("stage") == 1)
        town.place().broken_since = town.clock.now()
        await town.until(town.at_rest)
        status = town.status()
        assert (status["phase"], status["result"], status["weight"]) == ("RolledBack", "rolled_back", "0 %")
        assert town.place().router.history[-1][1] == ALL_STABLE
        assert town.place().gone == ["canary"]

    _with(story)
