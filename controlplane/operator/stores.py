"""The store of each namespace, made when it is first asked for; all share one leadership.

Made and used by the controller.
"""

from collections.abc import Callable
from functools import partial

from controlplane.kubernetes.api import Kube
from controlplane.kubernetes.cache import Cache
from controlplane.operator.leadership import Leadership
from controlplane.operator.status import StatusInputs
from controlplane.operator.store import StatusStore


class Stores:
    """Of all namespaces."""

    def __init__(
        self,
        kube: Kube,
        canaries: Cache,
        now: Callable[[], float],
        *,
        leadership: Leadership,
        facts: Callable[[str, str], StatusInputs],
        verified: Callable[[], bool | None] = lambda: None,
        earlier_histories: bool = False,
    ) -> None:
        """`facts`: what the status of a rollout (namespace, name) says besides its state.

        `verified`: whether requests are from whom they say; None where nobody could tell. `earlier_histories`: take
        over what an earlier build kept in ConfigMaps.
        """
        self._kube, self._canaries, self._now = kube, canaries, now
        self._leadership, self._facts, self._verified = leadership, facts, verified
        self._earlier = earlier_histories
        self._made: dict[str, StatusStore] = {}

    def of(self, namespace: str) -> StatusStore:
        """Of a namespace."""
        if namespace not in self._made:
            self._made[namespace] = StatusStore(
                self._kube,
                self._canaries,
                namespace,
                now=self._now,
                leadership=self._leadership,
                facts=partial(self._facts, namespace),
                verified=self._verified,
                earlier_histories=self._earlier,
            )
        return self._made[namespace]
