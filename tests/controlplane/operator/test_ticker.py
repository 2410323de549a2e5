"""The tick of the metrics, in virtual time: a grid that does not drift, and what is said and counted when it slips."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.resources import MODEL_CANARY
from controlplane.operator.counters import OperatorCounters
from controlplane.operator.metrics import Numbers, exposition
from controlplane.operator.ticker import Ticker
from controlplane.simulation.clock import play


class Watched:
    """A ticker of one second whose readings take as long as the test says; for so many seconds."""

    def __init__(self) -> None:
        self.takes: Callable[[int], float] = lambda _number: 0.1
        """Seconds by the number of the reading."""
        self.failure: Exception | None = None
        self.deaf: Exception | None = None
        """What telling the rollouts raises."""
        self.reads: list[float] = []
        self.told: list[float] = []
        self.said: list[str] = []
        self.tally = OperatorCounters()

    async def live(self, seconds: float) -> None:
        ticker = Ticker(self._read, period=1.0, tally=self.tally, say=self.said.append)
        self._began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as tasks:
            ticking = tasks.create_task(ticker.run(self._tell))
            await asyncio.sleep(seconds)
            ticking.cancel()

    async def _read(self) -> None:
        self.reads.append(self._now())
        if self.failure is not None:
            raise self.failure
        await asyncio.sleep(self.takes(len(self.reads)))

    async def _tell(self) -> None:
        self.told.append(self._now())
        if self.deaf is not None:
            raise self.deaf

    def _now(self) -> float:
        return round(asyncio.get_running_loop().time() - self._began, 3)


def plays(story: Callable[[Watched], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def test() -> None:
        play(story(Watched()))

    test.__name__, test.__doc__ = story.__name__, story.__doc__
    return test


@plays
async def test_readings_begin_on_the_grid_and_rollouts_are_told_after_each(watched: Watched) -> None:
    await watched.live(3.5)
    assert watched.reads == [0.0, 1.0, 2.0, 3.0]
    assert watched.told == [0.1, 1.1, 2.1, 3.1]
    assert (watched.tally.ticks, watched.tally.ticks_slipped, watched.said) == (4, 0, [])
    assert round(watched.tally.tick_seconds, 3) == 0.1


@plays
async def test_a_reading_that_takes_too_long_is_counted_warned_of_and_not_repeated_on_top_of_itself(
    watched: Watched,
) -> None:
    watched.takes = lambda number: 2.5 if number == 2 else 0.1
    await watched.live(5.5)
    assert watched.reads == [0.0, 1.0, 4.0, 5.0]
    assert watched.told == [0.1, 2.0, 3.0, 3.5, 4.1, 5.1], "silence is news"
    assert watched.tally.ticks_slipped == 2
    assert watched.said == ["The tick of 1 s slips: the last reading is not back yet. Verdicts come later by as much."]


@plays
async def test_a_slip_stands_on_the_page_of_metrics(watched: Watched) -> None:
    watched.takes = lambda _number: 1.5
    await watched.live(4.2)
    canaries, tally = Cache(MODEL_CANARY), watched.tally
    numbers = Numbers(canaries, under_way=(), tally=tally, leading=True, queued=0, events_lost=0, requests={})
    page = exposition(numbers).decode()
    assert f"canary_operator_ticks_slipped_total {float(tally.ticks_slipped)}" in page
    assert tally.ticks_slipped == 2


@plays
async def test_a_bug_in_a_reading_is_said_once_and_rollouts_are_told_all_the_same(watched: Watched) -> None:
    watched.failure = KeyError("x")
    await watched.live(2.5)
    assert watched.told == [0.0, 1.0, 2.0]
    assert watched.said == ["A bug of ours while reading the numbers, please report it: KeyError('x')."]


@plays
async def test_s14_a_bug_while_rollouts_are_told_is_said_once_and_the_next_tick_is_told_again(watched: Watched) -> None:
    watched.deaf = RecursionError("too deep")
    await watched.live(2.5)
    assert watched.told == [0.1, 1.1, 2.1]
    assert watched.tally.bugs == 1
    assert watched.said == [
        "A bug of ours while telling rollouts of new numbers, please report it: RecursionError('too deep')."
    ]
