"""Those whose numbers look bad are looked at before all others, and nobody is forgotten over it."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress

import pytest

from canary.weights import ALL_STABLE
from controlplane.kubernetes.cache import Key
from controlplane.operator.tick_dispatch import HEAD_START, TickDispatcher
from controlplane.simulation.clock import play
from tests.controlplane.operator.town import PLACE, Office, Town, a_spec, plays

EVERYBODY = ("a", "b", "c", "d")
THRESHOLD = {"metric": "error_rate", "max": "10%", "test": "threshold", "failures": 0}
"""The first reading decides."""
FULL = {"traffic": "100%"}


class Crowd:
    """Who was called when, and how long the alarmed take."""

    def __init__(self, takes: float = 0.0) -> None:
        self.takes = takes
        self.called: list[tuple[str, float]] = []
        self.dispatcher: TickDispatcher[str] = TickDispatcher(self._call, self._through)

    @property
    def names(self) -> str:
        return "".join(name for name, _ in self.called)

    def at(self, name: str) -> float:
        """When it was called first, in seconds."""
        return next(at for called, at in self.called if called == name)

    def _call(self, name: str) -> None:
        self.called.append((name, asyncio.get_running_loop().time()))

    async def _through(self, names: Collection[str]) -> None:
        await asyncio.sleep(self.takes)


def _played(crowd: Crowd, story: Callable[[Crowd], Awaitable[None]]) -> Crowd:
    async def run() -> None:
        await story(crowd)

    play(run())
    return crowd


def test_without_an_alarm_all_are_called_in_their_order_and_nobody_waits() -> None:
    crowd = _played(Crowd(takes=9), lambda crowd: crowd.dispatcher.begin(EVERYBODY, ()))
    assert crowd.names == "abcd"
    assert crowd.at("d") == crowd.at("a")


def test_the_others_wait_until_the_alarmed_are_through() -> None:
    crowd = _played(Crowd(takes=0.02), lambda crowd: crowd.dispatcher.begin(EVERYBODY, {"c", "d"}))
    assert crowd.names == "cdab"
    assert crowd.at("d") == crowd.at("c")
    assert crowd.at("a") == crowd.at("c") + 0.02


def test_an_alarmed_one_that_takes_long_keeps_nobody_waiting_for_more_than_the_head_start() -> None:
    crowd = _played(Crowd(takes=60), lambda crowd: crowd.dispatcher.begin(EVERYBODY, {"c"}))
    assert crowd.at("a") == crowd.at("c") + HEAD_START


def test_whom_a_call_did_not_come_to_comes_first_at_the_next() -> None:
    async def story(crowd: Crowd) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(HEAD_START / 2):
                await crowd.dispatcher.begin(EVERYBODY, {"a"})
        crowd.takes = 0.0
        await crowd.dispatcher.begin(("a", "e", *EVERYBODY[1:]), {"d"})

    assert _played(Crowd(takes=60), story).names == "a" + "d" + "bc" + "ae"


@plays
async def test_at_a_tick_those_whose_numbers_look_worst_are_looked_at_first(town: Town, office: Office) -> None:
    names = [f"chat-{number}" for number in range(4)]
    for name in names:
        await town.apply(name)
    await town.until(lambda: all(town.status(name).get("phase") == "Analyzing" for name in names))
    worst = (PLACE, "chat-2")
    office.order = lambda keys: sorted(keys, key=lambda key: key != worst)
    poked: list[Key] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(office.scheduler._queue, "poke", lambda key, **_: poked.append(key))
        await office.controller.tick()
    assert poked[0] == worst
    assert sorted(poked) == sorted((PLACE, name) for name in names)


@plays
async def test_a_broken_canary_is_off_its_route_before_others_that_hear_at_the_same_tick_write_their_status(
    town: Town, office: Office
) -> None:
    names = [f"chat-{number}" for number in range(40)]
    broken = names[-1]
    office.order = lambda keys: sorted(keys, key=lambda key: key[1] == broken)  # else it would be the last
    office.is_alarming = lambda key: key[1] == broken
    for name in names:
        await town.apply(name, a_spec(stages=[{"traffic": "50%", "hold": "1h", "gates": [THRESHOLD]}, FULL]))
    await town.until(lambda: all(town.status(name).get("phase") == "Analyzing" for name in names))
    await asyncio.sleep(1.0)  # the others' first answer comes with their second reading: so does this one's failure
    town.place(broken).broken_since = town.clock.now()
    await town.until(lambda: town.status(broken).get("phase") in {"RollingBack", "RolledBack"})
    await town.until(lambda: all(town.status(name).get("verdict") == "pass" for name in names[:-1]))
    told = office.life.told
    back = told.index(f"route {ALL_STABLE}")
    answers = [max(at for at, each in enumerate(told) if each.split() == status_of(name)) for name in names[:-1]]
    assert back < min(answers), "each of the others wrote what its gate says at that tick"


def status_of(name: str) -> list[str]:
    """How a write of this status is told."""
    return ["patch", f"ModelCanary/{name}", "status"]


@plays
async def test_what_a_broken_canary_waits_for_is_hastened_and_its_next_look_is_urgent(
    town: Town, office: Office
) -> None:
    for name in ("chat-0", "chat-1"):
        await town.apply(name)
    await town.until(lambda: all(town.status(f"chat-{each}").get("phase") == "Analyzing" for each in range(2)))
    broken, pressed = (PLACE, "chat-1"), list[Key]()
    office.is_alarming = lambda key: key == broken
    poke = office.scheduler._queue.poke

    def noted(key: Key, *, urgent: bool = False) -> None:
        if urgent:
            pressed.append(key)
        poke(key, urgent=urgent)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(office.scheduler._queue, "poke", noted)
        await office.controller.tick()
    assert (office.promoted, pressed) == ([broken], [broken])
