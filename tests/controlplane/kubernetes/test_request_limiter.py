"""Who is let in, in which order, and that no place is ever lost."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.kubernetes.request_limiter import PriorityLimiter
from controlplane.simulation.clock import play
from tests.controlplane.kubernetes.stories import story


class Visitors:
    """Visitors of a gate, each a task that stays until it is let go."""

    def __init__(self, gate: PriorityLimiter, tasks: asyncio.TaskGroup) -> None:
        self.inside: list[str] = []
        self._gate = gate
        self._tasks = tasks
        self._leave: dict[str, asyncio.Event] = {}
        self.visits: dict[str, asyncio.Task[None]] = {}

    async def come(self, *names: str, urgent: bool = False) -> None:
        """Stand in line, in this order."""
        for name in names:
            self._leave[name] = asyncio.Event()
            self.visits[name] = self._tasks.create_task(self._visit(name, urgent=urgent))
            await asyncio.sleep(0)
        await asyncio.sleep(0.001)

    async def go(self, *names: str) -> None:
        """Leave."""
        for name in names:
            self._leave[name].set()
        await asyncio.sleep(0.001)

    async def _visit(self, name: str, *, urgent: bool) -> None:
        async with self._gate.passing(urgent=urgent, whose=name):
            self.inside.append(name)
            try:
                await self._leave[name].wait()
            finally:
                self.inside.remove(name)


@story
async def test_urgent_ones_go_first_and_have_places_of_their_own() -> None:
    async with asyncio.TaskGroup() as tasks:
        visitors = Visitors(PriorityLimiter(3, kept=1), tasks)
        await visitors.come("a", "b", "c")
        assert visitors.inside == ["a", "b"]
        await visitors.come("u", "v", urgent=True)
        assert visitors.inside == ["a", "b", "u"]
        await visitors.go("a")
        assert visitors.inside == ["b", "u", "v"]
        await visitors.go("u")
        assert visitors.inside == ["b", "v"]
        await visitors.go("v")
        assert visitors.inside == ["b", "c"]
        await visitors.go("b", "c")


@story
async def test_one_lane_is_first_come_first_served() -> None:
    async with asyncio.TaskGroup() as tasks:
        visitors = Visitors(PriorityLimiter(1, kept=0), tasks)
        await visitors.come("a", "b", "c")
        await visitors.go("a")
        await visitors.come("d")
        assert visitors.inside == ["b"]
        await visitors.go("b")
        assert visitors.inside == ["c"]
        await visitors.go("c", "d")


@story
async def test_what_waits_can_be_hastened_and_goes_before_those_that_came_sooner() -> None:
    gate = PriorityLimiter(2, kept=1)
    async with asyncio.TaskGroup() as tasks:
        visitors = Visitors(gate, tasks)
        await visitors.come("a", "b", "c")
        assert visitors.inside == ["a"]
        gate.hasten("c")
        await visitors.come("d")
        assert visitors.inside == ["a", "c"], "on the place that is kept for such"
        gate.hasten("nobody")
        await visitors.go("a", "c")
        assert visitors.inside == ["b"]
        await visitors.go("b", "d")


@story
async def test_who_was_let_in_lately_goes_before_those_that_come_for_the_first_time() -> None:
    """So that of hundreds that begin together some come to their end, and not all to half of it."""
    gate, left = PriorityLimiter(1, kept=0), dict.fromkeys("abcde", 3)
    ended: list[str] = []

    async def begin(name: str) -> None:
        for _ in range(left[name]):
            async with gate.passing(whose=name):
                await asyncio.sleep(1)
        ended.append(name)

    async with asyncio.TaskGroup() as tasks:
        for name in left:
            tasks.create_task(begin(name))
            await asyncio.sleep(0)
        await asyncio.sleep(6.5)
        assert ended == ["a", "b"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["come", "urgent", "go", "cancel", "both", "hasten"]), st.integers(0, 9)), max_size=40
    )
)
def test_no_place_is_lost_whatever_is_cancelled(steps: list[tuple[str, int]]) -> None:
    """Cancelled while waiting, while inside, and in the very moment of being let in."""

    async def visit() -> None:
        gate = PriorityLimiter(3, kept=1)
        async with asyncio.TaskGroup() as tasks:
            visitors = Visitors(gate, tasks)
            for number, (what, chosen) in enumerate(steps):
                names = list(visitors.visits)
                if what in {"come", "urgent"}:
                    await visitors.come(f"{number}", urgent=what == "urgent")
                elif names:
                    name = names[chosen % len(names)]
                    if what == "hasten":
                        gate.hasten(name)
                    if what in {"cancel", "both"}:
                        visitors.visits[name].cancel()
                    if what in {"go", "both"}:
                        await visitors.go(names[(chosen + 1) % len(names)])
                assert len(visitors.inside) <= 3
            await visitors.go(*visitors.visits)
        async with asyncio.timeout(1), gate.passing(), gate.passing(), gate.passing(urgent=True):
            pass

    play(visit())
