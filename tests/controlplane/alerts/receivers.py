"""Servers on loopback that take alerts and remember what they got: HTTP, and SMTP with or without STARTTLS.

`localhost.pem` is a certificate for localhost with its key; nothing but these tests trusts it.
"""

import asyncio
import base64
import contextlib
import json
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

PEM = Path(__file__).with_name("localhost.pem")


def trusting() -> ssl.SSLContext:
    """A client that trusts the certificate of these servers."""
    return ssl.create_default_context(cafile=str(PEM))


NAME = "receiver.example.test"


def rebinding(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Let `NAME` lead to each of these addresses in turn, then to the last for ever; answers what was looked up."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *more: Any, **named: Any) -> Any:
        host = host.decode() if isinstance(host, bytes) else host
        if host != NAME:
            return real(host, port, *more, **named)
        asked.append(host)
        return real(answers[min(len(asked), len(answers)) - 1], port, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def presenting() -> ssl.SSLContext:
    """The servers' side."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    return context


@dataclass(frozen=True)
class Got:
    """One request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class _Server:
    """What both have in common."""

    tls: bool = False
    port: int = 0
    host: str = "127.0.0.1"
    connections: int = 0
    """That were ever made to it."""
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; after `stop`, on the same port again."""
        implicit = presenting() if self.tls else None
        self._server = await asyncio.start_server(self._serve, self.host, self.port, ssl=implicit)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and break every connection."""
        if self._server:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
                await self._talk(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError


@dataclass
class Receiver(_Server):
    """An HTTP server: answers the statuses in `answers` in turn, then 200."""

    got: list[Got] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False
    """Takes the request and never answers."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/hook") -> str:
        scheme, host = ("https", "localhost") if self.tls else ("http", "127.0.0.1")
        return f"{scheme}://{host}:{self.port}{path}"

    async def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait for requests until the condition holds."""
        async with asyncio.timeout(seconds):
            while not condition():
                self.arrived.clear()
                await self.arrived.wait()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.got.append(Got(method, path, headers, body))
        self.arrived.set()
        if self.hangs:
            await asyncio.Event().wait()
        status = self.answers.pop(0) if self.answers else 200
        extra = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        # A receiver may repeat what it was sent; no secret may come back through that.
        answer = b"you sent " + body
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(answer)}\r\n{extra}\r\n".encode() + answer)
        await writer.drain()


@dataclass
class MailServer(_Server):
    """An SMTP server with STARTTLS that takes one user. `refuse` answers a command with a line of its own."""

    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    starttls: bool = True
    refuse: dict[str, str] = field(default_factory=dict)
    hangs: bool = False
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def address(self) -> str:
        return f"localhost:{self.port}"

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.set()
        if self.hangs:
            await reader.read()
            self.left.set()
            return
        secure = self.tls
        writer.write(b"220 here\r\n")
        while line := (await reader.readline()).decode().strip():
            word = line.split(" ")[0].upper()
            if word in self.refuse:
                writer.write(f"{self.refuse[word]}\r\n".encode())
                continue
            match word:
                case "EHLO":
                    offers = ["here", "AUTH PLAIN", *(["STARTTLS"] if self.starttls and not secure else [])]
                    marks = ["-"] * (len(offers) - 1) + [" "]
                    writer.write("".join(f"250{m}{o}\r\n" for m, o in zip(marks, offers, strict=True)).encode())
                case "STARTTLS":
                    writer.write(b"220 go\r\n")
                    await writer.drain()
                    await writer.start_tls(presenting())
                    secure = True
                case "AUTH":
                    self.logins.append(base64.b64decode(line.split(" ")[2]).decode())
                    writer.write(b"235 in\r\n")
                case "RCPT":
                    self.recipients.append(line)
                    writer.write(b"250 ok\r\n")
                case "DATA":
                    writer.write(b"354 go on\r\n")
                    content = await reader.readuntil(b"\r\n.\r\n")
                    mail = message_from_bytes(content[:-3], policy=policy.default)
                    assert isinstance(mail, EmailMessage)
                    self.mails.append(mail)
                    self.encrypted.append(secure)
                    writer.write(b"250 kept\r\n")
                case "QUIT":
                    writer.write(b"221 bye\r\n")
                    return
                case _:
                    writer.write(b"250 ok\r\n")
