"""How many rollouts a namespace has under way, and whose turn it is where more would begin."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.kubernetes.api import Object
from controlplane.kubernetes.cache import Key
from controlplane.kubernetes.resources import MODEL_CANARY
from controlplane.operator.limit import RolloutLimit
from controlplane.simulation.clock import play
from tests.controlplane.operator.town import PLACE, Town, a_spec, plays_alone

HELD = a_spec(stages=[{"traffic": "5%", "hold": "1h", "gates": ["error_rate <= 5%"]}, {"traffic": "100%"}])


def canary(name: str, created: int = 0, namespace: str = PLACE, phase: str | None = None) -> Object:
    meta = {"name": name, "namespace": namespace, "creationTimestamp": f"2026-01-01T00:00:{created:02}Z"}
    return {"metadata": meta, "status": {"phase": phase} if phase else {}}


def test_s14_the_next_is_the_oldest_and_each_is_told_after_whom_it_begins() -> None:
    poked: list[Key] = []
    limit = RolloutLimit(2, poked.append)
    assert limit.refusal(canary("a")) == limit.refusal(canary("b")) == ""
    assert limit.refusal(canary("d", 4)).endswith("begins by itself once there is room, and it is the next.")
    said = limit.refusal(canary("c", 3))
    assert said.startswith("Namespace models has as many rollouts under way as one may have at a time (2, ")
    assert said.endswith("and it is the next.")
    assert limit.refusal(canary("d", 4)).endswith("after c, which was created before it.")
    assert limit.refusal(canary("x", 0, "other")) == "", "another namespace has places of its own"
    poked.clear()
    limit.leave((PLACE, "a"))
    assert poked == [(PLACE, "c")]
    assert limit.refusal(canary("d", 4)) != ""
    poked.clear()
    assert limit.refusal(canary("c", 3)) == ""
    assert poked == [(PLACE, "d")], "it is the next now"
    assert limit.refusal(canary("c", 3)) == "", "asked again, it has its place"


def test_one_that_waits_no_more_lets_the_one_behind_it_know() -> None:
    poked: list[Key] = []
    limit = RolloutLimit(1, poked.append)
    limit.begin([canary("running", phase="Paused")])
    for number, name in enumerate("abc"):
        limit.refusal(canary(name, number))
    poked.clear()
    limit.leave((PLACE, "b"))
    assert (PLACE, "c") in poked
    assert limit.refusal(canary("c", 2)).endswith("after a, which was created before it.")


def test_one_that_was_created_again_holds_no_second_place() -> None:
    limit = RolloutLimit(2, lambda _: None)
    limit.begin([canary("a", phase="Paused"), canary("b", phase="Paused"), canary("c", 2), canary("d", 3)])
    assert limit.refusal(canary("c", 4)).endswith("after d, which was created before it.")
    limit.leave((PLACE, "a"))
    assert limit.refusal(canary("c", 4)).endswith("after d, which was created before it.")
    assert limit.refusal(canary("d", 3)) == ""


@given(
    most=st.integers(1, 3),
    running=st.sets(st.integers(0, 9)),
    steps=st.lists(st.tuples(st.sampled_from(["ask", "leave"]), st.integers(0, 9)), max_size=60),
)
def test_s14_no_more_begin_than_there_are_places_and_none_is_forgotten(
    most: int, running: set[int], steps: list[tuple[str, int]]
) -> None:
    """Whatever comes and goes; who was under way before is never ended by it."""
    waiting: set[int] = set()

    def poke(key: Key) -> None:
        later.append(int(key[1]))

    def ask(number: int) -> None:
        before = len(running)
        if limit.refusal(canary(str(number), number)) == "":
            assert number in running or before < most
            assert number in running or number == min(waiting | {number}, key=str)
            running.add(number)
            waiting.discard(number)
        else:
            waiting.add(number)

    later: list[int] = []
    limit = RolloutLimit(most, poke)
    limit.begin(canary(str(number), phase="Paused") for number in running)
    for step, number in steps:
        if step == "ask":
            ask(number)
        else:
            running.discard(number)
            waiting.discard(number)
            limit.leave((PLACE, str(number)))
        while later:
            if (each := later.pop(0)) in waiting:
                ask(each)
        assert not waiting or len(running) >= most


def queued(town: Town, name: str) -> str:
    """What a rollout is told that waits; empty where it does not."""
    told = {each["type"]: each for each in town.status(name).get("conditions", ())}
    return told["Queued"]["message"] if told.get("Queued", {}).get("status") == "True" else ""


@plays_alone
async def test_s14_more_rollouts_than_a_namespace_may_have_wait_for_their_turn(town: Town) -> None:
    """With a condition that says after whom; and a new leader keeps to the same order."""
    first, second = town.office(most=2), town.office(most=2)
    for name in ("a", "b", "c", "d"):
        await town.apply(name, spec=HELD)
        await asyncio.sleep(1.0)  # creation times are whole seconds
    async with asyncio.TaskGroup() as tasks:
        living = tasks.create_task(first.live())
        await town.until(lambda: bool(queued(town, "c") and queued(town, "d")))
        assert queued(town, "c").endswith("begins by itself once there is room, and it is the next.")
        assert queued(town, "d").endswith("after c, which was created before it.")
        assert {town.status(name).get("phase") for name in "ab"} <= {"Pending", "Preparing", "Shifting", "Analyzing"}
        assert town.status("c")["conditions"][0]["status"] == "True", "nothing is wrong with its spec"
        await asyncio.sleep(60)
        writes = len(first.life.told)
        await asyncio.sleep(60)
        assert not [each for each in first.life.told[writes:] if "/c" in each or "/d" in each], "waiting costs nothing"
        living.cancel()
    async with asyncio.TaskGroup() as tasks:
        living = tasks.create_task(second.live())
        await asyncio.sleep(5)
        await town.kube.acting_as("kubectl").delete(MODEL_CANARY, PLACE, "a")
        await town.until(lambda: bool(town.status("c").get("phase")))
        await town.until(lambda: queued(town, "d").endswith("and it is the next."))
        assert queued(town, "c") == ""
        assert not town.status("d").get("phase")
        town.place("b").broken_since = town.clock.now()
        await town.until(lambda: bool(town.status("d").get("phase")))
        assert town.status("b")["phase"] == "RolledBack"
        living.cancel()


@plays_alone
async def test_a_refused_plan_takes_no_place(town: Town) -> None:
    office = town.office(most=1)
    await town.apply("a", spec=a_spec() | {"sticky": {"header": "x-user"}})
    await town.apply("b", spec=a_spec())
    async with asyncio.TaskGroup() as tasks:
        living = tasks.create_task(office.live())
        await town.until(lambda: town.at_rest("b"))
        assert town.status("b")["phase"] == "Succeeded"
        living.cancel()


@plays_alone
async def test_one_that_waits_and_cannot_go_away_yet_holds_up_none_behind_it(town: Town) -> None:
    """Somebody else's finalizer may keep a deleted object for ever."""
    office = town.office(most=1)
    await town.apply("a", spec=HELD)
    await asyncio.sleep(1)
    async with asyncio.TaskGroup() as tasks:
        living = tasks.create_task(office.live())
        await town.until(lambda: bool(town.status("a").get("phase")))
        for name in ("b", "c"):
            await town.apply(name, spec=HELD)
            await asyncio.sleep(1)
        kubectl = town.kube.acting_as("kubectl")
        await kubectl.patch(MODEL_CANARY, PLACE, "b", {"metadata": {"finalizers": ["example.com/for-ever"]}})
        await kubectl.delete(MODEL_CANARY, PLACE, "b")
        await town.until(lambda: queued(town, "c").endswith("and it is the next."))
        town.place("a").broken_since = town.clock.now()
        await town.until(lambda: bool(town.status("c").get("phase")))
        living.cancel()


