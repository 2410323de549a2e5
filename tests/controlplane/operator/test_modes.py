"""KServe's own ways of moving traffic, carried out by the whole operator over an API server in memory.

KServe's controllers are played as they were seen to behave; the numbers follow what the routers see in force.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

import pytest

from canary.snapshot import Counters, InFlight, PodCounters
from canary.spec.models import KServePlatform, ModelCanary
from canary.weights import ARMS, Arm
from controlplane.evidence.discover import Choice
from controlplane.evidence.metric_locations import Labels
from controlplane.kserve.caches import Caches
from controlplane.kubernetes.api import Object, Rejected
from controlplane.kubernetes.resources import (
    EVENT,
    GATEWAY,
    INFERENCE_SERVICE,
    KNATIVE_SERVICE,
    LLM_INFERENCE_SERVICE,
    MODEL_CANARY,
    NAMESPACE,
    NODE,
)
from controlplane.operator.cluster_environments import ClusterEnvironments
from controlplane.operator.environment import MissingDependency
from controlplane.operator.metrics_profile import Question
from controlplane.operator.modes import MODES, of_platform
from controlplane.operator.operator import Operator
from controlplane.operator.settings import Settings
from controlplane.operator.spec_reader import is_at_rest, read
from controlplane.simulation.clock import EPOCH, VirtualClock, play
from testing.fake_apiserver.kube import MemoryKube
from tests.controlplane.kserve.fake_knative import FakeKnative
from tests.controlplane.kserve.fake_llm import FakeLlm
from tests.controlplane.kserve.fake_native import FakeNative

PLACE, NAME = "models", "chat"
KEY = (PLACE, NAME)
RPS = 200.0
GATE = "error_rate <= 5%"
PROMETHEUS = "http://prometheus:9090"


class Played(Protocol):
    """One of KServe's controllers."""

    def step(self) -> None:
        """Bring everything to where it would be now."""
        ...


class Numbers:
    """Requests as the router sees them split; the canary's fail when told to."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._totals = {"stable": 0.0, "canary": 0.0}
        self._failed = 0.0
        self._at = EPOCH
        self.broken = False
        self.open: dict[Arm, float] = dict.fromkeys(ARMS, 0.0)
        """Requests that each arm is answering."""

    async def read(self) -> Counters:
        """Totals until now."""
        now = self._world.clock.now()
        weights = (await self._world.sites[KEY].router.seen()).weights
        share, passed = (weights.share if weights else 0.0), now - self._at
        self._totals["canary"] += share * passed * RPS
        self._totals["stable"] += (1 - share) * passed * RPS
        self._failed += share * passed * RPS if self.broken else 0.0
        self._at = now
        stable = PodCounters(requests=self._totals["stable"], errors=0.0)
        canary = PodCounters(requests=self._totals["canary"], errors=self._failed)
        open_ = {arm: InFlight(now, self.open[arm]) for arm in ARMS}
        return Counters(now, {"stable": {"s": stable}, "canary": {"c": canary}}, in_flight=open_)


class CountedWorld(ClusterEnvironments):
    """The real world, but for Prometheus."""

    around: "World"

    def open(self, plan: ModelCanary, namespace: str) -> Any:
        """The real site with these numbers."""
        site = super().open(plan, namespace)
        site.metrics = self.around.numbers
        self.around.sites[namespace, plan.metadata.name] = site
        return site

    async def tick(self) -> None:
        """There is no Prometheus to ask."""
        self.around.asked = {key: (each.profile, {**each.site.servers()}) for key, each in self._open.items()}


class World:
    """A cluster with one of KServe's controllers, and an operator."""

    def __init__(self, controller: Callable[[MemoryKube], Played]) -> None:
        self.clock = VirtualClock()
        self.kube = MemoryKube(self.clock)
        self.kube.seed(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE}})
        self.kserve = controller(self.kube)
        self.numbers = Numbers(self)
        self.sites: dict[tuple[str, str], Any] = {}
        self.asked: dict[tuple[str, str], tuple[str, Mapping[Arm, str]]] = {}
        """What Prometheus would be asked for: profile, and what pods are called after."""
        self.said: list[str] = []
        self.client = self.kube.acting_as("serinus")
        self.find: Callable[[Question], Coroutine[Any, Any, Choice]] | None = None

    def operator(self) -> Operator:
        """A replica."""

        def world(caches: Caches) -> ClusterEnvironments:
            counted = CountedWorld(
                self.client, caches, clock=self.clock, prometheus=PROMETHEUS, interval=1.0, find=self.find
            )
            counted.around = self
            return counted

        settings = Settings(identity="one", home="serinus")
        return Operator(
            settings, self.client, clock=self.clock, say=lambda _key, words: self.said.append(words), world=world
        )

    async def live(self) -> None:
        """KServe goes on by itself."""
        while True:
            if LLM_INFERENCE_SERVICE not in self.kube.missing:
                self.kserve.step()
            await asyncio.sleep(0.2)

    async def apply(self, **spec: Any) -> None:
        """What a person does with kubectl."""
        await self.kube.acting_as("kubectl").apply(MODEL_CANARY, a_canary(**spec))

    def status(self) -> Object:
        """As anybody reads it."""
        return (self.kube.objects(MODEL_CANARY).get(KEY) or {}).get("status") or {}

    def condition(self, kind: str) -> Object:
        """One of its conditions, or an empty one."""
        return next((each for each in self.status().get("conditions", ()) if each["type"] == kind), {})

    def at_rest(self) -> bool:
        """Whether nothing is left to do."""
        return is_at_rest(self.kube.objects(MODEL_CANARY).get(KEY) or {"metadata": {}})

    async def until(self, what: Callable[[], bool], seconds: float = 200.0) -> None:
        """Wait in virtual time."""
        end = self.clock.t + seconds
        while not what():
            if self.clock.t >= end:
                told = {key: self.status().get(key) for key in ("phase", "message", "weight", "conditions")}
                raise AssertionError(f"it never came: {told} {self.said[-10:]}")
            await asyncio.sleep(0.05)


