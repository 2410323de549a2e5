"""The way over ssh, to OpenSSH's own server on loopback: keys, a host that is not known, and a whole rollback."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from canary.errors import ExternalError
from controlplane.gitops.bare_repository import BareRepository
from controlplane.gitops.remote import Remote, remote
from tests.controlplane.gitops.origin import Origin
from tests.controlplane.gitops.sshd import SSHD, Server, make_key, ssh_server
from tests.controlplane.gitops.town import Town, file

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(SSHD is None, reason="no ssh server on this machine: scripts/sshd.sh says why"),
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with ssh_server(tmp_path / "ssh") as serving:
        yield serving


def over_ssh(server: Server, origin: Origin, key: Path | None = None) -> Remote:
    return remote(server.url(origin.folder), key=key or server.key, known_hosts=server.known_hosts)


async def test_a_canary_comes_and_its_rollback_goes_over_ssh(tmp_path: Path, server: Server) -> None:
    town = Town(tmp_path)
    town.origin.commit({"apps/chat/canary.yml": file("chat", "bad2")})
    async with town.controller(there=over_ssh(server, town.origin)):
        await town.until_commits(2)
    assert town.origin.text("apps/chat/canary.yml") == file("chat", "v1")
    assert "Accepted publickey" in server.log.read_text()


async def test_s4_ssh_dials_the_address_that_was_checked_and_trusts_the_key_of_the_name(
    tmp_path: Path, server: Server
) -> None:
    """A name that leads nowhere; its key is known under the name alone."""
    origin = Origin(tmp_path / "origin.git")
    origin.commit({"a": "1"})
    name = "git.example.test"
    server.known_hosts.write_text(server.known_hosts.read_text().replace("127.0.0.1", name))
    url = server.url(origin.folder).replace("127.0.0.1", name)
    there = remote(url, key=server.key, known_hosts=server.known_hosts)
    store = BareRepository(tmp_path / "store", replace(there, addresses=lambda: [ip_address("127.0.0.1")]))
    await store.open()
    assert await store.fetch() == origin.head()


async def test_a_key_that_the_server_does_not_know_is_told_as_that(tmp_path: Path, server: Server) -> None:
    origin = Origin(tmp_path / "origin.git")
    origin.commit({"a": "1"})
    store = BareRepository(tmp_path / "store", over_ssh(server, origin, make_key(tmp_path / "other")))
    await store.open()
    with pytest.raises(ExternalError, match="does not accept the credentials"):
        await store.fetch()


async def test_a_server_with_another_host_key_is_not_spoken_with(tmp_path: Path, server: Server) -> None:
    origin = Origin(tmp_path / "origin.git")
    other = make_key(tmp_path / "other").with_suffix(".pub").read_text().rsplit(" ", 1)[0]
    server.known_hosts.write_text(f"[127.0.0.1]:{server.port} {other}\n")
    store = BareRepository(tmp_path / "store", over_ssh(server, origin))
    await store.open()
    with pytest.raises(ExternalError, match="Host key verification failed"):
        await store.fetch()
