"""Who we are and whom we trust, against a server on this machine with real TLS."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from canary.errors import BadInput, Unavailable
from controlplane.adapters.bounded_http import BoundedHttp, NotThere
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.adapters.prometheus_auth import Credentials, PrometheusAuth
from tests.controlplane.adapters.pages import PageServer
from tests.controlplane.alerts.receivers import PEM, presenting

EMPTY = '{"status":"success","data":{"resultType":"vector","result":[]}}'


class SafeServer(PageServer):
    """The same pages over TLS; `strict` wants to see a certificate of its clients."""

    def __init__(self, *, strict: bool = False) -> None:
        super().__init__()
        self._strict = strict

    async def start(self) -> None:
        """Listen with a certificate."""
        context = presenting()
        if self._strict:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(PEM)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.address = f"localhost:{self._server.sockets[0].getsockname()[1]}"
        self.put("/api/v1/query", EMPTY)


@pytest.fixture
async def safe() -> AsyncIterator[SafeServer]:
    async with SafeServer() as server:
        yield server


async def _ask(url: str, access: PrometheusAuth) -> None:
    credentials = Credentials(access, url)
    api = PrometheusApi(url, seconds=2, http=BoundedHttp(tls=credentials.tls, headers=credentials.headers))
    try:
        assert await api.query("up") == []
    finally:
        await api.close()


async def _asked(access: PrometheusAuth) -> dict[str, str]:
    """The headers that arrive."""
    async with PageServer() as server:
        server.put("/api/v1/query", EMPTY)
        await _ask(server.url(""), access)
        return dict(server.asked[0].headers)


async def test_a_prometheus_that_is_open_gets_nothing() -> None:
    assert "authorization" not in await _asked(PrometheusAuth())


async def test_headers_and_basic_authentication_arrive(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("open sesame\n")
    access = PrometheusAuth(username="ada", password_file=tmp_path / "password", headers={"X-Scope-OrgID": "team-a"})
    headers = await _asked(access)
    assert headers["authorization"] == "Basic YWRhOm9wZW4gc2VzYW1l"
    assert headers["x-scope-orgid"] == "team-a"


async def test_a_token_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """Kubernetes renews the tokens of service accounts under a running program."""
    file = tmp_path / "token"
    file.write_text("first\n")
    async with PageServer() as server:
        server.put("/api/v1/query", EMPTY)
        credentials = Credentials(PrometheusAuth(bearer_file=file), server.url(""))
        api = PrometheusApi(server.url(""), seconds=2, http=BoundedHttp(headers=credentials.headers))
        await api.query("up")
        (tmp_path / "new").write_text("second\n")
        (tmp_path / "new").replace(file)
        await api.query("up")
        file.unlink()
        await api.query("up")
        await api.close()
        assert [asked.headers["authorization"] for asked in server.asked] == [
            "Bearer first",
            "Bearer second",
            "Bearer second",
        ]


async def test_only_a_certificate_of_the_named_authority_is_trusted(safe: SafeServer) -> None:
    """Without it nothing is sent, and the error says which of the two it is."""
    url = f"https://{safe.address}"
    await _ask(url, PrometheusAuth(ca_file=PEM))
    with pytest.raises(Unavailable, match="its certificate is not accepted") as caught:
        await _ask(url, PrometheusAuth())
    assert not isinstance(caught.value, NotThere)
    assert len(safe.asked) == 1


async def test_a_server_that_wants_to_know_us_gets_our_certificate(tmp_path: Path) -> None:
    async with SafeServer(strict=True) as server:
        url = f"https://{server.address}"
        await _ask(url, PrometheusAuth(ca_file=PEM, certificate_file=PEM))
        with pytest.raises(Unavailable):
            await _ask(url, PrometheusAuth(ca_file=PEM))


async def test_a_renewed_certificate_is_taken_up_and_a_broken_one_is_said(tmp_path: Path) -> None:
    file = tmp_path / "client.pem"
    file.write_bytes(PEM.read_bytes())
    credentials = Credentials(PrometheusAuth(ca_file=PEM, certificate_file=file), "https://localhost")
    file.write_text("not one\n")
    os.utime(file, (1, 1))
    with pytest.raises(Unavailable, match=r"client\.pem cannot be used"):
        credentials.headers()


@pytest.mark.parametrize(
    ("access", "what"),
    [
        ({"bearer_file": Path("t"), "username": "ada", "password_file": Path("p")}, "not with both"),
        ({"username": "ada"}, "a username and a file"),
        ({"key_file": Path("k")}, "without its certificate"),
        ({"headers": {"X-Evil": "a\r\nb: c"}}, "X-Evil"),
        ({"headers": {"X Evil": "a"}}, "X Evil"),
        ({"ca_file": PEM}, "not asked over https"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(access: dict[str, Any], what: str) -> None:
    with pytest.raises(BadInput, match=what):
        Credentials(PrometheusAuth(**access), "http://prometheus:9090")


@pytest.mark.parametrize(
    ("content", "what"),
    [(None, "No such file"), (b"", "nothing that can"), (b"a\nb", "nothing"), (b"\xff", "not text")],
)
def test_a_token_that_cannot_be_sent_is_said_without_showing_it(
    tmp_path: Path, content: bytes | None, what: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Unavailable, match=what):
        Credentials(PrometheusAuth(bearer_file=file), "http://prometheus:9090")


def test_a_file_without_certificates_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing\n")
    with pytest.raises(BadInput, match=r"ca\.pem holds no certificates"):
        Credentials(PrometheusAuth(ca_file=tmp_path / "ca.pem"), "https://prometheus:9090")
