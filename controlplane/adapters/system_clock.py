"""The machine's own clock. The only module that asks what time it is; everything else is handed `now` or a clock."""

import asyncio
import time


class SystemClock:
    """Wall time, which may be set back or forward; ages are computed from it, so a jump makes facts old, never new."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait; a negative time is no time."""
        await asyncio.sleep(max(seconds, 0.0))