@pytest.mark.parametrize("edit", ["sound", "faulty", "deleted"])
def test_one_that_waits_may_be_edited_and_deleted(edit: str) -> None:
    async def story() -> None:
        town = Town()
        office = town.office(most=1)
        await town.apply("a", spec=HELD)
        await asyncio.sleep(1)
        await town.apply("b", spec=HELD)
        async with asyncio.TaskGroup() as tasks:
            living = tasks.create_task(office.live())
            await town.until(lambda: bool(queued(town, "b")))
            if edit == "sound":
                await town.apply("b", spec=a_spec(canary="v3"))
                await town.until(lambda: town.status("b")["observedGeneration"] == 2)
                assert queued(town, "b")
            elif edit == "faulty":
                await town.apply("b", spec=a_spec() | {"sticky": {"header": "x-user"}})
                await town.until(lambda: town.status("b")["conditions"][0]["status"] == "False")
                assert queued(town, "b") == ""
            else:
                await town.kube.acting_as("kubectl").delete(MODEL_CANARY, PLACE, "b")
                await asyncio.sleep(1)
                assert (PLACE, "b") not in town.kube.objects(MODEL_CANARY)
            town.place("a").broken_since = town.clock.now()
            await town.until(lambda: town.at_rest("a"))
            if edit == "sound":
                await town.until(lambda: town.status("b").get("phase") == "Succeeded")
            living.cancel()
        assert not [each for each in town.said if "bug of ours" in each], town.said

    play(story())
