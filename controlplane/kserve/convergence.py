"""How long a call waits for weights that it wrote and that KServe carries out later, and when that is worth a word.

Used by the routers whose shares KServe moves (`llm_router.py`, `knative.py`, `native.py`), one for each rollout. Writes
nothing itself.
"""

from collections.abc import Awaitable, Callable

from canary.errors import ExternalError
from canary.snapshot import RouteStatus
from canary.weights import Weights
from controlplane.ports import Clock

PATIENCE_S = 0.5
"""Seconds that a call waits for what it has written. Not until it is in force: no numbers are looked at meanwhile."""
POLL_S = 0.05


class ConvergenceWait:
    """With the weights that were asked for last."""

    def __init__(self, clock: Clock, follows: float) -> None:
        """`follows`: seconds after which weights that are written and not in force are worth a word."""
        self._clock = clock
        self._follows = follows
        self._since = 0.0
        """When these weights were first asked for, or written last (seconds)."""
        self.wanted: Weights | None = None

    def ask(self, weights: Weights) -> None:
        """These are wanted; time runs from now where others were wanted before."""
        if weights != self.wanted:
            self.wanted = weights
            self.begin()

    def begin(self) -> None:
        """Something was written: time runs from now."""
        self._since = self._clock.now()

    async def wait(self, seen: Callable[[], Awaitable[RouteStatus]]) -> None:
        """Give what was written a moment to be in force; raises `ExternalError` once it has lasted too long."""
        while (route := await seen()).weights != self.wanted and self._waited() < PATIENCE_S:
            await self._clock.sleep(POLL_S)
        if route.weights != self.wanted and self._waited() >= self._follows:
            problem = route.problem or f"it is {route.weights}"
            raise ExternalError(f"{self.wanted} is written and not in force: {problem}")

    def _waited(self) -> float:
        return self._clock.now() - self._since
