"""Traffic through a real Envoy Gateway, moved by our router: no request is lost, and no stream is cut.

The figures that these tests print are those of `docs/gateways.md`.
"""

import asyncio
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from canary.errors import ExternalError
from canary.weights import ALL_STABLE, Arm, Weights
from controlplane.adapters.system_clock import SystemClock
from controlplane.gateway.router import GatewayRouter
from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.client import KubeClient
from controlplane.kubernetes.reflector import Reflector
from controlplane.kubernetes.resources import GATEWAY, HTTP_ROUTE
from tests.cluster.bed import Node
from tests.cluster.traffic import Hit
from tests.contracts import test_router as contract
from tests.controlplane.gateway.world import plan

REQUESTS = 100_000
RATE = 1500.0
SHIFTS = 40
STREAMS = 40
HOLD_S = 0.25
"""Seconds between two shifts: long enough to see which of them a failure belongs to."""
VARIANTS = ("v1", "v2")
STREAM_TOKENS = 80
"""At ten tokens a second."""
COHORT_PROMOTIONS = 8


def service(namespace: str, variant: str, replicas: int) -> dict[str, Any]:
    """An InferenceService of the sample server: quick for one token, a tenth of a second for each more."""
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": f"chat-{variant}",
            "namespace": namespace,
            "labels": {"networking.kserve.io/visibility": "cluster-local"},
            "annotations": {
                "serving.kserve.io/deploymentMode": "Standard",
                "serving.kserve.io/autoscalerClass": "none",
            },
        },
        "spec": {
            "predictor": {
                "minReplicas": replicas,
                "model": {
                    "modelFormat": {"name": "serinus-sim"},
                    "storageUri": "hf://example/chat",
                    "env": [{"name": "ITL", "value": "0.1"}, {"name": "TOKENS", "value": str(STREAM_TOKENS)}],
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "32Mi"},
                        "limits": {"cpu": "1", "memory": "256Mi"},
                    },
                },
            }
        },
    }


@dataclass(slots=True)
class Shift:
    """One change of the weights that was asked for."""

    began: float
    ended: float
    weights: Weights
    canary: str
    """The variant that was the canary then."""
    falls: bool = False


@dataclass(slots=True)
class Gateway:
    """A namespace with two variants, and routers for its route."""

    node: Node
    namespace: str
    kube: KubeClient
    clock: SystemClock
    routes: Cache
    gateways: Cache
    spec: dict[str, Any]
    """What the plan says besides its variants; `kserve` is for its platform."""
    shifts: list[Shift] = field(default_factory=list)

    @property
    def host(self) -> str:
        """By which clients ask for the model."""
        return f"{self.namespace}.example.com"

    def router(self, stable: str, canary: str) -> GatewayRouter:
        """The router of a rollout from one variant to the other."""
        of = plan(stable, canary, **{**self.spec, "kserve": {"hostname": self.host, **self.spec.get("kserve", {})}})
        return GatewayRouter(
            self.kube, self.routes, of, namespace=self.namespace, clock=self.clock, gateways=self.gateways
        )

    async def shift(self, router: GatewayRouter, canary: str, share: float) -> None:
        """Ask for this share and note it; the router sees it in force at its return."""
        weights = Weights.of_share(share)
        before, began = (await router.seen()).weights, self.clock.now()
        async with asyncio.timeout(60):
            while True:
                with suppress(ExternalError):  # a busy machine; asked again, as the loop does
                    await router.set_weights(weights)
                    break
        falls = before is not None and weights < before
        self.shifts.append(Shift(began, self.clock.now(), weights, canary, falls))
        await self.clock.sleep(HOLD_S)
        assert (await router.seen()).weights == weights

    async def settle(self, router: GatewayRouter, free: Arm) -> None:
        """Tidy up pass by pass, as the operator does."""
        async with asyncio.timeout(20):
            while not await router.settle(free):
                await self.clock.sleep(0.1)

    async def rolled_back(self, stable: str, canary: str, *shares: float) -> None:
        """A rollout that goes through these shares and then back."""
        router = self.router(stable, canary)
        for share in (*shares, 0.0):
            await self.shift(router, canary, share)
        await self.settle(router, "canary")

    async def promoted(self, stable: str, canary: str, *shares: float) -> None:
        """A rollout that goes through these shares to its end."""
        router = self.router(stable, canary)
        for share in (*shares, 1.0):
            await self.shift(router, canary, share)
        await self.settle(router, "stable")


