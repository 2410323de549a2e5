"""A cluster that several teams share, in memory: the small fleet of one, and a namespace whose owner does anything.

The operator is the real one with its real adapters and client (`served.py`), and it follows repositories too. In the
namespace `models` one canary breaks at half of the traffic, a second one is sound, and a person aborts the third. The
operator is replaced by another one on the way. What is true at the end is compared as text, so that a run beside a
hostile namespace can be held against one without.
"""

import asyncio
import base64
import json
import re
import traceback
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controlplane.cli.git_sources import put_beside
from controlplane.gitsources.machine_quota import Quota
from controlplane.kubernetes.api import FIELD_MANAGER, Object
from controlplane.kubernetes.client import KubeClient
from controlplane.kubernetes.resources import (
    GATEWAY,
    GIT_SOURCE,
    HTTP_ROUTE,
    MODEL_CANARY,
    NAMESPACE,
    SECRET,
)
from controlplane.operator.operator import Operator
from controlplane.operator.registry import Registry
from controlplane.operator.settings import Settings
from controlplane.simulation.clock import VirtualClock
from testing.fake_apiserver.kube import MemoryKube
from tests.controlplane.gateway.world import Controller
from tests.controlplane.kserve.fake_kserve import FakeKServe
from tests.controlplane.kubernetes.definitions import admit
from tests.controlplane.kubernetes.served import KNOWN, MemoryApi, wired
from tests.simulation.outside import Outside, Reply, WatchedLoop
from tests.simulation.scraped import Scraped

PLACE, HOSTILE = "models", "attacker"
BAD, GOOD, ABORTED = "bad", "good", "aborted"
PROMETHEUS = "prometheus.monitoring"
REGISTRY = Registry.of(f"http://{PROMETHEUS}:9090", addresses="private")
"""Plans may name addresses of their own, so that answers of an attacker's are among what is read."""
HOOKS = "hooks.models.example.com"
REPLACED_S, ABORTED_S, LASTS_S = 9.0, 12.0, 33.0
"""Seconds after which the operator is replaced, a rollout is aborted, and all of them are over and put away."""
HALF = 500_000
"""Weight of a canary that has half of the traffic."""
PODS = [f"10.0.0.{number}" for number in range(1, 20)]
"""Addresses of the fleet's servers, which do not say what they are."""
MARKERS = {
    (PLACE, "hook"): {"url": f"https://{HOOKS}/alerts?key=HOOK-OF-MODELS"},
    (PLACE, "git"): {"token": "TOKEN-OF-MODELS"},
    (PLACE, "db"): {"password": "PASSWORD-OF-MODELS"},
    ("kube-system", "root"): {"token": "TOKEN-OF-THE-CLUSTER"},
    (HOSTILE, "own"): {"url": "https://hooks.attacker.example.com/", "token": "OWN-TOKEN", "password": "OWN-PASSWORD"},
}
"""What Secrets hold; none of it may be read by the wrong one."""
CONSENTING = {"hook", "git", "own"}
"""Names of those that may be sent to where a plan or a repository says."""


def a_plan(name: str, stage_gates: list[Any], **spec: Any) -> Object:
    """A ModelCanary of the fleet."""
    return {
        "apiVersion": MODEL_CANARY.api_version,
        "kind": MODEL_CANARY.kind,
        "metadata": {"name": name, "namespace": PLACE},
        "spec": {
            "model": {"name": name},
            "platform": {
                "kserve": {"gateway": "kserve/kserve-ingress-gateway", "hostname": f"{name}.models.example.com"}
            },
            "stable": {"name": "v1", "uri": "hf://example/v1", "runtime": "serinus-sim"},
            "canary": {"name": "v2", "uri": "hf://example/v2", "runtime": "serinus-sim"},
            "stages": [
                {"traffic": "5%", "hold": "5s", "gates": stage_gates},
                {"traffic": "50%", "hold": "5s", "gates": stage_gates},
                {"traffic": "100%", "hold": "5s"},
            ],
            "alerts": [{"webhook": {"urlFrom": {"secret": "hook", "key": "url"}}}],
            **spec,
        },
    }


REFUNDS = {
    "metric": "kpi/refunds",
    "better": "lower",
    "query": "sum by (variant) (rate(refunds_total[$window]))",
    "window": "5s",
    "max": 0.03,
}
FLEET = [
    a_plan(BAD, ["error_rate <= 5%"]),
    a_plan(GOOD, ["error_rate <= 5%", "ttft p95 <= 1s", REFUNDS]),
    a_plan(ABORTED, [], stages=[{"traffic": "5%", "hold": "1h"}, {"traffic": "100%"}]),
]
ABORT = {"metadata": {"annotations": {"requests.serinus.dev/1": "abort"}}}
REPOSITORY = {
    "metadata": {"name": "plans", "namespace": PLACE},
    "spec": {"url": "https://git.models.example.com/plans.git", "secretRef": {"name": "git"}},
}


