"""Goes on trying: at once when there is news, with growing pauses while something fails, and never sooner than asked.

The loop of everything that is written beside the rollouts: commits, pull requests, statuses.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from controlplane.backoff import Backoff


@dataclass(frozen=True, slots=True)
class RoundResult:
    """How one round went."""

    failed: bool = False
    """Whether something is left that has to be tried again."""
    within: float = math.inf
    """Seconds after which to look again even so."""
    rest: float = 0.0
    """Seconds for which a host wants to be left alone, whatever the news."""
    stop: bool = False
    """Whether the host answers nothing at present, so that nothing else needs to be asked in this round."""

    def __add__(self, other: "RoundResult") -> "RoundResult":
        """Both, in one round."""
        return RoundResult(
            self.failed or other.failed, min(self.within, other.within), max(self.rest, other.rest), other.stop
        )


async def retry_forever(once: Callable[[], Awaitable[RoundResult]], news: asyncio.Event, backoff: Backoff) -> None:
    """Call `once` again and again until cancelled."""
    while True:
        news.clear()
        look = await once()
        await asyncio.sleep(look.rest)
        if not look.failed:
            backoff.reset()
        within = min(backoff.next(), look.within) if look.failed else look.within
        try:
            async with asyncio.timeout(None if math.isinf(within) else within):
                await news.wait()
        except TimeoutError:
            continue
