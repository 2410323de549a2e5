"""The story of `scale.py` in which one tenant does the worst of everything while canaries of others break.

Half of the breaches have the cluster to themselves, and half have the attacker beside them: first without, then with,
again with, again without, so that a machine that slows down meanwhile slows down both. What the attacker writes is what
the tests of tenancy know (`tests/simulation/attacker.py`) and as much more as the API server takes; the operator has
its default limits, and the registry by which it is started holds servers of the attacker's.
"""

import asyncio
import functools
import itertools
import json
import multiprocessing
import os
import re
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from multiprocessing.process import BaseProcess
from types import SimpleNamespace
from typing import Any

import yaml

from benchmarks.scale_stage import Stage, named, spread
from benchmarks.scale_world import NAMESPACE, SERVICES, Operator, follow, free_port, name_in, shared_services
from canary.errors import ExternalError
from controlplane.kubernetes.api import Object, Resource
from controlplane.kubernetes.client import KubeClient
from controlplane.kubernetes.cluster_config import ClusterConfig
from controlplane.kubernetes.resources import MODEL_CANARY
from tests.simulation.attacker import Act, Patch, Plant, Write, evil
from tests.simulation.outside import Reply
from tests.simulation.shared_cluster import HOSTILE
from tests.simulation.worst_acts import WORST

PLACES = (NAMESPACE, "scale-2", "scale-3", "scale-4")
"""Whose rollouts are measured: no more in each than one namespace may have under way by default."""
CROWD = 300
"""Rollouts of the attacker's that could begin: three times as many as may."""
EVERY_S = 0.05
"""Between two acts of each of its three writers."""
BUILD_UP_S, CALM_S = 20.0, 20.0
"""Seconds of the attack before the first breach beside it, and after its end before the next one alone."""
PATIENCE_S = 300.0
REPLIES = {
    "hangs": Reply(after=10_000.0),
    "drips": Reply(" ", pause=0.5, pieces=100_000),
    "floods": Reply("[" * 1024 * 1024, pieces=60),
    "babbles": Reply('{"status":"success","data":{"resultType":"matrix","result":[{"metric":{foo}'),
}
"""The attacker's servers of numbers, by the names that the registry has for them."""
THEIRS = re.compile(r"http://([-\w]+)\.prometheus\.attacker\.example\.com:9090")
"""How the tests of tenancy name such a server."""
EXISTING: Object = {
    "stable": {"name": "v1", "uri": "hf://example/scale-v1", "inferenceService": SERVICES[0]},
    "canary": {"name": "v2", "uri": "hf://example/scale-v2", "inferenceService": SERVICES[1]},
}