def a_canary(mode: str = "knative", *, kserve: Object | None = None, **spec: Any) -> Object:
    """A ModelCanary for one of the modes in which KServe moves the traffic."""
    variants: dict[str, Any] = {
        "stable": {"name": "v1", "uri": "hf://example/v1", "runtime": "serinus-sim"},
        "canary": {"name": "v2", "uri": "hf://example/v2", "runtime": "serinus-sim"},
    }
    if mode == "llm":
        gpu = {"profile": {"gpu": "L40S"}}
        variants = {"stable": {"name": "v1", **gpu}, "canary": {"name": "v2", "quantization": "fp8", **gpu}}
    return {
        "apiVersion": MODEL_CANARY.api_version,
        "kind": MODEL_CANARY.kind,
        "metadata": {"name": NAME, "namespace": PLACE},
        "spec": {
            "model": {"name": "chat", "uri": "hf://Qwen/Qwen2.5-7B-Instruct"},
            "platform": {"kserve": {"mode": mode, **(kserve or {})}},
            **variants,
            "stages": [
                {"traffic": "5%", "hold": "5s", "gates": [GATE]},
                {"traffic": "50%", "hold": "5s", "gates": [GATE]},
                {"traffic": "100%", "hold": "5s"},
            ],
            **spec,
        },
    }


def played(controller: Callable[[MemoryKube], Played]) -> Callable[[Callable[[World], Any]], Callable[[], None]]:
    """A test of a story in such a world, with an operator in it, in virtual time."""

    def tells(story: Callable[[World], Coroutine[Any, Any, None]]) -> Callable[[], None]:
        def test() -> None:
            async def whole() -> None:
                world, stop = World(controller), asyncio.Event()
                prepare = getattr(story, "prepare", None)
                if prepare:
                    prepare(world)
                async with asyncio.TaskGroup() as tasks:
                    living = tasks.create_task(world.live())
                    running = tasks.create_task(world.operator().run(stop))
                    await story(world)
                    stop.set()
                    await running
                    living.cancel()
                assert not [each for each in world.said if "bug of ours" in each], world.said

            play(whole())

        test.__name__, test.__doc__ = story.__name__, story.__doc__
        return test

    return tells


def before(prepare: Callable[[World], None]) -> Callable[[Any], Any]:
    """What is so before the operator starts."""

    def marked(story: Any) -> Any:
        story.prepare = prepare
        return story

    return marked


def knative(kube: MemoryKube) -> Played:
    """KServe in Knative mode; pods need two seconds."""
    return FakeKnative(kube, load_s=2.0)


def llm(kube: MemoryKube) -> Played:
    """KServe's controller for language models."""
    return FakeLlm(kube, load_s=2.0)


def follows(kube: MemoryKube) -> Played:
    """A KServe whose route follows `spec.canary`."""
    return FakeNative(kube, follows=True)


def stands(kube: MemoryKube) -> Played:
    """KServe 0.20, which repeats the share and moves nothing."""
    return FakeNative(kube, follows=False)


