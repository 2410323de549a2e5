"""Who has his turn next: a few at a time, in an order that is asked for at each turn anew."""

import asyncio
from collections.abc import Sequence

import pytest

from controlplane import fair_queue
from controlplane.fair_queue import FairQueue, Turns
from controlplane.simulation.clock import play


class Crowd:
    """Keys that take turns of a second each, and notes of when they had theirs."""

    def __init__(self, places: int = 1) -> None:
        self.worst: list[str] = []
        self.had: list[str] = []
        self.refused: list[str] = []
        self.at_once = self.most = 0
        self.turns: Turns[str] = Turns(places, self._in_order)

    def _in_order(self, keys: Sequence[str]) -> Sequence[str]:
        return sorted(keys, key=lambda key: key not in self.worst)

    async def come(self, key: str) -> None:
        """Wait for a turn and use it."""
        async with self.turns.taken(key) as has_place:
            if not has_place:
                self.refused.append(key)
                return
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            self.had.append(key)
            await asyncio.sleep(1)
            self.at_once -= 1


def test_no_more_have_their_turn_at_once_than_there_are_places() -> None:
    async def story() -> Crowd:
        crowd = Crowd(places=2)
        await asyncio.gather(*(crowd.come(key) for key in "abcdef"))
        return crowd

    crowd = play(story())
    assert (crowd.most, crowd.had) == (2, list("abcdef"))


def test_one_whose_numbers_turn_bad_while_it_waits_is_next() -> None:
    async def story() -> list[str]:
        crowd = Crowd()
        async with asyncio.TaskGroup() as tasks:
            for key in "abcd":
                tasks.create_task(crowd.come(key))
            await asyncio.sleep(0.5)
            crowd.worst.append("d")
        return crowd.had

    assert play(story()) == ["a", "d", "b", "c"]


def test_who_gives_up_while_waiting_takes_no_place_with_him() -> None:
    async def story() -> tuple[list[str], int]:
        crowd = Crowd()
        async with asyncio.TaskGroup() as tasks:
            coming = [tasks.create_task(crowd.come(key)) for key in "abc"]
            await asyncio.sleep(0.5)
            coming[1].cancel()
        await crowd.come("d")
        return crowd.had, len(crowd.turns)

    assert play(story()) == (["a", "c", "d"], 0)


def test_a_place_that_comes_in_the_moment_of_giving_up_goes_to_the_next() -> None:
    async def story() -> list[str]:
        crowd = Crowd()
        async with asyncio.TaskGroup() as tasks:
            async with crowd.turns.taken("a"):
                coming = [tasks.create_task(crowd.come(key)) for key in "bc"]
                await asyncio.sleep(0.5)
            coming[0].cancel()
        return crowd.had

    assert play(story()) == ["c"]


def test_nobody_waits_any_more_once_turns_are_over_and_who_has_one_finishes() -> None:
    async def story() -> Crowd:
        crowd = Crowd()
        async with asyncio.TaskGroup() as tasks:
            for key in "abc":
                tasks.create_task(crowd.come(key))
            await asyncio.sleep(0.5)
            crowd.turns.close()
            await crowd.come("d")
        crowd.turns.open()
        await crowd.come("e")
        return crowd

    crowd = play(story())
    assert (crowd.had, sorted(crowd.refused)) == (["a", "e"], ["b", "c", "d"])


class Queue:
    """Senders whose turns take a second each, and when each of them was over."""

    def __init__(self, places: int, of_one: int) -> None:
        self.turns = FairQueue(places, of_one)
        self.over: list[tuple[str, float]] = []

    async def ask(self, sender: str, *, urgent: bool = False) -> None:
        async with self.turns.held(sender, urgent=urgent):
            await asyncio.sleep(1)
        self.over.append((sender, asyncio.get_running_loop().time()))

    def when(self, sender: str) -> list[float]:
        """When this one's turns were over, seconds from the beginning."""
        return [moment for each, moment in self.over if each == sender]


def told(*asking: tuple[float, str, bool], places: int = 4, of_one: int = 2) -> Queue:
    """What becomes of those who ask: when, who, whether urgently."""

    async def story() -> Queue:
        queue = Queue(places, of_one)
        begin = asyncio.get_running_loop().time()

        async def come(after: float, sender: str, urgent: bool) -> None:
            await asyncio.sleep(after)
            await queue.ask(sender, urgent=urgent)

        await asyncio.gather(*(come(*each) for each in asking))
        queue.over = [(sender, moment - begin) for sender, moment in queue.over]
        return queue

    return play(story())


def test_s9_one_sender_holds_a_share_of_the_places_however_much_it_asks() -> None:
    queue = told(*[(0.0, "flood", False)] * 40, (0.5, "b", False), (0.5, "c", False))
    assert queue.when("b") == queue.when("c") == [1.5]
    assert max(queue.when("flood")) == 20.0


def test_s9_who_had_fewest_turns_lately_goes_next() -> None:
    """Ten senders have ten requests each in the queue: the eleventh waits behind one of each, not behind all."""
    floods = [(0.0, f"flood {number}", False) for number in range(10)] * 10
    queue = told(*floods, (1.5, "person", False))
    assert queue.when("person")[0] <= 5.0
    assert max(moment for _, moment in queue.over) >= 25.0


def test_s9_the_urgent_go_first() -> None:
    queue = told(*[(0.0, f"{number}", False) for number in range(100)], (0.5, "known", True))
    assert queue.when("known") == [2.0]


def test_s9_what_is_remembered_of_senders_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_queue, "MOST_REMEMBERED", 20)
    queue = told(*[(0.0, f"{number}", False) for number in range(100)])
    assert len(queue.turns._had) <= 21
    assert not queue.turns._holds
