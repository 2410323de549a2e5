"""Operators that die at any of their writes, and two of them at once: what is left is healed by the next."""

import asyncio

import pytest

from canary.rollout import Rollout
from canary.weights import ALL_STABLE
from controlplane.kubernetes.resources import MODEL_CANARY, ROLLOUT_HISTORY
from controlplane.operator.event_log import EVENTS
from controlplane.operator.spec_reader import is_at_rest
from controlplane.simulation.clock import play
from tests.controlplane.operator.town import KEY, NAME, PLACE, Office, Town, a_spec

GATE = "error_rate <= 5%"
QUICK = a_spec(
    stages=[
        {"traffic": "5%", "hold": "2s", "gates": [GATE]},
        {"traffic": "50%", "hold": "2s", "gates": [GATE]},
        {"traffic": "100%", "hold": "1s"},
    ]
)
DOWNTIME = 3.0


async def _carried_out(town: Town, *, bad: bool, fatal: int | None) -> list[Office]:
    """A rollout from its beginning to its end by an operator that dies at one of its writes, and by its successor."""
    await town.apply(spec=QUICK)
    offices = [town.office(fatal, after=True)]
    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(offices[0].live())
        if bad:
            tasks.create_task(_break_at_half(town))
        rest = tasks.create_task(town.until(town.at_rest, seconds=400))
        death = tasks.create_task(offices[0].life.over.wait())
        await asyncio.wait({rest, death}, return_when=asyncio.FIRST_COMPLETED)
        if death.done():
            working.cancel()
            await asyncio.sleep(DOWNTIME)
            offices.append(town.office())
            working = tasks.create_task(offices[1].live())
            await rest
        await asyncio.sleep(5)
        death.cancel()
        working.cancel()
    return offices


async def _break_at_half(town: Town) -> None:
    while town.status().get("stage") != 1:  # noqa: ASYNC110  # the fact is in a server, not in an event
        await asyncio.sleep(0.2)
    town.place().broken_since = town.clock.now()


def _lives(*, bad: bool) -> int:
    """How many writes a life without an accident has."""

    async def one() -> int:
        town = Town()
        [office] = await _carried_out(town, bad=bad, fatal=None)
        _is_as_it_should_be(town, bad=bad)
        return office.life.writes

    return play(one())


def _is_as_it_should_be(town: Town, *, bad: bool) -> None:
    """The end is the same whoever died on the way, and nothing is left over."""
    rollout, place = town.rollout(), town.place()
    assert rollout is not None
    assert rollout.result == ("rolled_back" if bad else "promoted"), rollout.message
    assert rollout.attempt == 1
    if bad:
        assert place.router._weights == ALL_STABLE
        assert place.platform._variants.keys() == {"stable"}
    else:
        assert place.router._weights.share == 1.0
        assert place.platform._variants.keys() == {"canary"}
    assert is_at_rest(town.kube.objects(MODEL_CANARY)[KEY])
    assert not [each for each in town.said if "bug of ours" in each], town.said
    _has_its_whole_history(town, rollout)


def _has_its_whole_history(town: Town, rollout: Rollout) -> None:
    lines = town.kube.objects(ROLLOUT_HISTORY)[PLACE, NAME]["data"][EVENTS].splitlines()
    numbers = [int(line.split('"id":"')[1].split('"')[0].rsplit("/", 1)[1]) for line in lines]
    assert sorted(numbers) == list(range(1, rollout.events + 1))


@pytest.mark.parametrize("bad", [False, True], ids=["good", "bad"])
def test_r1_an_operator_that_is_killed_at_any_write_is_healed_by_the_next(bad: bool) -> None:
    """Every write of a whole life, one after the other: after it the process is dead."""
    writes = _lives(bad=bad)
    assert writes > 20
    for fatal in range(writes):

        async def one(fatal: int = fatal) -> None:
            town = Town()
            await _carried_out(town, bad=bad, fatal=fatal)
            _is_as_it_should_be(town, bad=bad)

        play(one())


def test_r2_two_operators_that_both_believe_to_lead_do_no_harm() -> None:
    """The older term cannot save, so it raises nothing; what it lowers stays lowered. The newer one ends it."""

    async def story() -> None:
        town = Town()
        await town.apply(spec=QUICK)
        first, second = town.office(), town.office()
        async with asyncio.TaskGroup() as tasks:
            working = [tasks.create_task(first.live())]
            await town.until(lambda: town.status().get("phase") == "Analyzing")
            working.append(tasks.create_task(second.live()))
            await town.until(town.at_rest, seconds=400)
            await asyncio.sleep(5)
            for task in working:
                task.cancel()
        assert town.status()["fence"] == second.fence
        assert town.status()["result"] in {"promoted", "rolled_back"}
        assert not [each for each in town.said if "bug of ours" in each], town.said

    play(story())


def test_r1_a_rollback_that_could_not_be_saved_is_finished_by_the_next_operator() -> None:
    """The route was lowered, the state was not: what was taken away is not given back."""

    async def story() -> None:
        town = Town()
        await town.apply(spec=QUICK)
        first = town.office()
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(first.live())
            await town.until(lambda: town.status().get("stage") == 1 and town.status().get("phase") == "Analyzing")
            first.kube.down = True
            town.place().broken_since = town.clock.now()
            await town.until(lambda: town.place().router._weights == ALL_STABLE, seconds=30)
            working.cancel()
            town.place().broken_since = None  # to the next operator the canary looks well
            working = tasks.create_task(town.office().live())
            await town.until(town.at_rest)
            working.cancel()
        assert town.status()["result"] == "rolled_back"
        assert town.place().router._weights == ALL_STABLE

    play(story())
