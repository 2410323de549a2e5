"""A rollout as everybody who shows one reaches it: its name, its store, and what was seen of its world last.

Implemented for a laptop by `local.LocalRollout` and for a cluster by `controlplane.api.cluster.ClusterPlace`. Which
rollouts a person may see and ask for something is not known here: see `controlplane.api.places`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from canary.rollout import Event, Rollout
from canary.snapshot import OperatorRequest
from canary.spec.models import CanarySpec
from controlplane.ports import Stored
from controlplane.readmodel.rollout_view import RolloutView


class ReadStore(Protocol):
    """What the routes need of a store: everything of `controlplane.ports.RolloutStore` but writing states."""

    async def load(self, name: str) -> Stored | None:
        """The newest state under this name, or None."""
        ...

    async def history(self, name: str, attempt: int | None = None) -> Sequence[Event]:
        """All events of one attempt (None: the newest) that are kept, in order."""
        ...

    async def requests(self, name: str) -> Sequence[OperatorRequest]:
        """What people have asked for and nobody has answered."""
        ...

    async def ask(self, name: str, request: OperatorRequest) -> None:
        """Put a person's request where the loop will find it."""
        ...


class RolloutHandle(Protocol):
    """One rollout: its name, its store, and what is known of it besides."""

    @property
    def id(self) -> str:
        """How it is addressed."""
        ...

    @property
    def name(self) -> str:
        """What its store calls it."""
        ...

    @property
    def folder(self) -> Path | None:
        """Where its files are; None where it has none (in a cluster)."""
        ...

    @property
    def store(self) -> ReadStore:
        """Where its state is read and requests are put."""
        ...

    def view(self, spec: CanarySpec, rollout: Rollout, now: float) -> RolloutView:
        """The rollout with what was seen of its world last; `now` in seconds since the epoch."""
        ...

    def samples(self, attempt: int) -> Sequence[Mapping[str, Any]]:
        """Values over time, oldest first, where somebody keeps them (`controlplane.view.live`)."""
        ...

    async def news(self, seconds: float) -> None:
        """Return when its state may have changed, and after so many seconds in any case."""
        ...
