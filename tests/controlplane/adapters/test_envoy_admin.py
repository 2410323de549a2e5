"""Whom a real Envoy answers about itself: its owner through a socket, and a Prometheus its counters alone."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from stat import S_IMODE

import psutil
import pytest

from canary.errors import ExternalError
from canary.weights import ALL_STABLE, Arm
from controlplane.adapters.envoy import EnvoyRouter
from controlplane.adapters.envoy_process import EnvoyProcess
from controlplane.adapters.process_http import loopback_client
from controlplane.adapters.prometheus import PrometheusSource
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.adapters.prometheus_server import MISSING, PrometheusServer, find_prometheus
from controlplane.adapters.scrape import ScrapeSource
from controlplane.adapters.system_clock import SystemClock
from controlplane.private_files import read_json, write_json
from tests.controlplane.adapters.upstreams import ask, upstream
from tests.controlplane.adapters.waiting import PATIENCE_S
from tests.controlplane.other_user import AS_ROOT, BECOME, open_to_all

pytestmark = pytest.mark.real
SECRETS = ("/config_dump", "/stats", "/stats/recentlookups", "/ready", "/clusters", "/server_info", "/quitquitquit")
EVASIONS = (
    "/stats/prometheus/../../config_dump",
    "/stats/prometheus/..%2f..%2fconfig_dump",
    "//stats/prometheus",
    "/stats/prometheus/",
    "/stats/prometheus;/config_dump",
)
CONNECT = "socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
NAMES: Mapping[Arm, str] = {"stable": "v1", "canary": "v2"}


@pytest.fixture
async def folder() -> AsyncIterator[Path]:
    """A state folder to which every user has a way; no Envoy of it is left."""
    with open_to_all() as made:
        yield made / "envoy"
        for record in made.rglob("envoy.json"):
            await EnvoyProcess(record.parent, print).stop_left_behind(grace_s=0.0)


@pytest.fixture
async def router(folder: Path) -> AsyncIterator[EnvoyRouter]:
    async with opened(folder) as made:
        yield made
        await made.close(grace_s=0.0)


def opened(folder: Path) -> EnvoyRouter:
    """A router on this folder."""
    return EnvoyRouter(folder, listen="127.0.0.1:0", now=time.time, patience_s=PATIENCE_S)


def ports_of(router: EnvoyRouter) -> list[str]:
    """Addresses of all TCP ports that Envoy listens on."""
    listening = psutil.Process(router.pid).net_connections("tcp")
    return [f"{each.laddr.ip}:{each.laddr.port}" for each in listening if each.status == psutil.CONN_LISTEN]


def mode_of(path: Path) -> int:
    """Its permissions."""
    return S_IMODE(path.stat().st_mode)


async def said_on_connecting(socket: Path, become: str = "") -> bytes:
    """What a process says when it connects, of our own user or of the one that it becomes; nothing where it may."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", f"import socket, sys\n{become}{CONNECT}", str(socket), stderr=subprocess.PIPE
    )
    return (await process.communicate())[1]


async def test_s9_no_port_of_envoy_answers_a_question_about_it_but_for_its_counters(router: EnvoyRouter) -> None:
    ports = ports_of(router)
    assert sorted(ports) == sorted([router.address, router.counters_address])
    for path in (*SECRETS, *EVASIONS):
        assert (await ask(router.counters_address, path))[0] == 403, path
        assert (await ask(router.address, path))[0] == 503, path  # the servers are asked, and there is none yet
    status, _, page = await ask(router.counters_address, "/stats/prometheus?filter=no_route")
    assert status == 200
    assert "envoy_http_no_route" in page


@pytest.mark.parametrize("host", ["evil.example.com", "localhost", "127.0.0.1", "127.0.0.1:1", "[::1]:80"])
async def test_s9_a_name_that_was_made_to_lead_here_reads_no_counters(router: EnvoyRouter, host: str) -> None:
    """DNS rebinding: a page in a browser asks its own name, which leads to this machine by then."""
    async with loopback_client(PATIENCE_S) as client:
        url = f"http://{router.counters_address}/stats/prometheus"
        assert (await client.get(url, headers={"host": host})).status_code == 403
        assert (await client.post(url)).status_code == 403
        assert (await client.get(url)).status_code == 200


