"""The ports: what the control plane needs of the world, in the domain's nouns. One to four methods each.

Used by `controlplane.reconcile`; implemented in `controlplane.adapters` (the real ones and the in-memory ones, which
pass the same suites in `tests/contracts`). Every method may raise `canary.errors.ExternalError`; the loop then goes on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from canary.frame import Frame
from canary.rollout import Event, Rollout
from canary.snapshot import (
    Counters,
    EvaluationStatus,
    FingerprintStatus,
    InFlight,
    OperatorRequest,
    RouteStatus,
    ShadowStatus,
    VariantStatus,
)
from canary.spec.models import Variant
from canary.weights import Arm, Weights


class Clock(Protocol):
    """Time, so that simulations can have their own."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; in a simulation the clock jumps."""
        ...


class Platform(Protocol):
    """Runs variants. `run` and `stop` say where to be and may be repeated at every pass."""

    async def run(self, arm: Arm, variant: Variant) -> None:
        """Bring the variant up with all its replicas, and keep it so. Returns at once; `seen` tells how far it is."""
        ...

    async def stop(self, arm: Arm) -> None:
        """Let the arm answer what it has begun, then stop it."""
        ...

    async def seen(self) -> Mapping[Arm, VariantStatus]:
        """Readiness of both arms now."""
        ...

    def endpoints(self) -> Mapping[Arm, Mapping[str, str]]:
        """Replica name to `host:port` of every ready replica, by arm."""
        ...


class Router(Protocol):
    """Splits traffic between the arms. No request is lost by a change."""

    async def set_weights(self, weights: Weights) -> None:
        """Make these weights the ones in force; returns when they are, or raises."""
        ...

    async def seen(self) -> RouteStatus:
        """The weights in force, read back."""
        ...


@runtime_checkable
class Confirming(Protocol):
    """What routers can besides whose `seen` is a copy that may lag behind what is true."""

    async def confirm(self) -> None:
        """Read anew what `seen` tells of; raises `ExternalError` where that cannot be done now."""
        ...


@runtime_checkable
class Retiring(Protocol):
    """What routers can besides that know cohorts: take an arm out of reach of those outside, too."""

    async def retire(self, arm: Arm) -> object:
        """Send nobody to an arm without a weight any more. Repeated at every pass; other weights take it back."""
        ...

    def idle(self, arm: Arm) -> bool:
        """Whether no request can reach the arm."""
        ...


@runtime_checkable
class Counting(Protocol):
    """What routers can besides that see the requests themselves: say how many are open."""

    async def in_flight(self) -> Mapping[Arm, InFlight]:
        """What each arm has begun to answer and not ended; an arm that is not known has nothing open."""
        ...


class MetricSource(Protocol):
    """Running totals of both arms."""

    async def read(self) -> Counters:
        """The newest totals; raises `Unavailable` when the source itself does not answer."""
        ...


@runtime_checkable
class MetricHistory(Protocol):
    """What some metric sources can besides: say what the totals were."""

    async def between(self, start: float, end: float, most: int) -> Sequence[Counters]:
        """Totals as they were after `start` until `end`, oldest first, evenly spread and about `most` of them at most.

        Empty where nothing is kept of that time. Raises as `MetricSource.read` does.
        """
        ...


class RolloutStore(Protocol):
    """Keeps rollouts and their whole history. Writes are compare-and-swap on a version."""

    async def load(self, name: str) -> "Stored | None":
        """The newest state under this name, or None."""
        ...

    async def save(self, rollout: Rollout, spec_text: str, version: int) -> int:
        """Write if the stored version is still `version` (0: nothing yet); returns the new one, else raises `Conflict`.

        Events in `rollout.history` that the store does not have yet are appended in the same transaction.
        """
        ...

    async def history(self, name: str, attempt: int | None = None) -> Sequence[Event]:
        """All events of one attempt (None: the newest), in order."""
        ...

    async def requests(self, name: str) -> Sequence[OperatorRequest]:
        """What people have asked for."""
        ...

    async def ask(self, name: str, request: OperatorRequest) -> None:
        """Put a person's request where the loop will find it."""
        ...


@runtime_checkable
class Recorder(Protocol):
    """What some stores can besides: keep what decisions were made of, for replay. Neither method waits for anything."""

    def record(self, frame: Frame) -> None:
        """Keep this frame with the next `save`, in the same transaction: state and record never disagree."""
        ...

    def break_off(self) -> None:
        """What was recorded since the last save did not come about: the next save restates the state instead."""
        ...


@dataclass(frozen=True, slots=True)
class Stored:
    """A rollout as the store has it."""

    rollout: Rollout
    spec_text: str
    version: int


class Notifier(Protocol):
    """Tells people. Never waited for by anything."""

    async def tell(self, event: Event) -> None:
        """Deliver one event; may be repeated with the same id."""
        ...


class Rehearsal(Protocol):
    """What happens before the canary's first real traffic: the evaluation and the shadow."""

    async def evaluate(self) -> None:
        """Have the evaluation harness run; may be asked for again while it does."""
        ...

    async def mirror(self, share: float) -> None:
        """Send a copy of this share of requests to the canary and compare the answers."""
        ...

    async def seen(self) -> tuple[EvaluationStatus | None, ShadowStatus | None]:
        """Results so far."""
        ...


class Identity(Protocol):
    """Tells what both served variants are besides their weights."""

    async def compare(self) -> FingerprintStatus:
        """Ask both, which are ready, and hold the answers against each other; `done` is False to be asked again.

        `since` is left to the caller.
        """
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """The world of one rollout, in one hand."""

    clock: Clock
    platform: Platform
    router: Router
    metrics: MetricSource
    store: RolloutStore
    notifier: Notifier
    rehearsal: Rehearsal | None = None
    """None where the platform has neither evaluation nor shadow."""
    identity: Identity | None = None
    """None where nobody compares what the variants are."""
