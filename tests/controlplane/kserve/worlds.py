"""Small clusters in memory with a KServe in them, for the tests of this package and for the contract suites."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from textwrap import dedent, indent

from canary.spec import parse_document
from canary.spec.models import ModelCanary
from canary.weights import Arm
from controlplane.kserve.caches import Caches
from controlplane.kserve.knative import KnativePlatform, KnativeRouter
from controlplane.kserve.llm import LlmPlatform
from controlplane.kserve.llm_router import LlmRouter
from controlplane.kserve.native import NativePlatform, NativeRouter
from controlplane.kserve.pods import MOMENT
from controlplane.kserve.standard import KServeStandard
from testing.fake_apiserver.kube import MemoryKube
from tests.controlplane.kserve.fake_knative import FakeKnative
from tests.controlplane.kserve.fake_kserve import FakeKServe
from tests.controlplane.kserve.fake_llm import FakeLlm
from tests.controlplane.kserve.fake_native import FakeNative
from tests.patience import now

NAMESPACE = "models"
PLAN = """\
apiVersion: serinus.dev/v1alpha1
kind: ModelCanary
metadata: {name: chat, namespace: models}
spec:
  model: {name: chat, uri: "hf://example/chat"}
  platform: {kserve: {mode: MODE, onDrift: DRIFT}}
  stable:
STABLE
  canary:
CANARY
  stages: [{traffic: 5%}, {traffic: 100%}]
"""
STABLE = "{name: v1, runtime: serinus-sim, uri: 'hf://example/v1'}"
CANARY = "{name: v2, runtime: serinus-sim, uri: 'hf://example/v2'}"


def plan(
    stable: str = STABLE, canary: str = CANARY, *, mode: str = "standard", on_drift: str = "repair"
) -> ModelCanary:
    """A plan with these variants, each a YAML mapping."""
    text = PLAN.replace("MODE", mode).replace("DRIFT", on_drift)
    for word, variant in (("STABLE", stable), ("CANARY", canary)):
        text = text.replace(word, indent(dedent(variant).strip(), "    "))
    return parse_document(text, "canary.yml").canary


@dataclass
class Time:
    """A clock that stands still until it is told to go on."""

    at: float = 1_700_000_000.0
    on_sleep: Callable[[], None] = lambda: None
    """Called after every sleep: the world goes on while somebody waits."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.at

    async def sleep(self, seconds: float) -> None:
        """Go on."""
        self.at += seconds
        self.on_sleep()


@dataclass
class RealTime:
    """The clock of the running loop."""

    on_sleep: Callable[[], None] = lambda: None
    """Called after every sleep."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return now()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
        self.on_sleep()


@dataclass
class World:
    """One cluster, one platform, and time that only `settle` moves."""

    plan: ModelCanary = field(default_factory=plan)
    load_s: float = 3.0
    gpus: int = 4
    off: set[Arm] = field(default_factory=lambda: {"stable", "canary"})
    """Arms that no request can reach."""

    def __post_init__(self) -> None:
        """An empty cluster that has been read."""
        self.clock = Time()
        self.kube = MemoryKube(self.clock)
        self.kserve = FakeKServe(self.kube, load_s=self.load_s, gpus=self.gpus)
        self.caches = Caches()
        self.kserve.feed(self.caches)
        self.platform = self.restarted()

    def restarted(self) -> KServeStandard:
        """A platform that knows only what the cluster says."""
        return KServeStandard(
            self.kube,
            self.caches,
            self.plan,
            namespace=NAMESPACE,
            now=self.clock.now,
            may_stop=lambda arm: arm in self.off,
        )

    def settle(self, seconds: float = 0.0) -> None:
        """Let so much time pass, and let the cluster and the caches follow."""
        self.clock.at += seconds
        for _ in range(2):
            self.kserve.step()
        self.kserve.feed(self.caches)

    async def both_run(self) -> None:
        """Both arms are up, and have been for a moment."""
        await self.pass_()
        await self.pass_(self.load_s)
        self.settle(self.load_s)
        self.settle(MOMENT)

    async def pass_(self, seconds: float = 0.0) -> None:
        """What the loop says at every pass: a canary waits until stable has its nodes."""
        await self.platform.run("stable", self.plan.spec.stable)
        await self.platform.run("canary", self.plan.spec.canary)
        self.settle(seconds)


@asynccontextmanager
async def followed(step: Callable[[], None], period_s: float = 0.005) -> AsyncIterator[None]:
    """The cluster lives on by itself meanwhile."""

    async def live() -> None:
        while True:
            step()
            await asyncio.sleep(period_s)

    async with asyncio.TaskGroup() as tasks:
        living = tasks.create_task(live())
        try:
            yield
        finally:
            living.cancel()


@dataclass
class KnativeWorld:
    """One cluster with Knative, the pair of adapters, and time that moves by itself wherever somebody waits."""

    plan: ModelCanary = field(default_factory=lambda: plan(mode="knative"))
    load_s: float = 3.0

    def __post_init__(self) -> None:
        """An empty cluster that has been read."""
        self.clock = Time()
        self.clock.on_sleep = self.settle
        self.kube = MemoryKube(self.clock)
        self.knative = FakeKnative(self.kube, load_s=self.load_s)
        self.caches = Caches()
        self.knative.feed(self.caches)
        self.begin(self.plan)

    def begin(self, plan: ModelCanary) -> None:
        """The next rollout in the same cluster."""
        self.plan = plan
        self.platform = KnativePlatform(self.kube, self.caches, plan, namespace=NAMESPACE, clock=self.clock)
        self.router = KnativeRouter(self.kube, self.caches, plan, namespace=NAMESPACE, clock=self.clock)

    def settle(self, seconds: float = 0.0) -> None:
        """Let so much time pass, and let the cluster and the caches follow."""
        self.clock.at += seconds
        for _ in range(3):
            self.knative.step()
        self.knative.feed(self.caches)

    async def pass_(self, seconds: float = 0.0) -> None:
        """What the loop says at every pass while a rollout runs."""
        await self.platform.run("stable", self.plan.spec.stable)
        await self.platform.run("canary", self.plan.spec.canary)
        self.settle(seconds)

    async def both_run(self) -> None:
        """Both arms are up, and the canary has no traffic."""
        for _ in range(4):
            await self.pass_(self.load_s)


GPU = "profile: {gpu: L40S}"


@dataclass
class LlmWorld:
    """One cluster with KServe's controller for language models, and the pair of adapters."""

    plan: ModelCanary = field(
        default_factory=lambda: plan(f"{{name: v1, {GPU}}}", f"{{name: v2, {GPU}, quantization: fp8}}", mode="llm")
    )
    load_s: float = 3.0

    def __post_init__(self) -> None:
        """An empty cluster that has been read."""
        self.clock = Time()
        self.clock.on_sleep = self.settle
        self.kube = MemoryKube(self.clock)
        self.llm = FakeLlm(self.kube, load_s=self.load_s)
        self.caches = Caches()
        self.llm.feed(self.caches)
        self.restart()

    def restart(self) -> None:
        """Adapters that know only what the cluster says."""
        self.router = LlmRouter(self.kube, self.caches, self.plan, namespace=NAMESPACE, clock=self.clock)
        self.platform = LlmPlatform(
            self.kube, self.caches, self.plan, namespace=NAMESPACE, now=self.clock.now, may_stop=self.router.idle
        )

    def settle(self, seconds: float = 0.0) -> None:
        """Let so much time pass, and let the cluster and the caches follow."""
        self.clock.at += seconds
        for _ in range(2):
            self.llm.step()
        self.llm.feed(self.caches)

    async def both_run(self) -> None:
        """Both arms are up, and the canary has no traffic."""
        for _ in range(3):
            await self.platform.run("stable", self.plan.spec.stable)
            await self.platform.run("canary", self.plan.spec.canary)
            self.settle(self.load_s)


