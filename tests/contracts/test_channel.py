"""What every alert channel promises, asked of all of them with real servers on loopback."""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from canary.errors import ExternalError, Unavailable
from canary.spec.alerts import Email
from controlplane.adapters.dial_policy import Reach, networks_of
from controlplane.alerts.channel import AlertChannel, DeliveryDeferred, DeliveryRejected
from controlplane.alerts.channels.alertmanager import AlertmanagerChannel
from controlplane.alerts.channels.discord import DiscordChannel
from controlplane.alerts.channels.mail import MailChannel
from controlplane.alerts.channels.opsgenie import OpsgenieChannel
from controlplane.alerts.channels.pagerduty import PagerDutyChannel
from controlplane.alerts.channels.slack import SlackChannel
from controlplane.alerts.channels.teams import TeamsChannel
from controlplane.alerts.channels.webhook import WebhookChannel
from controlplane.alerts.post import Post
from controlplane.alerts.secrets import Missing
from tests.controlplane.alerts.receivers import NAME, MailServer, Receiver, rebinding, trusting
from tests.controlplane.alerts.samples import BLIND, ROLLED_BACK, SEES_AGAIN, Given, hostile, ref

MARKER = "MARKER-9c41"
"""Stands in every secret; whoever shows it leaks."""
HTTP: dict[str, Callable[[Given, Post, str], AlertChannel]] = {
    "slack": lambda secrets, post, _: SlackChannel(ref("url"), secrets, post, channel="#ml"),
    "teams": lambda secrets, post, _: TeamsChannel(ref("url"), secrets, post),
    "discord": lambda secrets, post, _: DiscordChannel(ref("url"), secrets, post),
    "pagerduty": lambda secrets, post, url: PagerDutyChannel(ref("key"), secrets, post, address=url),
    "opsgenie": lambda secrets, post, url: OpsgenieChannel(ref("key"), secrets, post, address=url),
    "webhook": lambda secrets, post, _: WebhookChannel(
        ref("url"), secrets, post, now=lambda: 5.0, signing_key=ref("key"), token=ref("token")
    ),
    "alertmanager": lambda secrets, post, _: AlertmanagerChannel(
        ref("url"), secrets, post, now=lambda: 5.0, token=ref("token")
    ),
}


@dataclass
class Rig:
    """A channel and its server, with the same handles for HTTP and mail."""

    channel: AlertChannel
    server: Receiver | MailServer
    secrets: Given

    def arrived(self) -> list[str]:
        """What was delivered, as raw text."""
        if isinstance(self.server, Receiver):
            return [got.body.decode() for got in self.server.got]
        return [str(mail.get_body(("plain",)).get_content()) for mail in self.server.mails]  # type: ignore[union-attr]  # all have one

    def answer(self, status: int) -> None:
        """The next answer; for mail the code that means the same."""
        if isinstance(self.server, Receiver):
            self.server.answers = [status]
        else:
            self.server.refuse = {"MAIL": "451 later" if status >= 500 else f"550 no {MARKER}"}


