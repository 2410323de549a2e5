"""The cluster of `scale.py`: many ModelCanaries on the light test bed, operators in processes of their own, a watch.

Two InferenceServices, which exist already, serve for all rollouts: what is measured is the control plane, and the
peers were measured without any. Routes, statuses and leases are real writes to a real API server. Decides nothing.
"""

import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from canary.errors import ExternalError
from controlplane.gateway.route import WEIGHTED_RULE
from controlplane.gateway.slots import TINY
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.client import KubeClient
from controlplane.kubernetes.cluster_config import ClusterConfig
from controlplane.kubernetes.resources import HTTP_ROUTE, MODEL_CANARY
from controlplane.operator.spec_reader import is_at_rest
from tests.cluster.bed import Light, until
from tests.cluster.objects import service

os.environ.setdefault(
    "SERINUS_TESTBED_NUMBER", "5"
)  # a bed of its own, beside those of the tests and of `make cluster`
ROOT = Path(__file__).parent.parent
NAMESPACE = "scale"
SERVICES = ("shared-stable", "shared-canary")
CRDS = ("modelcanaries.serinus.dev", "rollouthistories.serinus.dev")
ESTABLISHED = 'jsonpath={.status.conditions[?(@.type=="Established")].status}'
ONE_PLACE = ("--namespace", NAMESPACE, "--rollouts-per-namespace", "1000", "--namespace-memory", "1Gi")
"""All rollouts are in this one."""
SHARE = 0.05
CANARY_PLACE = 1
AT_ONCE = 50
PATIENCE_S = 60.0
"""Seconds for one request of the benchmark's own, which sets the stage and is not measured."""
SLIPPED = re.compile(r"^canary_operator_ticks_slipped_total (\S+)$")
TICKS = re.compile(r"^canary_operator_ticks_total (\S+)$")
TICK_SECONDS = re.compile(r"^canary_operator_tick_seconds (\S+)$")
READY = re.compile(r"^canary_operator_rollouts_ready (\S+)$")
WRITES = re.compile(
    r'^canary_operator_api_requests_total\{resource="(?!leases)\w+",verb="(?:create|patch|delete)"\} (\S+)$'
)


def name_in(namespace: str, name: str) -> str:
    """What a story calls a rollout: by its name, with its namespace before it where that is another one than ours."""
    return name if namespace == NAMESPACE else f"{namespace}/{name}"


def place_of(name: str) -> tuple[str, str]:
    """Namespace and name of what a story calls so."""
    namespace, _, bare = name.rpartition("/")
    return namespace or NAMESPACE, bare


def canary(called: str, gates: Sequence[Any], **more: Any) -> Object:
    """A rollout that stays at 5 % until something is wrong; `more` is added to its spec."""
    namespace, name = place_of(called)
    return {
        "apiVersion": MODEL_CANARY.api_version,
        "kind": MODEL_CANARY.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "model": {"name": name},
            "platform": {
                "kserve": {"gateway": "kserve/kserve-ingress-gateway", "hostname": f"{name}.scale.example.com"}
            },
            "stable": {"name": "v1", "uri": "hf://example/scale-v1", "inferenceService": SERVICES[0]},
            "canary": {"name": "v2", "uri": "hf://example/scale-v2", "inferenceService": SERVICES[1]},
            "fingerprint": {"policy": "ignore"},  # pods that only pretend tell nothing
            "stages": [{"traffic": "5%", "hold": "7d", "gates": list(gates)}, {"traffic": "100%"}],
            **more,
        },
    }


def shared_services(namespace: str = NAMESPACE) -> list[Object]:
    """Both InferenceServices."""
    made = [service(name, namespace) for name in SERVICES]
    for number, each in enumerate(made, 1):
        each["spec"]["predictor"]["model"]["storageUri"] = f"hf://example/scale-v{number}"
    return made


