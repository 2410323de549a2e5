"""The board: what is known of the world, each fact as old as its last look. Ports in, one `Snapshot` out.

Used by `loop.py`. Each kind of fact is looked at on its own, so a source that hangs makes its own facts old and delays
nothing else. Decides nothing, except when silence counts as blindness.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from canary.errors import ExternalError, Unavailable
from canary.snapshot import (
    Counters,
    EvaluationStatus,
    FingerprintStatus,
    InFlight,
    MetricsStatus,
    OperatorRequest,
    RouteStatus,
    ShadowStatus,
    Snapshot,
    VariantStatus,
)
from canary.staleness import STALE_INTERVALS
from canary.weights import ARMS, Arm
from controlplane.ports import Counting, Ports, Retiring

SILENT_S = 10.0
"""Seconds without an answer before which no source counts as silent, however short its interval: one may be late."""


@dataclass(slots=True)
class Observer:
    """Looks at the world through the ports and remembers what it saw last."""

    ports: Ports
    name: str
    scrape_interval: float
    """Seconds between two readings of the metric source."""
    superseded_by: str = ""
    variants: Mapping[Arm, VariantStatus] = field(default_factory=dict)
    route: RouteStatus = field(default_factory=lambda: RouteStatus(at=0.0, problem="not looked yet"))
    in_flight: Mapping[Arm, InFlight] = field(default_factory=dict)
    """As the router itself counts it; empty where it does not."""
    idle: tuple[Arm, ...] = ()
    counters: Counters | None = None
    requests: tuple[OperatorRequest, ...] = ()
    evaluation: EvaluationStatus | None = None
    shadow: ShadowStatus | None = None
    fingerprint: FingerprintStatus | None = None
    heard_at: float | None = None
    """When the metric source answered last (or, before the first answer, when it was asked first)."""
    asked_at: float = 0.0
    problem: str = ""

    async def look_at_variants(self) -> None:
        """Readiness of both arms. A platform that does not answer leaves the last facts standing."""
        try:
            self.variants = await self.ports.platform.seen()
        except ExternalError as error:
            self.variants = {arm: replace(seen, problem=str(error)) for arm, seen in self.variants.items()}

    async def look_at_route(self) -> None:
        """The weights in force, and what is open on either side of them, where the router knows."""
        router = self.ports.router
        try:
            self.route = await router.seen()
            if isinstance(router, Counting):
                self.in_flight = await router.in_flight()
            if isinstance(router, Retiring):
                self.idle = tuple(arm for arm in ARMS if router.idle(arm))
        except ExternalError as error:
            self.route = RouteStatus(at=self.ports.clock.now(), problem=str(error))

    async def look_at_evidence(self) -> None:
        """The newest running totals."""
        self.asked_at = self.ports.clock.now()
        if self.heard_at is None:
            self.heard_at = self.asked_at
        try:
            self.counters = await self.ports.metrics.read()
        except Unavailable as error:
            self.problem = str(error)
        except ExternalError as error:  # it answered, and had nothing of use: that is missing data, not blindness
            self.problem, self.heard_at = str(error), self.asked_at
        else:
            self.problem, self.heard_at = self.counters.problem, self.asked_at

    async def look_at_requests(self) -> None:
        """What people ask for."""
        try:
            self.requests = tuple(await self.ports.store.requests(self.name))
        except ExternalError:
            return  # asked again soon; a request is never lost by it

    async def look_at_rehearsal(self) -> None:
        """Results of evaluation and shadow, where the platform has them."""
        if self.ports.rehearsal is None:
            return
        try:
            self.evaluation, self.shadow = await self.ports.rehearsal.seen()
        except ExternalError:
            return  # the facts only grow old

    async def look_at_fingerprint(self) -> None:
        """What both variants are, asked from when both are ready until they have told. Not asked where nobody cares."""
        known, now = self.fingerprint, self.ports.clock.now()
        arms = [self.variants.get(arm) for arm in ARMS]
        if self.ports.identity is None or (known is not None and known.done):
            return
        if not all(arm is not None and arm.complete for arm in arms):
            return
        since = known.since if known is not None else now
        self.fingerprint = known or FingerprintStatus(at=now, since=now)
        try:
            self.fingerprint = replace(await self.ports.identity.compare(), since=since)
        except ExternalError as error:
            self.fingerprint = FingerprintStatus(at=now, since=since, problem=str(error))

    async def look(self) -> None:
        """Look at everything, one after the other. Simulations do this; production watches each on its own."""
        await self.look_at_variants()
        await self.look_at_route()
        await self.look_at_evidence()
        await self.look_at_requests()
        await self.look_at_rehearsal()
        await self.look_at_fingerprint()

    def seen(self) -> Snapshot:
        """The snapshot for one pass."""
        silent = self.asked_at - (self.heard_at if self.heard_at is not None else self.asked_at)
        unknown = VariantStatus(at=0.0, problem="not looked yet")
        return Snapshot(
            stable=self.variants.get("stable", unknown),
            canary=self.variants.get("canary", unknown),
            route=self.route,
            evidence=MetricsStatus(
                at=self.asked_at,
                counters=self.counters,
                up=silent < max(STALE_INTERVALS * self.scrape_interval, SILENT_S),
                problem=self.problem or ("it does not answer in time" if silent > 2 * self.scrape_interval else ""),
            ),
            evaluation=self.evaluation,
            shadow=self.shadow,
            fingerprint=self.fingerprint or self._not_told_yet(),
            requests=self.requests,
            in_flight=self.in_flight or (self.counters.in_flight if self.counters is not None else {}),
            idle=self.idle,
            superseded_by=self.superseded_by,
        )

    def _not_told_yet(self) -> FingerprintStatus | None:
        """Somebody asks as soon as both are ready; until then nothing passes for an answer."""
        now = self.ports.clock.now()
        return None if self.ports.identity is None else FingerprintStatus(at=now, since=now)
