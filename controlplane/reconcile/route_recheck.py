"""The second look at a route that seems to have been lowered, before anybody is accused of it.

Used by `loop.py`. Where the route is read through a copy that may be behind, that of a new leader above all, an older
share looks like traffic that somebody took away. Decides nothing: the same pass is decided again upon what is true.
"""

import asyncio

from canary.errors import ExternalError
from canary.rollout import Decision, Reason, Rollout
from controlplane.ports import Confirming, Router

PATIENCE = 2.0
"""Seconds that the second look may take."""


def is_needed(before: Rollout, decision: Decision, router: Router) -> bool:
    """Whether it was decided just now that somebody took traffic away, upon what may be an old copy."""
    new = decision.rollout.events - before.events
    told = decision.rollout.history[-new:] if new else ()
    return isinstance(router, Confirming) and any(each.reason is Reason.ROUTE_LOWERED for each in told)


async def recheck(router: Router) -> str:
    """Have the router read the route itself; why that could not be done, as a sentence, or nothing."""
    if not isinstance(router, Confirming):
        return ""
    try:
        async with asyncio.timeout(PATIENCE):
            await router.confirm()
    except (ExternalError, TimeoutError) as error:
        return str(error) or f"no answer within {PATIENCE:g} s."
    return ""