@asynccontextmanager
async def two_variants(node: Node, namespace: str, **spec: Any) -> AsyncIterator[Gateway]:
    """Both variants are ready, and everything is on the first."""
    node.apply(*(service(namespace, variant, 1) for variant in VARIANTS))
    await asyncio.to_thread(node.until_ready, namespace, *(f"chat-{variant}" for variant in VARIANTS))
    kube, clock = await KubeClient.connect(kubeconfig=str(node.kubeconfig)), SystemClock()
    try:
        async with asyncio.TaskGroup() as group:
            routes, gateways = Cache(HTTP_ROUTE), Cache(GATEWAY)
            reflectors = [
                Reflector(kube, HTTP_ROUTE, routes, clock=clock, namespace=namespace),
                Reflector(kube, GATEWAY, gateways, clock=clock),
            ]
            following = [group.create_task(reflector.run()) for reflector in reflectors]
            try:
                for reflector in reflectors:
                    await reflector.synced.wait()
                gateway = Gateway(node, namespace, kube, clock, routes, gateways, spec)
                await _first_route(gateway)
                yield gateway
            finally:
                for each in following:
                    each.cancel()
    finally:
        await kube.close()


async def _first_route(gateway: Gateway) -> None:
    """Ask for it until clients are served."""
    router = gateway.router(*VARIANTS)
    async with asyncio.timeout(60):
        while True:
            with suppress(ExternalError):  # asked again, as the loop does
                await router.set_weights(ALL_STABLE)
            if (await router.seen()).weights == ALL_STABLE and await _is_served(gateway):
                return
            await asyncio.sleep(0.2)


async def _is_served(gateway: Gateway) -> bool:
    """Whether the proxy itself knows the new route by now: on a busy machine that is later than its acceptance."""
    cohort = gateway.spec.get("cohort", {"header": "x-nobody", "in": ["-"]})
    with gateway.node.load(gateway.host, requests=50, headers={cohort["header"]: cohort["in"][0]}) as load:
        await asyncio.to_thread(load.wait)
    return not load.failures()


def last_after(hits: Sequence[Hit], shifts: Sequence[Shift]) -> list[float]:
    """For each fall to nothing: milliseconds from its beginning to the last request that the canary got."""
    found = []
    for index, shift in enumerate(shifts):
        if not shift.falls or shift.weights != ALL_STABLE:
            continue
        until = shifts[index + 1].began if index + 1 < len(shifts) else float("inf")
        got = [hit.began for hit in hits if shift.began <= hit.began < until and f"chat-{shift.canary}" in hit.server]
        found.append(1000 * (max(got, default=shift.began) - shift.began))
    return found


def in_words(name: str, values: Sequence[float]) -> str:
    """Quantiles of milliseconds on one line."""
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    return f"{name}: p50 {statistics.median(ordered):.0f} ms, p95 {p95:.0f} ms, max {ordered[-1]:.0f} ms"


def say(figures: str) -> None:
    """Figures that one wants to see of a test that passes, too (`pytest -rP`)."""
    print(figures)  # noqa: T201 - that is its purpose


Promise = Callable[[GatewayRouter, None], Awaitable[None]]


@pytest.mark.parametrize(
    "promise",
    [
        contract.test_the_weights_that_were_set_are_the_ones_seen,
        contract.test_setting_the_same_weights_again_changes_nothing,
    ],
)
async def test_it_keeps_what_every_router_promises(node: Node, namespace: str, promise: Promise) -> None:
    async with two_variants(node, namespace) as gateway:
        await promise(gateway.router(*VARIANTS), None)


async def test_no_request_is_lost_over_many_rollouts(node: Node, namespace: str) -> None:
    """Canaries are started, moved, rolled back and promoted under load; each winner is the next one's stable."""
    async with two_variants(node, namespace) as gateway:
        load = node.load(gateway.host, rate=RATE, requests=REQUESTS)
        with load:
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(asyncio.to_thread(load.wait))
                stable, canary = VARIANTS
                while not sending.done():
                    await gateway.rolled_back(stable, canary, 0.05, 0.25, 0.75)
                    await gateway.promoted(stable, canary, 0.05, 0.75)
                    stable, canary = canary, stable
        ended = load.hits[-1].ended
        under_load = [shift for shift in gateway.shifts if shift.ended < ended]
        falls = last_after(load.hits, under_load)
        writes = [1000 * (shift.ended - shift.began) for shift in under_load if shift.falls]
        say(
            f"\n{len(load.hits)} requests in {ended - load.hits[0].began:.0f} s, {len(under_load)} shifts, "
            f"{len(falls)} of them rollbacks; failed: {dict(load.failures())}; answered: {dict(load.answered())}\n"
            f"{in_words('last request of the canary after a rollback began', falls)}\n"
            f"{in_words('rollback seen in force', writes)}"
        )
        assert load.failures() == {}
        assert len(load.hits) >= REQUESTS
        assert len(under_load) >= SHIFTS


