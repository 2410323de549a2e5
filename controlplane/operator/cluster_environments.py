"""The real world of rollouts in a cluster: a site for each, and one Prometheus for all. The one place where they meet.

Used by `operator.py`. Adapters are chosen by `platform.kserve.mode` (`modes.py`); numbers come from the Prometheus that
the plan names (`registry.py`), or from the operator's own where it names none. Each but the operator's own is read in a
task of its own, at its own pace: one that hangs, drips or sends too much is missing data of its own rollouts alone.
"""

import asyncio
import ssl
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from canary.errors import BadInput, ExternalError
from canary.spec.models import ModelCanary, Variant
from canary.weights import ARMS, Arm
from controlplane.adapters.answer_budget import AnswerBudget
from controlplane.adapters.bounded_http import BoundedHttp
from controlplane.adapters.cost_source import rates_of
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.adapters.prometheus_auth import Credentials
from controlplane.evidence.metric_locations import Key, MetricLocations
from controlplane.evidence.shared_prometheus import MOST_BYTES, SharedPrometheus, period_of
from controlplane.gateway.claims import Claims
from controlplane.gateway.hostnames import Allowed
from controlplane.kserve.caches import Caches
from controlplane.kubernetes.api import Kube
from controlplane.operator.background import Background
from controlplane.operator.cost_metrics import PricedPods, asks_about_money
from controlplane.operator.environments import ClusterSite, ready_since
from controlplane.operator.gpu_capacity import lacking
from controlplane.operator.metrics_profile import DiscoveredProfile, Find, Question, guess, search
from controlplane.operator.modes import AdapterDeps, Mode, check_runtimes, of_platform
from controlplane.operator.registry import Known, Registry
from controlplane.ports import Clock
from controlplane.profiles.served import ServedIdentity
from profiles.catalogue import Catalogue, builtin

ANSWER_WITHIN = 5.0
"""Seconds that Prometheus may take for one answer."""
MOST_BYTES_OF_SOME = 16 * 1024 * 1024
"""Of an answer of one that only some namespaces may name: enough for eight hundred rollouts."""
MOST_BYTES_OF_A_PLANS = 4 * 1024 * 1024
"""The largest answer of a Prometheus whose address is a plan's: enough for two hundred rollouts."""
MOST_MEMORY, MOST_MEMORY_OF_NAMED, MOST_MEMORY_OF_PLANS = 160 * 2**20, 96 * 2**20, 32 * 2**20
"""For what the operator's own Prometheus answers, for what all others of the registry do, and all addresses of plans.

A thousand rollouts take some 90 MiB while their numbers are read.
"""
ALARMING = 0.05
"""Share of a canary's newest requests that should not be as they are, from which on it is looked at before all others.
Too small a share costs the others some milliseconds, too large a one lets a broken canary wait for them."""
Tell = Callable[[Key, Literal["Normal", "Warning"], str, str], None]
"""Hears what the world found out about a rollout: whose, how bad, a word in CamelCase, a sentence."""


def tell_nobody(key: Key, kind: Literal["Normal", "Warning"], reason: str, sentence: str) -> None:
    """For worlds that nobody listens to."""


@dataclass(slots=True)
class Open:
    """A site in use, and where its numbers are read."""

    plan: ModelCanary
    site: ClusterSite
    fleet: SharedPrometheus
    profile: str
    """Empty until it is found out: nothing is read before."""
    servers: Mapping[Arm, str]
    """What the pods were called after when the numbers were registered last."""


