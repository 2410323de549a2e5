"""The store of each namespace, made when it is first asked for, all with the same word on who may write.

Made by `operator.py` (or by the roster itself, where nothing is to be said of it) and used by the roster.
"""

from collections.abc import Callable

from controlplane.kubernetes.api import Kube
from controlplane.kubernetes.cache import Cache
from controlplane.operator.status import Facts
from controlplane.operator.store import StatusStore


class Stores:
    """Of all namespaces."""

    def __init__(
        self, kube: Kube, canaries: Cache, now: Callable[[], float], *, earlier_histories: bool = False
    ) -> None:
        """`earlier_histories`: take over what an earlier build kept in ConfigMaps."""
        self.fence: Callable[[], int] = lambda: 0
        """Number of our term of office."""
        self.certain: Callable[[], bool] = lambda: True
        """Whether nobody else can be in office."""
        self.verified: Callable[[], bool | None] = lambda: None
        """Whether requests are from whom they say; None where nobody could tell."""
        self.facts: Callable[[str, str], Facts] = lambda _namespace, _name: Facts()
        """What the status of a rollout says besides its state."""
        self._kube, self._canaries, self._now = kube, canaries, now
        self._earlier = earlier_histories
        self._made: dict[str, StatusStore] = {}

    def of(self, namespace: str) -> StatusStore:
        """Of a namespace."""
        if namespace not in self._made:
            store = self._made[namespace] = StatusStore(
                self._kube,
                self._canaries,
                namespace,
                now=self._now,
                fence=lambda: self.fence(),  # noqa: PLW0108 - set later
                certain=lambda: self.certain(),  # noqa: PLW0108 - set later
                verified=lambda: self.verified(),  # noqa: PLW0108 - set later
                earlier_histories=self._earlier,
            )
            store.facts = lambda name: self.facts(namespace, name)
        return self._made[namespace]
