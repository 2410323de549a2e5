"""A real Envoy between real sockets: weights, restarts, take-overs, refusals. No request may be lost by any of it."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from errno import ENOSPC
from pathlib import Path

import pytest

from canary.errors import BadInput, ExternalError
from canary.spec.models import Sticky
from canary.weights import ALL_CANARY, ALL_STABLE, ARMS, Arm, Weights
from controlplane import private_files
from controlplane.adapters import envoy_config
from controlplane.adapters.envoy import EnvoyRouter
from controlplane.adapters.envoy_admin import EnvoyAdmin
from controlplane.adapters.envoy_config import Address
from controlplane.adapters.envoy_process import EnvoyProcess
from controlplane.adapters.process_child import Child, end
from controlplane.adapters.processes import ProcessPlatform
from controlplane.private_files import read_json
from tests.controlplane.adapters.small_run import variant
from tests.controlplane.adapters.upstreams import Answers, Stream, ask, load, upstream
from tests.controlplane.adapters.waiting import PATIENCE_S, alive, until

pytestmark = pytest.mark.real
Endpoints = dict[Arm, dict[str, str]]


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    """A state folder whose processes, whoever started them, are gone afterwards."""
    yield tmp_path
    await EnvoyProcess(tmp_path, print).stop_left_behind(grace_s=0.0)
    async with ProcessPlatform(tmp_path, now=time.time) as left_behind:
        await left_behind.close()


@pytest.fixture
def stream() -> Stream:
    """What both arms answer for `/stream`."""
    return Stream()


@pytest.fixture
async def both(stream: Stream) -> AsyncIterator[Endpoints]:
    """One replica on each arm."""
    async with upstream("stable", stream=stream) as stable, upstream("canary", stream=stream) as canary:
        yield {"stable": {"stable-0": stable}, "canary": {"canary-0": canary}}


def envoy(folder: Path, **settings: object) -> EnvoyRouter:
    """A router on this folder; leaving its block without `close` is what a kill -9 of Serinus leaves behind."""
    return EnvoyRouter(folder, **{"listen": "127.0.0.1:0", "now": time.time, "patience_s": PATIENCE_S, **settings})  # type: ignore[arg-type]  # - settings are the router's own


@contextlib.asynccontextmanager
async def tended(router: EnvoyRouter) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as background:
        tending = background.create_task(router.tend())
        yield
        tending.cancel()


async def test_r5_no_request_is_lost_by_forty_five_shifts_and_shares_are_right(folder: Path, both: Endpoints) -> None:
    """To and from nothing as well; and once everything is on stable, no request that begins later meets the canary.

    A worker of Envoy that the machine kept waiting may find the route and one more request of each connection together.
    """
    async with envoy(folder) as router:
        await router.set_endpoints(both, both)
        async with load(router.address, connections=6) as answers:
            for _ in range(9):
                for weights in (Weights(50_000), Weights(250_000), Weights(750_000), ALL_CANARY, ALL_STABLE):
                    await router.set_weights(weights)
                    await settled(answers)
                moment = await settled(answers)
                assert answers.last_asked["canary"] < moment
            assert answers.failed == []
            await router.set_weights(Weights(250_000))
            before = answers.by_variant.copy()
            await until(lambda: answers.total - before.total() >= 4000)
            part = answers.by_variant - before
        assert answers.failed == []
        # Five standard deviations of a share of 25 % in 4000 draws are 3.4 points.
        assert abs(part["canary"] / part.total() - 0.25) < 0.034


async def settled(answers: Answers) -> float:
    """Let every client ask and be answered once more; the loop time from which on that was so."""
    moment = asyncio.get_running_loop().time()
    await until(lambda: answers.everybody_asked_since(moment))
    return moment


async def test_an_arm_s_weight_is_spread_over_its_ready_replicas(folder: Path) -> None:
    async with upstream("stable") as stable, upstream("canary") as first, upstream("canary") as second:
        everyone: Endpoints = {"stable": {"stable-0": stable}, "canary": {"canary-0": first, "canary-1": second}}
        async with envoy(folder) as router:
            await router.set_endpoints(everyone, everyone)
            await router.set_weights(Weights(400_000))
            assert routed(folder) == {"canary-0": 200_000, "canary-1": 200_000, "stable-0": 600_000}
            await router.set_endpoints(everyone, {**everyone, "canary": {"canary-1": second}})
            assert routed(folder) == {"canary-1": 400_000, "stable-0": 600_000}
            await router.set_endpoints(everyone, {**everyone, "canary": {}})
            assert routed(folder) == {"canary-0": 200_000, "canary-1": 200_000, "stable-0": 600_000}
            assert (await router.seen()).weights == Weights(400_000)


def routed(folder: Path) -> dict[str, int]:
    """Cluster name to weight in the route file."""
    route = read_json(folder / "routes.json")["resources"][0]["virtual_hosts"][0]["routes"][0]["route"]
    return {cluster["name"]: cluster["weight"] for cluster in route["weighted_clusters"]["clusters"]}


async def test_an_arm_with_traffic_moves_to_a_new_address_only_once_that_is_ready(
    folder: Path, both: Endpoints
) -> None:
    """A replica that comes back elsewhere: until it can serve, requests go where they were answered."""
    async with upstream("canary") as elsewhere, envoy(folder) as router:
        await router.set_endpoints(both, both)
        await router.set_weights(ALL_CANARY)
        moved: Endpoints = {**both, "canary": {"canary-0": elsewhere}}
        await router.set_endpoints(moved, {**both, "canary": {}})
        assert clusters(folder)["canary-0"] == both["canary"]["canary-0"]
        async with load(router.address) as answers:
            await router.set_endpoints(moved, moved)
            await asyncio.sleep(0.05)
        assert clusters(folder)["canary-0"] == elsewhere
        assert answers.failed == []


def clusters(folder: Path) -> dict[str, str]:
    """Cluster name to address in the cluster file."""
    return {name: str(at) for name, at in envoy_config.addresses_in(read_json(folder / "clusters.json")).items()}


async def test_a_stream_outlives_the_end_of_its_arm(folder: Path, both: Endpoints, stream: Stream) -> None:
    """The route changes and the cluster is removed while the answer is under way; the answer arrives whole."""
    async with envoy(folder) as router:
        await router.set_endpoints(both, both)
        await router.set_weights(ALL_CANARY)
        async with asyncio.TaskGroup() as clients:
            answer = clients.create_task(ask(router.address, "/stream"))
            await stream.begun.wait()
            await router.set_weights(ALL_STABLE)
            only_stable: Endpoints = {"stable": both["stable"]}
            await router.set_endpoints(only_stable, only_stable)
            assert "canary-0" not in clusters(folder)
            stream.go_on.set()
        assert answer.result() == (200, "canary", "0123456789")


async def test_the_next_run_takes_over_the_same_envoy_with_the_same_routes(folder: Path, both: Endpoints) -> None:
    """Serinus killed at 25 %: nobody notices, and exposure does not rise."""
    async with envoy(folder) as router:
        await router.set_endpoints(both, both)
        await router.set_weights(Weights(250_000))
        pid, address, admin = router.pid, router.address, (router.admin, router.counters_address)
        route_file = (folder / "routes.json").read_bytes()
        stack = contextlib.AsyncExitStack()
        answers = await stack.enter_async_context(load(address))
    async with stack, envoy(folder) as next_run:
        assert (next_run.pid, next_run.address, (next_run.admin, next_run.counters_address)) == (pid, address, admin)
        assert (folder / "routes.json").read_bytes() == route_file
        assert (await next_run.seen()).weights == Weights(250_000)
        await next_run.set_endpoints(both, both)
        assert (await next_run.seen()).weights == Weights(250_000)
        await next_run.set_weights(Weights(300_000))
        assert (await next_run.seen()).weights == Weights(300_000)
    assert answers.failed == []


async def test_a_run_that_is_killed_loses_no_request_and_the_next_one_goes_on(folder: Path) -> None:
    """With -9, under load: Envoy and both arms serve on, and are the next run's."""
    script = Path(__file__).with_name("small_run.py")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    run = await asyncio.create_subprocess_exec(
        sys.executable, str(script), str(folder), stdout=asyncio.subprocess.PIPE, env=environment
    )
    assert run.stdout is not None
    address = (await run.stdout.readline()).decode().strip()
    said: list[str] = []
    pids = {entry["pid"] for entry in read_json(folder / "processes.json").values()}
    async with load(address) as answers:
        run.kill()
        await run.communicate()
        async with (
            ProcessPlatform(folder, now=time.time) as platform,
            envoy(folder, say=said.append) as router,
        ):
            assert router.address == address
            assert (await router.seen()).weights == Weights(250_000)
            for arm in ARMS:
                await platform.run(arm, variant(arm))
            await until(lambda: all(platform.endpoints().values()))
            await router.set_endpoints(platform.addresses(), platform.endpoints())
            await router.set_weights(Weights(300_000))
            await until(lambda: answers.by_variant["canary"] > 0)
            assert {entry["pid"] for entry in read_json(folder / "processes.json").values()} == pids
            assert answers.failed == []
            # Not our children now, so how they end is not known; that they end is.
            os.kill(router.pid, signal.SIGKILL)
            async with tended(router):
                await until(lambda: any("is back" in sentence for sentence in said))
            assert "exit status is not known" in said[0]
            assert (await ask(address))[0] == 200
            await router.close(grace_s=0.0)
            await platform.close()
    assert not any(map(alive, pids))


