"""A replica that stands by: what it keeps ready counts only if the claim shows that it is the newest."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from canary.errors import Conflict, ExternalError
from canary.weights import ALL_STABLE
from controlplane.kubernetes.api import KubeRequest, Object
from controlplane.kubernetes.resources import MODEL_CANARY
from controlplane.operator.environment import MissingDependency
from controlplane.operator.operator_rollout import MOST_OVERHEARD
from controlplane.operator.spec_reader import is_at_rest
from controlplane.operator.warm_standby import PreparedRollout
from controlplane.simulation.clock import play
from tests.controlplane.operator.town import KEY, NAME, PLACE, Office, Town, a_spec, plays_alone

LONG = a_spec(
    stages=[
        {"traffic": "5%", "hold": "10m", "gates": ["error_rate <= 5%"]},
        {"traffic": "100%", "hold": "5s"},
    ]
)
CLAIM = f"patch ModelCanary/{NAME} status"
READS = (KubeRequest.of("get", MODEL_CANARY), KubeRequest.of("list", MODEL_CANARY))


@asynccontextmanager
async def changing_hands(town: Town) -> AsyncIterator[tuple[Office, Office, Callable[[], None]]]:
    """A leader whose rollout waits at 5 %, a standby that has it ready, and what kills the leader."""
    await town.apply(spec=LONG)
    first, second = town.office(), town.office()
    async with asyncio.TaskGroup() as tasks:
        leading = tasks.create_task(first.live())
        await town.until(lambda: town.status().get("phase") == "Analyzing")
        standing = tasks.create_task(second.stand_by())
        await asyncio.sleep(20)
        assert ready(second).caught_up

        def kill() -> None:
            first.life.over.set()
            leading.cancel()

        yield first, second, kill
        leading.cancel()
        standing.cancel()


def ready(office: Office) -> PreparedRollout:
    """What it has of the rollout."""
    return office.controller.standby._ready[KEY]


@plays_alone
async def test_a_standby_writes_nothing_and_tells_nobody(town: Town) -> None:
    async with changing_hands(town) as (_, second, _kill):
        await asyncio.sleep(60)
        assert second.life.told == []
        assert second.controller.charges == {}
        assert len(second.controller.standby) == 1


@plays_alone
async def test_what_is_ready_costs_one_write_to_take_over_and_no_read(town: Town) -> None:
    async with changing_hands(town) as (_, second, kill):
        kill()
        read = [second.kube.counts[each] for each in READS]
        second.called.set()
        await town.until(lambda: CLAIM in second.life.told, seconds=1)
        assert [second.kube.counts[each] for each in READS] == read
        assert town.status()["fence"] == second.fence
        await asyncio.sleep(30)
        behind = {"create Event", f"patch RolloutHistory/{NAME} "}  # what the first one told last, once more
        assert [each for each in second.life.told if each not in behind] == [CLAIM]
        assert town.status()["phase"] == "Analyzing"


@plays_alone
async def test_a_canary_that_broke_while_nobody_led_is_rolled_back_by_the_first_look(town: Town) -> None:
    """Its judge has heard of it before: the new leader need not wait for numbers of its own."""
    async with changing_hands(town) as (_, second, kill):
        kill()
        town.place().broken_since = town.clock.now()
        await asyncio.sleep(6)
        second.called.set()
        await town.until(lambda: town.place().router._weights == ALL_STABLE, seconds=0.5)
        await town.until(town.at_rest)
        assert town.status()["result"] == "rolled_back"


@plays_alone
async def test_the_judge_has_seen_everything_however_long_the_standby_waited(town: Town) -> None:
    """It is shown a reading now and then, and at the end all that are left: no request is counted twice or lost."""
    async with changing_hands(town) as (first, second, kill):
        await asyncio.sleep(10 * MOST_OVERHEARD)
        assert len(ready(second).charge._overheard) < MOST_OVERHEARD
        there = first.controller.charges[KEY].rollout
        kill()
        second.called.set()
        await town.until(lambda: KEY in second.controller.charges, seconds=1)
        here = second.controller.charges[KEY].rollout
        assert here is not None
        assert there is not None
        assert here.served == pytest.approx(there.served, rel=0.05)


@plays_alone
async def test_what_the_leader_saves_is_made_ready_again(town: Town) -> None:
    """Up to the end of the rollout, of which nothing is kept."""
    async with changing_hands(town) as (_, second, _kill):
        before = ready(second).version
        await town.ask("pause")
        await town.until(lambda: town.status().get("phase") == "Paused")
        await asyncio.sleep(3)
        assert ready(second).version > before
        assert ready(second).charge.rollout == town.rollout()
        await town.ask("abort")
        await town.until(town.at_rest)
        await asyncio.sleep(3)
        assert len(second.controller.standby) == 0
        assert second.life.told == []


def test_s14_one_that_nobody_can_tell_at_rest_or_not_keeps_no_other_from_being_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bug met at one object costs its own readiness."""

    def asked(object_: Object) -> bool:
        if object_["metadata"]["name"] == "aaa":
            raise RecursionError("too deep")
        return is_at_rest(object_)

    monkeypatch.setattr("controlplane.operator.warm_standby.is_at_rest", asked)

    async def story() -> None:
        town = Town()
        await town.apply("aaa", spec=LONG)
        async with changing_hands(town) as (_, second, _kill):
            version = ready(second).version
            await town.ask("pause")
            await town.until(lambda: town.status().get("phase") == "Paused")
            await asyncio.sleep(3)
            assert ready(second).version > version
            assert len(second.controller.standby) == 1

    play(story())