@played(knative)
async def test_knative_promotes_by_the_share_of_the_newest_revision(world: World) -> None:
    """At the end the share is gone, and the old revision has nothing that keeps it."""
    await world.apply()
    await world.until(lambda: world.status().get("stage") == 1)
    assert world.asked[KEY] == ("knative", {"stable": "revision-00001", "canary": "revision-00002"})
    await world.until(world.at_rest)
    assert (world.status()["result"], world.status()["weight"]) == ("promoted", "100 %")
    predictor = world.kube.objects(INFERENCE_SERVICE)[PLACE, NAME]["spec"]["predictor"]
    assert "canaryTrafficPercent" not in predictor
    assert predictor["model"]["storageUri"] == "hf://example/v2"


@played(knative)
async def test_knative_puts_a_failing_canary_back_and_its_pods_go(world: World) -> None:
    """0 %, no pods wanted, and the old template stays away: it would be a cold start."""
    await world.apply()
    await world.until(lambda: world.status().get("stage") == 1)
    world.numbers.broken = True
    await world.until(world.at_rest)
    assert world.status()["result"] == "rolled_back"
    predictor = world.kube.objects(INFERENCE_SERVICE)[PLACE, NAME]["spec"]["predictor"]
    assert (predictor["canaryTrafficPercent"], predictor["minReplicas"]) == (0, 0)


@played(llm)
async def test_llm_promotes_by_the_weights_of_the_group_and_deletes_the_loser(world: World) -> None:
    await world.apply(mode="llm")
    await world.until(lambda: world.status().get("stage") == 1)
    assert world.asked[KEY] == ("vllm", {"stable": "chat-v1", "canary": "chat-v2"})
    await world.until(world.at_rest)
    assert (world.status()["result"], world.status()["weight"]) == ("promoted", "100 %")
    assert {name for _, name in world.kube.objects(LLM_INFERENCE_SERVICE)} == {"chat-v2"}


@played(llm)
async def test_llm_puts_a_failing_canary_back_and_deletes_it(world: World) -> None:
    """The last millionth is taken before the member goes."""
    await world.apply(mode="llm")
    await world.until(lambda: world.status().get("stage") == 1)
    world.numbers.broken = True
    await world.until(world.at_rest)
    assert world.status()["result"] == "rolled_back"
    assert {name for _, name in world.kube.objects(LLM_INFERENCE_SERVICE)} == {"chat-v1"}


@played(follows)
async def test_native_promotes_where_kserves_route_follows(world: World) -> None:
    """The pods' own numbers are read: a gateway counts KServe's rule and not who stands in it."""
    await world.apply(mode="native")
    await world.until(lambda: world.status().get("stage") == 1)
    assert world.asked[KEY] == ("vllm", {"stable": "chat-v1-predictor", "canary": "chat-v2-predictor"})
    await world.until(world.at_rest)
    assert (world.status()["result"], world.status()["weight"]) == ("promoted", "100 %")
    service = world.kube.objects(INFERENCE_SERVICE)[PLACE, NAME]["spec"]
    assert (service["predictor"]["name"], service.get("canary")) == ("v2", None)


def there(world: World, mode: str) -> bool:
    """Whether the canary still has its pods."""
    if mode == "llm":
        return (PLACE, "chat-v2") in world.kube.objects(LLM_INFERENCE_SERVICE)
    spec = world.kube.objects(INFERENCE_SERVICE)[PLACE, NAME]["spec"]
    return bool(spec.get("canary")) if mode == "native" else spec["predictor"]["minReplicas"] > 0


@pytest.mark.parametrize(("mode", "controller"), [("knative", knative), ("llm", llm), ("native", follows)])
def test_in_every_mode_a_canary_answers_what_it_had_begun_before_its_pods_go(
    mode: str, controller: Callable[[MemoryKube], Played]
) -> None:
    @played(controller)
    async def story(world: World) -> None:
        await world.apply(mode=mode)
        await world.until(lambda: world.status().get("stage") == 1)
        world.numbers.broken, world.numbers.open["canary"] = True, 3
        await world.until(lambda: "zero" in world.status())
        await asyncio.sleep(100)
        assert there(world, mode)
        world.numbers.open["canary"] = 0
        await world.until(world.at_rest)
        assert not there(world, mode)

    story()


@played(stands)
async def test_native_is_given_up_before_any_traffic_where_the_route_stands_still(world: World) -> None:
    await world.apply(mode="native")
    await world.until(world.at_rest)
    assert world.status()["result"] == "failed"
    assert "its HTTPRoute does not name the canary" in world.status()["message"]
    assert "canary" not in world.kube.objects(INFERENCE_SERVICE)[PLACE, NAME]["spec"]


