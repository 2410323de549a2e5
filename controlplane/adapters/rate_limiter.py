"""How often each sender may ask: token buckets, filled again with time, for a bounded number of senders.

Used by everything that answers whoever connects: the listener for webhooks, the dashboard, its sign-in. Reads no clock.
"""

from collections import OrderedDict

SENDERS = 1_000
"""That are counted; the one unheard of for longest is forgotten first."""


class RateLimiter:
    """A bucket for each sender."""

    def __init__(self, burst: float, rate: float, *, senders: int = SENDERS) -> None:
        """`burst`: requests that one sender may make at once; `rate`: how many more a second."""
        self._burst, self._rate, self._senders = burst, rate, senders
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def is_spent(self, sender: str, now: float) -> bool:
        """Whether the next one would be too many."""
        return self._now(self._left.get(sender, (self._burst, now)), now) < 1.0

    def take(self, sender: str, now: float) -> bool:
        """Whether one more may come; `now` in seconds, of which only differences count."""
        left = self._now(self._left.pop(sender, (self._burst, now)), now)
        granted = left >= 1.0
        self._left[sender] = (left - 1.0 if granted else left, now)
        while len(self._left) > self._senders:
            self._left.popitem(last=False)
        return granted

    def _now(self, known: tuple[float, float], now: float) -> float:
        left, since = known
        return min(self._burst, left + max(now - since, 0.0) * self._rate)
