"""One channel's own delivery, in the background: a channel that hangs holds up neither the rollout nor another channel.

Filled by `alert_dispatcher.py`. What is sent next is decided by `delivery_queue.py`; this file sends it, waits, and
says once when a channel does not answer and once when it does again.
"""

import asyncio
from collections.abc import Callable, Collection

from canary.alert import AlertNotice, Kind
from canary.errors import ExternalError
from controlplane.alerts.channel import SECONDS, AlertChannel, DeliveryDeferred, DeliveryRejected
from controlplane.alerts.delivery_log import DeliveryLog
from controlplane.alerts.delivery_queue import WORTH_TELLING, Letter, Queue


class Mailbox:
    """The alerts of one channel."""

    def __init__(
        self,
        channel: AlertChannel,
        kinds: Collection[Kind],
        *,
        name: str,
        ledger: DeliveryLog,
        queue: Queue,
        now: Callable[[], float],
        say: Callable[[str], None],
        counted: Callable[[str, str], None] = lambda _channel, _outcome: None,
    ) -> None:
        """`kinds`: what the channel is told; `name`: what it is remembered by; `now`: seconds since the epoch.

        `counted` hears of each attempt: the channel's kind, and `delivered` or `failed`.
        """
        self.name = name
        self.channel = channel
        self._kinds, self._ledger, self._queue, self._now, self._say = kinds, ledger, queue, now, say
        self._counted = counted
        self._stir = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._said = ""
        self._since = now()

    async def open(self) -> None:
        """Find out since when this channel is told anything."""
        self._since = await self._ledger.since(self.name)

    def put(self, alert: AlertNotice, *, replayed: bool = False) -> None:
        """Let it be delivered, unless it was before. Returns at once.

        `replayed`: it is from the history, where only what happened since the channel was set up is of interest.
        """
        if alert.kind not in self._kinds or (replayed and alert.at < self._since):
            return
        happened_once = alert.state == "firing" and not alert.standing
        age = max(self._now() - alert.at, 0.0) if happened_once else 0.0
        if replayed and age > WORTH_TELLING:
            return
        told = self._ledger.has(self.name, alert)
        if told and not (self.channel.repeats and alert.standing and alert.state == "firing"):
            return
        self._queue.put(alert, _steady(), age=age, told=told)
        self._idle.clear()
        self._stir.set()

    async def run(self) -> None:
        """Deliver, for ever. Whatever is wrong in here ends this channel and nothing else."""
        try:
            await self._work()
        except Exception as error:  # noqa: BLE001 - the rollout that it tells of must not end for it
            self._idle.set()
            self._say(
                f"Alerts to {self.channel.name} end here: a bug of ours, {type(error).__name__}; please report it. The "
                f"rollout goes on, and the next start with this state tries again."
            )

    async def _work(self) -> None:
        while True:
            now = _steady()
            self._give_up_old_news(now)
            letter = self._queue.next(now)
            if letter is not None:
                await self._deliver(letter)
                continue
            if not self._queue.waiting:
                self._idle.set()
            await self._sleep(self._queue.wake_at(now) - now)

    async def empty(self, seconds: float) -> None:
        """Wait until everything is delivered, for so long at most; says what is left."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            left = len(self._queue.waiting)
            self._say(
                f"{left} {'alert' if left == 1 else 'alerts'} to {self.channel.name} could not be delivered yet; the "
                f"next start with this state tries again."
            )

    async def _deliver(self, letter: Letter) -> None:
        alert, queue = letter.alert, self._queue
        try:
            async with asyncio.timeout(2 * SECONDS):  # channels have limits of their own; this one is for their bugs
                await (self.channel.send(alert) if alert.state == "firing" else self.channel.resolve(alert))
        except DeliveryRejected as error:
            queue.refused(letter, _steady())
            await self._complain(f"{error}. Correct that: it is tried again every few minutes")
        except DeliveryDeferred as error:
            queue.failed(_steady(), wait=error.wait)
            self._count("failed")
        except ExternalError as error:
            queue.failed(_steady())
            await self._complain(f"{error}. It is tried again")
        except TimeoutError:
            queue.failed(_steady())
            await self._complain("it hangs. It is tried again")
        except Exception as error:  # noqa: BLE001 - a bug in a channel must not end the rollout that it tells of
            queue.refused(letter, _steady())
            await self._complain(f"a bug of ours, {type(error).__name__}; please report it. It is tried again")
        else:
            queue.delivered(letter, _steady())
            self._count("delivered")
            for each in letter.covers if not letter.reminder else ():
                await self._ledger.note(self.name, each)
            if self._said:
                self._said = ""
                self._say(f"Alerts to {self.channel.name} arrive again.")

    async def _complain(self, clause: str) -> None:
        """Say once what is wrong, until it changes, and write it down for whoever looks on."""
        self._count("failed")
        if clause != self._said:
            self._said = clause
            await self._ledger.trouble(self.name, clause)
            self._say(f"Alerts to {self.channel.name} do not arrive: {clause}; the rollout does not wait for it.")

    def _count(self, outcome: str) -> None:
        self._counted(self.channel.name.partition(" ")[0], outcome)

    def _give_up_old_news(self, now: float) -> None:
        for alert in self._queue.expired(now):
            self._say(f"Given up: {self.channel.name} was not told in six hours that {alert.title}.")

    async def _sleep(self, seconds: float) -> None:
        """Until something new comes, or for so long."""
        self._stir.clear()
        try:
            async with asyncio.timeout(seconds if seconds != float("inf") else None):
                await self._stir.wait()
        except TimeoutError:
            return


def _steady() -> float:
    """Seconds on a clock that never jumps."""
    return asyncio.get_running_loop().time()
