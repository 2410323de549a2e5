"""Those whose numbers look bad are looked at before all others, and nobody is forgotten over it."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress

from controlplane.operator.rollcall import HEAD_START, RollCall
from controlplane.simulation.clock import play

EVERYBODY = ("a", "b", "c", "d")


class Crowd:
    """Who was called when, and how long the alarmed take."""

    def __init__(self, takes: float = 0.0) -> None:
        self.takes = takes
        self.called: list[tuple[str, float]] = []
        self.rollcall: RollCall[str] = RollCall(self._call, self._through)

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
    crowd = _played(Crowd(takes=9), lambda crowd: crowd.rollcall.begin(EVERYBODY, ()))
    assert crowd.names == "abcd"
    assert crowd.at("d") == crowd.at("a")


def test_the_others_wait_until_the_alarmed_are_through() -> None:
    crowd = _played(Crowd(takes=0.02), lambda crowd: crowd.rollcall.begin(EVERYBODY, {"c", "d"}))
    assert crowd.names == "cdab"
    assert crowd.at("d") == crowd.at("c")
    assert crowd.at("a") == crowd.at("c") + 0.02


def test_an_alarmed_one_that_takes_long_keeps_nobody_waiting_for_more_than_the_head_start() -> None:
    crowd = _played(Crowd(takes=60), lambda crowd: crowd.rollcall.begin(EVERYBODY, {"c"}))
    assert crowd.at("a") == crowd.at("c") + HEAD_START


def test_whom_a_call_did_not_come_to_comes_first_at_the_next() -> None:
    async def story(crowd: Crowd) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(HEAD_START / 2):
                await crowd.rollcall.begin(EVERYBODY, {"a"})
        crowd.takes = 0.0
        await crowd.rollcall.begin(("a", "e", *EVERYBODY[1:]), {"d"})

    assert _played(Crowd(takes=60), story).names == "a" + "d" + "bc" + "ae"
