"""A platform and a router that exist in memory: for simulations, and for tests of whoever uses the ports.

They pass the same suites in `tests/contracts` as the real ones. What goes wrong is told them from outside, by the
`fail…`, `lose…` and `give_up…` methods; time comes in as a function, so that a virtual clock will do.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from canary.errors import ExternalError
from canary.snapshot import InFlight, RouteStatus, VariantStatus
from canary.spec.models import Variant
from canary.weights import ALL_STABLE, ARMS, Arm, Weights

Endpoints = Mapping[Arm, Mapping[str, str]]
"""Arm to replica name to `host:port`."""


@dataclass(slots=True)
class MemoryReplica:
    """One replica that only has a state."""

    address: str
    ready_at: float
    """From when on it can serve, seconds."""
    problem: str = ""
    """Why it cannot serve now; empty when nothing is wrong with it."""
    hopeless: bool = False


class MemoryPlatform:
    """Variants that become ready after a set time."""

    def __init__(self, now: Callable[[], float], *, ready_after_s: float = 0.0) -> None:
        self._now = now
        self._ready_after_s: dict[Arm, float] = dict.fromkeys(ARMS, ready_after_s)
        self._variants: dict[Arm, Variant] = {}
        self._replicas: dict[Arm, dict[str, MemoryReplica]] = {arm: {} for arm in ARMS}
        self._ports = 20_000

    def ready_after(self, arm: Arm, seconds: float) -> None:
        """How long replicas of this arm take to become ready when they are started from now on; `inf`: for ever."""
        self._ready_after_s[arm] = seconds

    def lose(self, arm: Arm, problem: str, *, replica: str | None = None, hopeless: bool = False) -> None:
        """Make one replica (None: all) of the arm unready, with this problem."""
        for name, state in self._replicas[arm].items():
            if replica in {None, name}:
                state.problem, state.hopeless = problem, hopeless

    def recover(self, arm: Arm) -> None:
        """End every problem of the arm's replicas."""
        for state in self._replicas[arm].values():
            state.problem, state.hopeless = "", False

    async def run(self, arm: Arm, variant: Variant) -> None:
        """Start the replicas that are missing; another variant of the arm replaces the former."""
        if self._variants.get(arm) == variant:
            return
        self._variants[arm] = variant
        self._replicas[arm] = {
            f"{arm}-{place}": MemoryReplica(self._next_address(), self._now() + self._ready_after_s[arm])
            for place in range(variant.replicas)
        }

    async def stop(self, arm: Arm) -> None:
        """Forget the arm's replicas."""
        self._variants.pop(arm, None)
        self._replicas[arm] = {}

    async def seen(self) -> Mapping[Arm, VariantStatus]:
        """Readiness of both arms now."""
        return {arm: self._seen(arm) for arm in ARMS}

    def endpoints(self) -> Endpoints:
        """Addresses of the ready replicas, by arm."""
        return {
            arm: {name: state.address for name, state in replicas.items() if not self._why_unready(state)}
            for arm, replicas in self._replicas.items()
        }

    def addresses(self) -> Endpoints:
        """Addresses of all replicas, by arm."""
        return {
            arm: {name: state.address for name, state in replicas.items()} for arm, replicas in self._replicas.items()
        }

    def ready_since(self) -> Mapping[str, float]:
        """Replica name to the time when it became ready, for every ready replica."""
        return {
            name: state.ready_at
            for replicas in self._replicas.values()
            for name, state in replicas.items()
            if not self._why_unready(state)
        }

    def _seen(self, arm: Arm) -> VariantStatus:
        replicas = self._replicas[arm]
        if not replicas:
            return VariantStatus(self._now(), wanted=0, ready=0, problem="not running")
        problems = [why for state in replicas.values() if (why := self._why_unready(state))]
        hopeless = any(state.hopeless for state in replicas.values())
        problem = problems[0] if problems else ""
        return VariantStatus(self._now(), len(replicas), len(replicas) - len(problems), problem, hopeless)

    def _why_unready(self, state: MemoryReplica) -> str:
        return state.problem or ("started, not ready yet" if self._now() < state.ready_at else "")

    def _next_address(self) -> str:
        self._ports += 1
        return f"127.0.0.1:{self._ports}"


class MemoryRouter:
    """Weights that are in force as soon as they are set."""

    def __init__(self, now: Callable[[], float], addresses: Endpoints | None = None) -> None:
        """`addresses` are the replicas that are known from the start."""
        self.history: list[tuple[float, Weights]] = []
        """Every change of the weights in force, with its time in seconds."""
        self._now = now
        self._weights = ALL_STABLE
        self._addresses: Endpoints = addresses or {}
        self._refuses = ""
        self._silent = ""
        self._open: dict[Arm, float] = dict.fromkeys(ARMS, 0.0)
        self._broken: dict[Arm, float] = dict.fromkeys(ARMS, 0.0)

    def refuse(self, problem: str) -> None:
        """Fail every change from now on with this problem; empty ends it."""
        self._refuses = problem

    def fall_silent(self, problem: str) -> None:
        """Say nothing of the weights in force from now on, but this problem; empty ends it."""
        self._silent = problem

    def begin(self, arm: Arm, requests: int = 1) -> None:
        """The arm begins to answer so many requests."""
        self._open[arm] += requests

    def end(self, arm: Arm, requests: int = 1, *, broken: bool = False) -> None:
        """It has answered so many of them, or (`broken`) only their beginnings."""
        self._open[arm] -= requests
        self._broken[arm] += requests if broken else 0

    async def retire(self, arm: Arm) -> None:
        """There is no cohort here, and so nobody outside it."""

    def idle(self, arm: Arm) -> bool:
        """Whether it has no weight."""
        return not getattr(self._weights, arm)

    async def in_flight(self) -> Mapping[Arm, InFlight]:
        """What each arm is answering."""
        return {arm: InFlight(self._now(), self._open[arm], self._broken[arm]) for arm in ARMS}

    async def set_weights(self, weights: Weights) -> None:
        """Make these weights the ones in force; raises ExternalError where a real router would."""
        if self._refuses:
            raise ExternalError(self._refuses)
        lacking = [arm for arm in ARMS if getattr(weights, arm) and not self._addresses.get(arm)]
        if lacking and (weights != ALL_STABLE or any(self._addresses.values())):
            raise ExternalError(f"no replica of the {' or '.join(lacking)} arm has an address yet; the weights stay")
        if weights != self._weights:
            self._weights = weights
            self.history.append((self._now(), weights))

    async def set_endpoints(self, addresses: Endpoints, ready: Endpoints) -> None:
        """Say where the replicas are. An arm that has traffic and no address any more keeps the ones it had."""
        self._addresses = {
            arm: addresses.get(arm) or (self._addresses.get(arm, {}) if getattr(self._weights, arm) else {})
            for arm in ARMS
        }

    async def seen(self) -> RouteStatus:
        """The weights in force."""
        if self._silent:
            return RouteStatus(self._now(), None, self._silent)
        if not any(self._addresses.values()):
            return RouteStatus(self._now(), self._weights, "no replica is known yet, every request is answered 503")
        return RouteStatus(self._now(), self._weights)
