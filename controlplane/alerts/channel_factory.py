"""Makes the channels that a plan names, and says which of their secrets are missing. Used by `alert_dispatcher.py` and
the CLI.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from canary.alert import SEVERITIES, Kind
from canary.spec import alerts as plan
from controlplane.adapters.dial_policy import Reach
from controlplane.alerts.channel import AlertChannel
from controlplane.alerts.channels.alertmanager import AlertmanagerChannel
from controlplane.alerts.channels.discord import DiscordChannel
from controlplane.alerts.channels.mail import MailChannel
from controlplane.alerts.channels.opsgenie import ADDRESSES as OPSGENIE
from controlplane.alerts.channels.opsgenie import OpsgenieChannel
from controlplane.alerts.channels.pagerduty import ADDRESSES as PAGERDUTY
from controlplane.alerts.channels.pagerduty import PagerDutyChannel
from controlplane.alerts.channels.slack import SlackChannel
from controlplane.alerts.channels.teams import TeamsChannel
from controlplane.alerts.channels.webhook import WebhookChannel
from controlplane.alerts.post import Post
from controlplane.alerts.secrets import Missing, Secrets

PATIENCE = 2.0
"""Seconds for looking at one secret before a rollout starts."""
PAGES = (plan.PagerDuty, plan.Opsgenie, plan.Alertmanager)
"""Channels that wake people: unless they are asked to, they are told nothing that can wait."""


@dataclass(frozen=True, slots=True)
class ChannelDeps:
    """What channels need of the machine they run on."""

    secrets: Secrets
    reach: Reach
    now: Callable[[], float]
    """Seconds since the epoch."""


def channel_of(alert: plan.Alert, world: ChannelDeps, post: Post) -> AlertChannel:
    """The channel that an item of `alerts` means."""
    secrets = world.secrets
    match alert.channel:
        case plan.Slack() as slack:
            return SlackChannel(slack.url_from, secrets, post, channel=slack.channel)
        case plan.Teams() as teams:
            return TeamsChannel(teams.url_from, secrets, post)
        case plan.Discord() as discord:
            return DiscordChannel(discord.url_from, secrets, post)
        case plan.PagerDuty() as pagerduty:
            return PagerDutyChannel(pagerduty.routing_key_from, secrets, post, address=PAGERDUTY[pagerduty.region])
        case plan.Opsgenie() as opsgenie:
            return OpsgenieChannel(opsgenie.api_key_from, secrets, post, address=OPSGENIE[opsgenie.region])
        case plan.Email() as email:
            return MailChannel(email, secrets, world.reach)
        case plan.Webhook() as hook:
            return WebhookChannel(
                hook.url_from,
                secrets,
                post,
                now=world.now,
                signing_key=hook.signing_key_from,
                token=hook.token_from,
                template=hook.template,
            )
        case plan.Alertmanager() as alertmanager:
            return AlertmanagerChannel(
                alertmanager.url_from, secrets, post, now=world.now, token=alertmanager.token_from
            )
        case other:
            raise TypeError(f"no channel for {type(other).__name__}")


def kinds_of(alert: plan.Alert) -> frozenset[Kind]:
    """What the channel is told: what its owner said, or everything; channels that page are spared what is only info."""
    if alert.on is not None:
        return frozenset(alert.on)
    pages = isinstance(alert.channel, PAGES)
    return frozenset(kind for kind, severity in SEVERITIES.items() if not (pages and severity == "info"))


def names_of(channels: Sequence[AlertChannel]) -> list[str]:
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
