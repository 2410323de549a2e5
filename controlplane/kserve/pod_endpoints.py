"""Where a platform's pods answer, and since when: the same questions of every way of serving.

The base of the platforms, each of which knows which pods are an arm's. Reads what it is handed, never the API server.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping

from canary.spec.models import ModelCanary, Variant
from canary.weights import ARMS, Arm
from controlplane.kserve.caches import Caches
from controlplane.kserve.drift import FieldDrift
from controlplane.kserve.pods import address_of, ready_since
from controlplane.kubernetes.api import Kube, Object
from profiles.catalogue import Catalogue, builtin


class PodEndpoints:
    """Pods by arm."""

    @abstractmethod
    def _serving(self, arm: Arm) -> Iterable[Object]:
        """The pods of an arm that is to be reached."""

    def drift(self) -> tuple[FieldDrift, ...]:
        """Everything of both arms that somebody else changed, with what happens next; none where nobody looks."""
        return ()

    def endpoints(self) -> Mapping[Arm, Mapping[str, str]]:
        """Pod name to `ip:port` of every ready pod, by arm."""
        return {arm: {name: at for name, at, since in self._addressed(arm) if since is not None} for arm in ARMS}

    def addresses(self) -> Mapping[Arm, Mapping[str, str]]:
        """Pod name to `ip:port` of every pod that has one, ready or not, by arm."""
        return {arm: {name: at for name, at, _ in self._addressed(arm)} for arm in ARMS}

    def ready_since(self) -> Mapping[str, float]:
        """Pod name to the time (seconds since the epoch) when it became ready; warm-up is counted from there."""
        return {name: since for arm in ARMS for name, _, since in self._addressed(arm) if since is not None}

    def _addressed(self, arm: Arm) -> Iterator[tuple[str, str, float | None]]:
        """Name, address and since when it is ready, of every pod with an address."""
        for pod in self._serving(arm):
            if address := address_of(pod):
                yield pod["metadata"]["name"], address, ready_since(pod)


class SeparateServices(PodEndpoints):
    """Each arm is a service of its own."""

    def __init__(
        self,
        kube: Kube,
        caches: Caches,
        plan: ModelCanary,
        *,
        namespace: str,
        now: Callable[[], float],
        may_stop: Callable[[Arm], bool],
        known: Catalogue | None = None,
    ) -> None:
        """`may_stop` answers whether so few requests can reach the arm that it may be stopped.

        `known` is the catalogue of models and GPUs; None takes the builtin one.
        """
        self._kube = kube
        self._caches = caches
        self._plan = plan
        self._namespace = namespace
        self._now = now
        self._may_stop = may_stop
        self._known = known or builtin()
        self._variants: dict[Arm, Variant] = {"stable": plan.spec.stable, "canary": plan.spec.canary}
        self._asked: set[Arm] = set()
