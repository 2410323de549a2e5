"""Hands events to somebody in this process: the terminal, or a test. Implements `controlplane.ports.Notifier`."""

from collections.abc import Callable

from canary.rollout import Event


class CallbackNotifier:
    """Passes each event on once, although the loop may repeat it."""

    def __init__(self, listener: Callable[[Event], None]) -> None:
        self._listener = listener
        self._told: set[str] = set()

    async def tell(self, event: Event) -> None:
        """Pass it on unless it was passed on before."""
        if event.id not in self._told:
            self._told.add(event.id)
            self._listener(event)
