"""Scraping directly: what is left out, what is said, and what a real Envoy counts."""

import asyncio
import json
import math
import shutil
import subprocess
import sysconfig
import threading
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as some

from canary.errors import Unavailable
from canary.spec.samples import by_envoy_cluster, by_labels, pods
from canary.spec.sources import ENVOY as ENVOY_ROWS
from canary.spec.sources import PROFILES, SERVERS, UNROUTED, wire_names
from canary.weights import Arm
from controlplane.adapters import exposition, scrape
from controlplane.adapters.bounded_http import BoundedHttp
from controlplane.adapters.process_ports import free_port
from controlplane.adapters.scrape import LEFT_ALONE_INTERVALS, ScrapeSource
from controlplane.adapters.system_clock import SystemClock
from tests.controlplane.adapters.pages import PageServer, envoy_page, server_page
from tests.controlplane.adapters.waiting import PATIENCE_S

INTERVAL = 0.4
ENVOY = "/stats/prometheus"

NOBODY = {"client_errors": 0.0, "throttled": 0.0}
"""Totals of a replica that refused nobody."""


class HandClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.time = 5_000.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Bench:
    """A server that plays Envoy and replicas, and the source that reads it."""

    def __init__(self, server: PageServer, clock: HandClock) -> None:
        self.server, self.clock = server, clock
        self.urls: dict[Arm, dict[str, str]] = {}
        self.source = self.new_source(BoundedHttp())

    def new_source(self, http: BoundedHttp) -> ScrapeSource:
        return ScrapeSource(
            envoy=lambda: self.server.address, pages=lambda: self.urls, clock=self.clock, interval=INTERVAL, http=http
        )

    def has_page(self, arm: Arm, replica: str, url: str) -> None:
        self.urls.setdefault(arm, {})[replica] = url


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with PageServer() as server:
        bench = Bench(server, HandClock())
        yield bench
        await bench.source.close()


async def test_proxy_and_own_page_of_a_replica_are_one(bench: Bench) -> None:
    bench.server.put(
        ENVOY, envoy_page({"canary-0": {"200": 8, "500": 2}}, latency_ms={"canary-0": {200: 9, math.inf: 10}})
    )
    bench.server.put("/metrics", server_page(tokens=50, ttft={"0.1": 7, "+Inf": 8}, kpi=(2, 8)))
    bench.has_page("canary", "canary-0", bench.server.url("/metrics"))
    counters = await bench.source.read()
    pod = counters.arms["canary"]["canary-0"]
    assert (pod.requests, pod.errors, pod.totals["generation_tokens"], pod.kpis["sold"]) == (10, 2, 50, (2, 8))
    assert pod.histograms == {"latency": {0.2: 9, math.inf: 10}, "ttft": {0.1: 7, math.inf: 8}}
    assert (counters.at, counters.problem, pod.started_at) == (5_000.0, "", 1000.5)


async def test_envoy_is_asked_for_little(bench: Bench) -> None:
    bench.server.put(ENVOY, envoy_page({}))
    await bench.source.read()
    assert bench.server.asked[0].fields["filter"] != [""]


async def test_a_replica_without_a_page_is_no_problem(bench: Bench) -> None:
    """Neither one that answers 404 nor one that does not listen."""
    bench.server.put(ENVOY, envoy_page({"canary-0": {"200": 1}, "canary-1": {"200": 1}}))
    bench.has_page("canary", "canary-0", bench.server.url("/nothing"))
    bench.has_page("canary", "canary-1", f"http://127.0.0.1:{free_port()}/metrics")
    counters = await bench.source.read()
    assert counters.problem == ""
    assert [pod.requests for pod in counters.arms["canary"].values()] == [1, 1]