@played(llm)
@before(lambda world: world.kube.missing.add(LLM_INFERENCE_SERVICE))
async def test_a_kind_that_the_cluster_lacks_is_named_at_once_and_the_rollout_begins_once_it_is_there(
    world: World,
) -> None:
    await world.apply(mode="llm")
    await world.until(lambda: world.condition("Accepted").get("status") == "False", 1.0)
    assert world.condition("Accepted")["message"] == (
        "spec.platform.kserve.mode: llm needs KServe's LLMInferenceService (serving.kserve.io/v1alpha2), "
        "which this cluster does not have; the rollout begins once it is installed."
    )
    world.kube.missing.discard(LLM_INFERENCE_SERVICE)
    await world.until(world.at_rest, 300)
    await world.until(lambda: world.status().get("result") == "promoted", 300)


@played(knative)
@before(lambda world: world.kube.missing.add(KNATIVE_SERVICE))
async def test_knative_that_is_not_installed_is_named(world: World) -> None:
    await world.apply()
    await world.until(lambda: world.condition("Accepted").get("status") == "False", 1.0)
    assert "knative needs Knative Serving" in world.condition("Accepted")["message"]
    assert not world.kube.objects(INFERENCE_SERVICE)


@played(knative)
async def test_a_share_that_knative_cannot_have_is_refused_with_the_reason(world: World) -> None:
    await world.apply(stages=[{"traffic": "0.5%"}, {"traffic": "100%"}])
    await world.until(lambda: world.condition("Accepted").get("status") == "False", 1.0)
    assert "Knative moves whole percents, and a stage asks for 0.5 %" in world.condition("Accepted")["message"]


@played(follows)
@before(
    lambda world: world.client.fail_next(Rejected("gateways is forbidden"), verb="list", resource=GATEWAY, times=999)
)
async def test_gateways_that_may_not_be_read_are_done_without_and_said_once(world: World) -> None:
    await world.apply(mode="native")
    await world.until(world.at_rest)
    assert world.status()["result"] == "promoted"
    [said] = [each for each in world.said if "gateways" in each]
    assert said == (
        "gateways cannot be followed: gateways is forbidden. "
        "A Gateway that is deleted is noticed only when requests fail."
    )


async def istio(question: Question) -> Choice:
    """A Prometheus with Istio's metrics."""
    mode = MODES["knative"]
    assert question == Question(question.api, PLACE, mode.profiles, "knative", Labels())
    assert question.api.url == PROMETHEUS
    return Choice("istio", "Istio counts requests by workload and answer, on either end")


@played(knative)
@before(lambda world: setattr(world, "find", istio))
async def test_a_profile_that_no_plan_names_is_found_out_and_told(world: World) -> None:
    await world.apply()
    await world.until(lambda: world.status().get("stage") == 1)
    assert world.asked[KEY][0] == "istio"
    [said] = [each for each in world.said if "metrics profile" in each]
    assert said == (
        "Numbers are read by the metrics profile istio: Istio counts requests by workload and answer, on either end."
    )


def test_a_profile_that_cannot_tell_the_variants_apart_is_refused() -> None:
    """An Envoy Gateway counts the rules of KServe's route, both variants together."""
    [fault] = read(a_canary("native", kserve={"metricsProfile": "envoy-gateway"})).faults
    assert fault == (
        "spec.platform.kserve.metricsProfile: envoy-gateway cannot tell the variants apart in mode native; "
        "take istio or vllm or kserve, or leave it out."
    )


def test_every_mode_says_what_it_needs() -> None:
    for mode in MODES.values():
        assert mode.default in mode.profiles
        for each in mode.needs:
            caches = Caches()
            each.cache(caches).missing = True
            name = next(name for name, other in MODES.items() if other is mode)
            with pytest.raises(MissingDependency, match="which this cluster does not have"):
                of_platform(KServePlatform.model_validate({"mode": name}), caches)


@played(knative)
@before(lambda world: world.kube.seed(NODE, {"metadata": {"name": "a"}, "status": {"allocatable": {}}}))
async def test_a_canary_without_room_is_told_of_and_not_refused(world: World) -> None:
    """Nodes may be added on demand: it waits, and here it finds its place."""
    gpu = {"name": "v2", "uri": "hf://example/v2", "runtime": "serinus-sim", "profile": {"gpu": "L4"}}
    await world.apply(canary=gpu)
    await world.until(lambda: world.status().get("stage") == 1)
    [event] = [each for each in world.kube.objects(EVENT).values() if each["reason"] == "NoRoomYet"]
    assert event["type"] == "Warning"
    assert event["note"].startswith("v2 needs 1 of nvidia.com/gpu: 0 are free on nodes that take it, at most 0 (a).")
