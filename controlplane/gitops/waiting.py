"""Waiting for a time, or until something happens before. Used by whatever looks again in intervals."""

import asyncio


async def first_of(seconds: float, *events: asyncio.Event) -> None:
    """Wait until one of these is set, for so long at most."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()
