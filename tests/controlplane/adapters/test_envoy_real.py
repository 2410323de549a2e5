"""Who takes part where a plan has a cohort, through a real Envoy."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from canary.spec.models import Cohort
from canary.weights import ALL_CANARY, ALL_STABLE, Arm, Weights
from controlplane.adapters.envoy import EnvoyRouter
from controlplane.adapters.envoy_config import OUTSIDE
from controlplane.adapters.envoy_process import EnvoyProcess
from controlplane.adapters.scrape import ScrapeSource
from controlplane.adapters.system_clock import SystemClock
from controlplane.private_files import read_json, write_json
from tests.controlplane.adapters.upstreams import ANSWER_HEAD, Stream, ask, upstream
from tests.controlplane.adapters.waiting import PATIENCE_S
from tests.patience import now

pytestmark = pytest.mark.real
Endpoints = dict[Arm, dict[str, str]]


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    """A state folder whose Envoy is gone afterwards."""
    yield tmp_path
    await EnvoyProcess(tmp_path, print).stop_left_behind(grace_s=0.0)


@pytest.fixture
async def both() -> AsyncIterator[Endpoints]:
    """One replica on each arm."""
    async with upstream("stable") as stable, upstream("canary") as canary:
        yield {"stable": {"stable-0": stable}, "canary": {"canary-0": canary}}


def envoy(folder: Path, cohort: Cohort | None = None) -> EnvoyRouter:
    """A router on this folder; leaving its block without `close` is what a kill -9 of Serinus leaves behind."""
    return EnvoyRouter(folder, listen="127.0.0.1:0", now=now, patience_s=PATIENCE_S, cohort=cohort)


async def test_only_the_cohort_takes_part(folder: Path, both: Endpoints) -> None:
    async with envoy(folder, cohort=Cohort(header="x-group", values=("beta", "staff"))) as router:
        await router.set_endpoints(both, both)
        await router.set_weights(ALL_CANARY)
        groups: tuple[dict[str, str], ...] = ({"x-group": "beta"}, {"X-Group": "staff"}, {"x-group": "other"}, {})
        served = [(await ask(router.address, headers=group))[1] for group in groups]
        assert served == ["canary", "canary", "stable", "stable"]
        assert (await router.seen()).weights == ALL_CANARY
        # The canary has won and stable is stopped: whoever is outside the cohort must not be left without an answer.
        winner: Endpoints = {"canary": both["canary"]}
        await router.set_endpoints(winner, winner)
        assert (await ask(router.address))[:2] == (200, "canary")


async def test_retiring_stable_takes_those_outside_the_cohort_along(folder: Path, both: Endpoints) -> None:
    """Until other weights are set: who puts everything back means everybody."""
    async with envoy(folder, cohort=Cohort(header="x-group", values=("beta",))) as router:
        await router.set_endpoints(both, both)
        await router.set_weights(ALL_CANARY)
        assert (await ask(router.address))[1] == "stable"
        assert not router.idle("stable")
        await router.retire("stable")
        assert router.idle("stable")
        assert [(await ask(router.address))[1] for _ in range(20)] == ["canary"] * 20
        await router.set_weights(Weights(500_000))
        assert not router.idle("stable")
        assert (await ask(router.address))[1] == "stable"


async def test_a_restart_does_not_widen_the_cohort(folder: Path, both: Endpoints) -> None:
    """A run without the cohort leaves the routes narrow until it sets weights of its own."""
    async with envoy(folder, cohort=Cohort(header="x-group", values=("beta",))) as router:
        await router.set_endpoints(both, both)
        await router.set_weights(ALL_CANARY)
    async with envoy(folder) as router:
        await router.set_endpoints(both, both)
        assert (await ask(router.address))[1] == "stable"
        await router.set_weights(ALL_CANARY)
        assert (await ask(router.address))[1] == "canary"


async def counted(router: EnvoyRouter) -> dict[str, tuple[float, float]]:
    """Requests and errors of each arm, as the judge gets them."""
    source = ScrapeSource(
        envoy=lambda: router.admin,
        pages=lambda: {"stable": {}, "canary": {}},
        clock=SystemClock(),
        interval=60.0,
    )
    arms = (await source.read()).arms
    await source.close()
    return {arm: (pods[f"{arm}-0"].requests or 0.0, pods[f"{arm}-0"].errors or 0.0) for arm, pods in arms.items()}


async def test_a_cohort_is_judged_against_the_same_cohort_of_stable(folder: Path, both: Endpoints) -> None:
    """Stable fails for everybody else and for nobody of the cohort; the canary fails for none."""
    cohort = Cohort(header="x-group", values=("beta",))
    async with envoy(folder, cohort=cohort) as router:
        await router.set_endpoints(both, both)
        await router.set_weights(Weights(500_000))
        served = [(await ask(router.address, headers={"x-group": "beta"}))[1] for _ in range(30)]
        assert [(await ask(router.address))[1] for _ in range(50)] == ["stable"] * 50
        expected = {arm: (float(served.count(arm)), 0.0) for arm in ("stable", "canary")}
        assert await counted(router) == expected
        # Those outside are answered by stable still, and are no part of a canary's comparison however they fare.
        gone: Endpoints = {"stable": {"stable-0": "127.0.0.1:1"}, "canary": both["canary"]}
        await router.set_endpoints(gone, gone)
        assert [(await ask(router.address))[0] for _ in range(5)] == [503] * 5
        assert await counted(router) == expected


EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n%s"
TOKEN = b'data: {"choices": [{"delta": {"content": "error"}}], "error": null}\n\n'
FAILED = b'data: {"error": {"message": "CUDA error", "code": 500}}\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize(
    ("method", "answer", "errors"),
    [
        pytest.param("POST", ANSWER_HEAD % (0, b""), 1, id="an empty answer"),
        pytest.param(
            "POST", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 1, id="an empty stream"
        ),
        pytest.param("GET", ANSWER_HEAD % (0, b""), 0, id="a health check"),
        pytest.param("POST", b"HTTP/1.1 204 None\r\n\r\n", 0, id="nothing to say"),
        pytest.param("POST", b"HTTP/1.1 500 Bad\r\ncontent-length: 0\r\n\r\n", 1, id="an error that is empty"),
        pytest.param("POST", EVENTS % (len(TOKEN), TOKEN), 0, id="a stream that speaks of errors"),
        pytest.param("POST", EVENTS % (len(TOKEN + FAILED), TOKEN + FAILED), 1, id="a stream with an error"),
        pytest.param("POST", EVENTS % (len(FAILED) + 9, FAILED), 1, id="a stream with an error that breaks off"),
        pytest.param("POST", ANSWER_HEAD % (14, b'{"error": "x"}'), 0, id="an error in another type of answer"),
    ],
)
async def test_each_answer_without_an_answer_in_it_is_one_error(
    folder: Path, method: str, answer: bytes, errors: int
) -> None:
    async with upstream("stable", answer=answer) as stable, envoy(folder) as router:
        replicas: Endpoints = {"stable": {"stable-0": stable}, "canary": {}}
        await router.set_endpoints(replicas, replicas)
        host, port = router.address.rsplit(":", 1)
        for _ in range(3):
            reader, writer = await asyncio.open_connection(host, int(port))
            with contextlib.closing(writer):
                writer.write(
                    f"{method} / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()
                )
                await reader.read()
        assert (await counted(router))["stable"] == (3.0, 3.0 * errors)


async def test_whoever_is_answered_outside_the_cohort_is_waited_for_before_an_arm_is_stopped(folder: Path) -> None:
    stream = Stream()
    async with upstream("stable", stream=stream) as stable, upstream("canary") as canary:
        both: Endpoints = {"stable": {"stable-0": stable}, "canary": {"canary-0": canary}}
        async with envoy(folder, cohort=Cohort(header="x-group", values=("beta",))) as router:
            await router.set_endpoints(both, both)
            await router.set_weights(ALL_CANARY)
            async with asyncio.TaskGroup() as asking:
                asking.create_task(ask(router.address, "/stream"))
                await stream.begun.wait()
                assert (await router.in_flight())["stable"].open == 1.0
                seen = await router.answered("stable-0")
                assert seen is not None
                stream.go_on.set()
            later = await router.answered("stable-0")
            assert later is not None
            assert later.more_than(seen)


async def test_the_routes_of_a_serinus_without_clusters_apart_are_taken_over(folder: Path, both: Endpoints) -> None:
    """Its Envoy refuses a route to a cluster that it does not have yet; nobody is without an answer meanwhile."""
    cohort = Cohort(header="x-group", values=("beta",))
    async with envoy(folder, cohort=cohort) as router:
        await router.set_endpoints(both, both)
        await router.set_weights(ALL_CANARY)
    for name in ("clusters.json", "routes.json"):
        file = read_json(folder / name)
        revision = int(file["version_info"].partition(" ")[0]) + 1
        kept = [each for each in file["resources"] if not each["name"].startswith(OUTSIDE)]
        text = json.dumps({"version_info": f"{revision}", "resources": kept}).replace(OUTSIDE, "")
        write_json(folder / name, json.loads(text))
    async with envoy(folder, cohort=cohort) as router:
        assert (await ask(router.address))[:2] == (200, "stable")
        await router.set_weights(ALL_CANARY)
        assert (await ask(router.address))[:2] == (200, "stable")
        await router.set_endpoints(both, both)
        before = await counted(router)
        assert (await ask(router.address))[:2] == (200, "stable")
        assert await counted(router) == before


async def test_an_arm_gets_no_traffic_by_the_addresses_of_an_earlier_run(folder: Path, both: Endpoints) -> None:
    """The promoted canary becomes the next rollout's stable, and the old stable's port is dead by then."""
    async with upstream("gone") as gone, envoy(folder) as router:
        earlier: Endpoints = {**both, "stable": {"stable-0": gone}}
        await router.set_endpoints(earlier, earlier)
        await router.set_weights(ALL_CANARY)
    async with envoy(folder) as router:
        async with asyncio.TaskGroup() as background:
            background.create_task(router.set_weights(ALL_STABLE))
            assert [(await ask(router.address))[1] for _ in range(20)] == ["canary"] * 20
            assert (await router.seen()).weights == ALL_CANARY
            await router.set_endpoints(both, both)
        assert (await router.seen()).weights == ALL_STABLE
        assert (await ask(router.address))[:2] == (200, "stable")