@dataclass(slots=True)
class Watch:
    """What the watch on our routes has told: the canary's weight of each, and when it last changed."""

    weights: dict[str, int] = field(default_factory=dict)
    changed: dict[str, float] = field(default_factory=dict)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    def at_zero(self, name: str) -> float | None:
        """When this canary was first seen without traffic; None while it has some."""
        return self.changed[name] if self.weights.get(name, 0) <= TINY and name in self.changed else None

    async def note(self, route: Object) -> None:
        """Take the newest state of a route."""
        meta, weight = route["metadata"], _canary_weight(route)
        name = name_in(meta["namespace"], meta["name"])
        if self.weights.get(name) == weight:
            return
        came_down = self.weights.get(name, 0) > TINY >= weight
        self.weights[name] = weight
        if came_down or weight > TINY:
            self.changed[name] = time.time()
        async with self.news:
            self.news.notify_all()

    async def until(self, what: str, names: Sequence[str], *, zero: bool, seconds: float) -> None:
        """Wait until all of these have traffic, or none."""
        async with asyncio.timeout(seconds), self.news:
            try:
                await self.news.wait_for(lambda: all((self.weights.get(each, 0) <= TINY) is zero for each in names))
            except asyncio.CancelledError:
                missing = [each for each in names if (self.weights.get(each, 0) <= TINY) is not zero]
                print(f"  waited {seconds:g} s for {what}; missing: {missing[:5]} ({len(missing)})", flush=True)
                raise


async def follow(kube: KubeClient, watch: Watch, namespace: str = NAMESPACE) -> None:
    """Keep the watch going, also over minutes in which nothing changes and a busy server forgets to say so."""
    while True:
        try:
            listing = await kube.list(HTTP_ROUTE, namespace)
            for route in listing.items:
                await watch.note(route)
            async for event in kube.watch(HTTP_ROUTE, namespace, listing.version):
                if event.type in {"ADDED", "MODIFIED"}:
                    await watch.note(event.object)
        except ExternalError as error:
            print(f"  the watch is opened again: {error}", flush=True)


def _canary_weight(route: Object) -> int:
    references = route["spec"]["rules"][WEIGHTED_RULE]["backendRefs"]
    return int(references[CANARY_PLACE]["weight"]) if references[CANARY_PLACE]["name"].startswith(SERVICES[1]) else 0