async def test_a_pid_that_now_belongs_to_somebody_else_is_neither_taken_over_nor_signalled(folder: Path) -> None:
    """The record of a run before a reboot names a process that is not ours any more."""
    async with envoy(folder) as router:
        first = router.pid
    record = read_json(folder / "envoy.json")
    (folder / "envoy.json").write_text(str({**record, "created": record["created"] - 1000}).replace("'", '"'))
    async with envoy(folder) as router:
        assert router.pid != first
        os.kill(first, 0)
        await router.close(grace_s=0.0)
    await end(Child(first, record["created"]), PATIENCE_S)


async def test_r5_an_envoy_that_dies_is_back_with_its_routes_and_its_addresses(folder: Path, both: Endpoints) -> None:
    said: list[str] = []
    async with envoy(folder, say=said.append) as router:
        await router.set_endpoints(both, both)
        await router.set_weights(Weights(250_000))
        pid, address, admin = router.pid, router.address, (router.admin, router.counters_address)
        async with tended(router):
            os.kill(pid, signal.SIGKILL)
            await until(lambda: any("is back" in sentence for sentence in said))
            assert router.pid != pid
            assert (router.address, (router.admin, router.counters_address)) == (address, admin)
            assert (await router.seen()).weights == Weights(250_000)
            assert (await ask(address))[0] == 200
            await router.set_weights(Weights(50_000))
    assert "killed by SIGKILL" in said[0]
    assert "started again with the same routes" in said[0]


