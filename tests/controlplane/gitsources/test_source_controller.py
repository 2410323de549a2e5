"""Which hosts a source may lead us to: the addresses that were checked are the ones that git dials."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.dial_policy import Reach, networks_of
from tests.controlplane.gitops.origin import Origin
from tests.controlplane.gitsources.estate import Estate, estate


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Estate]:
    async with estate(tmp_path) as made:
        yield made


def leads_to(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Let `localhost` lead there, for this process alone."""
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *more: Any, **named: Any) -> Any:
        return real(address if host == "localhost" else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


async def test_s4_a_host_is_dialled_at_the_address_that_was_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git itself would look the name up again, and be led to 127.0.0.1."""
    async with estate(tmp_path, "127.0.0.2") as town:
        leads_to(monkeypatch, "127.0.0.2")
        town.commit(chat="bad1")
        with socket.create_server(("127.0.0.1", town.host.port)) as trap:
            async with town.operator():
                await town.follow(url=town.host.url_by_name("origin.git"))
                await town.until(lambda: "Roll back chat: v1 instead of bad1" in town.log())
            trap.settimeout(0)
            with pytest.raises(BlockingIOError):
                trap.accept()


async def test_s4_a_host_whose_name_cannot_be_resolved_is_not_left_to_git(
    town: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server may answer git otherwise than us a moment later."""
    real, answering = socket.getaddrinfo, False

    def getaddrinfo(host: Any, *more: Any, **named: Any) -> Any:
        if host == "localhost" and not answering:
            raise socket.gaierror(-2, "unknown")
        return real(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    town.commit("Try slow1", chat="slow1")
    async with town.operator():
        await town.follow(url=town.host.url_by_name("origin.git"))
        await town.until(lambda: "localhost is not dialled: its name cannot be resolved" in town.condition("Ready")[2])
        assert town.host.authorizations == []
        answering = True
        await town.until(lambda: town.clerk.began)


async def test_s4_a_repository_on_the_operators_own_machine_is_not_dialled(town: Estate) -> None:
    town.reach = Reach(loopback=False)
    town.commit("Try slow1", chat="slow1")
    async with town.operator():
        await town.follow()
        await town.until(lambda: "127.0.0.1 is not dialled" in town.condition("Ready")[2])
    assert town.host.authorizations == []


async def test_s4_an_api_on_the_operators_own_machine_is_not_dialled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The repository may be dialled, what its source names as the API may not: the token would go there."""
    async with estate(tmp_path, "127.0.0.2") as town:
        leads_to(monkeypatch, "127.0.0.2")
        town.reach = Reach(loopback=False, networks=networks_of("127.0.0.2"))
        town.origin = Origin(tmp_path / "team" / "origin.git")
        town.commit(chat="bad1")
        with socket.create_server(("127.0.0.1", 0)) as trap:
            api = f"http://127.0.0.1:{trap.getsockname()[1]}"
            async with town.operator():
                await town.follow(url=town.host.url_by_name("team/origin.git"), host={"kind": "gitea", "api": api})
                await town.until(lambda: any("its name leads back to this machine" in each for each in town.said))
            trap.settimeout(0)
            with pytest.raises(BlockingIOError):
                trap.accept()
