"""The real world of rollouts in a cluster: a site for each, and one Prometheus for all. The one place where they meet.

Used by `operator.py`. Adapters are chosen by `platform.kserve.mode` (`modes.py`); numbers come from the plan's
Prometheus, or from the operator's own where the plan names none.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from canary.errors import BadInput, WorldError
from canary.spec.models import ModelCanary, Variant
from canary.weights import ARMS, Arm
from controlplane.adapters.capped_http import CappedHttp
from controlplane.adapters.priced import rates_of
from controlplane.adapters.prometheus_access import Access, Credentials
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.evidence.fleet import MOST_BYTES, FleetMetrics, period_of
from controlplane.evidence.places import Key, Places
from controlplane.gateway.claims import Claims
from controlplane.gateway.hostnames import Allowed
from controlplane.kserve.caches import Caches
from controlplane.kubernetes.api import Kube
from controlplane.operator.background import Background
from controlplane.operator.modes import Ground, Mode, check_runtimes, of_platform
from controlplane.operator.money import PricedPods, asks_about_money
from controlplane.operator.profile import Find, Found, Question, guess, search
from controlplane.operator.room import lacking
from controlplane.operator.sites import ClusterSite, ready_since
from controlplane.ports import Clock
from controlplane.profiles.served import ServedIdentity
from profiles.catalogue import Catalogue, builtin

ANSWER_WITHIN = 5.0
"""Seconds that Prometheus may take for one answer."""
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
    fleet: FleetMetrics
    profile: str
    """Empty until it is found out: nothing is read before."""
    servers: Mapping[Arm, str]
    """What the pods were called after when the numbers were registered last."""


class ClusterWorld:
    """Opens sites in a real cluster. Implements `site.Sites`."""

    def __init__(
        self,
        kube: Kube,
        caches: Caches,
        *,
        clock: Clock,
        prometheus: str | None,
        interval: float,
        access: Access | None = None,
        find: Find | None = None,
        ask: CappedHttp | None = None,
        known: Catalogue | None = None,
        allowed: Allowed | None = None,
    ) -> None:
        """`prometheus`: the operator's own, and `access` what it asks for; `interval`: seconds between scrapes.

        `find` says which metrics profile fits; None takes each mode's default. `ask` asks pods what they are, and is
        closed with this; None asks nobody. `known`: GPUs and models, the package's own if left out. `allowed`: which
        host names each namespace may have, any if left out. Raises `BadInput` for an access that cannot be used.
        """
        self.tell: Tell = tell_nobody
        self.say: Callable[[str], None] = lambda _: None
        self._kube, self._caches, self._clock = kube, caches, clock
        self._prometheus, self._interval, self._access = prometheus, interval, access or Access()
        self._find, self._ask, self._known = find, ask, known or builtin()
        self.claims = Claims(caches.routes, caches.routes_elsewhere, allowed)
        self._fleets: dict[str, FleetMetrics] = {}
        self._open: dict[Key, Open] = {}
        self._background = Background(self._note)
        if prometheus is not None:
            self._fleet_on(prometheus)

    async def run(self) -> None:
        """What goes on beside the rollouts, until cancelled: people's own queries, finding out profiles."""
        async with asyncio.TaskGroup() as tasks:
            self._background.open(tasks)
            try:
                await asyncio.Event().wait()
            finally:
                self._background.close()

    def open(self, plan: ModelCanary, namespace: str) -> ClusterSite:
        """The site of a plan. Raises `BadInput` for what cannot be carried out here, `Absent` for what not yet can."""
        kserve = plan.spec.platform.kserve
        if kserve is None:
            raise BadInput(f"{plan.metadata.name} is no plan for a cluster: its platform is not kserve.")
        mode = of_platform(kserve, self._caches)
        check_runtimes(plan, self._caches, namespace)
        key = (namespace, plan.metadata.name)
        fleet = self._fleet(plan, kserve.prometheus or self._prometheus)

        def close() -> None:
            if self._open.get(key) is opened:
                del self._open[key]
                fleet.forget(key)

        source = fleet.source(key)
        ground = Ground(self._kube, self._caches, self._clock, namespace, source, self._known, close, self.claims)
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
        """Ask each Prometheus once for all of its rollouts, under the names that their pods have by now."""
        for key, opened in self._open.items():
            if opened.profile and opened.servers != (servers := opened.site.servers()):
                opened.servers = servers
                self._register(key)
        async with asyncio.TaskGroup() as tasks:
            for fleet in self._fleets.values():
                tasks.create_task(fleet.tick())

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

        def take(found: Found) -> bool:
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
        url = opened.fleet.api.url
        question = Question(url, self._access_of(url), key[0], mode.profiles, mode.default)
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

    def _fleet(self, plan: ModelCanary, url: str | None) -> FleetMetrics:
        if url is None:
            raise BadInput(
                f"{plan.metadata.name}: nobody says where Prometheus answers. Write platform.kserve.prometheus, or "
                f"start the controller with --prometheus."
            )
        return self._fleet_on(url)

    def _fleet_on(self, url: str) -> FleetMetrics:
        """One for each address. What shows who we are goes to the operator's own and to nobody that a plan names."""
        if url not in self._fleets:
            credentials = Credentials(self._access_of(url), url)
            http = CappedHttp(most_bytes=MOST_BYTES, tls=credentials.tls, headers=credentials.headers)
            api = PrometheusApi(url, seconds=ANSWER_WITHIN, http=http)
            self._fleets[url] = FleetMetrics(
                api, clock=self._clock, interval=self._interval, spawn=self._background.spawn
            )
        return self._fleets[url]

    def _access_of(self, url: str) -> Access:
        own = (self._prometheus or "").rstrip("/")
        return self._access if own and url.rstrip("/") == own else Access()

    def _note(self, sentence: str) -> None:
        self.say(sentence)


def _counts(fleet: FleetMetrics, key: Key) -> bool:
    """Whether numbers of this rollout were read."""
    try:
        fleet.newest(key)
    except WorldError:
        return False
    return True


def places_of(plan: ModelCanary, namespace: str, site: ClusterSite, profile: str) -> Places:
    """Where the numbers of a rollout are."""
    spec = plan.spec
    variants: Mapping[Arm, Variant] = {"stable": spec.stable, "canary": spec.canary}

    def newest() -> Mapping[Arm, float]:
        return {arm: max(pods.values()) for arm, pods in ready_since(site).items() if pods}

    return Places(
        namespace=namespace,
        route=plan.metadata.name,
        slots=site.places,
        variants={arm: variants[arm].name for arm in ARMS},
        services=site.servers(),
        profile=profile,
        gates=tuple(gate for stage in spec.stages for gate in stage.gates),
        ready_since=newest if spec.judge.warmup else dict,
    )
