"""Mail over SMTP, as text and as HTML. All mails of one fact are one thread.

smtplib waits, so it works in a thread; when its time is over its connection is cut, and the thread ends with it.
"""

import asyncio
import hashlib
import smtplib
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from email.utils import format_datetime
from html import escape as html
from typing import Literal

from pydantic import SecretStr

from canary.alert import AlertNotice, text
from canary.errors import Unavailable
from canary.spec.alerts import Email
from controlplane.adapters.dial_policy import Address, NotDialled, Reach
from controlplane.alerts.channel import SECONDS, DeliveryRejected
from controlplane.alerts.secrets import Secrets

DOMAIN = "alerts.serinus.dev"
Security = Literal["starttls", "tls", "none"]


class MailChannel:
    """One server and those who get the mails."""

    keyed = False
    repeats = None

    def __init__(self, plan: Email, secrets: Secrets, reach: Reach, *, tls: ssl.SSLContext | None = None) -> None:
        """`tls`: the certificates to trust; None takes the machine's."""
        self.name = f"email ({', '.join(plan.to)})"
        self._plan, self._secrets, self._reach, self._tls = plan, secrets, reach, tls

    async def send(self, alert: AlertNotice) -> None:
        """Hand the mail to the server."""
        plan = self._plan
        host, _, port = plan.server.rpartition(":")
        host = host.strip("[]")
        try:
            address = (await self._reach.addresses(host, int(port)))[0]
        except NotDialled as error:
            raise DeliveryRejected(str(error)) from None
        login = None
        if plan.username_from and plan.password_from:
            login = (await self._secrets.read(plan.username_from), await self._secrets.read(plan.password_from))
        if self._tls is None and plan.security != "none":
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        session = SmtpSession(host, address, int(port), self._tls if plan.security != "none" else None)
        letter = message(alert, plan.sender, plan.to)
        try:
            await asyncio.to_thread(session.hand_over, letter, plan.security, login)
        finally:
            session.cut()

    async def resolve(self, alert: AlertNotice) -> None:
        """The end is a mail of its own, in the same thread."""
        await self.send(alert)


class SmtpSession(smtplib.SMTP):
    """One connection to an address that was checked, speaking to the server's name."""

    def __init__(self, host: str, address: Address, port: int, tls: ssl.SSLContext | None) -> None:
        """Connects nothing yet."""
        # Its own name is not looked up: a slow DNS would hold up the mail, and servers do not ask.
        super().__init__(timeout=SECONDS, local_hostname="[127.0.0.1]")
        self._host = host  # the name that the certificate is checked against
        self._address, self._port, self._context = address, port, tls
        self._implicit = False

    def hand_over(self, letter: EmailMessage, security: Security, login: tuple[SecretStr, SecretStr] | None) -> None:
        """Deliver one mail; raises `DeliveryRejected` or `Unavailable`, without what the server said."""
        self._implicit = security == "tls"
        try:
            self.connect(self._host, self._port)
            if security == "starttls":
                self.starttls(context=self._context)
            if login:
                self.login(login[0].get_secret_value(), login[1].get_secret_value())
            self.send_message(letter)
            self.quit()
        except smtplib.SMTPNotSupportedError:
            raise DeliveryRejected("it does not offer what is asked of it (STARTTLS, or a login)") from None
        except smtplib.SMTPAuthenticationError as error:
            raise DeliveryRejected(f"it answers {error.smtp_code}: the user or password is wrong") from None
        except smtplib.SMTPRecipientsRefused:
            raise DeliveryRejected("it takes mail for none of the addresses") from None
        except smtplib.SMTPResponseException as error:
            clause = f"it answers {error.smtp_code}"
            raise (DeliveryRejected(clause) if error.smtp_code >= 500 else Unavailable(clause)) from None
        except ssl.SSLCertVerificationError:
            raise Unavailable("its certificate is not trusted") from None
        except (OSError, smtplib.SMTPException) as error:
            raise Unavailable(f"it cannot be reached ({type(error).__name__})") from None
        finally:
            self.close()

    def cut(self) -> None:
        """Break the connection from another thread, so that the one that waits on it ends. It may be over already."""
        if (connection := self.sock) is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        """Where smtplib would look the name up once more, dial the address that was checked."""
        plain = socket.create_connection((str(self._address), port), timeout)
        if not self._implicit or self._context is None:
            return plain
        return self._context.wrap_socket(plain, server_hostname=self._host)


def message(alert: AlertNotice, sender: str, to: Sequence[str]) -> EmailMessage:
    """The mail. Its id is the same at every try; all mails of one fact refer to one id, which makes them a thread."""
    letter = EmailMessage(policy=WIRE)
    letter["Subject"] = f"[{'over' if alert.state == 'resolved' else alert.severity}] {alert.title}"
    letter["From"] = sender
    letter["To"] = ", ".join(to)
    letter["Date"] = format_datetime(datetime.fromtimestamp(alert.at, UTC))
    letter["Message-ID"] = _id(alert.id)
    letter["References"] = _id(f"{alert.key} {alert.began}")
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(text(alert) + "\n")
    letter.add_alternative(page(alert), subtype="html")
    return letter


def page(alert: AlertNotice) -> str:
    """The alert as HTML; every text is escaped."""
    rows = "".join(
        f'<tr><th align="left" style="padding-right:1em">{html(label)}</th><td>{html(value)}</td></tr>'
        for label, value in alert.facts
    )
    commands = "".join(f"<pre>{html(command)}</pre>" for command in alert.commands)
    link = f'<p><a href="{html(alert.link)}">Open the rollout</a></p>' if alert.link else ""
    return (
        f"<html><body><h2>{html(alert.title)}</h2><p>{html(alert.sentence)}</p>"
        f"<table>{rows}</table>{commands}{link}</body></html>\n"
    )


def _id(text: str) -> str:
    return f"<{hashlib.sha256(text.encode()).hexdigest()[:32]}@{DOMAIN}>"