async def tenant(stage: Stage, rollouts: int, flips: int, gates: Sequence[Any], _fault_s: float) -> dict[str, Any]:
    """Breaches one at a time, alone and beside an attacker, in both orders."""
    places = itertools.cycle(PLACES)
    names = [name_in(next(places), name) for name in named("tenant", rollouts)]
    part = max(flips // 4, 1)
    told: defaultdict[str, list[float]] = defaultdict(list)
    found: dict[str, Any] = {}
    with ExitStack() as spaces:
        await asyncio.to_thread(_prepare, stage, spaces)
        async with asyncio.TaskGroup() as tasks:
            ports = {name: free_port() for name in REPLIES}
            following = [tasks.create_task(follow(stage.kube, stage.watch, place)) for place in PLACES[1:]]
            operator = _operator(stage, ports)
            attacker = Attacker(stage, ports)
            try:
                await stage.begin(names, gates)
                for number, how in enumerate(("alone", "beside", "beside", "alone")):
                    if how == "beside":
                        await attacker.begin()
                    else:
                        await attacker.end()
                    told[how] += await stage.one_by_one(names[number * part : (number + 1) * part])
                    found[f"{number + 1}: {how}"] = {
                        "breach to no weight": spread(told[how][-part:]),
                        "RSS MB": round(operator.resident_mb(), 1),
                        "load": round(os.getloadavg()[0], 1),
                    }
                    print(f"  {how}: {found[f'{number + 1}: {how}']}", flush=True)
                lost = [name for name in names[4 * part :] if stage.watch.at_zero(name) is not None]
                return {
                    **{how: spread(values) for how, values in told.items()},
                    "longer beside, p50 and max": [
                        round(spread(told["beside"])[at] - spread(told["alone"])[at], 3) for at in ("p50", "max")
                    ],
                    "false rollbacks": len(lost),
                    "acts of the attacker": attacker.acts,
                    "its writes a second": round(attacker.acts / max(attacker.seconds, 1.0), 1),
                    "operator ended": operator.process.poll() is not None,
                    "ticks slipped": await asyncio.to_thread(operator.slipped),
                    "in turn": found,
                }
            finally:
                await attacker.end(calm=False)
                operator.stop()
                for each in following:
                    each.cancel()
                await stage.clear((*PLACES, HOSTILE))


def _prepare(stage: Stage, spaces: ExitStack) -> None:
    """Namespaces, and in each the InferenceServices that serve for all of its rollouts."""
    for each in (*PLACES[1:], HOSTILE):
        if stage.bed.kubectl("get", "namespace", each, "--ignore-not-found"):  # of a run that was killed
            stage.bed.clear(each)
            stage.bed.kubectl("wait", "--for=delete", f"namespace/{each}", "--timeout=120s")
        spaces.enter_context(stage.bed.namespace(each))
        stage.bed.apply(*shared_services(each))
    for each in (*PLACES[1:], HOSTILE):
        stage.bed.until_ready(each, *SERVICES)


def _operator(stage: Stage, ports: dict[str, int]) -> Operator:
    """An operator of the whole cluster, with the limits that it has if nobody says anything."""
    file = stage.folder / "registry.yaml"
    known = {name: {"url": f"http://127.0.0.1:{port}", "namespaces": [HOSTILE]} for name, port in ports.items()}
    file.write_text(yaml.safe_dump(known))
    words = ["--all-namespaces", "--git-sources", "--prometheus-registry", str(file)]
    return stage.operator("tenant", watching=words)


class Attacker:
    """The owner of the hostile namespace, in a process of its own, for as long as wanted."""

    def __init__(self, stage: Stage, ports: Mapping[str, int]) -> None:
        self.seconds = 0.0
        self._context = multiprocessing.get_context("spawn")
        self._acts = self._context.Value("q", 0)
        self._stage, self._ports = stage, dict(ports)
        self._process: BaseProcess | None = None
        self._began = 0.0

    @property
    def acts(self) -> int:
        """What it has done so far."""
        return int(self._acts.value)

    async def begin(self) -> None:
        """Start, if it is not at work, and wait until it is in full swing."""
        if self._process is None:
            self._began = time.monotonic()
            for act in _worst(0):
                if isinstance(act, Plant):
                    await act.do(_world(self._stage.prometheus.planted, None))
            given = (str(self._stage.bed.kubeconfig), self._ports, self._acts)
            self._process = self._context.Process(target=_attack, args=given, daemon=True)
            self._process.start()
            await asyncio.sleep(BUILD_UP_S)

    async def end(self, *, calm: bool = True) -> None:
        """Stop; with `calm` all that it has made is removed, and the cluster has a while to get over it."""
        if self._process is not None:
            self._process.terminate()
            await asyncio.to_thread(self._process.join, 30)
            self._process = None
            self.seconds += time.monotonic() - self._began
            self._stage.prometheus.planted.clear()
            if calm:
                await self._stage.clear_place(HOSTILE)
                await asyncio.sleep(CALM_S)


def _world(planted: Object, kube: Any) -> Any:
    """What acts are done to, where the cluster is a real one."""
    return SimpleNamespace(
        kube=SimpleNamespace(acting_as=lambda _: kube),
        outside=SimpleNamespace(servers={}),
        scraped=SimpleNamespace(planted=planted, slow=0.0),
    )


def _attack(kubeconfig: str, ports: Mapping[str, int], acts: Any) -> None:
    """The attacker's process: its servers, and three writers at a time."""
    asyncio.run(_attacked(kubeconfig, ports, acts))


async def _attacked(kubeconfig: str, ports: Mapping[str, int], acts: Any) -> None:
    world = _world({}, _Named(KubeClient(await ClusterConfig.find(kubeconfig=kubeconfig), timeout=PATIENCE_S)))

    async def again_and_again(part: Callable[[int], Iterator[Act]]) -> None:
        for turn in itertools.count():
            for each in part(turn):
                with suppress(ExternalError):
                    await each.do(world)
                acts.value += 1
                await asyncio.sleep(EVERY_S)

    async with asyncio.TaskGroup() as tasks:
        for name, port in ports.items():
            await asyncio.start_server(functools.partial(_serve, REPLIES[name]), "127.0.0.1", port)
        for part in (_worst, _crowd, _numbers):
            tasks.create_task(again_and_again(part))


def _worst(_turn: int) -> Iterator[Act]:
    """All that the tests of tenancy know."""
    yield from (act for number, what in enumerate(WORST) for act in WORST[what](f"evil-{number}"))


def _crowd(turn: int) -> Iterator[Act]:
    """Three times as many rollouts as may begin, edited at every turn; plans and annotations as large as may be."""
    for number in range(CROWD):
        yield Write(MODEL_CANARY, evil(f"crowd-{number}", **EXISTING, gates=[f"error_rate <= {turn % 50 + 1}%"]))
        if number % 10 == 0:
            yield Patch(MODEL_CANARY, f"crowd-{number}", _notes(turn))
            yield Write(MODEL_CANARY, evil("huge", **EXISTING, gates=[{"metric": "x", "a": [{}] * 100_000}]))
            yield Write(MODEL_CANARY, evil("large", **_prompted(900_000 + turn)))


def _numbers(_turn: int) -> Iterator[Act]:
    """Rollouts whose numbers come from servers that hang, drip, send 60 MiB or nonsense."""
    for number, name in enumerate(list(REPLIES) * 5):
        yield Write(MODEL_CANARY, evil(f"own-{number}", kserve={"prometheus": name}, **EXISTING))


def _notes(turn: int) -> Object:
    """A thousand requests, most of which nobody understands, and one annotation as long as they may be."""
    asked = {f"requests.serinus.dev/{turn}-{number}": "[" * 150 for number in range(1000)}
    return {"metadata": {"annotations": {**asked, "endless": "x" * 60_000}}}


def _prompted(length: int) -> Object:
    prompt = {"systemPrompt": {"text": "x" * length}}
    return {name: {**variant, **prompt} for name, variant in EXISTING.items()}


class _Named:
    """The client of an attacker who names servers by the names that the registry has for them."""

    def __init__(self, kube: KubeClient) -> None:
        self._kube = kube
        self.patch, self.delete = kube.patch, kube.delete

    async def apply(self, resource: Resource, object_: Object) -> Object:
        """Write it."""
        names = list(REPLIES)
        text = THEIRS.sub(lambda found: names[zlib.crc32(found[1].encode()) % len(names)], json.dumps(object_))
        return await self._kube.apply(resource, json.loads(text))


async def _serve(reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError):
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(reply.after)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n")
        for _ in range(reply.pieces):
            writer.write(reply.body.encode())
            await writer.drain()
            await asyncio.sleep(reply.pause)
    writer.close()