class Tolerant(Controller):
    """A gateway's controller that leaves routes alone which it cannot understand."""

    async def _answer(self, route: Object) -> None:
        with suppress(KeyError, TypeError, ValueError, IndexError, AttributeError):
            await super()._answer(route)


@dataclass(repr=False)
class Told:
    """What is known of a run at its end."""

    objects: Mapping[str, str]
    """By kind, namespace and name: every object outside the hostile namespace, as text, without a server's numbers."""
    splits: Mapping[str, list[tuple[float, int]]]
    """By rollout of the fleet: when the canary's weight changed, and to what."""
    secrets: frozenset[str]
    """Paths of Secrets that were read."""
    climbing: list[str]
    """Requests whose path leads elsewhere than it seems to."""
    stolen: list[str]
    """Host names of the fleet in routes that the operator wrote in the hostile namespace."""
    alerts: list[str]
    """What the fleet's web hook was told."""
    sent: list[Any] = field(default_factory=list)
    """All that left."""
    said: list[str] = field(default_factory=list)
    """The log."""
    hostile: str = ""
    """All objects of the hostile namespace, as text."""
    bugs: int = 0
    longest: float = 0.0
    """Seconds of processor time of the longest turn of the loop."""
    ended: list[str] = field(default_factory=list)
    """Why an operator ended before it was stopped."""

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """In a failing example: all of it would be half a megabyte."""
        printer.text("the fleet alone")


class SharedCluster:
    """Everything that runs beside the operator."""

    def __init__(self, folder: Path, *, schema: bool = True) -> None:
        """Without `schema` the server takes objects of any shape, as with an older definition."""
        self.clock = VirtualClock()
        self.kube = MemoryKube(self.clock)
        self.outside = Outside()
        self.said: list[str] = []
        self.scraped = Scraped(self.kube, self.clock.now)
        self.splits: dict[str, list[tuple[float, int]]] = defaultdict(list)
        for name in (PLACE, HOSTILE, "kube-system", "serinus", "kserve"):
            self.kube.seed(NAMESPACE, {"metadata": {"name": name}})
        self.kube.seed(GATEWAY, {"metadata": {"name": "kserve-ingress-gateway", "namespace": "kserve"}})
        for (namespace, name), data in MARKERS.items():
            encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
            meta: Object = {"name": name, "namespace": namespace}
            if name in CONSENTING:
                meta["annotations"] = {"serinus.dev/allow": "alerts, git"}
            self.kube.seed(SECRET, {"metadata": meta, "data": encoded})
        self.api = MemoryApi(self.kube)
        if schema:
            self.kube.admit.append(admit)
        self._kserves = [
            FakeKServe(self.kube, load_s=2.0, namespace=each, subnet=number)
            for number, each in enumerate((PLACE, HOSTILE))
        ]
        self._controllers = [
            Tolerant(self.kube.acting_as("gateway-controller"), namespace=each) for each in (PLACE, HOSTILE)
        ]
        self._folder = folder
        self.outside.servers |= dict.fromkeys(PODS, lambda _: Reply(status=404))
        self.outside.servers |= {PROMETHEUS: self.scraped.serve, HOOKS: lambda _: Reply(status=204)}

    def operator(self, identity: str, client: KubeClient) -> Operator:
        """The operator as `serinus controller --cluster --git-sources` makes it."""
        settings = Settings(identity=identity, home="serinus", prometheus=REGISTRY)

        def say(_key: object, words: str) -> None:
            self.said.append(words)

        made = Operator(settings, client, clock=self.clock, say=say)
        put_beside(made, client, settings, say=say, clock=self.clock, cache=self._folder, webhook=None, quota=Quota())
        return made

    async def live(self) -> None:
        """What goes on by itself."""
        async with asyncio.TaskGroup() as tasks:
            for each in self._controllers:
                tasks.create_task(each.run())
            tasks.create_task(self.scraped.follow())
            tasks.create_task(self._note_splits())
            tasks.create_task(self._break())
            while True:
                for kserve in self._kserves:
                    with suppress(KeyError, TypeError, ValueError, AttributeError):  # it refuses nonsense of its own
                        kserve.step()
                await asyncio.sleep(1.0)

    async def _note_splits(self) -> None:
        async for event in self.kube.watch(HTTP_ROUTE, PLACE, "0"):
            weights = {each["name"]: each["weight"] for each in event.object["spec"]["rules"][0]["backendRefs"]}
            name = event.object["metadata"]["name"]
            weight = weights.get(f"{name}-v2-predictor", 0)
            known = self.splits[name]
            if not known or known[-1][1] != weight:
                known.append((round(self.clock.t, 3), weight))

    async def _break(self) -> None:
        """The bad canary breaks as soon as half of the traffic is its own."""
        while not any(weight >= HALF for _, weight in self.splits[BAD]):  # noqa: ASYNC110 - the fact is in the route
            await asyncio.sleep(0.1)
        self.scraped.broken[f"{BAD}-v2-predictor"] = self.clock.now()


