"""The loop of what is written beside the rollouts: at once with news, slower and slower without success."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from controlplane.backoff import Backoff
from controlplane.gitops.retry_loop import RoundResult, retry_forever
from tests.virtual import in_virtual_time


class Errand:
    """Goes as it is told, and remembers when it was tried."""

    def __init__(self, looks: Sequence[RoundResult]) -> None:
        self.looks = list(looks)
        self.tried: list[float] = []
        self.news = asyncio.Event()

    async def once(self) -> RoundResult:
        self.tried.append(asyncio.get_running_loop().time())
        return self.looks.pop(0) if self.looks else RoundResult()

    async def within_an_hour(self) -> list[float]:
        """When it was tried, with pauses of 1 s and 4 s at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(3600):
                await retry_forever(self.once, self.news, Backoff(1, 4))
        return self.tried


@in_virtual_time
async def test_what_fails_is_tried_again_until_it_works_and_then_left() -> None:
    assert await Errand([RoundResult(failed=True)] * 5).within_an_hour() == [0, 1, 3, 7, 11, 15]


@in_virtual_time
async def test_news_bring_a_round_and_a_look_within_some_time_too() -> None:
    errand = Errand([RoundResult(), RoundResult(within=0.5), RoundResult()])
    asyncio.get_running_loop().call_later(60, errand.news.set)
    assert await errand.within_an_hour() == [0, 60, 60.5]


@in_virtual_time
async def test_a_host_that_wants_to_be_left_alone_is_left_alone_whatever_the_news() -> None:
    errand = Errand([RoundResult(failed=True, rest=1800.0)])
    asyncio.get_running_loop().call_later(60, errand.news.set)
    assert await errand.within_an_hour() == [0, 1800]


def test_two_looks_are_the_more_careful_of_both() -> None:
    assert RoundResult(failed=True, within=5.0) + RoundResult(within=3.0, rest=2.0) == RoundResult(
        failed=True, within=3.0, rest=2.0
    )