@pytest.fixture(params=[*HTTP, "email"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    if request.param == "email":
        async with MailServer() as mails:
            secrets = Given(user=f"user-{MARKER}", password=MARKER)
            plan = Email.model_validate(
                {
                    "to": ["a@example.com"],
                    "from": "s@example.com",
                    "server": mails.address,
                    "usernameFrom": ref("user"),
                    "passwordFrom": ref("password"),
                }
            )
            yield Rig(MailChannel(plan, secrets, Reach(), tls=trusting()), mails, secrets)
        return
    async with Receiver() as web:
        secrets = Given(url=web.url(f"/{MARKER}"), key=MARKER, token=MARKER)
        yield Rig(HTTP[request.param](secrets, Post(Reach(), seconds=0.5), web.url("")), web, secrets)


async def test_a_fact_arrives_once(rig: Rig) -> None:
    await rig.channel.send(ROLLED_BACK)
    (message,) = rig.arrived()
    assert "15.6 % on the canary" in message.replace("\\", "").replace("=\n", "")


async def test_an_end_arrives_once(rig: Rig) -> None:
    await rig.channel.resolve(SEES_AGAIN)
    assert len(rig.arrived()) == 1


async def test_a_message_that_is_sent_again_is_the_same(rig: Rig) -> None:
    """So that a receiver that knows keys recognises it."""
    await rig.channel.send(BLIND)
    await rig.channel.send(BLIND)
    first, second = rig.arrived()
    assert first == second


async def test_a_failing_server_is_an_outage(rig: Rig) -> None:
    rig.answer(503)
    with pytest.raises(Unavailable):
        await rig.channel.send(ROLLED_BACK)


async def test_a_server_that_says_no_refuses(rig: Rig) -> None:
    rig.answer(400)
    with pytest.raises(DeliveryRejected):
        await rig.channel.send(ROLLED_BACK)


async def test_a_server_that_is_away_is_an_outage_and_then_works_again(rig: Rig) -> None:
    await rig.server.stop()
    with pytest.raises(Unavailable):
        await rig.channel.send(ROLLED_BACK)
    await rig.server.start()
    await rig.channel.send(ROLLED_BACK)
    assert len(rig.arrived()) == 1


async def test_a_missing_secret_is_named_and_found_once_it_is_there(rig: Rig) -> None:
    values, rig.secrets.values = rig.secrets.values, {}
    with pytest.raises(Missing, match="given/"):
        await rig.channel.send(ROLLED_BACK)
    rig.secrets.values = values
    await rig.channel.send(ROLLED_BACK)
    assert len(rig.arrived()) == 1


@pytest.mark.parametrize("status", [0, 302, 400, 401, 403, 404, 429, 500])
async def test_no_secret_is_ever_shown(rig: Rig, status: int, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in an error, nor in its traceback, nor in any log of any library."""
    caplog.set_level(logging.DEBUG)
    if status:
        rig.answer(status)
    else:
        await rig.server.stop()
    with pytest.raises(ExternalError) as caught:
        await rig.channel.send(ROLLED_BACK)
    shown = [str(caught.value), repr(rig.channel), rig.channel.name, caplog.text]
    shown += traceback.format_exception(caught.value)
    assert not [text for text in shown if MARKER in text]


async def test_hostile_texts_do_not_break_the_message(rig: Rig) -> None:
    await rig.channel.send(hostile())
    assert len(rig.arrived()) == 1


async def test_a_name_says_kind_and_reference(rig: Rig) -> None:
    kind, _, reference = rig.channel.name.partition(" ")
    assert kind == type(rig.channel).__name__.removesuffix("Channel").lower().replace("mail", "email")
    assert reference.startswith("(")


@pytest.fixture(params=HTTP)
async def web(request: pytest.FixtureRequest) -> AsyncIterator[tuple[AlertChannel, Receiver]]:
    async with Receiver() as server:
        secrets = Given(url=server.url(), key="key", token="token")
        yield HTTP[request.param](secrets, Post(Reach(), seconds=0.3), server.url("")), server


@pytest.mark.parametrize("kind", [*HTTP, "email"])
async def test_s4_the_address_that_was_checked_is_the_one_that_is_dialled(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that leads elsewhere as soon as it was checked gets nobody there: it is looked up once."""
    reach = Reach(networks=networks_of("127.0.0.0/8"))
    servers: tuple[Receiver | MailServer, Receiver | MailServer]
    if kind == "email":
        servers = MailServer(), MailServer(host="127.0.0.2")
    else:
        servers = Receiver(), Receiver(host="127.0.0.2")
    checked, trap = servers
    async with checked:
        trap.port = checked.port
        async with trap:
            asked = rebinding(monkeypatch, "127.0.0.1", "127.0.0.2")
            await at_name(kind, reach, checked.port).send(ROLLED_BACK)
    assert asked == [NAME]
    assert [each.connections for each in servers] == [1, 0]


def at_name(kind: str, reach: Reach, port: int) -> AlertChannel:
    """A channel whose receiver is written as a name."""
    url = f"http://{NAME}:{port}/"
    if kind != "email":
        return HTTP[kind](Given(url=url, key="key", token="token"), Post(reach), url)
    plan = {"to": ["a@example.com"], "from": "s@example.com", "server": f"{NAME}:{port}", "security": "none"}
    return MailChannel(Email.model_validate(plan), Given(), reach)


async def test_a_redirect_is_not_followed(web: tuple[AlertChannel, Receiver]) -> None:
    channel, server = web
    server.answers, server.headers = [302], {"location": server.url("/elsewhere")}
    with pytest.raises(DeliveryRejected, match="redirect"):
        await channel.send(ROLLED_BACK)
    assert len(server.got) == 1


async def test_a_server_that_asks_to_wait_is_heard(web: tuple[AlertChannel, Receiver]) -> None:
    channel, server = web
    server.answers, server.headers = [429], {"retry-after": "17"}
    with pytest.raises(DeliveryDeferred) as caught:
        await channel.send(ROLLED_BACK)
    assert caught.value.wait == 17


async def test_a_server_that_hangs_is_left(web: tuple[AlertChannel, Receiver]) -> None:
    channel, server = web
    server.hangs = True
    async with asyncio.timeout(60):
        with pytest.raises(Unavailable, match=r"no answer within 0\.3 s"):
            await channel.send(ROLLED_BACK)


async def test_no_session_and_no_cookie_is_kept(web: tuple[AlertChannel, Receiver]) -> None:
    channel, server = web
    server.headers = {"set-cookie": "a=b"}
    await channel.send(ROLLED_BACK)
    await channel.send(ROLLED_BACK)
    sent: list[Any] = [got.headers.get("cookie") for got in server.got]
    assert sent == [None, None]