class ClusterEnvironments:
    """Opens sites in a real cluster. Implements `site.Sites`."""

    def __init__(
        self,
        kube: Kube,
        caches: Caches,
        *,
        clock: Clock,
        prometheus: Registry | str | None,
        interval: float,
        find: Find | None = None,
        ask: BoundedHttp | None = None,
        known: Catalogue | None = None,
        allowed: Allowed | None = None,
        queries: bool = True,
    ) -> None:
        """`prometheus`: which may be asked, or just where the operator's own is; `interval`: seconds between scrapes.

        `find` says which metrics profile fits; None takes each mode's default. `ask` asks pods what they are, and is
        closed with this; None asks nobody. `known`: GPUs and models, the package's own if left out. `allowed`: which
        host names each namespace may have, any if left out. `queries`: whether gates may bring queries of their own.
        Raises `BadInput` for an access that cannot be used.
        """
        self.tell: Tell = tell_nobody
        self.say: Callable[[str], None] = lambda _: None
        self._kube, self._caches, self._clock = kube, caches, clock
        self.news: Callable[[Collection[Key]], None] = lambda _: None
        """Hears whose numbers were read beside a tick."""
        self._registry = prometheus if isinstance(prometheus, Registry) else Registry.of(prometheus)
        self._interval, self._queries = interval, queries
        self._find, self._ask, self._known = find, ask, known or builtin()
        self.claims = Claims(caches.routes, caches.routes_elsewhere, allowed)
        self._fleets: dict[str, SharedPrometheus] = {}
        self._public_tls: ssl.SSLContext | None = None
        """For all addresses out of plans: certificates to trust take most of a megabyte."""
        self._open: dict[Key, Open] = {}
        self._background = Background(self._note)
        self._beside: set[str] = set()
        """Prometheus servers that are being read just now, besides the operator's own."""
        self._memory, self._memory_of_plans = AnswerBudget(MOST_MEMORY_OF_NAMED), AnswerBudget(MOST_MEMORY_OF_PLANS)
        """Of all answers besides those of the operator's own: one that sends too much is dropped by itself."""
        self._parsing = asyncio.Semaphore(1)
        """Answers of those whose addresses are plans' are read one after the other."""
        if self._registry.own is not None:
            self._fleet_on(self._registry.own)

    async def run(self) -> None:
        """What goes on beside the rollouts, until cancelled: people's own queries, finding out profiles."""
        async with asyncio.TaskGroup() as tasks:
            self._background.open(tasks)
            try:
                await asyncio.Event().wait()
            finally:
                self._background.close()

    def open(self, plan: ModelCanary, namespace: str) -> ClusterSite:
        """The environment of a plan. Raises `BadInput` for what cannot run, `MissingDependency` for what cannot yet."""
        kserve = plan.spec.platform.kserve
        if kserve is None:
            raise BadInput(f"{plan.metadata.name} is no plan for a cluster: its platform is not kserve.")
        own = [gate.text for stage in plan.spec.stages for gate in stage.gates if gate.asks]
        if own and not self._queries:
            raise BadInput(
                f"The gate `{own[0]}` of {plan.metadata.name} has PromQL, and this operator was started with "
                "--prometheus-queries=off: queries read whatever its Prometheus has."
            )
        mode = of_platform(kserve, self._caches)
        check_runtimes(plan, self._caches, namespace)
        key = (namespace, plan.metadata.name)
        fleet = self._fleet_on(self._registry.find(plan.metadata.name, namespace, kserve.prometheus))

        def close() -> None:
            if self._open.get(key) is opened:
                del self._open[key]
            if (later := self._open.get(key)) is None or later.fleet is not fleet:
                fleet.forget(key)
            self._free_fleets()

        source = fleet.source(key)
        ground = AdapterDeps(self._kube, self._caches, self._clock, namespace, source, self._known, close, self.claims)
        site = mode.make(ground, plan)
        neighbours = (*self._caches.pods.items(), *self._caches.llm_pods.items())
        if sentence := lacking(plan, self._caches.nodes.items(), neighbours, self._known):
            self.tell(key, "Warning", "NoRoomYet", sentence)
        if asks_about_money(plan.spec):
            site.metrics = PricedPods(site.metrics, rates_of(plan.spec, self._known), lambda: ready_since(site))
        if self._ask is not None and plan.spec.fingerprint.policy != "ignore":
            site.identity = ServedIdentity(plan.spec, site.platform.endpoints, self._ask, clock=self._clock)
        opened = self._open[key] = Open(plan, site, fleet, kserve.metrics_profile or "", site.servers())
        if opened.profile:
            self._register(key)
        else:
            self._find_profile(key, opened, mode)
        return site

    @property
    def period(self) -> float:
        """Seconds between two ticks."""
        return period_of(self._interval)

    async def tick(self) -> None:
        """Ask each Prometheus once for all of its rollouts, under the names that their pods have by now.

        Waits for the operator's own alone.
        """
        for key, opened in list(self._open.items()):
            try:
                if opened.profile and opened.servers != (servers := opened.site.servers()):
                    opened.servers = servers
                    self._register(key)
            except Exception as error:  # noqa: BLE001 - a bug met by one rollout must not make the others blind
                self._note(f"{'/'.join(key)}: a bug of ours, please report it: {error!r}.")
        own = self._registry.own
        for name, fleet in list(self._fleets.items()):
            if own is None or name != own.name:
                await self._read_beside(name, fleet)
        if own is not None:
            await self._fleets[own.name].tick()

    async def _read_beside(self, name: str, fleet: SharedPrometheus) -> None:
        """Read one more, unless its last answer is still on its way; nobody waits for it."""
        if name in self._beside:
            return

        async def read() -> None:
            try:
                await fleet.tick()
            finally:
                self._beside.discard(name)
            self.news([key for key, opened in self._open.items() if opened.fleet is fleet])

        self._beside.add(name)
        if self._background.is_open:
            self._background.spawn(read())
        else:
            await read()

    def in_order(self, keys: Sequence[Key]) -> Sequence[Key]:
        """The same rollouts, those first whose newest numbers look worst."""
        looks = {key: -opened.fleet.suspicion(key) for key, opened in self._open.items()}
        return sorted(keys, key=lambda key: looks.get(key, 0.0))

    def is_alarming(self, key: Key) -> bool:
        """Whether a rollout's newest numbers look as if its canary had just broken. No verdict."""
        opened = self._open.get(key)
        return opened is not None and opened.fleet.suspicion(key) >= ALARMING

    async def close(self) -> None:
        """Give the connections back."""
        if self._ask is not None:
            await self._ask.close()
        for fleet in self._fleets.values():
            await fleet.api.close()

    def _find_profile(self, key: Key, opened: Open, mode: Mode) -> None:
        """Read numbers as soon as it is known what counts them; the default at once where nobody can find it out."""

        def take(found: DiscoveredProfile) -> bool:
            if self._open.get(key) is not opened:
                return False
            counts = _counts(opened.fleet, key)
            if found.profile != opened.profile and not counts:
                opened.profile = found.profile
                self._register(key)
            if found.profile == opened.profile != told.get("profile") and (found.sure or not counts):
                told["profile"] = found.profile
                self.tell(key, "Normal", "MetricsProfile", found.sentence)
            return not counts

        told: dict[str, str] = {}
        fleet = opened.fleet
        question = Question(fleet.api, key[0], mode.profiles, mode.default, fleet.labels)
        if self._find is None or not self._background.is_open:
            take(guess(question))
        else:
            if question.among[0] == question.default:
                opened.profile = question.default
                self._register(key)
            self._background.spawn(search(question, self._find, self._clock, take))

    def _register(self, key: Key) -> None:
        opened = self._open[key]
        opened.fleet.register(key, places_of(opened.plan, key[0], opened.site, opened.profile))

    def _fleet_on(self, known: Known) -> SharedPrometheus:
        """One for each Prometheus. What shows who we are goes to the one that it is for, and to no other."""
        if known.name not in self._fleets:
            credentials = Credentials(known.access, known.url, tls=None if known.trusted else self._public_tls)
            if not known.trusted:
                self._public_tls = credentials.tls or self._public_tls
            bound = MOST_BYTES if known.shared else MOST_BYTES_OF_SOME
            http = BoundedHttp(
                most_bytes=bound if known.trusted else MOST_BYTES_OF_A_PLANS,
                tls=credentials.tls,
                headers=credentials.headers,
                reach=known.reach,
            )
            api = PrometheusApi(
                known.url,
                seconds=ANSWER_WITHIN,
                http=http,
                trusted=known.trusted,
                turns=None if known.trusted else self._parsing,
                budget=self._budget_of(known),
            )
            self._fleets[known.name] = SharedPrometheus(
                api, clock=self._clock, interval=self._interval, labels=known.labels, spawn=self._background.spawn
            )
        return self._fleets[known.name]

    def _budget_of(self, known: Known) -> AnswerBudget:
        if known is self._registry.own:
            return AnswerBudget(MOST_MEMORY)
        return (self._memory if known.trusted else self._memory_of_plans).part()

    def _free_fleets(self) -> None:
        """Let go of every Prometheus that no rollout names any more: plans may name a new one at each edit."""
        own = self._registry.own
        used = {id(opened.fleet) for opened in self._open.values()}
        for name, fleet in list(self._fleets.items()):
            if id(fleet) not in used and (own is None or name != own.name) and self._background.is_open:
                del self._fleets[name]
                self._background.spawn(self._closed(fleet))

    async def _closed(self, fleet: SharedPrometheus) -> None:
        await self._clock.sleep(2 * ANSWER_WITHIN)  # an answer of it may still be on its way
        await fleet.api.close()
        fleet.close()

    def _note(self, sentence: str) -> None:
        self.say(sentence)


def _counts(fleet: SharedPrometheus, key: Key) -> bool:
    """Whether numbers of this rollout were read."""
    try:
        fleet.newest(key)
    except ExternalError:
        return False
    return True


def places_of(plan: ModelCanary, namespace: str, site: ClusterSite, profile: str) -> MetricLocations:
    """Where the numbers of a rollout are."""
    spec = plan.spec
    variants: Mapping[Arm, Variant] = {"stable": spec.stable, "canary": spec.canary}
    return MetricLocations(
        namespace=namespace,
        route=plan.metadata.name,
        slots=site.places,
        variants={arm: variants[arm].name for arm in ARMS},
        services=site.servers(),
        gateway=(spec.platform.kserve.gateway or "").rpartition("/")[0] if spec.platform.kserve else "",
        profile=profile,
        gates=tuple(gate for stage in spec.stages for gate in stage.gates),
        ready_since=partial(ready_since, site) if spec.judge.warmup else dict,
    )