class Operator:
    """`serinus controller --cluster` in a process of its own."""

    def __init__(
        self, kubeconfig: Path, prometheus: str, *, elect: bool, log: Path, watching: Sequence[str] = ONE_PLACE
    ) -> None:
        """`watching`: options that say whose rollouts it carries out, and how many."""
        words = ["controller", "--cluster", "--kubeconfig", str(kubeconfig), *watching]
        self.port = free_port()
        words += ["--prometheus", prometheus, "--interval", "1s", "--listen", f"127.0.0.1:{self.port}"]
        words += ["--leader-elect" if elect else "--no-leader-elect"]
        self.log = log
        with log.open("a") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "controlplane.cli.main", *words],
                stdout=out,
                stderr=out,
                cwd=ROOT,
                env={
                    **os.environ,
                    "POD_NAME": log.stem,
                    "POD_NAMESPACE": NAMESPACE,
                    "SERINUS_ALERT_NETWORKS": "127.0.0.0/8",
                },
            )
        self.usage = psutil.Process(self.process.pid)

    def writes(self) -> float:
        """Writes to the API server that it has counted so far; renewing its Lease is left out."""
        return self._counted(WRITES)

    def slipped(self) -> float:
        """Ticks that slipped so far."""
        return self._counted(SLIPPED)

    def ticks(self) -> float:
        """Readings of the numbers so far."""
        return self._counted(TICKS)

    def tick_seconds(self) -> float:
        """How long the last reading took."""
        return self._counted(TICK_SECONDS)

    def ready(self) -> float:
        """Rollouts that it could take over at once; none while it does not answer yet."""
        with contextlib.suppress(OSError):
            return self._counted(READY)
        return 0.0

    def _counted(self, series: re.Pattern[str]) -> float:
        """The sum of these series on its page of metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            page = answer.read().decode()
        return sum(float(found[1]) for line in page.splitlines() if (found := series.match(line)))

    def cpu_seconds(self) -> float:
        """CPU time so far."""
        times = self.usage.cpu_times()
        return float(times.user + times.system)

    def resident_mb(self) -> float:
        """Memory now."""
        return float(self.usage.memory_info().rss) / 1e6

    def stop(self, *, kill: bool = False) -> None:
        """End it, in order or with -9."""
        if self.process.poll() is None:
            self.process.kill() if kill else self.process.terminate()
        self.process.wait(30)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _established(bed: Light, crd: str) -> bool:
    return "True" in bed.kubectl("get", "crd", crd, "-o", ESTABLISHED)


@contextlib.asynccontextmanager
async def cluster() -> AsyncIterator[tuple[Light, KubeClient, Watch]]:
    """The light test bed with our resource, both InferenceServices, and a watch that goes on."""
    bed = Light.up()
    bed.kubectl("apply", "--server-side", "-k", str(ROOT / "manifests" / "crd"))
    # Not `kubectl wait`, which fails while there are no conditions at all yet.
    for crd in CRDS:
        until("our resource to be served", partial(_established, bed, crd))
    if bed.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found"):  # of a run that was killed
        bed.clear(NAMESPACE)
        bed.kubectl("wait", "--for=delete", f"namespace/{NAMESPACE}", "--timeout=120s")
    with bed.namespace(NAMESPACE):
        bed.apply(*shared_services())
        bed.until_ready(NAMESPACE, *SERVICES)
        kube = KubeClient(await ClusterConfig.find(kubeconfig=str(bed.kubeconfig)), timeout=PATIENCE_S)
        watch = Watch()
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(follow(kube, watch))
            try:
                yield bed, kube, watch
            finally:
                following.cancel()
        await kube.close()


async def at_rest(kube: KubeClient, name: str) -> tuple[Object, Object]:
    """The rollout of this name and its route, once it has ended and all is put away."""
    over = time.monotonic() + PATIENCE_S
    while not is_at_rest(ended := await kube.get(MODEL_CANARY, NAMESPACE, name)):
        if time.monotonic() > over:
            raise TimeoutError(f"{name} has not come to rest")
        await asyncio.sleep(0.5)
    return ended, await kube.get(HTTP_ROUTE, NAMESPACE, name)


async def make_alike(kube: KubeClient, ended: Object, route: Object, others: Sequence[str]) -> None:
    """Make rollouts that have ended like this one, status included. No operator may be at work, or it begins them."""
    name = ended["metadata"]["name"]

    async def copy(other: str) -> None:
        await kube.create(HTTP_ROUTE, _renamed(route, name, other))
        made = await kube.create(MODEL_CANARY, _renamed(ended, name, other))
        status = {**_as(ended["status"], name, other), "observedGeneration": made["metadata"]["generation"]}
        patch = [{"op": "add", "path": "/status", "value": status}]
        await kube.patch(MODEL_CANARY, NAMESPACE, other, patch, subresource="status")

    await in_turns(copy, others)


async def in_turns(work: Callable[[str], Awaitable[None]], names: Sequence[str]) -> None:
    """Do this for each, some of them at a time: whoever waits for his turn in the client is given up after a while."""
    for first in range(0, len(names), AT_ONCE):
        await asyncio.gather(*map(work, names[first : first + AT_ONCE]))


def _renamed(object_: Object, name: str, other: str) -> Object:
    """The object as somebody would apply it under another name."""
    meta = {key: object_["metadata"][key] for key in ("labels", "annotations") if key in object_["metadata"]}
    bare = {"apiVersion": object_["apiVersion"], "kind": object_["kind"], "spec": object_["spec"]}
    return _as({**bare, "metadata": {**meta, "name": name, "namespace": NAMESPACE}}, name, other)


def _as(document: Object, name: str, other: str) -> Object:
    renamed: Object = json.loads(json.dumps(document).replace(f'"{name}', f'"{other}'))
    return renamed
