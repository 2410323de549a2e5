"""Keys come to a worker when they are added, when their delay has passed, and at new metrics: the urgent ones first."""

import asyncio
import math
from collections.abc import Awaitable, Callable

from controlplane.operator.counters import OperatorCounters
from controlplane.operator.scheduler import Priority, Scheduler
from controlplane.operator.ticker import Ticker
from controlplane.simulation.clock import play


class Work:
    """A scheduler, and the keys that it reconciled, each with the time."""

    def __init__(self, priority: Priority[str] | None = None, **due: float) -> None:
        """`due`: in how many seconds a key is due again, once."""
        self.done: list[tuple[str, float]] = []
        self.bugs: list[str] = []
        ticker = Ticker(self._read, period=1.0, tally=OperatorCounters(), say=self.bugs.append)
        by_turn: Priority[str] = Priority()
        self.scheduler = Scheduler(priority or by_turn, ticker, lambda key, _: self.bugs.append(key))
        self._due = due

    @property
    def keys(self) -> str:
        return "".join(key for key, _ in self.done)

    async def reconcile(self, key: str) -> float:
        self.done.append((key, asyncio.get_running_loop().time()))
        return self._due.pop(key, math.inf)

    async def _read(self) -> None:
        return

    def play(self, story: Callable[[], Awaitable[None]], first: str = "") -> None:
        """Run the scheduler while the story is told."""

        async def run() -> None:
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(self.scheduler.run(self.reconcile, first))
                await asyncio.sleep(1)
                await story()
                await asyncio.sleep(1)
                running.cancel()

        play(run())


async def nothing() -> None:
    return


def test_a_key_is_due_again_when_reconciling_says_so() -> None:
    work = Work(a=5.0)
    work.play(lambda: asyncio.sleep(9), first="ab")
    assert work.keys == "aba"
    assert work.done[2][1] - work.done[0][1] == 5.0


def test_nothing_is_reconciled_before_it_runs_or_after() -> None:
    work = Work(a=5.0)
    work.scheduler.add("early")
    work.play(nothing, first="a")
    work.scheduler.add("late")
    assert len(work.scheduler) == 0
    work.play(lambda: asyncio.sleep(60))  # the next term knows no delay of the one before
    assert work.keys == "a"


def test_the_urgent_and_the_alarming_go_first() -> None:
    work = Work(Priority(is_urgent="u".__eq__, is_alarming="x".__eq__))
    work.play(nothing, first="abux")
    assert work.keys == "uxab"


def test_new_metrics_are_dispatched_in_the_order_of_the_policy_and_the_alarming_are_promoted() -> None:
    promoted: list[str] = []
    work = Work(
        Priority(order=lambda keys: sorted(keys, reverse=True), is_alarming="b".__eq__, promote=promoted.append)
    )
    work.play(lambda: work.scheduler.dispatch("abc"))
    assert (work.keys, promoted) == ("bca", ["b"])


def test_a_key_whose_urgency_cannot_be_told_is_reported_and_reconciled() -> None:
    def is_urgent(key: str) -> bool:
        if key == "b":
            raise RecursionError
        return False

    work = Work(Priority(is_urgent=is_urgent))
    work.play(nothing, first="abc")
    assert (work.keys, work.bugs) == ("abc", ["b"])


def test_draining_waits_for_what_is_under_way_and_begins_nothing() -> None:
    work = Work()

    async def story() -> None:
        await work.scheduler.drain()
        work.scheduler.add("a")
        await asyncio.sleep(5)

    work.play(story)
    assert work.done == []