Attack = Callable[[SharedCluster], Coroutine[Any, Any, None]]


async def run(folder: Path, attack: Attack | None = None, *, schema: bool = True) -> Told:
    """The fleet's rollouts from their beginning to their end, with an attack beside them all the while."""
    cluster = SharedCluster(folder, schema=schema)
    kubectl = cluster.kube.acting_as("kubectl")
    with cluster.outside.instead_of_the_network(), wired(cluster.api) as client:
        async with asyncio.TaskGroup() as tasks:
            living = [tasks.create_task(cluster.live())]
            first = _Worker(cluster.operator("one", client()), tasks)
            await asyncio.sleep(1.0)
            for plan in FLEET:
                await kubectl.apply(MODEL_CANARY, plan)
            await kubectl.apply(GIT_SOURCE, REPOSITORY)
            if attack is not None:
                living.append(tasks.create_task(attack(cluster)))
            await asyncio.sleep(REPLACED_S)
            await first.end()
            second = _Worker(cluster.operator("two", client()), tasks)
            await asyncio.sleep(ABORTED_S - REPLACED_S)
            await kubectl.patch(MODEL_CANARY, PLACE, ABORTED, ABORT)
            await asyncio.sleep(LASTS_S - ABORTED_S)
            told = _told(cluster)
            for each in living:
                each.cancel()
            await second.end()
    told.ended = [each.ended for each in (first, second) if each.ended]
    told.bugs = sum(each.operator.tally.bugs for each in (first, second))
    return told


class _Worker:
    """One operator at work."""

    def __init__(self, operator: Operator, tasks: asyncio.TaskGroup) -> None:
        self.operator = operator
        self.ended = ""
        """Why it ended before it was stopped."""
        self._stop = asyncio.Event()
        self._task = tasks.create_task(self._run())

    async def _run(self) -> None:
        try:
            await self.operator.run(self._stop)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ended the operator
            self.ended = "".join(traceback.format_exception(error))
        if not self._stop.is_set():
            self.ended = self.ended or "it returned"

    async def end(self) -> None:
        """Stop it in order."""
        self._stop.set()
        await self._task


def _told(cluster: SharedCluster) -> Told:
    loop = asyncio.get_running_loop()
    return Told(
        objects=_objects(cluster.kube),
        splits=dict(cluster.splits),
        secrets=frozenset(asked.path for asked, _ in cluster.api.asked if "/secrets/" in asked.path),
        climbing=cluster.api.climbing,
        stolen=_stolen(cluster.kube),
        alerts=[without_times(each.text.partition("\n\n")[2]) for each in cluster.outside.sent if each.host == HOOKS],
        sent=cluster.outside.sent,
        said=cluster.said,
        hostile="\n".join(
            repr(each) for kind in KNOWN for key, each in cluster.kube.objects(kind).items() if key[0] == HOSTILE
        ),
        longest=loop.longest if isinstance(loop, WatchedLoop) else 0.0,
    )


def _stolen(kube: MemoryKube) -> list[str]:
    routes = [each for (place, _), each in kube.objects(HTTP_ROUTE).items() if place == HOSTILE]
    ours = [each for each in routes if any(by["manager"] == FIELD_MANAGER for by in each["metadata"]["managedFields"])]
    return [each["metadata"]["name"] for each in ours if "models.example.com" in json.dumps(each["spec"])]


def _objects(kube: MemoryKube) -> dict[str, str]:
    """Every object outside the hostile namespace, with names in place of the numbers that a server gives out."""
    everything = [(kind, key, each) for kind in KNOWN for key, each in kube.objects(kind).items()]
    names = {each["metadata"]["uid"]: f"uid-of-{kind.kind}-{'/'.join(key)}" for kind, key, each in everything}
    kept = [entry for entry in everything if entry[1][0] != HOSTILE and entry[1] != ("", HOSTILE)]
    return {f"{kind.kind} {'/'.join(key)}": _as_text(each, names) for kind, key, each in kept}


def without_times(text: str) -> str:
    """Within a tick one rollout is looked at after the other, in any order: what is late is seen in the splits."""
    text = re.sub(r"\b20\d\d-\d\d-\d\dT[\d:.]+Z", "TIME", text)
    text = re.sub(r"\b17672\d{5}(\.\d+)?\b", "TIME", text)
    text = re.sub(r'("t\\*": ?)\d+(\.\d+)?', r"\1TIME", text)
    return re.sub(r"\b\d+(\.\d+)? (ms|s)\b", "TIME", text)


def _as_text(object_: Object, names: Mapping[str, str]) -> str:
    text = without_times(json.dumps(object_, sort_keys=True, indent=1))
    text = re.sub(r'"resourceVersion": "\d+"', '"resourceVersion": ""', text)
    return re.sub(r"5e414005-0000-4000-8000-[0-9a-f]{12}", lambda found: names.get(found[0], "gone"), text)