async def test_a_page_that_hangs_costs_nobody_else_and_is_left_alone_for_a_while(bench: Bench) -> None:
    bench.server.put(ENVOY, envoy_page({"stable-0": {"200": 1}, "canary-0": {"200": 1}}))
    bench.server.put("/slow", server_page(tokens=1), delay_s=60)
    bench.server.put("/quick", server_page(tokens=7))
    bench.has_page("stable", "stable-0", bench.server.url("/quick"))
    bench.has_page("canary", "canary-0", bench.server.url("/slow"))
    counters = await bench.source.read()
    assert counters.arms["stable"]["stable-0"].totals["generation_tokens"] == 7
    assert (counters.arms["canary"]["canary-0"].requests, counters.arms["canary"]["canary-0"].totals) == (1, NOBODY)
    assert counters.problem == "canary-0: its metrics page is not read within 0.2 s"
    await bench.source.read()
    assert [asked.path for asked in bench.server.asked].count("/slow") == 1
    bench.clock.time += LEFT_ALONE_INTERVALS * INTERVAL
    bench.server.put("/slow", server_page(tokens=9))
    assert (await bench.source.read()).arms["canary"]["canary-0"].totals == {"generation_tokens": 9, **NOBODY}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("vllm:generation_tokens_total{oops 3\n", "1 line of its page is not in the Prometheus text format"),
        ("# a very long page\n" + "x 1\n" * 1000, "larger than 3000 bytes"),
        (
            'vllm:time_to_first_token_seconds_bucket{le="abc"} 3\n',
            'no data from canary-0: bucket bound "abc" of vllm:time_to_first_token_seconds is no number',
        ),
        (
            'vllm:time_to_first_token_seconds_bucket{le=""} 3\n',
            'no data from canary-0: bucket bound "" of vllm:time_to_first_token_seconds is no number',
        ),
        ('vllm:generation_tokens_total{engine="0"} 1.7e308\nvllm:generation_tokens_total{engine="1"} 1.7e308\n', ""),
        (f"vllm:generation_tokens_total {'9' * 300}\n", ""),
        (f"process_start_time_seconds {'9' * 400}\n", "1 line of its page is not in the Prometheus text format"),
    ],
)
async def test_r4_a_page_that_cannot_be_used_is_left_out_and_said(bench: Bench, body: str, problem: str) -> None:
    """What the proxy counts of that replica counts all the same: a canary cannot hide its own outage."""
    bench.server.put(ENVOY, envoy_page({"canary-0": {"200": 1, "500": 9}}))
    bench.server.put("/metrics", body)
    bench.has_page("canary", "canary-0", bench.server.url("/metrics"))
    bench.source = bench.new_source(BoundedHttp(most_bytes=3000))
    counters = await bench.source.read()
    assert problem in counters.problem
    pod = counters.arms["canary"]["canary-0"]
    assert (pod.requests, pod.errors, pod.totals, pod.histograms, pod.started_at) == (10, 9, NOBODY, {}, None)


async def test_s14_what_only_the_proxy_may_count_does_not_count_on_a_replicas_own_page(bench: Bench) -> None:
    bench.server.put(ENVOY, envoy_page({"canary-0": {"500": 9}}))
    bench.server.put("/metrics", envoy_page({"canary-0": {"200": 10_000}, "stable-0": {"500": 10_000}}))
    bench.has_page("canary", "canary-0", bench.server.url("/metrics"))
    counters = await bench.source.read()
    assert counters.arms.keys() == {"canary"}
    assert counters.arms["canary"]["canary-0"].requests == 9


async def test_r4_a_page_is_parsed_beside_the_event_loop_and_within_its_own_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one arm's does not wait for the other's."""
    begun, free = threading.Event(), threading.Event()

    def parse(page: str, wanted: Collection[str]) -> exposition.ExpositionPage:
        if "slow" in page:
            begun.set()
            assert free.wait(PATIENCE_S)
        return exposition.read(page, wanted)

    monkeypatch.setattr(scrape, "read", parse)
    bench.server.put(ENVOY, envoy_page({"stable-0": {"200": 1}, "canary-0": {"500": 9}}))
    bench.server.put("/slow", f"# slow\n{server_page(tokens=1)}")
    bench.server.put("/quick", server_page(tokens=7))
    bench.has_page("stable", "stable-0", bench.server.url("/quick"))
    bench.has_page("canary", "canary-0", bench.server.url("/slow"))
    counters = await bench.source.read()
    assert begun.is_set()
    assert counters.arms["stable"]["stable-0"].totals["generation_tokens"] == 7
    assert (counters.arms["canary"]["canary-0"].errors, counters.arms["canary"]["canary-0"].totals) == (9, NOBODY)
    assert counters.problem == "canary-0: its metrics page is not read within 0.2 s"
    free.set()


NUMBERS = some.one_of(
    some.floats().map(str), some.integers(-(10**320), 10**320).map(str), some.text("0123456789eE+-.Inf")
)
LINES = some.builds(
    "{}{{{}}} {}".format,
    some.sampled_from(sorted(wire_names(PROFILES["envoy"]) | UNROUTED)),
    some.one_of(
        some.just(""),
        some.text('le=",\\0.1x+Inf{}', max_size=30),
        some.builds('le="{}"'.format, NUMBERS),
        some.just('envoy_cluster_name="canary-0"'),
        some.just('arm="stable",replica="stable-0"'),
    ),
    NUMBERS,
)


@given(some.lists(some.one_of(LINES, some.text(max_size=40)), max_size=30))
def test_s14_whatever_a_replicas_page_says_the_proxys_counters_of_it_are_as_without_it(lines: list[str]) -> None:
    proxy = exposition.read(
        envoy_page({"canary-0": {"200": 8, "500": 2}}, latency_ms={"canary-0": {200: 9, math.inf: 10}}),
        wire_names(ENVOY_ROWS) | UNROUTED,
    )
    own = exposition.read("\n".join(lines), wire_names(SERVERS))
    marked = [each._replace(labels={**each.labels, "arm": "canary", "replica": "canary-0"}) for each in own.samples]
    found = pods(
        [*proxy.samples, *marked], PROFILES["envoy"], lambda labels: by_labels(labels) or by_envoy_cluster(labels)
    )
    pod = found.arms["canary"]["canary-0"]
    assert (pod.requests, pod.errors, pod.histograms["latency"]) == (10, 2, {0.2: 9, math.inf: 10})
    assert found.arms.keys() == {"canary"}


async def test_an_envoy_that_does_not_answer_is_unavailable(bench: Bench) -> None:
    with pytest.raises(Unavailable, match="it answers 404"):
        await bench.source.read()
    bench.server.put(ENVOY, "", delay_s=60)
    with pytest.raises(Unavailable, match="no answer within"):
        await bench.source.read()
    await bench.server.stop()
    with pytest.raises(Unavailable, match="nobody listens"):
        await bench.source.read()


async def test_s4_redirects_are_refused_and_nobody_is_asked_elsewhere(bench: Bench) -> None:
    bench.server.put(ENVOY, "", status=302, headers={"location": bench.server.url("/secret")})
    with pytest.raises(Unavailable, match="redirect, which is not followed"):
        await bench.source.read()
    assert [asked.path for asked in bench.server.asked] == [ENVOY]
    assert "authorization" not in bench.server.asked[0].headers


async def test_a_compressed_answer_nobody_asked_for_is_refused(bench: Bench) -> None:
    bench.server.put(ENVOY, "x" * 10, headers={"content-encoding": "gzip"})
    with pytest.raises(Unavailable, match="compressed"):
        await bench.source.read()


async def test_s4_proxies_of_the_environment_are_not_used(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    bench.server.put(ENVOY, envoy_page({"canary-0": {"200": 1}}))
    source = bench.new_source(BoundedHttp())  # a client reads its environment when it is made
    assert (await source.read()).arms["canary"]["canary-0"].requests == 1
    await source.close()


ANSWERS = {
    "/ok": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "/missing": b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
    "/failed": b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n",
    "/broken": b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nhalf",
    "/silent": b"",
    "/garbled": b"HELLO\r\n\r\n",
}


async def _raw_server() -> asyncio.Server:
    """A server that answers each path with exactly these bytes and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWERS[head.split()[1].decode()])
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


