"""Where one rollout happens: its variants, route and numbers, in one hand. What the controller needs of a cluster.

Implemented by `cluster_environments.py` over the real adapters, and by tests in memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from canary.errors import BadInput
from canary.spec.models import ModelCanary
from canary.weights import Arm
from controlplane.ports import Identity, MetricSource, Platform, Router


class MissingDependency(BadInput):
    """The cluster lacks what a plan needs, and may get it: to be looked at again."""


@dataclass(frozen=True, slots=True)
class ObjectDrift:
    """Something of ours that somebody else changed."""

    sentence: str
    """What is otherwise than the plan has it, and who did it."""
    manager: str = ""
    """The field manager; empty where the server does not say."""
    of_route: bool = False
    """Whether asking for the same weights again puts it right."""


class RolloutEnvironment(Protocol):
    """The world of one rollout."""

    @property
    def platform(self) -> Platform:
        """Runs its variants. `stop` does nothing as long as the route still names the arm."""
        ...

    @property
    def router(self) -> Router:
        """Splits its traffic."""
        ...

    @property
    def metrics(self) -> MetricSource:
        """Its numbers, as the last tick read them."""
        ...

    @property
    def identity(self) -> Identity | None:
        """Tells what its variants are; None where nobody asks."""
        ...

    async def tend(self) -> None:
        """After each pass: take the next step of what the route has begun. Raises `ExternalError`."""
        ...

    async def put_away(self, arm: Arm, *, force: bool = False) -> bool:
        """Let an arm without traffic go, from the route and then from the cluster; answers whether it is gone.

        To be repeated until it is; `force` does not wait for the route. Raises `ExternalError` when the world refuses.
        """
        ...

    def slots(self) -> Sequence[Mapping[str, Any]]:
        """Which place of the route is which variant since when, for the status."""
        ...

    def drift(self) -> Sequence[ObjectDrift]:
        """What somebody else changed, as the caches have it."""
        ...

    def close(self) -> None:
        """Read no more numbers for it."""
        ...


class EnvironmentFactory(Protocol):
    """Opens sites, and reads the numbers of all that are open."""

    def open(self, plan: ModelCanary, namespace: str) -> RolloutEnvironment:
        """The site of a plan. Raises `BadInput` for a platform that this cluster does not have."""
        ...

    async def tick(self) -> None:
        """Read the numbers of all open sites at once."""
        ...
