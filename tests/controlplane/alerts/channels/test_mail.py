"""Mails: what stands in them, how they travel, and a server that never answers."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from canary.alert import text
from canary.errors import Unavailable
from canary.spec.alerts import Email
from controlplane.adapters.dial_policy import Reach
from controlplane.alerts.channel import DeliveryRejected
from controlplane.alerts.channels.mail import MailChannel, message, page
from tests.controlplane.alerts.receivers import MailServer, trusting
from tests.controlplane.alerts.samples import BLIND, ROLLED_BACK, SEES_AGAIN, Given, hostile, ref

TO = ("a@example.com", "b@example.com")


def a_channel(server: MailServer, *, reach: Reach | None = None, trusts: bool = True, **fields: object) -> MailChannel:
    plan = Email.model_validate({"to": TO, "from": "s@example.com", "server": server.address, **fields})
    secrets = Given(user="serinus", password="PASS")
    return MailChannel(plan, secrets, reach or Reach(), tls=trusting() if trusts else None)


LOGIN: dict[str, Any] = {"usernameFrom": ref("user"), "passwordFrom": ref("password")}


def test_a_mail_has_a_subject_both_forms_and_says_that_nobody_wrote_it() -> None:
    mail = message(ROLLED_BACK, "s@example.com", TO)
    assert mail["Subject"] == "[critical] support-llm was rolled back"
    assert mail["To"] == "a@example.com, b@example.com"
    assert mail["From"] == "s@example.com"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"] == "Tue, 14 Nov 2023 22:13:21 +0000"
    plain, html = mail.iter_parts()
    assert plain.get_content().strip() == text(ROLLED_BACK)
    assert html.get_content().strip() == page(ROLLED_BACK).strip()


def test_all_mails_of_one_fact_are_one_thread_and_a_retry_is_the_same_mail() -> None:
    first, again, end, other = (message(each, "s@e.com", TO) for each in (BLIND, BLIND, SEES_AGAIN, ROLLED_BACK))
    assert first["Message-ID"] == again["Message-ID"] != end["Message-ID"]
    assert first["References"] == end["References"] != other["References"]
    assert end["Subject"].startswith("[over] Over: support-llm is blind")


def test_s6_texts_from_outside_are_neither_html_nor_headers() -> None:
    html = page(hostile())
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert 'href="https://evil' not in html
    tricky = replace(ROLLED_BACK, rollout="x" * 500, sentence="Bcc: all@example.com")
    mail = message(tricky, "s@example.com", TO)
    assert mail["Bcc"] is None
    assert b"\r\nBcc:" not in mail.as_bytes().split(b"\r\n\r\n")[0]


async def test_a_mail_travels_encrypted_and_with_a_login() -> None:
    async with MailServer() as server:
        await a_channel(server, **LOGIN).send(ROLLED_BACK)
    assert server.encrypted == [True]
    assert server.logins == ["\0serinus\0PASS"]
    assert len(server.recipients) == 2
    (mail,) = server.mails
    assert mail["Subject"] == "[critical] support-llm was rolled back"


async def test_a_mail_travels_over_tls_from_the_first_byte() -> None:
    async with MailServer(tls=True) as server:
        await a_channel(server, security="tls", **LOGIN).send(ROLLED_BACK)
    assert server.encrypted == [True]
    assert server.logins == ["\0serinus\0PASS"]


async def test_a_mail_travels_in_the_clear_where_that_was_asked_for() -> None:
    async with MailServer() as server:
        await a_channel(server, security="none").send(ROLLED_BACK)
    assert server.encrypted == [False]


async def test_nothing_is_sent_to_a_server_that_cannot_encrypt() -> None:
    """An attacker in between may take STARTTLS out of the offer; the password stays here."""
    async with MailServer(starttls=False) as server:
        with pytest.raises(DeliveryRejected, match="does not offer what is asked"):
            await a_channel(server, **LOGIN).send(ROLLED_BACK)
    assert (server.mails, server.logins) == ([], [])


async def test_nothing_is_sent_to_a_server_with_an_unknown_certificate() -> None:
    async with MailServer() as server:
        with pytest.raises(Unavailable, match="certificate is not trusted"):
            await a_channel(server, trusts=False, **LOGIN).send(ROLLED_BACK)
    assert (server.mails, server.logins) == ([], [])


@pytest.mark.parametrize(
    ("word", "line", "error", "expected"),
    [
        ("AUTH", "535 wrong: PASS", DeliveryRejected, "535: the user or password is wrong"),
        ("RCPT", "550 nobody", DeliveryRejected, "takes mail for none"),
        ("MAIL", "451 busy", Unavailable, "it answers 451"),
        ("MAIL", "552 too much", DeliveryRejected, "it answers 552"),
        ("DATA", "421 going", Unavailable, "it answers 421"),
    ],
)
async def test_what_a_server_answers_decides_whether_it_is_tried_again(
    word: str, line: str, error: type[Exception], expected: str
) -> None:
    async with MailServer(refuse={word: line}) as server:
        with pytest.raises(error, match=expected) as caught:
            await a_channel(server, **LOGIN).send(ROLLED_BACK)
    assert "PASS" not in str(caught.value)


async def test_a_server_that_never_answers_is_left_and_the_thread_with_it() -> None:
    async with MailServer(hangs=True) as server:
        sending = asyncio.ensure_future(a_channel(server).send(ROLLED_BACK))
        await server.asked.wait()
        sending.cancel()
        async with asyncio.timeout(60):
            await server.left.wait()
        with pytest.raises(asyncio.CancelledError):
            await sending


async def test_a_server_in_a_forbidden_place_is_not_dialled() -> None:
    async with MailServer() as server:
        with pytest.raises(DeliveryRejected, match="back to this machine"):
            await a_channel(server, reach=Reach(loopback=False)).send(ROLLED_BACK)
    assert not server.asked.is_set()