@contextmanager
def _envoy(folder: Path, upstream_port: int) -> Iterator[tuple[int, int]]:
    """An Envoy with `canary-0` behind it; its ports for clients and for the admin interface."""
    listen, admin = free_port(), free_port()

    def address(port: int) -> dict[str, object]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    types = "type.googleapis.com/envoy.extensions.filters"
    manager = {
        "@type": f"{types}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "serinus",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "canary-0"}}],
                }
            ]
        },
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{types}.http.router.v3.Router"}}],
    }
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address(upstream_port)}}]}]
    cluster = {"name": "canary-0", "type": "STATIC", "load_assignment": {"cluster_name": "c", "endpoints": endpoints}}
    bootstrap = {
        "admin": {"address": address(admin)},
        "stats_flush_interval": "0.1s",
        "static_resources": {
            "clusters": [cluster],
            "listeners": [
                {
                    "address": address(listen),
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ],
        },
    }
    (folder / "envoy.json").write_text(json.dumps(bootstrap), encoding="utf-8")
    program = shutil.which("envoy", path=sysconfig.get_path("scripts")) or "envoy"
    command = [program, "-c", str(folder / "envoy.json"), "--disable-hot-restart", "--concurrency", "1", "-l", "off"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as envoy:
        try:
            yield listen, admin
        finally:
            envoy.kill()


@pytest.mark.real
async def test_a_real_envoy_counts_each_kind_of_failure_once(tmp_path: Path) -> None:
    """Two good answers, a 404, a 500, one that breaks off, one that never begins, and one that is not HTTP."""
    upstream = await _raw_server()
    with _envoy(tmp_path, upstream.sockets[0].getsockname()[1]) as (listen, admin):
        source = ScrapeSource(envoy=lambda: f"127.0.0.1:{admin}", pages=dict, clock=SystemClock(), interval=PATIENCE_S)
        async with asyncio.timeout(PATIENCE_S), httpx2.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client:
            while True:
                with suppress(Unavailable):
                    if (await source.read()).arms:
                        break
                await asyncio.sleep(0.05)
            before = (await source.read()).arms["canary"]["canary-0"]
            assert (before.requests, before.errors) == (0, 0)
            for path in ("/ok", *ANSWERS):
                with suppress(httpx2.HTTPError):
                    await client.get(f"http://127.0.0.1:{listen}{path}")
            while True:  # until Envoy has counted the last and merged its histograms
                counters = await source.read()
                pod = counters.arms["canary"]["canary-0"]
                if (pod.requests, pod.histograms["latency"][math.inf]) == (7, 4):
                    break
                await asyncio.sleep(0.05)
            await source.close()
    upstream.close()
    # Answers that came whole, and so have a latency: two good ones, the 404 and the 500.
    assert (pod.requests, pod.errors, counters.unrouted) == (7, 4, 0)
