"""What one channel is sent next, and when: retries, newest state a key, the cap on the rate, and when it is too late.

Used by `mailbox.py`, which does the sending. Has no clock and waits for nothing: `now` is an argument, in seconds on a
clock that never jumps. Of each key only the newest state waits, so a channel that was away for hours is told how things
are and not everything that they were.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from canary.alert import AlertNotice, summary
from controlplane.backoff import delay

SOON = 3.0
"""Seconds for which an alert waits when a fuller one is about to follow."""
FIRST_RETRY, LONGEST_RETRY = 1.0, 60.0
"""Seconds until a channel that is away is tried again; doubled each time, and half of it left to chance."""
AFTER_REFUSAL = 300.0
"""Seconds until an alert that was refused is tried again: somebody may have mended the key meanwhile."""
WORTH_TELLING = 6 * 3600.0
"""Seconds after which an alert is old news and given up."""


@dataclass(frozen=True, slots=True)
class Cap:
    """So many messages in so many seconds, counted apart for what is critical so that nothing else crowds it out."""

    messages: int = 10
    seconds: float = 600.0


@dataclass(slots=True)
class Letter:
    """One alert on its way. `covers` are the alerts that it stands for, itself or those of a summary."""

    alert: AlertNotice
    due: float
    expires: float
    covers: Sequence[AlertNotice] = ()
    tried: bool = False
    """Whether it was handed out: the receiver may have it, whatever it said."""
    reminder: bool = False
    """Whether it was delivered before, and is only repeated."""


@dataclass(slots=True)
class Queue:
    """The letters of one channel."""

    keyed: bool
    repeats: float | None
    chance: Callable[[], float]
    """A number from 0 to 1, so that many Serinus do not try again all at once."""
    cap: Cap = field(default_factory=Cap)
    failures: int = 0
    """Tries in a row that the channel did not answer."""
    _letters: dict[str, Letter] = field(default_factory=dict)
    _closed_until: float = float("-inf")
    _sent: dict[bool, deque[float]] = field(default_factory=lambda: {True: deque(), False: deque()})
    """When messages were sent, by whether they were critical."""

    def put(self, alert: AlertNotice, now: float, *, age: float = 0.0, told: bool = False) -> None:
        """Let an alert wait for its turn. `age`: seconds since it was new; `told`: it was delivered before."""
        before = self._letters.pop(alert.key, None)
        tried = before is not None and before.tried
        if alert.state == "resolved" and before is not None and not tried and not self.keyed:
            return  # nobody heard of it, so nobody has to hear that it is over
        due = now if alert.complete else now + SOON
        self._letters[alert.key] = Letter(alert, due, now + WORTH_TELLING - age, (alert,), tried or told, told)

    def next(self, now: float) -> Letter | None:
        """The letter to send now, if any; it stays here until `delivered`, `failed` or `refused` says how it went."""
        if now < self._closed_until:
            return None
        due = [letter for letter in self._letters.values() if letter.due <= now]
        for critical in (True, False):
            letters = [each for each in due if (each.alert.severity == "critical") is critical]
            if letters and now >= self._free_at(critical, now):
                letter = self._one_for(letters, now, critical=critical)
                for alert in letter.covers:
                    self._letters[alert.key].tried = True
                return letter
        return None

    def wake_at(self, now: float) -> float:
        """When to ask again at the latest; infinite while nothing waits."""
        times = [
            max(letter.due, self._closed_until, self._free_at(letter.alert.severity == "critical", now))
            for letter in self._letters.values()
        ]
        return min(times, default=float("inf"))

    def delivered(self, letter: Letter, now: float) -> None:
        """It arrived."""
        self.failures = 0
        if not letter.reminder:
            self._sent[letter.alert.severity == "critical"].append(now)
        for alert in letter.covers:
            if self._is_newest(alert):
                del self._letters[alert.key]
                if self.repeats is not None and alert.standing and alert.state == "firing":
                    again = Letter(alert, now + self.repeats, float("inf"), (alert,), tried=True, reminder=True)
                    self._letters[alert.key] = again

    def failed(self, now: float, *, wait: float | None = None) -> None:
        """The channel did not answer: everything waits. `wait`: seconds that it asked for itself."""
        self.failures += 1
        longest = delay(self.failures, FIRST_RETRY, LONGEST_RETRY)
        self._closed_until = now + (wait if wait is not None else longest * (0.5 + 0.5 * self.chance()))

    def refused(self, letter: Letter, now: float) -> None:
        """The channel answered and wants this one not: the others go on."""
        self.failures = 0
        for alert in letter.covers:
            if self._is_newest(alert):
                self._letters[alert.key].due = now + AFTER_REFUSAL * (0.5 + 0.5 * self.chance())

    def expired(self, now: float) -> list[AlertNotice]:
        """Takes out what is old news by now."""
        late = [letter for letter in self._letters.values() if letter.expires <= now]
        for letter in late:
            del self._letters[letter.alert.key]
        return [letter.alert for letter in late]

    @property
    def waiting(self) -> list[AlertNotice]:
        """Alerts that were not delivered yet."""
        return [letter.alert for letter in self._letters.values() if not letter.reminder]

    def _one_for(self, letters: list[Letter], now: float, *, critical: bool) -> Letter:
        """The oldest; or one for all of them when the last message that the cap allows goes out."""
        last_one = len(self._sent[critical]) >= self.cap.messages - 1
        if self.keyed or len(letters) < 2 or not last_one:
            return letters[0]
        alerts = [letter.alert for letter in letters]
        return Letter(summary(alerts), now, min(letter.expires for letter in letters), alerts)

    def _free_at(self, critical: bool, now: float) -> float:
        """When the cap allows the next message."""
        sent = self._sent[critical]
        while sent and sent[0] <= now - self.cap.seconds:
            sent.popleft()
        return sent[-self.cap.messages] + self.cap.seconds if len(sent) >= self.cap.messages else now

    def _is_newest(self, alert: AlertNotice) -> bool:
        """Whether what waits under its key is still this one, and not what came while it was sent."""
        waiting = self._letters.get(alert.key)
        return waiting is not None and waiting.alert.id == alert.id
