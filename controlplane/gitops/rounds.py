"""Goes on trying: at once when there is news, with growing pauses while something fails, and never sooner than asked.

The loop of everything that is written beside the rollouts: commits, pull requests, statuses.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Look:
    """How one round went."""

    failed: bool = False
    """Whether something is left that has to be tried again."""
    within: float = math.inf
    """Seconds after which to look again even so."""
    rest: float = 0.0
    """Seconds for which a host wants to be left alone, whatever the news."""
    stop: bool = False
    """Whether the host answers nothing at present, so that nothing else needs to be asked in this round."""

    def __add__(self, other: "Look") -> "Look":
        """Both, in one round."""
        return Look(self.failed or other.failed, min(self.within, other.within), max(self.rest, other.rest), other.stop)


@dataclass(frozen=True, slots=True)
class Pauses:
    """Seconds between two tries; they double."""

    first: float = 1.0
    longest: float = 60.0


async def rounds(once: Callable[[], Awaitable[Look]], news: asyncio.Event, pauses: Pauses) -> None:
    """Call `once` again and again until cancelled."""
    pause = pauses.first
    while True:
        news.clear()
        look = await once()
        await asyncio.sleep(look.rest)
        within = min(pause, look.within) if look.failed else look.within
        pause = min(2 * pause, pauses.longest) if look.failed else pauses.first
        try:
            async with asyncio.timeout(None if math.isinf(within) else within):
                await news.wait()
        except TimeoutError:
            continue
