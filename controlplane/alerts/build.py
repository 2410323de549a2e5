"""Makes the channels that a plan names, and says which of their secrets are missing. Used by `desk.py` and the CLI."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from canary.alert import SEVERITIES, Kind
from canary.spec import alerts as plan
from controlplane.adapters.reach import Reach
from controlplane.alerts.channel import Channel
from controlplane.alerts.channels.alertmanager import Alertmanager
from controlplane.alerts.channels.discord import Discord
from controlplane.alerts.channels.mail import Mail
from controlplane.alerts.channels.opsgenie import ADDRESSES as OPSGENIE
from controlplane.alerts.channels.opsgenie import Opsgenie
from controlplane.alerts.channels.pagerduty import ADDRESSES as PAGERDUTY
from controlplane.alerts.channels.pagerduty import PagerDuty
from controlplane.alerts.channels.slack import Slack
from controlplane.alerts.channels.teams import Teams
from controlplane.alerts.channels.webhook import Webhook
from controlplane.alerts.post import Post
from controlplane.alerts.secrets import Missing, Secrets

PATIENCE = 2.0
"""Seconds for looking at one secret before a rollout starts."""
PAGES = (plan.PagerDuty, plan.Opsgenie, plan.Alertmanager)
"""Channels that wake people: unless they are asked to, they are told nothing that can wait."""


@dataclass(frozen=True, slots=True)
class World:
    """What channels need of the machine they run on."""

    secrets: Secrets
    reach: Reach
    now: Callable[[], float]
    """Seconds since the epoch."""


def channel_of(alert: plan.Alert, world: World, post: Post) -> Channel:
    """The channel that an item of `alerts` means."""
    secrets = world.secrets
    match alert.channel:
        case plan.Slack() as slack:
            return Slack(slack.url_from, secrets, post, channel=slack.channel)
        case plan.Teams() as teams:
            return Teams(teams.url_from, secrets, post)
        case plan.Discord() as discord:
            return Discord(discord.url_from, secrets, post)
        case plan.PagerDuty() as pagerduty:
            return PagerDuty(pagerduty.routing_key_from, secrets, post, address=PAGERDUTY[pagerduty.region])
        case plan.Opsgenie() as opsgenie:
            return Opsgenie(opsgenie.api_key_from, secrets, post, address=OPSGENIE[opsgenie.region])
        case plan.Email() as email:
            return Mail(email, secrets, world.reach)
        case plan.Webhook() as hook:
            return Webhook(
                hook.url_from,
                secrets,
                post,
                now=world.now,
                signing_key=hook.signing_key_from,
                token=hook.token_from,
                template=hook.template,
            )
        case plan.Alertmanager() as alertmanager:
            return Alertmanager(alertmanager.url_from, secrets, post, now=world.now, token=alertmanager.token_from)
        case other:
            raise TypeError(f"no channel for {type(other).__name__}")


def kinds_of(alert: plan.Alert) -> frozenset[Kind]:
    """What the channel is told: what its owner said, or everything; channels that page are spared what is only info."""
    if alert.on is not None:
        return frozenset(alert.on)
    pages = isinstance(alert.channel, PAGES)
    return frozenset(kind for kind, severity in SEVERITIES.items() if not (pages and severity == "info"))


def names_of(channels: Sequence[Channel]) -> list[str]:
    """A name for each that is its own: two channels with the same reference are told apart by their number."""
    names: list[str] = []
    for channel in channels:
        same = sum(name == channel.name or name.startswith(f"{channel.name} #") for name in names)
        names.append(f"{channel.name} #{same + 1}" if same else channel.name)
    return names


async def missing(alert: plan.Alert, secrets: Secrets) -> list[str]:
    """What is missing for this channel, one clause a secret."""
    channel, found = alert.channel, []
    for field in type(channel).model_fields:
        reference = getattr(channel, field)
        if isinstance(reference, plan.SecretRef):
            try:
                async with asyncio.timeout(PATIENCE):
                    await secrets.read(reference)
            except Missing as error:
                found.append(str(error))
            except TimeoutError:
                found.append(f"{reference} could not be read within {PATIENCE:g} s")
    return found