@plays_alone
async def test_r2_what_was_saved_behind_the_standbys_back_is_read_before_anything_is_decided(town: Town) -> None:
    """Its watch is behind: the claim fails on the version, and the rollout is taken up from the newest state."""
    async with changing_hands(town) as (_, second, kill):
        second.kube.stalled = True
        known = ready(second).version
        await town.ask("pause")
        await town.until(lambda: town.status().get("phase") == "Paused")
        await asyncio.sleep(3)
        assert ready(second).version == known
        kill()
        second.called.set()
        await town.until(
            lambda: KEY in second.controller.charges and second.controller.charges[KEY].rollout is not None
        )
        rollout = second.controller.charges[KEY].rollout
        assert rollout is not None
        assert rollout.phase.value == "Paused"
        assert town.status()["fence"] == second.fence
        assert town.status()["phase"] == "Paused"


@plays_alone
async def test_r2_a_late_write_of_the_old_leader_is_refused_after_a_warm_take_over(town: Town) -> None:
    """A leader that stood still for a while and believes in its term saves nothing, so it raises nothing."""
    async with changing_hands(town) as (first, second, _kill):
        rollout = first.controller.charges[KEY].rollout
        assert rollout is not None
        version = int(town.status()["version"])
        second.called.set()
        await town.until(lambda: town.status()["fence"] == second.fence, seconds=1)
        store = first.controller.store(PLACE)
        with pytest.raises(Conflict):
            await store.save(rollout, "late", version)
        with pytest.raises(Conflict, match="carries out the rollouts by now"):
            await store.save(rollout, "late", version + 1)
        with pytest.raises(Conflict, match="carries out the rollouts by now"):
            await store.claim(NAME)
        assert (town.status()["version"], town.status()["plan"] == "late") == (version + 1, False)


@plays_alone
async def test_r2_a_late_write_that_was_already_on_its_way_is_refused_by_the_server(town: Town) -> None:
    """It was checked against the old fence and sent; the claim came first."""
    async with changing_hands(town) as (first, second, _kill):
        rollout = first.controller.charges[KEY].rollout
        assert rollout is not None
        version = int(town.status()["version"])
        first.kube.latency = 2.0
        async with asyncio.TaskGroup() as tasks:

            async def late() -> None:
                with pytest.raises(Conflict):
                    await first.controller.store(PLACE).save(rollout, "late", version)

            tasks.create_task(late())
            await asyncio.sleep(0.1)
            second.called.set()
        assert town.status()["fence"] == second.fence
        assert town.status()["plan"] != "late"


@plays_alone
async def test_an_edited_spec_is_not_taken_from_what_is_ready(town: Town) -> None:
    """The edit came just before the change of hands: the new plan waits until the old one gave its traffic back."""
    async with changing_hands(town) as (_, second, kill):
        kill()
        await town.apply(spec=a_spec(canary="v3"))
        await asyncio.sleep(0.02)
        second.called.set()
        await town.until(town.at_rest)
        assert town.status()["result"] == "promoted"
        assert town.status()["state"]["attempt"] == 2


@plays_alone
async def test_a_rollout_that_cannot_be_opened_is_left_to_the_leader_and_looked_at_again_when_it_changes(
    town: Town,
) -> None:
    """Neither what does not answer nor what the cluster lacks for a plan is a bug."""
    await _not_opened(town, ExternalError("Not here."))
    await _not_opened(town, MissingDependency("The cluster lacks what the plan names."))


async def _not_opened(town: Town, why: Exception) -> None:
    await town.apply(spec=LONG)
    first, second = town.office(), town.office()
    tried: list[str] = []

    def no(_key: object, object_: Any) -> None:
        tried.append(object_["metadata"]["resourceVersion"])
        raise why

    second.controller.standby._prepare = no
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(first.live())]
        await town.until(lambda: town.status().get("phase") == "Analyzing")
        await asyncio.sleep(20)
        running.append(tasks.create_task(second.stand_by()))
        await asyncio.sleep(20)
        assert len(second.controller.standby) == 0
        assert 1 <= len(tried) == len(set(tried)) < 5
        for task in running:
            task.cancel()


async def broken() -> None:
    """What is met by one rollout alone."""
    raise ZeroDivisionError


def test_a_bug_met_by_one_rollout_keeps_no_other_from_being_ready() -> None:
    async def story() -> tuple[Town, set[str]]:
        town = Town()
        for name in ("chat-0", "chat-1", "chat-2"):
            await town.apply(name, LONG)
        first, second = town.office(), town.office()
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(first.live())]
            await town.until(lambda: all(town.status(f"chat-{each}").get("phase") == "Analyzing" for each in range(3)))
            running.append(tasks.create_task(second.stand_by()))
            await asyncio.sleep(20)
            charge = second.controller.standby._ready[PLACE, "chat-1"].charge
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(charge, "overhear", broken)
                await asyncio.sleep(5)
            ready = {name for _, name in second.controller.standby._ready}
            for task in running:
                task.cancel()
        return town, ready

    town, ready = play(story())
    assert ready == {"chat-0", "chat-2"}
    assert [each for each in town.said if "bug of ours on standby" in each]
