"""Posting: to the address that was checked, under the name that was meant, never in the clear over public networks."""

import asyncio
import socket
from ipaddress import ip_network
from typing import Any

import pytest
from pydantic import SecretStr

from canary.errors import Unavailable
from controlplane.adapters.dial_policy import Reach
from controlplane.alerts.channel import DeliveryRejected
from controlplane.alerts.post import Post
from tests.controlplane.alerts.receivers import Receiver, trusting

PLAIN = {"content-type": "text/plain"}


async def test_a_certificate_is_checked_against_the_name() -> None:
    """The connection goes to an address; the certificate still has to be for the name."""
    async with Receiver(tls=True) as server:
        await Post(Reach(), tls=trusting()).post(SecretStr(server.url("/a?b=c")), b"hello", PLAIN)
    (got,) = server.got
    assert (got.method, got.path, got.body) == ("POST", "/a?b=c", b"hello")
    assert got.headers["host"] == f"localhost:{server.port}"


async def test_a_certificate_for_another_name_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Receiver(tls=True) as server:
        loopback = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: loopback)
        allowed = Reach(networks=[ip_network("127.0.0.0/8")])
        with pytest.raises(Unavailable, match="its certificate is not trusted"):
            await Post(allowed, tls=trusting()).post(SecretStr(f"https://other.example.com:{server.port}/"), b"", PLAIN)
    assert server.got == []


async def test_an_unknown_certificate_is_not_trusted() -> None:
    async with Receiver(tls=True) as server:
        with pytest.raises(Unavailable, match="its certificate is not trusted"):
            await Post(Reach()).post(SecretStr(server.url()), b"", PLAIN)
    assert server.got == []


async def test_nothing_is_sent_in_the_clear_over_a_public_network(monkeypatch: pytest.MonkeyPatch) -> None:
    public = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: public)
    with pytest.raises(DeliveryRejected, match="is encrypted"):
        await Post(Reach()).post(SecretStr("http://hooks.example.com/"), b"", PLAIN)


async def test_a_name_without_a_server_at_its_first_address_is_tried_at_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`localhost` is ::1 first on many machines, where the server may not listen."""
    async with Receiver() as server:
        both = [(0, 0, 0, "", ("::1", server.port)), (0, 0, 0, "", ("127.0.0.1", server.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
        await Post(Reach()).post(SecretStr(f"http://localhost:{server.port}/"), b"x", PLAIN)
    assert len(server.got) == 1


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Receiver() as server, Receiver() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url(""))
        await Post(Reach()).post(SecretStr(server.url()), b"x", PLAIN)
    assert (len(server.got), len(proxy.got)) == (1, 0)


async def test_what_is_sent_carries_nothing_but_what_was_asked() -> None:
    """No token of a service account, no cookie, no credentials of the environment."""
    async with Receiver() as server:
        await Post(Reach()).post(SecretStr(server.url()), b"x", PLAIN)
    assert set(server.got[0].headers) == {"host", "content-type", "content-length", "user-agent"}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("ftp://127.0.0.1/MARKER", "does not begin with https://"),
        ("file:///etc/passwd", "does not begin with https://"),
        ("MARKER", "does not begin with https://"),
        ("https://", "does not begin with https://"),
        ("https://user:MARKER@example.com/", "has a user or password in it"),
        ("https://[::MARKER/", "is not one"),
        ("https://example.com:MARKER/", "is not one"),
        ("http://169.254.169.254/latest/meta-data/MARKER", "metadata"),
    ],
)
async def test_what_is_no_address_is_refused_and_not_repeated(address: str, expected: str) -> None:
    with pytest.raises(DeliveryRejected, match=expected) as caught:
        await Post(Reach()).post(SecretStr(address), b"", PLAIN)
    assert "MARKER" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


async def test_a_broken_answer_is_an_outage() -> None:
    async def nonsense(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        writer.close()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unavailable, match="the connection broke"):
            await Post(Reach()).post(SecretStr(f"http://127.0.0.1:{port}/"), b"", PLAIN)
