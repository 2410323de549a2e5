"""The way over HTTP, against the real `git http-backend`: tokens, what hosts say about them, and where they lead us."""

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from canary.errors import BadInput, ExternalError
from controlplane.gitops.bare_repository import BareRepository
from controlplane.gitops.remote import remote
from tests.controlplane.gitops.host import Host, hosted
from tests.controlplane.gitops.origin import Origin
from tests.controlplane.gitops.town import Town, file

SECRET = "glpat-MARKER-0123456789"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with hosted(tmp_path, SECRET) as served:
        yield served


def token(folder: Path, content: str = SECRET) -> Path:
    """A file with a token, as a Secret is mounted."""
    (folder / "token").write_text(f"{content}\n")
    return folder / "token"


def everything_written(folder: Path) -> bytes:
    """All that stands in files below, but for the token itself."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "token")


async def test_a_token_from_a_file_reads_and_writes_over_http(tmp_path: Path, host: Host) -> None:
    """And a token that is replaced is taken at the next call."""
    origin = Origin(tmp_path / "origin.git")
    origin.commit({"canary.yml": "old"})
    store = BareRepository(
        tmp_path / "store", remote(host.url("origin.git"), token=token(tmp_path, "wrong"), user="bot")
    )
    await store.open()
    with pytest.raises(ExternalError, match="does not accept the credentials"):
        await store.fetch()
    token(tmp_path)
    assert await store.writer.commit("canary.yml", lambda _: b"new", "Change", lambda _: False) == origin.head()
    assert origin.text("canary.yml") == "new"
    await store.writer.note(origin.head(), "noted")
    assert origin.note(origin.head()).strip() == "noted"


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
async def test_s7_no_answer_of_a_host_brings_the_token_into_a_message_or_a_file(
    tmp_path: Path, host: Host, status: int
) -> None:
    """The host repeats it in its own words; we repeat it in none of ours."""
    Origin(tmp_path / "origin.git").commit({"canary.yml": "old"})
    store = BareRepository(tmp_path / "store", remote(host.url("origin.git"), token=token(tmp_path), user="bot"))
    await store.open()
    host.refuses_with = status
    with pytest.raises(ExternalError) as error:
        await store.fetch()
    told = f"{error.value!r} {error.value} {error.value.__cause__!r}"
    assert SECRET not in told
    assert SECRET.encode() not in everything_written(tmp_path / "store")
    assert any(host.authorizations) is (status == 401)


@pytest.mark.parametrize(("answer", "said"), [("git version 2.25.1", "is too old"), ("", "is too old")])
async def test_a_git_that_cannot_be_hardened_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, said: str
) -> None:
    """An old one would ignore our configuration without a word."""
    script = tmp_path / "git"
    script.write_text(f"#!/bin/sh\necho '{answer}'\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match=said):
        await BareRepository(tmp_path / "store", remote("https://host.example/x")).check()
    script.unlink()
    with pytest.raises(BadInput, match="not installed"):
        await BareRepository(tmp_path / "store", remote("https://host.example/x")).check()


async def test_git_goes_over_ssh_with_the_key_and_nothing_of_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program called ssh stands in for the client: it notes how it was called and does what the far end would."""
    origin = Origin(tmp_path / "origin.git")
    origin.commit({"canary.yml": "old"})
    calls = tmp_path / "calls"
    client = tmp_path / "bin" / "ssh"
    client.parent.mkdir()
    client.write_text(f'#!/bin/sh\necho "$*" >> {calls}\nfor last; do :; done\nexec sh -c "$last"\n')
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{client.parent}:{os.environ['PATH']}")
    (tmp_path / "key").touch()
    there = remote(f"ssh://git@host.example{origin.folder}", key=tmp_path / "key")
    store = BareRepository(tmp_path / "store", there)
    await store.open()
    assert await store.writer.commit("canary.yml", lambda _: b"new", "Change", lambda _: False) == origin.head()
    assert origin.text("canary.yml") == "new"
    for call in calls.read_text().splitlines():
        assert call.startswith("-F /dev/null -oBatchMode=yes -oStrictHostKeyChecking=yes")
        assert f"-i {tmp_path / 'key'} " in call
        assert " git@host.example git-" in call


async def test_s7_the_token_is_in_no_process_list(tmp_path: Path, host: Host) -> None:
    """Neither as an argument nor in the variables of git."""
    origin = Origin(tmp_path / "origin.git")
    origin.commit({"canary.yml": "old"})
    store = BareRepository(tmp_path / "store", remote(host.url("origin.git"), token=token(tmp_path), user="bot"))
    assert SECRET not in str(store._git._environment())
    await store.open()
    await store.fetch()
    assert SECRET.encode() not in everything_written(tmp_path / "store")


async def test_s4_a_host_that_leads_elsewhere_is_not_followed(tmp_path: Path, host: Host) -> None:
    """The token would go along."""
    Origin(tmp_path / "origin.git").commit({"canary.yml": "old"})
    with hosted(tmp_path, "other") as elsewhere:
        host.redirects_to = f"http://127.0.0.1:{elsewhere.port}"
        store = BareRepository(tmp_path / "store", remote(host.url("origin.git"), token=token(tmp_path), user="bot"))
        await store.open()
        with pytest.raises(ExternalError):
            await store.fetch()
        assert elsewhere.authorizations == []


async def test_s4_git_dials_the_addresses_that_were_checked_and_no_other(tmp_path: Path) -> None:
    """The name leads to 127.0.0.1, where a trap waits; the address that was checked is another."""
    origin = Origin(tmp_path / "origin.git")
    origin.commit({"canary.yml": "old"})
    with hosted(tmp_path, SECRET, "127.0.0.2") as host, socket.create_server(("127.0.0.1", host.port)) as trap:
        there = remote(host.url_by_name("origin.git"), token=token(tmp_path), user="bot")
        checked = replace(there, addresses=lambda: [ip_address("127.0.0.2")])
        store = BareRepository(tmp_path / "store", checked)
        await store.open()
        assert await store.writer.commit("canary.yml", lambda _: b"new", "Change", lambda _: False) == origin.head()
        trap.settimeout(0)
        with pytest.raises(BlockingIOError):
            trap.accept()


async def test_s4_a_git_that_would_ignore_the_addresses_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "git").write_text("#!/bin/sh\necho 'git version 2.36.6'\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    there = remote("https://host.example/x")
    await BareRepository(tmp_path / "store", there).check()
    with pytest.raises(BadInput, match=r"2\.37 or newer"):
        await BareRepository(tmp_path / "store", replace(there, addresses=lambda: [ip_address("127.0.0.2")])).check()


async def test_s7_an_expired_token_delays_the_rollback_commit_and_is_told_without_it(
    tmp_path: Path, host: Host
) -> None:
    """The whole controller over HTTP: refused, told once, then written when the token is renewed."""
    town = Town(tmp_path)
    town.origin.commit({"apps/chat/canary.yml": file("chat", "slow1")})
    there = remote(host.url("origin.git"), token=token(tmp_path), user="bot")
    async with town.controller(there=there):
        await town.until(lambda: town.machine.began)
        town.origin.commit({"apps/chat/canary.yml": file("chat", "bad2")})
        await town.until_commits(3)
        host.token = "glpat-RENEWED"
        await town.until_said("cannot be read", "does not accept the credentials")
        town.origin.commit({"apps/chat/canary.yml": file("chat", "bad3")})
        token(tmp_path, "glpat-RENEWED")
        await town.until_commits(5)
    said = "\n".join(town.said) + town.origin.message()
    assert SECRET not in said
    assert "RENEWED" not in said