async def test_whoever_asks_while_envoy_is_started_again_is_told_what_there_is(
    folder: Path, both: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile the client of the one before is closed, which takes its time on a busy machine."""
    close = EnvoyAdmin.close

    async def slowly(admin: EnvoyAdmin) -> None:
        await close(admin)
        await asyncio.sleep(0.1)

    async with envoy(folder) as router:
        await router.set_endpoints(both, both)
        monkeypatch.setattr(EnvoyAdmin, "close", slowly)
        pid, seen = router.pid, await router.seen()
        os.kill(pid, signal.SIGKILL)
        async with tended(router):
            while router.pid == pid or seen.weights is None:
                await asyncio.sleep(0.01)
                seen = await router.seen()
    assert seen.weights == ALL_STABLE


async def test_weights_set_while_envoy_is_dead_are_in_force_when_it_is_back(folder: Path, both: Endpoints) -> None:
    """A rollback does not wait for the proxy: the file says it at once."""
    async with envoy(folder) as router:
        await router.set_endpoints(both, both)
        await router.set_weights(Weights(250_000))
        os.kill(router.pid, signal.SIGKILL)
        async with asyncio.TaskGroup() as background:
            rollback = background.create_task(router.set_weights(ALL_STABLE))
            await until(lambda: routed(folder) == {"stable-0": 1_000_000})
            tending = background.create_task(router.tend())
            await rollback
            tending.cancel()
        assert (await router.seen()).weights == ALL_STABLE


async def test_a_canary_loses_its_traffic_on_a_full_disk_and_weights_rise_again_when_there_is_room(
    folder: Path, both: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for the next routes is kept beside them; without it a rollback would end at the disk."""
    async with envoy(folder) as router:
        await router.set_endpoints(both, both)
        await router.set_weights(Weights(250_000))
        with monkeypatch.context() as full:
            full.setattr(private_files, "_write", _no_room)
            await router.set_weights(ALL_STABLE)
            assert (await router.seen()).weights == ALL_STABLE
            with pytest.raises(ExternalError, match="No space left on device"):
                await router.set_weights(Weights(500_000))
            assert (await router.seen()).weights == ALL_STABLE
        await router.set_weights(Weights(500_000))
        assert (await router.seen()).weights == Weights(500_000)


def _no_room(_file: Path, _data: bytes, *, durable: bool) -> None:
    raise OSError(ENOSPC, "No space left on device")


async def test_a_silent_envoy_is_an_error_that_says_what_happens_next(
    folder: Path, both: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with envoy(folder) as router:
        await router.set_endpoints(both, both)
        os.kill(router.pid, signal.SIGKILL)
        monkeypatch.setattr(router, "_patience_s", 0.1)
        with pytest.raises(ExternalError, match=r"not in force after 0.1 s: .*Envoy takes them as soon as it can"):
            await router.set_weights(Weights(50_000))
        seen = await router.seen()
        assert seen.weights is None
        assert "does not answer" in seen.problem


async def test_r5_routes_that_envoy_refuses_change_nothing(
    folder: Path, both: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Routes to a cluster that is not there are an error in Envoy's words, and the file is put back as well."""
    async with envoy(folder) as router:
        await router.set_endpoints(both, both)
        await router.set_weights(Weights(250_000))
        before = routed(folder)
        with monkeypatch.context() as patch:
            patch.setattr(envoy_config, "spread", lambda *_: {"canary-9": 1})
            with pytest.raises(ExternalError, match=r"Envoy refused the new routes .*canary-9"):
                await router.set_weights(Weights(500_000))
        assert (await router.seen()).weights == Weights(250_000)
        assert routed(folder) == before
        assert (await ask(router.address))[0] == 200
        await router.set_weights(Weights(500_000))
        assert (await router.seen()).weights == Weights(500_000)


async def test_the_same_user_stays_on_the_same_variant_and_a_rise_takes_nobody_back(
    folder: Path, both: Endpoints
) -> None:
    users = [f"user-{number}" for number in range(120)]
    async with envoy(folder, sticky=Sticky(header="x-user")) as router:
        await router.set_endpoints(both, both)

        async def on_the_canary() -> set[str]:
            return {user for user in users if (await ask(router.address, headers={"x-user": user}))[1] == "canary"}

        await router.set_weights(Weights(250_000))
        quarter = await on_the_canary()
        assert 0 < len(quarter) < len(users)
        assert await on_the_canary() == quarter
        await router.set_weights(Weights(750_000))
        assert quarter < await on_the_canary()
        # Who does not say who they are is served by either.
        assert {(await ask(router.address))[1] for _ in range(60)} == {"canary", "stable"}


async def test_envoy_s_own_numbers_tell_the_arms_apart(folder: Path, both: Endpoints) -> None:
    """Counters by replica and class, and a latency limit that is exactly a bound of the histogram."""
    async with envoy(folder, limits_ms=[210.0]) as router, upstream("canary", delay_s=0.2) as slow:
        endpoints: Endpoints = {**both, "canary": {"canary-0": slow}}
        await router.set_endpoints(endpoints, endpoints)
        await router.set_weights(ALL_CANARY)
        for _ in range(3):
            await ask(router.address)
        await router.set_weights(ALL_STABLE)
        await ask(router.address)
        within = 'envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="%s",le="%s"}'
        merged = {within % ("canary-0", "+Inf"): "3", within % ("stable-0", "+Inf"): "1"}
        lines: dict[str, str] = {}
        async with asyncio.timeout(PATIENCE_S):
            while not merged.items() <= lines.items():
                await asyncio.sleep(0.05)  # Envoy merges its histograms now and then
                _, _, page = await ask(router.counters_address, "/stats/prometheus")
                lines = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    answered = 'envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="%s"}'
    assert (lines[answered % "canary-0"], lines[answered % "stable-0"]) == ("3", "1")
    assert lines[within % ("canary-0", "190")] == "0"
    assert within % ("canary-0", "210") in lines


async def test_a_port_in_use_is_said_before_anything_starts(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = somebody.getsockname()[1]
        with pytest.raises(ExternalError, match=rf"port {port} on 127.0.0.1 is used by another program"):
            async with envoy(folder, listen=f"127.0.0.1:{port}"):
                pass
    assert not (folder / "envoy.json").exists()


@pytest.mark.parametrize(
    "listen", ["8080", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:70000", "no.such.host.invalid:80"]
)
async def test_an_address_that_is_none_is_the_user_s_to_mend(folder: Path, listen: str) -> None:
    with pytest.raises(BadInput, match=r"platform\.local\.listen .* Nothing was started"):
        async with envoy(folder, listen=listen):
            pass


async def test_another_listen_address_replaces_the_former_envoy(folder: Path) -> None:
    """The one thing that a running Envoy cannot be told."""
    said: list[str] = []
    async with envoy(folder) as router:
        former = Address.parse(router.address)
    async with envoy(folder, listen=f"127.0.0.2:{former.port}", say=said.append) as router:
        assert router.address == f"127.0.0.2:{former.port}"
        assert "does not fit" in said[0]
        with pytest.raises(OSError):
            await ask(str(former))


async def test_files_that_make_no_sense_begin_anew_with_everything_on_stable(folder: Path, both: Endpoints) -> None:
    """What a power cut may leave."""
    said: list[str] = []
    (folder / "routes.json").write_text('{"resources": [{"virtual_hosts"')
    (folder / "clusters.json").write_text('{"resources": []}')
    async with envoy(folder, say=said.append) as router:
        assert "begin anew, everything on stable" in said[0]
        await router.set_endpoints(both, both)
        assert (await router.seen()).weights == ALL_STABLE
        assert (await ask(router.address))[:2] == (200, "stable")


async def test_close_lets_open_requests_end(folder: Path, both: Endpoints, stream: Stream) -> None:
    async with envoy(folder) as router:
        await router.set_endpoints(both, both)
        async with asyncio.TaskGroup() as clients:
            answer = clients.create_task(ask(router.address, "/stream"))
            await stream.begun.wait()
            asyncio.get_running_loop().call_later(0.1, stream.go_on.set)
            await router.close(grace_s=PATIENCE_S)
        assert answer.result() == (200, "stable", "0123456789")
    assert not (folder / "envoy.json").exists()
