"""Native histograms of real servers' pages, scraped by a real Prometheus: exact at every bound, and judged."""

import asyncio
import contextlib
import math
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
from pydantic_core import to_json

from canary import judge
from canary.errors import ExternalError
from canary.judge import compile_gates
from canary.snapshot import Counters, MetricsStatus
from canary.spec import native
from canary.spec.models import Gate
from canary.verdict import GateAnswer
from canary.weights import ARMS, Weights
from controlplane.adapters.process_ports import free_port
from controlplane.adapters.prometheus import PROXY_JOB, REPLICAS_JOB, PrometheusSource
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.adapters.prometheus_server import MISSING, find_prometheus
from tests.canary.judge.worlds import plan
from tests.controlplane.adapters.pages import Page, PageServer
from tests.controlplane.adapters.protobuf_page import CONTENT_TYPE, page
from tests.controlplane.adapters.waiting import PATIENCE_S

pytestmark = pytest.mark.real

INTERVAL = 0.2
MEDIAN = {"stable": 0.2, "canary": 0.8}
TTFT = Gate(text="ttft p95 <= 900ms", metric="ttft", statistic="p95", comparison="max", limit=0.9, better="lower")
LIKE_STABLE = Gate(
    text="ttft p95 not worse than stable by 10%",
    metric="ttft",
    statistic="p95",
    comparison="notWorseThan",
    limit=0.1,
    better="lower",
)


class Servers(PageServer):
    """One server of each arm; each answers 120 requests between two looks at its page."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(7)
        self.observed: dict[str, list[float]] = {arm: [] for arm in ARMS}
        self.begun: dict[str, int] = dict.fromkeys(ARMS, 0)
        """How many of these a server has forgotten, since it was restarted."""

    def path_of(self, path: str, fields: object) -> str:
        """A new page for each scrape."""
        arm = path.strip("/")
        self.observed[arm] += self.rng.lognormal(np.log(MEDIAN[arm]), 0.4, 120).tolist()
        times = self.observed[arm][self.begun[arm] :]
        counters = {"envoy_cluster_upstream_rq_completed": float(len(times))}
        body = page(counters, {"vllm:time_to_first_token_seconds": times})
        self.pages[path] = Page(body, headers={"content-type": CONTENT_TYPE})
        return path


def _programs() -> Iterator[Path]:
    """The Prometheus of this machine, and that of the test bed, which is years newer."""
    if found := find_prometheus():
        yield found
    cache = Path(os.environ.get("SERINUS_TESTBED_CACHE") or Path.home() / ".cache" / "serinus-testbed")
    yield from sorted(cache.glob("go-prometheus-*/prometheus"))[-1:]


@pytest.fixture(params=["this machine's", "the test bed's"])
def program(request: pytest.FixtureRequest) -> Path:
    """Each of the two, where it is."""
    known = {"the test bed's" if "serinus-testbed" in str(each) else "this machine's": each for each in _programs()}
    if request.param not in known:
        pytest.skip(MISSING if request.param == "this machine's" else "the test bed was not built here")
    return known[request.param]


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    async with Servers() as servers:
        yield servers


@pytest.fixture
async def source(program: Path, servers: Servers, tmp_path: Path) -> AsyncIterator[PrometheusSource]:
    port = free_port()
    every = {"scrape_interval": "200ms", "scrape_timeout": "160ms"}
    jobs = [
        {
            "job_name": arm,
            "metrics_path": f"/{arm}",
            "static_configs": [{"targets": [servers.address], "labels": {"arm": arm, "replica": f"{arm}-0"}}],
            # One page says here what the proxy and the server say elsewhere.
            "metric_relabel_configs": [
                {"target_label": "job", "replacement": REPLICAS_JOB},
                {"source_labels": ["__name__"], "regex": "envoy_.*", "target_label": "job", "replacement": PROXY_JOB},
            ],
        }
        for arm in ARMS
    ]
    new = "serinus-testbed" in str(program)
    configuration = {"global": {**every, **({"scrape_native_histograms": True} if new else {})}, "scrape_configs": jobs}
    (tmp_path / "prometheus.yml").write_bytes(to_json(configuration))
    command = [
        str(program),
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        *([] if new else ["--enable-feature=native-histograms"]),
    ]
    with (tmp_path / "log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
        api = PrometheusApi(f"http://127.0.0.1:{port}", seconds=PATIENCE_S)
        yield PrometheusSource(api, interval=INTERVAL, names={"stable": "v1", "canary": "v2"})
        await api.close()
        child.terminate()
        await child.wait()


async def _scrapes(source: PrometheusSource) -> AsyncIterator[Counters]:
    """Different ones of both arms, for two minutes at most: a busy machine scrapes late."""
    last = -math.inf
    async with asyncio.timeout(120):
        while True:
            with contextlib.suppress(ExternalError):
                counters = await source.read()
                if len(counters.arms) == 2 and counters.at > last:
                    last = counters.at
                    yield counters
            await asyncio.sleep(INTERVAL / 4)


async def _some(source: PrometheusSource, count: int) -> list[Counters]:
    """The next few."""
    found: list[Counters] = []
    async for counters in _scrapes(source):
        found.append(counters)
        if len(found) == count:
            break
    return found


async def test_counts_are_exact_at_every_bound_now_and_in_the_past_and_after_a_restart(
    source: PrometheusSource, servers: Servers
) -> None:
    before = await _some(source, 12)
    forgotten = len(servers.observed["canary"])
    servers.begun["canary"] = forgotten
    await asyncio.sleep(3 * INTERVAL)
    after = await _some(source, 3)
    past = await source.between(before[0].at - INTERVAL, after[-1].at, most=1000)
    assert len(past) >= 6
    for found in (*before, *past, *after):
        for arm, pods in found.arms.items():
            pod = pods[f"{arm}-0"]
            ttft, seen = pod.histograms["ttft"], int(pod.requests or 0)
            assert list(ttft) == [*(round(bound.at, 12) for bound in native.bounds()), math.inf]
            lives = [servers.observed[arm][begin : begin + seen] for begin in {0, servers.begun[arm]}]
            assert ttft in [{bound: sum(time <= bound for time in times) for bound in ttft} for times in lives]
    seen_before, seen_after = (each.arms["canary"]["canary-0"].requests or 0 for each in (before[-1], after[0]))
    assert seen_after < seen_before, "or it was no restart"


async def test_a_slow_canary_fails_by_its_native_histogram_against_a_limit_and_against_stable(
    source: PrometheusSource,
) -> None:
    configs = [compile_gates(plan(gate, shares=(0.5, 1.0), hold=600.0)) for gate in (TTFT, LIKE_STABLE)]
    states, answers = [judge.begin(config) for config in configs], [GateAnswer.WAIT, GateAnswer.WAIT]
    async for counters in _scrapes(source):
        evidence = MetricsStatus(counters.at, counters)
        for number, config in enumerate(configs):
            analysis = judge.watch(
                config,
                states[number],
                stage=0,
                weights=Weights.of_share(0.5),
                evidence=evidence,
                now=counters.at,
                stage_since=0.0,
            )
            states[number], judgement = analysis.state, analysis.judgement
            answers[number] = judgement.gates[0].verdict
        if answers == [GateAnswer.FAIL, GateAnswer.FAIL]:
            return
