"""A routing group on KServe's real controller, promoted again and again by our adapters: no request is lost, ever.

What a whole rollout does only once, at its end, happens here several times in a row: the canary gets everything, and
the other leaves the group for good. The winner is the next one's stable.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import pytest

from canary.errors import ExternalError
from canary.spec import parse_document
from canary.spec.models import ModelCanary
from canary.weights import ALL_CANARY, Arm, Weights
from controlplane.adapters.system_clock import SystemClock
from controlplane.kserve.caches import Caches
from controlplane.kserve.llm import LlmPlatform
from controlplane.kserve.llm_router import LlmRouter
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.client import KubeClient
from controlplane.operator.informers import following
from tests.cluster.bed import Node, until
from tests.cluster.test_llm import gone, members, serves, traffic

PROMOTIONS = 4
RATE = 150.0
SECONDS = 120.0
"""For a step of a busy controller."""
QUIET_S = 2.0
"""Traffic goes on between two promotions: what a departure costs, it costs within a second."""
PLAN = """
apiVersion: serinus.dev/v1alpha1
kind: ModelCanary
metadata: {name: chat, namespace: NAMESPACE}
spec:
  model: {name: chat}
  platform: {kserve: {mode: llm}}
  stable: {name: STABLE, uri: "hf://example/chat-bf16", VARIANT}
  canary: {name: CANARY, uri: "hf://example/chat-int4", VARIANT}
  stages: [{traffic: 5%}, {traffic: 100%}]
"""
VARIANT = "image: 'localhost/serinus-vllm:testbed', profile: {gpu: L4}, resources: {cpu: 200m, memory: 256Mi}"


@dataclass(slots=True)
class Rollout:
    """The adapters of one rollout, asked again and again as the loop does."""

    plan: ModelCanary
    router: LlmRouter
    platform: LlmPlatform

    async def ready(self) -> None:
        """Both variants are there and can serve."""
        async with asyncio.timeout(SECONDS):
            while not all(seen.complete for seen in (await self.platform.seen()).values()):
                await self.platform.run("stable", self.plan.spec.stable)
                await self.platform.run("canary", self.plan.spec.canary)
                await asyncio.sleep(0.5)

    async def shift(self, weights: Weights) -> None:
        """Until they are seen in force."""
        async with asyncio.timeout(SECONDS):
            while (await self.router.seen()).weights != weights:
                with suppress(ExternalError):
                    await self.router.set_weights(weights)
                await asyncio.sleep(0.1)  # it may answer at once, and what KServe does has to be heard of

    async def put_away(self, arm: Arm) -> None:
        """Until nothing is left of it."""
        async with asyncio.timeout(SECONDS):
            while not self.platform.gone(arm):
                await self.platform.stop(arm)
                await asyncio.sleep(0.5)


@dataclass(slots=True)
class Group:
    """A namespace, and what is known of it."""

    kube: KubeClient
    caches: Caches
    namespace: str
    clock: SystemClock = field(default_factory=SystemClock)
    pods: set[str] = field(default_factory=set)
    """Names of all pods that were ever there."""

    def note(self, _before: Object | None, after: Object | None) -> None:
        """Hear of a pod."""
        if after is not None:
            self.pods.add(after["metadata"]["name"])

    def rollout(self, stable: str, canary: str) -> Rollout:
        """From one variant to the other."""
        text = PLAN.replace("NAMESPACE", self.namespace).replace("STABLE", stable).replace("CANARY", canary)
        of = parse_document(text.replace("VARIANT", VARIANT), "canary.yml").canary
        router = LlmRouter(self.kube, self.caches, of, namespace=self.namespace, clock=self.clock)
        may_stop: Callable[[Arm], bool] = router.idle
        return Rollout(
            of,
            router,
            LlmPlatform(self.kube, self.caches, of, namespace=self.namespace, now=self.clock.now, may_stop=may_stop),
        )


@pytest.fixture(scope="module")
def llm(node: Node) -> Node:
    """The node with KServe's second controller."""
    node.add("llm")
    return node


@asynccontextmanager
async def group_in(node: Node, namespace: str) -> AsyncIterator[Group]:
    """Caches that follow the cluster for the time of the block."""
    kube = await KubeClient.connect(kubeconfig=str(node.kubeconfig))
    try:
        async with asyncio.TaskGroup() as tasks:
            follow = following(kube, namespace, SystemClock())
            running = tasks.create_task(follow.run())
            try:
                await follow.synced()
                group = Group(kube, follow.caches, namespace)
                follow.caches.llm_pods.on_change(group.note)
                yield group
            finally:
                running.cancel()
    finally:
        await kube.close()


async def test_promoted_again_and_again_a_group_loses_no_request(llm: Node, namespace: str) -> None:
    """Each time the winner is given everything, and the loser leaves while traffic flows."""
    async with group_in(llm, namespace) as group:
        names = [f"v{number}" for number in range(PROMOTIONS + 1)]
        await group.rollout(names[0], names[1]).ready()
        await asyncio.to_thread(until, "the route to serve", lambda: serves(llm, namespace), SECONDS)
        with traffic(llm, namespace, rate=RATE) as load:
            for stable, canary in pairwise(names):
                left = partial(gone, llm, namespace, f"chat-{stable}")
                rollout = group.rollout(stable, canary)
                await rollout.ready()
                await rollout.shift(Weights(50_000))
                await rollout.shift(ALL_CANARY)
                await rollout.put_away("stable")
                await asyncio.to_thread(until, f"{stable} to be gone", left, SECONDS, 0.5)
                await asyncio.sleep(QUIET_S)
        assert members(llm, namespace) == {f"chat-{names[-1]}": 1_000_000}
    failed = [hit for hit in load.hits if hit.status != 200]
    sys.stdout.write(f"{len(load.hits)} requests over {PROMOTIONS} promotions, {len(failed)} failed\n")
    assert not failed, f"{len(failed)} of {len(load.hits)}: {failed[:3]}"
    assert len({hit.server.rsplit("-kserve-", 1)[0] for hit in load.hits}) == PROMOTIONS + 1
    made = Counter(pod.rsplit("-kserve-", 1)[0] for pod in group.pods)
    assert made == {f"chat-{name}": 1 for name in names}, (
        "a loser's pods are deleted with it, and never replaced before"
    )