async def test_streams_that_are_open_when_their_canary_is_taken_back_end_in_their_own_time(
    node: Node, namespace: str
) -> None:
    """Even when the canary is deleted as soon as its slot is at rest: it answers what it has begun."""
    async with two_variants(node, namespace) as gateway:
        router = gateway.router(*VARIANTS)
        await gateway.shift(router, "v2", 0.5)
        streams = node.load(
            gateway.host,
            requests=STREAMS,
            workers=STREAMS,
            body={"stream": True, "max_tokens": STREAM_TOKENS},
            ends="[DONE]",
        )
        with streams:
            await asyncio.sleep(2.0)
            await router.set_weights(ALL_STABLE)
            rolled_back = gateway.clock.now()
            await gateway.settle(router, "canary")
            assert router.idle("canary")
            node.kubectl("delete", "inferenceservice", "chat-v2", "-n", namespace, "--wait=false")
            await asyncio.to_thread(streams.wait)
        across = [hit for hit in streams.hits if hit.began < rolled_back < hit.ended]
        on_canary = [hit for hit in across if "chat-v2" in hit.server]
        say(f"\n{len(across)} streams open across the rollback, {len(on_canary)} of them on the canary")
        assert streams.failures() == {}
        assert len(across) == STREAMS
        assert on_canary


async def test_those_outside_a_cohort_lose_nothing_when_the_winner_takes_over(node: Node, namespace: str) -> None:
    """They are moved at once, in one cluster, when stable goes to rest; nobody is moved before."""
    async with two_variants(node, namespace, cohort={"header": "x-team", "in": ["blue"]}) as gateway:
        others, cohort = (
            node.load(gateway.host, rate=RATE / 3),
            node.load(gateway.host, rate=RATE / 3, headers={"x-team": "blue"}),
        )
        with others, cohort:
            stable, canary = VARIANTS
            for _ in range(COHORT_PROMOTIONS):
                await gateway.promoted(stable, canary, 0.05, 0.75)
                stable, canary = canary, stable
        say(f"\n{len(others.hits)} + {len(cohort.hits)} requests over {COHORT_PROMOTIONS} promotions of a cohort")
        assert (others.failures(), cohort.failures()) == ({}, {})
        first = next(shift for shift in gateway.shifts if shift.weights == Weights.of_share(0.75))
        before = {hit.server for hit in others.between(0.0, first.ended)}
        assert {name for name in before if "chat-v2" in name} == set()
        assert any("chat-v2" in hit.server for hit in cohort.between(0.0, first.ended))
        assert {"chat-v1", "chat-v2"} == {
            hit.server.removeprefix("isvc.").removesuffix("-predictor") for hit in others.hits
        }


async def test_what_somebody_changes_with_kubectl_is_named_and_put_right(node: Node, namespace: str) -> None:
    """The API server itself says who it was."""
    async with two_variants(node, namespace) as gateway:
        router = gateway.router(*VARIANTS)
        await gateway.shift(router, "v2", 0.05)
        kubectl = ("patch", "httproute", "chat", "-n", namespace, "--type=json", "-p")
        node.kubectl(*kubectl, '[{"op": "replace", "path": "/spec/rules/0/backendRefs/1/weight", "value": 500000}]')
        await _until(router.drift)
        assert router.drift() == "kubectl-patch changed spec.rules[0].backendRefs[1].weight from 50000 to 500000"
        await gateway.shift(router, "v2", 0.05)
        assert router.drift() == ""
        node.kubectl("annotate", "httproute", "chat", "-n", namespace, "team=blue")
        await gateway.clock.sleep(0.5)
        assert router.drift() == ""


async def test_a_route_that_somebody_deletes_comes_back_with_everything_on_stable(node: Node, namespace: str) -> None:
    async with two_variants(node, namespace) as gateway:
        router = gateway.router(*VARIANTS)
        await gateway.shift(router, "v2", 0.05)
        node.kubectl("delete", "httproute", "chat", "-n", namespace)
        await _until(lambda: not router.slots())
        assert (await router.seen()).weights is None
        with pytest.raises(ExternalError, match="it has been made again with everything on v1"):
            await router.set_weights(Weights.of_share(0.25))
        await router.set_weights(ALL_STABLE)
        assert (await router.seen()).weights == ALL_STABLE


async def test_a_gateway_that_is_deleted_in_mid_rollout_keeps_no_canary(node: Node, namespace: str) -> None:
    """Envoy Gateway goes on calling its routes accepted."""
    listener = {"name": "http", "protocol": "HTTP", "port": 80}
    node.apply(
        {
            "apiVersion": GATEWAY.api_version,
            "kind": "Gateway",
            "metadata": {"name": "own", "namespace": namespace},
            "spec": {"gatewayClassName": "eg", "listeners": [listener]},
        }
    )
    async with two_variants(node, namespace, kserve={"gateway": f"{namespace}/own"}) as gateway:
        router = gateway.router(*VARIANTS)
        await gateway.shift(router, "v2", 0.25)
        node.kubectl("delete", "gateway", "own", "-n", namespace)
        await _until(lambda: not list(gateway.gateways.items(namespace)))
        seen = await router.seen()
        assert seen.weights is None
        assert f"gateway {namespace}/own does not exist, so nobody is served through it" in seen.problem
        await router.set_weights(ALL_STABLE)
        await gateway.settle(router, "canary")
        assert router.idle("canary")


async def _until(so: Callable[[], object]) -> None:
    """Wait until the caches have heard of it."""
    async with asyncio.timeout(20):
        while not so():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.02)
