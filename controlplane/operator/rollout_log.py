"""Sentences about rollouts for the operator's log: each once until it changes, and bugs of ours counted.

Used by the scheduler and the controller. Keeps nothing of a rollout that is gone.
"""

from collections.abc import Callable

from controlplane.kubernetes.cache import Key
from controlplane.operator.counters import OperatorCounters


class RolloutLog:
    """What was said of each rollout last."""

    def __init__(self, say: Callable[[Key | None, str], None], tally: OperatorCounters) -> None:
        self.say = say
        self._tally = tally
        self._last: dict[Key, str] = {}

    def once(self, key: Key, sentence: str) -> None:
        """Say this unless it was the last that was said of the rollout."""
        if self._last.get(key) != sentence:
            self._last[key] = sentence
            self.say(key, sentence)

    def forget(self, key: Key) -> None:
        """It is all right again, or gone."""
        self._last.pop(key, None)

    def bug(self, key: Key, error: Exception) -> None:
        """A bug of ours that one rollout met."""
        self.count_bug()
        self.once(key, f"A bug of ours, please report it: {error!r}. The rollout is tried again.")

    def count_bug(self) -> None:
        """One that was reported elsewhere."""
        self._tally.bugs += 1
