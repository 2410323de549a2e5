"""The loop of what is written beside the rollouts: at once with news, slower and slower without success."""

import asyncio
import contextlib
from collections.abc import Sequence

from controlplane.gitops.rounds import Look, Pauses, rounds


class Errand:
    """Goes as it is told, and remembers how often it was tried."""

    def __init__(self, looks: Sequence[Look]) -> None:
        self.looks = list(looks)
        self.rounds = 0
        self.news = asyncio.Event()

    async def once(self) -> Look:
        self.rounds += 1
        return self.looks.pop(0) if self.looks else Look()


async def until_done(errand: Errand, rounds_wanted: int) -> None:
    """Run until so many rounds were made, and see that no further one follows without a reason."""
    task = asyncio.ensure_future(rounds(errand.once, errand.news, Pauses(0.001, 0.002)))
    async with asyncio.timeout(10):
        while errand.rounds < rounds_wanted:  # noqa: ASYNC110 - a round tells nobody
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.02)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_what_fails_is_tried_again_until_it_works_and_then_left() -> None:
    errand = Errand([Look(failed=True)] * 5)
    await until_done(errand, 6)
    assert errand.rounds == 6


async def test_news_bring_a_round_and_a_look_within_some_time_too() -> None:
    errand = Errand([Look(within=0.001), Look()])
    errand.news.set()
    await until_done(errand, 2)
    assert errand.rounds == 2


async def test_a_host_that_wants_to_be_left_alone_is_left_alone_whatever_the_news() -> None:
    errand = Errand([Look(failed=True, rest=3600.0)])
    errand.news.set()
    await until_done(errand, 1)
    assert errand.rounds == 1


def test_two_looks_are_the_more_careful_of_both() -> None:
    assert Look(failed=True, within=5.0) + Look(within=3.0, rest=2.0) == Look(failed=True, within=3.0, rest=2.0)
