"""A real Prometheus that scrapes each target at its own phase: the loop finds harm with every metrics profile.

Prometheus sets the phases itself, by the labels of a target. The pages are played; the rest is what users run.
"""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from canary.errors import ExternalError
from canary.rollout import Phase
from canary.spec.models import CanarySpec, Gate
from controlplane.adapters.process_ports import free_port
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.adapters.prometheus_server import MISSING, find_prometheus
from controlplane.adapters.system_clock import SystemClock
from controlplane.evidence.metric_locations import EVERYWHERE, Labels
from controlplane.evidence.shared_prometheus import SharedPrometheus, SharedPrometheusSource
from controlplane.ports import Ports
from controlplane.reconcile.loop import Reconciler
from testing.memory_metrics import MemoryMetrics
from tests.canary.judge.worlds import ERRORS_LIKE_STABLE, Health, plan, remembered
from tests.controlplane.adapters.pages import PageServer, Query
from tests.controlplane.adapters.waiting import PATIENCE_S
from tests.controlplane.evidence.phases import (
    LATENCY_LIKE_STABLE,
    TTFT_LIKE_STABLE,
    Replica,
    gateway,
    knative,
    kserve,
    vllm,
)
from tests.controlplane.evidence.phases import server as own_page
from tests.controlplane.evidence.scraped import NAMES, Standing, places
from tests.controlplane.reconcile.desk import Desk

pytestmark = pytest.mark.real

INTERVAL, RPS = 5.0, 100.0
HEALTH = {"stable": Health(errors=0.005), "canary": Health(errors=0.1, latency=0.1)}
PAGES: dict[str, list[Callable[[Replica], list[tuple[str, float]]]]] = {
    "vllm": [vllm],
    "kserve": [kserve],
    "knative": [knative, own_page],
    "envoy-gateway": [own_page],
}
GATES: dict[str, Gate] = {
    "vllm": ERRORS_LIKE_STABLE,
    "kserve": LATENCY_LIKE_STABLE,
    "knative": TTFT_LIKE_STABLE,
    "envoy-gateway": TTFT_LIKE_STABLE,
}


class Servers(PageServer):
    """Two servers of each arm for every profile, and a proxy; they serve whether anybody looks or not."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(7)
        self.replicas = {
            f"{profile}-{arm}-{number}": Replica(arm, f"{profile}-{name}-predictor-6b7f-{number}")
            for profile in PAGES
            for arm, name in NAMES.items()
            for number in range(2)
        }
        self.served_at = dict.fromkeys(self.replicas, time.time())

    def path_of(self, path: str, fields: Query) -> str:
        """A new page for each scrape: `/vllm-canary-0/0`, or `/proxy`."""
        which = path.strip("/")
        if which == "proxy":
            mine = [self._now(name) for name in self.replicas if name.startswith("envoy-gateway")]
            page = gateway(mine, "envoy-a", "envoy-gateway")
        else:
            name, number = which.split("/")
            page = PAGES[name.rsplit("-", 2)[0]][int(number)](self._now(name))
        self.put(path, "".join(f"{_exposed(labels)} {value:.0f}\n" for labels, value in page))
        return path

    def _now(self, name: str) -> Replica:
        replica, now = self.replicas[name], time.time()
        replica.serve(self.rng, RPS * (now - self.served_at[name]), HEALTH[replica.arm])
        self.served_at[name] = now
        return replica

    @property
    def paths(self) -> list[str]:
        """What there is to scrape."""
        own = [f"/{name}/{k}" for name in self.replicas for k, _ in enumerate(PAGES[name.rsplit("-", 2)[0]])]
        return [*own, "/proxy"]


def _exposed(text: str) -> str:
    labels: dict[str, str] = json.loads(text + "}")
    name = labels.pop("__name__")
    labels.pop("instance", None)
    return name + "{" + ",".join(f"{label}={json.dumps(value)}" for label, value in labels.items()) + "}"


class Reading(Desk):
    """The world of one rollout whose counters come from a fleet, in the time of day."""

    def __init__(self, spec: CanarySpec, source: SharedPrometheusSource) -> None:
        self.source = source
        super().__init__(spec)

    def restart(self, revision: str = "r1") -> Reconciler:
        """As the operator has it."""
        self.clock.time = time.time()
        source = cast("MemoryMetrics", self.source)
        ports = Ports(self.clock, self.platform, self.router, source, self.store, self.heard)
        self.reconciler = Reconciler(
            name="desk",
            spec=self.spec,
            spec_text="-",
            revision=revision,
            ports=ports,
            scrape_interval=INTERVAL,
            say=self.said.append,
        )
        return self.reconciler

    def _count(self) -> None:
        self.clock.time = time.time()


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[SharedPrometheus]:
    program = find_prometheus()
    if program is None:
        pytest.skip(MISSING)
    async with Servers() as servers:
        port = free_port()
        jobs = [
            {
                "job_name": path.strip("/"),
                "metrics_path": path,
                "static_configs": [{"targets": [servers.address]}],
            }
            for path in servers.paths
        ]
        every = {"scrape_interval": f"{INTERVAL:.0f}s", "scrape_timeout": f"{INTERVAL:.0f}s"}
        configuration: dict[str, Any] = {"global": every, "scrape_configs": jobs}
        (tmp_path / "prometheus.yml").write_text(json.dumps(configuration))
        command = [
            str(program),
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with (tmp_path / "log").open("wb") as log:
            child = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
            api = PrometheusApi(f"http://127.0.0.1:{port}", seconds=PATIENCE_S)
            labels = Labels(gateways=(EVERYWHERE,))
            found = SharedPrometheus(api, clock=SystemClock(), interval=INTERVAL, labels=labels)
            for profile, gate in GATES.items():
                here = places(profile, Standing(), profile=profile, gates=[gate])
                found.register(("shop", profile), here)
            yield found
            await api.close()
            child.terminate()
            await child.wait()


async def test_harm_is_found_with_every_metrics_profile_where_targets_are_scraped_out_of_phase(
    fleet: SharedPrometheus,
) -> None:
    """Each rollout through the loop that the operator runs; twice the latency, or twenty times the errors."""
    desks = {
        profile: Reading(plan(gate, shares=(0.5, 1.0), hold=3600.0), fleet.source(("shop", profile)))
        for profile, gate in GATES.items()
    }
    waiting, out_of_phase = set(desks), set()
    async with asyncio.timeout(240):
        while waiting:
            await asyncio.sleep(fleet.period)
            await fleet.tick()
            for profile in sorted(waiting):
                out_of_phase |= {profile} if _apart(fleet, profile) else set()
                await desks[profile].passes(1, seconds=0.0)
                if desks[profile].rollout.phase in {Phase.ROLLING_BACK, Phase.ROLLED_BACK}:
                    waiting.remove(profile)
    assert out_of_phase == set(desks)
    for profile, desk in desks.items():
        assert list(remembered(desk.rollout.judge).failed) == [GATES[profile].text]


def _apart(fleet: SharedPrometheus, profile: str) -> bool:
    """Whether replicas were scraped further apart than a tick."""
    try:
        counters = fleet.newest(("shop", profile))
    except ExternalError:
        return False
    times = [pod.at or counters.at for pods in counters.arms.values() for pod in pods.values()]
    return max(times, default=0.0) - min(times, default=math.inf) > fleet.period