async def test_s9_the_admin_interface_reads_and_does_nothing_else(router: EnvoyRouter) -> None:
    """Not even its owner shuts Envoy down by it; all that can be done is to accept no more clients before a stop."""
    async with loopback_client(PATIENCE_S, socket=router.admin) as client:
        assert (await client.get("http://envoy/ready")).status_code == 200
        for path in ("/quitquitquit", "/reset_counters", "/logging", "/clusters", "/stats/recentlookups/enable"):
            assert (await client.post(f"http://envoy{path}")).status_code == 403


async def test_s7_another_user_cannot_reach_the_admin_interface(router: EnvoyRouter, folder: Path) -> None:
    assert router.admin.parent == folder
    assert (mode_of(folder), mode_of(router.admin)) == (0o700, 0o600)
    assert await said_on_connecting(router.admin) == b""
    if AS_ROOT:
        assert b"PermissionError" in await said_on_connecting(router.admin, BECOME)
        router.admin.chmod(0o666)
        assert b"PermissionError" in await said_on_connecting(router.admin, BECOME), "the folder alone keeps them out"


async def test_s9_refused_questions_are_no_requests_that_a_shift_has_lost(router: EnvoyRouter) -> None:
    """They come to a listener of the proxy too, and are answered by no variant."""
    async with upstream("stable") as stable:
        arms = {"stable": {"stable-0": stable}, "canary": {}}
        await router.set_endpoints(arms, arms)  # type: ignore[arg-type]  # the two arms
        await router.set_weights(ALL_STABLE)
        for path in ("/config_dump", "/stats/prometheus"):
            await ask(router.counters_address, path, {"host": "evil.example.com"})
        await ask(router.address)
        source = ScrapeSource(envoy=lambda: router.admin, pages=dict, clock=SystemClock(), interval=2 * PATIENCE_S)
        try:
            counters = await source.read()
        finally:
            await source.close()
        assert counters.arms["stable"]["stable-0"].requests == 1
        assert not counters.unrouted


async def test_s9_prometheus_reads_the_counters_of_an_envoy_that_answers_nobody_else(
    router: EnvoyRouter, folder: Path
) -> None:
    program = find_prometheus()
    if program is None:
        pytest.skip(MISSING)
    server = PrometheusServer(
        folder / "prometheus",
        program=program,
        envoy=lambda: router.counters_address,
        pages=dict,
        names=NAMES,
        interval=0.2,
    )
    async with upstream("stable") as stable:
        arms = {"stable": {"stable-0": stable}, "canary": {}}
        await router.set_endpoints(arms, arms)  # type: ignore[arg-type]  # the two arms
        await ask(router.address)
        server.keep(time.time())
        source = PrometheusSource(PrometheusApi(server.url, seconds=PATIENCE_S), interval=0.2, names=NAMES)
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not await counted(source):  # noqa: ASYNC110 - Prometheus calls nobody when it has scraped
                    await asyncio.sleep(0.1)
        finally:
            await source.close()
            await server.close()


async def counted(source: PrometheusSource) -> float:
    """Requests to stable that Prometheus knows of."""
    try:
        return (await source.read()).arms["stable"]["stable-0"].requests or 0.0
    except (ExternalError, KeyError):  # its first scrape is still to come
        return 0.0


async def test_s7_a_state_folder_with_a_long_path_gets_a_private_folder_for_the_socket(folder: Path) -> None:
    """It is found again by the next run, made again by none, and gone at the end."""
    deep = folder / ("x" * 60) / ("y" * 60)
    async with opened(deep) as router:
        socket, pid = router.admin, router.pid
        assert len(os.fsencode(socket)) <= 107
        assert mode_of(socket.parent) == 0o700
    async with opened(deep) as router:
        assert (router.admin, router.pid) == (socket, pid)
        psutil.Process(pid).kill()
        await asyncio.to_thread(psutil.Process(pid).wait, PATIENCE_S)
    async with opened(deep) as router:
        assert router.admin == socket
        assert router.pid != pid
        await router.close(grace_s=0.0)
    assert not socket.parent.exists()


async def test_s9_an_envoy_of_an_older_version_is_replaced_for_its_admin_interface_has_a_port(folder: Path) -> None:
    async with opened(folder) as router:
        pid, address = router.pid, router.address
    record = read_json(folder / "envoy.json")
    port = record.pop("counters")
    write_json(folder / "envoy.json", {**record, "admin": port})
    async with opened(folder) as router:
        assert router.pid != pid
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        assert router.address == address
        assert sorted(ports_of(router)) == sorted([router.address, router.counters_address])
        await router.close(grace_s=0.0)
