"""Sends a test alert to each channel of a plan, all at once, and says what became of each.

Used by `serinus alerts test`. One try, no retries: whoever tests wants to see what is wrong. What a receiver would keep
open is closed again.
"""

import asyncio
from dataclasses import dataclass

from canary.alert import over, trial
from canary.errors import ExternalError
from canary.spec.models import ModelCanary
from controlplane.alerts.channel import SECONDS, AlertChannel
from controlplane.alerts.channel_factory import ChannelDeps, channel_of, kinds_of
from controlplane.alerts.post import Post


@dataclass(frozen=True, slots=True)
class ChannelOutcome:
    """What became of one channel's test."""

    channel: str
    told_of: tuple[str, ...]
    """The kinds that it is told of in earnest."""
    problem: str = ""
    """One clause; empty when the test arrived."""


async def try_channels(plan: ModelCanary, world: ChannelDeps) -> list[ChannelOutcome]:
    """One outcome a channel, in the order of the plan."""
    post = Post(world.reach)
    channels = [channel_of(alert, world, post) for alert in plan.spec.alerts]
    problems = await asyncio.gather(*(_try(channel, plan.metadata.name, world.now()) for channel in channels))
    return [
        ChannelOutcome(channel.name, tuple(sorted(kinds_of(alert) - {"test", "summary"})), problem)
        for alert, channel, problem in zip(plan.spec.alerts, channels, problems, strict=True)
    ]


async def _try(channel: AlertChannel, rollout: str, now: float) -> str:
    alert = trial(rollout, now)
    try:
        async with asyncio.timeout(2 * SECONDS):
            await channel.send(alert)
            if channel.keyed:
                await channel.resolve(over(alert, now, "The test is over."))
    except TimeoutError:
        return "it hangs"
    except ExternalError as error:
        return str(error)
    return ""