@dataclass
class NativeWorld:
    """One cluster with a KServe that has `spec.canary`, and the pair of adapters."""

    follows: bool = True
    """Whether its route follows the share, as later ones do; 0.20 does not."""
    plan: ModelCanary = field(default_factory=lambda: plan(mode="native"))

    def __post_init__(self) -> None:
        """An empty cluster that has been read."""
        self.clock = Time()
        self.clock.on_sleep = self.settle
        self.kube = MemoryKube(self.clock)
        self.kserve = FakeNative(self.kube, follows=self.follows)
        self.caches = Caches()
        self.kserve.feed(self.caches)
        self.platform = NativePlatform(self.kube, self.caches, self.plan, namespace=NAMESPACE, now=self.clock.now)
        self.router = NativeRouter(self.kube, self.caches, self.plan, namespace=NAMESPACE, clock=self.clock)

    def settle(self, seconds: float = 0.0) -> None:
        """Let so much time pass, and let the cluster and the caches follow."""
        self.clock.at += seconds
        self.kserve.step()
        self.kserve.feed(self.caches)

    async def both_run(self) -> None:
        """What the loop says at every pass while a rollout runs, until both can serve and have for a moment."""
        for _ in range(5):
            await self.platform.run("stable", self.plan.spec.stable)
            await self.platform.run("canary", self.plan.spec.canary)
            self.settle(1.0)


@asynccontextmanager
async def llm_platform(load_s: float) -> AsyncIterator[LlmPlatform]:
    """A platform in a cluster that lives in real time."""
    kube, caches = MemoryKube(RealTime()), Caches()
    llm = FakeLlm(kube, load_s=load_s)

    def step() -> None:
        llm.step()
        llm.feed(caches)

    step()
    async with followed(step):
        whole = plan(f"{{name: v1, {GPU}}}", f"{{name: v2, {GPU}, quantization: fp8}}", mode="llm")
        yield LlmPlatform(kube, caches, whole, namespace=NAMESPACE, now=now, may_stop=lambda _arm: True)


@asynccontextmanager
async def standard_platform(load_s: float) -> AsyncIterator[KServeStandard]:
    """A platform in a cluster that lives in real time."""
    kube, caches = MemoryKube(RealTime()), Caches()
    kserve = FakeKServe(kube, load_s=load_s)

    def step() -> None:
        kserve.step()
        kserve.feed(caches)

    step()
    async with followed(step):
        yield KServeStandard(kube, caches, plan(), namespace=NAMESPACE, now=now, may_stop=lambda _arm: True)
