"""Splits traffic between the arms with a real Envoy on this machine. Implements `controlplane.ports.Router`.

Built by `controlplane.program` for the local platform. Weights and addresses go to Envoy as two files that are replaced
at once; a change has been made when Envoy itself says that it is in force. Requests in flight are never touched: Envoy
draws a cluster once for each new request. Reads no metrics: whoever does asks `admin` or `counters_address` for

- `envoy_cluster_upstream_rq_xx{envoy_cluster_name="canary-0",envoy_response_code_class="5"}`: answers by class,
- `envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="canary-0",le="200"}`: milliseconds, cumulative,

where the cluster's name is the replica's, so what stands before the dash is the arm. With a cohort these are the
cohort's requests alone; all others have clusters of their own. A limit with two significant digits (200 ms, 2500 ms) is
exactly a bound; one with more is counted from the next lower edge.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from canary.errors import ExternalError, Unavailable
from canary.snapshot import InFlight, RouteStatus
from canary.spec.models import Cohort, Sticky
from canary.weights import ALL_CANARY, ALL_STABLE, ARMS, Arm, Weights
from controlplane.adapters import envoy_config
from controlplane.adapters.envoy_admin import Kind
from controlplane.adapters.envoy_config import OUTSIDE, Address, Json, arm_of
from controlplane.adapters.envoy_process import CLUSTERS_FILE, ROUTES_FILE, EnvoyProcess
from controlplane.adapters.envoy_workers import Workers
from controlplane.adapters.process_readiness import Answered
from controlplane.backoff import Backoff
from controlplane.private_files import private_folder, read_json, write_json

TEND_EVERY_S = 0.05
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0
POLL_EVERY_S = 0.002
FILES: dict[Kind, str] = {"clusters": CLUSTERS_FILE, "routes": ROUTES_FILE}
Endpoints = Mapping[Arm, Mapping[str, str]]
"""Arm to replica name to `host:port`."""


class EnvoyRouter:
    """One Envoy and the weights in it. `async with` starts it or takes it over; only `close` stops it."""

    def __init__(
        self,
        folder: Path,
        *,
        listen: str,
        now: Callable[[], float],
        cohort: Cohort | None = None,
        sticky: Sticky | None = None,
        limits_ms: Sequence[float] = (),
        say: Callable[[str], None] = lambda _sentence: None,
        patience_s: float = 4.0,
    ) -> None:
        """`limits_ms` become bounds of the latency histograms; a change not in force after `patience_s` is an error."""
        self._folder = folder
        self._listen = listen
        self._now = now
        self._wanted_cohort = cohort
        self._sticky = sticky
        self._limits_ms = limits_ms
        self._say = say
        self._patience_s = patience_s
        self._envoy = EnvoyProcess(folder, say)
        self._closing = False
        self._revisions: dict[Kind, int] = dict.fromkeys(FILES, 0)
        self._refused: dict[Kind, int] = dict.fromkeys(FILES, 0)
        self._replicas: dict[Arm, dict[str, Address]] = {arm: {} for arm in ARMS}
        self._ready: frozenset[str] = frozenset()
        self._weights = ALL_STABLE
        self._cohort: Cohort | None = None
        self._retired: Arm | None = None
        self._endpoints_known = asyncio.Event()
        self._workers = Workers()
        self._written: dict[Kind, list[Json]] = {}
        self._one_set_of_endpoints_at_a_time = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Start Envoy, or take over the one that an earlier run left, with the routes that it has."""
        private_folder(self._folder, ours=True)
        self._take_up_files()
        await self._envoy.adopt_or_start(self._listen, self._limits_ms)
        await self._note_what_was_taken()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave Envoy running as it is."""
        self._closing = True
        await self._envoy.let_go()

    @property
    def address(self) -> str:
        """Where clients connect, `host:port`."""
        return str(self._envoy.running.listen)

    @property
    def admin(self) -> Path:
        """The socket of Envoy's admin interface."""
        return self._envoy.running.admin

    @property
    def counters_address(self) -> str:
        """Where a Prometheus reads `/stats/prometheus` and nothing else, `host:port` on loopback."""
        return str(self._envoy.running.counters)

    @property
    def pid(self) -> int:
        """The Envoy process."""
        return self._envoy.running.child.pid

    async def set_weights(self, weights: Weights) -> None:
        """Make these weights the ones in force; typically within 20 ms.

        Raises ExternalError when an arm that is to have traffic has no address, when Envoy refuses, and when it does
        not answer (the file then already says so, and Envoy takes it as soon as it is back).
        """
        await self._wait_for_own_endpoints(weights)
        self._refuse_to_route_nowhere(weights)
        before = (self._weights, self._cohort)
        self._weights, self._cohort = weights, self._wanted_cohort
        if self._retired and _weight(weights, self._retired):
            self._retired = None
        try:
            await self._put_routes()
        except EnvoyRefused:
            self._weights, self._cohort = before
            raise

    async def set_endpoints(self, addresses: Endpoints, ready: Endpoints) -> None:
        """Say where the replicas of both arms are, and which of them can serve now.

        New clusters are in force before a route names them, and old ones go only after no route does. An arm that has
        traffic keeps the addresses it had until a new one is ready.
        """
        async with self._one_set_of_endpoints_at_a_time:
            union = {**self._all_clusters(), **_flat(self._taken_over(addresses, ready))}
            await self._put_clusters(union)
            # Weights may have changed while Envoy took the clusters in; from here to the written route nothing waits.
            self._replicas = self._taken_over(addresses, ready)
            self._ready = frozenset(name for replicas in ready.values() for name in replicas)
            self._endpoints_known.set()
            await self._put_routes()
            await self._put_clusters(self._all_clusters())

    async def seen(self) -> RouteStatus:
        """The weights in force, computed from the routes that Envoy says it has."""
        try:
            configuration = await self._envoy.admin.routes()
        except ExternalError as error:
            return RouteStatus(self._now(), None, str(error))
        if configuration is None:
            return RouteStatus(self._now(), None, "Envoy has no routes yet")
        weights = envoy_config.weights_in(configuration)
        if weights is None:
            return RouteStatus(self._now(), ALL_STABLE, "no replica is known yet, every request is answered 503")
        return RouteStatus(self._now(), weights)

    async def retire(self, arm: Arm) -> None:
        """Send those outside the cohort to the other arm too, until other weights are set; raises as `set_weights`."""
        if not _weight(self._weights, arm):
            self._retired = arm
            await self._put_routes()

    def idle(self, arm: Arm) -> bool:
        """Whether no route leads to the arm: neither a weight, nor who is outside the cohort."""
        routes = self._written.get("routes", [])
        return not any(arm_of(name) == arm for each in routes for name in envoy_config.clusters_in(each))

    async def in_flight(self) -> Mapping[Arm, InFlight]:
        """What each arm is answering, by Envoy's own count; raises `Unavailable` when it does not say."""
        at = self._now()
        # First the workers: what is counted after that has all that they sent by routes of before.
        settled = self._workers.look(await self._envoy.admin.uptime(), at)
        counted = await self._envoy.admin.in_flight()
        return {arm: InFlight(at, open_, broken, settled) for arm, (open_, broken) in counted.items()}

    async def answered(self, replica: str) -> Answered | None:
        """What Envoy has received from this replica so far; None when it does not say."""
        try:
            return await self._envoy.admin.answered(replica)
        except ExternalError:
            return None

    async def tend(self) -> None:
        """For ever: start Envoy again the moment it dies. Run in the background; ends when cancelled or closed."""
        pause, backoff = TEND_EVERY_S, Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        while True:
            await asyncio.sleep(pause)
            pause = TEND_EVERY_S
            if self._closing:
                return
            if self._envoy.alive:
                backoff.reset()
                continue
            self._say(
                f"Envoy (process {self.pid}) {self._envoy.why_it_ended()}. It is started again with the same routes."
            )
            try:
                await self._envoy.restart()
                await self._note_what_was_taken()
            except ExternalError as error:
                pause = backoff.next()
                self._say(f"{error}. No traffic is served; it is tried again in {pause:g} s.")
            else:
                backoff.reset()
                self._say(f"Envoy is back on {self.address} as process {self.pid}.")

    async def close(self, grace_s: float = 2.0) -> None:
        """Accept no more clients, and stop Envoy once its open requests are answered, after `grace_s` at the latest."""
        self._closing = True
        await self._envoy.stop(grace_s)

    def _take_up_files(self) -> None:
        """Begin with the clusters and routes that are there: a restart must not change anybody's traffic."""
        clusters, routes = read_json(self._folder / CLUSTERS_FILE), read_json(self._folder / ROUTES_FILE)
        try:
            for name, address in envoy_config.addresses_in(clusters).items():
                self._replicas[envoy_config.arm_of(name)][name] = address
            configuration = routes["resources"][0]
            self._weights = envoy_config.weights_in(configuration) or ALL_STABLE
            self._cohort = envoy_config.cohort_in(configuration)
            self._written = {"clusters": clusters["resources"], "routes": routes["resources"]}
            self._revisions = {"clusters": _revision(clusters), "routes": _revision(routes)}
            self._ready = frozenset(self._all_clusters())
        except (TypeError, KeyError, IndexError, ValueError, OverflowError, AttributeError):
            if clusters or routes:
                self._say(f"The routes in {self._folder} could not be read and begin anew, everything on stable.")
            self._replicas = {arm: {} for arm in ARMS}
            self._weights, self._cohort = ALL_STABLE, self._wanted_cohort
            self._write("clusters", envoy_config.clusters({}))
            self._write("routes", self._routes())

    async def _note_what_was_taken(self) -> None:
        """Begin to count with an Envoy that is new to us: only what it refuses from now on is our doing."""
        for kind in FILES:
            taken = await self._envoy.admin.taken(kind)
            self._refused[kind] = taken.refused
            self._revisions[kind] = max(self._revisions[kind], taken.revision)

    async def _wait_for_own_endpoints(self, weights: Weights) -> None:
        """Give no arm its first traffic by addresses of an earlier run: whoever listened there may be gone by now.

        Raises ExternalError when `set_endpoints` was not called within the patience of this router.
        """
        gains = [arm for arm in ARMS if _weight(weights, arm) > 0 == _weight(self._weights, arm)]
        if self._endpoints_known.is_set() or not any(self._replicas[arm] for arm in gains):
            return
        try:
            async with asyncio.timeout(self._patience_s):
                await self._endpoints_known.wait()
        except TimeoutError:
            raise ExternalError(
                f"the weight of the canary stays at {self._weights} and was not set to {weights}: "
                f"the addresses of the {gains[0]} arm are those of an earlier run"
            ) from None

    def _refuse_to_route_nowhere(self, weights: Weights) -> None:
        """An arm with traffic needs an address: without one its share would silently go to the other arm.

        Before anything is known, everything on stable is allowed: every rollout begins there, answered 503.
        """
        missing = [arm for arm in ARMS if _weight(weights, arm) and not self._replicas[arm]]
        if missing and not (weights == ALL_STABLE and not self._all_clusters()):
            raise ExternalError(
                f"the weight of the canary stays at {self._weights} and was not set to {weights}: "
                f"no replica of the {' or '.join(missing)} arm has an address yet"
            )

    async def _put_routes(self) -> None:
        before = self._written.get("routes", [])
        revision = self._write("routes", self._routes())
        try:
            await self._until_in_force("routes", revision)
        except EnvoyRefused:
            # An Envoy that starts anew reads this file, so it must never hold what Envoy does not accept.
            if self._revisions["routes"] == revision:
                self._write("routes", before)
            raise

    async def _put_clusters(self, replicas: Mapping[str, Address]) -> None:
        # The routes in force may be those of a cohort that this plan does not have.
        apart = self._wanted_cohort is not None or self._cohort is not None
        revision = self._write("clusters", envoy_config.clusters(replicas, apart=apart))
        await self._until_in_force("clusters", revision)

    def _routes(self) -> list[Json]:
        """The routes for the present weights: over the replicas that are ready, or over all of an arm that has none."""
        serving = {
            arm: [name for name in replicas if name in self._ready] or list(replicas)
            for arm, replicas in self._replicas.items()
        }
        split = envoy_config.spread(self._weights, serving)
        # Once the canary has won, stable goes away, and whoever is outside the cohort is served by the winner too.
        outside = [ALL_CANARY, ALL_STABLE] if self._retired == "stable" else [ALL_STABLE, ALL_CANARY]
        others = envoy_config.spread(outside[0], serving) or envoy_config.spread(outside[1], serving)
        # Until they have clusters of their own, as under an Envoy that another Serinus left.
        there = {cluster["name"] for cluster in self._written.get("clusters", [])}
        apart = {f"{OUTSIDE}{name}": share for name, share in others.items()}
        return envoy_config.routes(split, apart if apart.keys() <= there else others, self._cohort, self._sticky)

    def _write(self, kind: Kind, resources: list[Json]) -> int:
        """Replace the file unless it says the same already; returns the revision that then has to be in force."""
        if resources != self._written.get(kind):
            self._revisions[kind] += 1
            version = f"{self._revisions[kind]} canary={self._weights.canary}"
            try:
                # A canary must lose its traffic on a full disk as well.
                write_json(self._folder / FILES[kind], {"version_info": version, "resources": resources}, spare=True)
            except OSError as error:
                raise ExternalError(
                    f"the new {kind} could not be written to {self._folder}, the ones before stay: {error.strerror}"
                ) from error
            self._written[kind] = resources
        return self._revisions[kind]

    async def _until_in_force(self, kind: Kind, revision: int) -> None:
        """Return as soon as Envoy says that it has this revision or a later one."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience_s
        problem = "it still has the ones before"
        while True:
            try:
                taken = await self._envoy.admin.taken(kind)
            except Unavailable as error:
                problem = str(error)
            else:
                if taken.revision >= revision:
                    return
                refused_before, self._refused[kind] = self._refused[kind], taken.refused
                if taken.refused > refused_before:
                    raise EnvoyRefused(
                        f"Envoy refused the new {kind} and goes on with the ones it has: {self._envoy.last_words}"
                    )
            if loop.time() > deadline:
                raise ExternalError(
                    f"the new {kind} are not in force after {self._patience_s:g} s: {problem}. "
                    "They are written, and Envoy takes them as soon as it can."
                )
            await asyncio.sleep(POLL_EVERY_S)

    def _taken_over(self, addresses: Endpoints, ready: Endpoints) -> dict[Arm, dict[str, Address]]:
        """The replicas from now on: the new ones, but for an arm with traffic only once one of them can serve it."""
        replicas = {}
        for arm in ARMS:
            new = {name: Address.parse(at) for name, at in addresses.get(arm, {}).items()}
            can_serve = any(name in ready.get(arm, {}) for name in new)
            stays = _weight(self._weights, arm) and self._replicas[arm] and not can_serve
            replicas[arm] = self._replicas[arm] if stays else new
        return replicas

    def _all_clusters(self) -> dict[str, Address]:
        return _flat(self._replicas)


class EnvoyRefused(ExternalError):  # noqa: N818 - Envoy's own word for it
    """Envoy does not accept a file; the one before stays in force."""


def _weight(weights: Weights, arm: Arm) -> int:
    return weights.canary if arm == "canary" else weights.stable


def _flat(replicas: Mapping[Arm, Mapping[str, Address]]) -> dict[str, Address]:
    return {name: address for of_arm in replicas.values() for name, address in of_arm.items()}


def _revision(file: Json) -> int:
    return int(str(file["version_info"]).partition(" ")[0])
