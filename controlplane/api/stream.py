"""Server-sent events: what happens to a rollout, as it happens, to any number of listeners at the cost of one.

Used by the stream's route. One task a rollout reads its store while anybody listens and hands the same bytes to all. An
event line is sent once under its own id, so a listener that comes back says where it was (`Last-Event-ID`) and misses
nothing; states have no id, the newest is all that matters.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from itertools import takewhile
from typing import Any

from pydantic_core import to_json

from canary.errors import SerinusError
from canary.rollout import Event
from controlplane.api.event_view import told
from controlplane.api.stream_throttle import StreamThrottle
from controlplane.ports import Stored
from controlplane.readmodel.directory import RolloutHandle
from controlplane.readmodel.state import State, state_at

PERIOD = 0.5
"""Seconds between two looks into the store, unless it tells of news sooner."""
STATE_PERIOD = 1.0
"""Seconds between two states while something may change."""
REST_PERIOD = 10.0
"""The same once the rollout has ended; it also keeps the connection alive."""
MOST_WAITING = 256
"""Messages that a listener may be behind before it is sent away to come back and catch up."""
RETRY = b"retry: 1000\n\n"
MOST_FOLLOWERS, MOST_OF_ONE = 500, 250
"""Open streams, of everybody and of one sender: each costs a connection and what it is behind."""


def event_bytes(event: Event) -> bytes:
    """One event line as a message, under its id."""
    return _message("event", told(event), event.id)


def _problem(sentence: str) -> bytes:
    return _message("problem", {"detail": sentence})


def _stale(state: State) -> bytes:
    """What is told instead of a state that may be behind the world."""
    return _message("problem", {"detail": state.stale, "since": state.stale_since})


def state_bytes(state: State) -> bytes:
    """One state as a message."""
    return b"event: state\ndata: %s\n\n" % to_json(state)


def _message(kind: str, data: Any, id_: str = "") -> bytes:
    identity = f"id: {id_}\n" if id_ else ""
    return b"%sevent: %s\ndata: %s\n\n" % (identity.encode(), kind.encode(), to_json(data))


Queue = asyncio.Queue[tuple[tuple[int, int] | None, bytes] | None]
"""Messages, those of events with their attempt and number; None ends the stream."""


class StreamChannel:
    """One rollout's listeners and the task that reads for them."""

    def __init__(self, place: RolloutHandle, now: Callable[[], float], pace: StreamThrottle | None = None) -> None:
        """`pace`: shared by all channels of a server."""
        self._place, self._now, self._pace = place, now, pace or StreamThrottle()
        self._listeners: set[Queue] = set()
        self._task: asyncio.Task[None] | None = None
        self._told = (0, 0)
        self._told_at, self._version = float("-inf"), -1
        """When a state was sent last, and which."""

    @property
    def idle(self) -> bool:
        """Whether nobody listens."""
        return not self._listeners

    async def listen(self, last: str) -> AsyncGenerator[bytes]:
        """Messages for one listener: what it missed after the event `last`, a state, then all that follows."""
        place, sent = self._place, _number_of(last)
        # Listening comes before reading: what happens in between comes twice, is sent once, and is never missed.
        queue = self.add()
        try:
            stored = await place.store.load(place.name)
            history = await place.store.history(place.name)
            for event in history:
                if _number_of(event.id) > sent:
                    sent = _number_of(event.id)
                    yield event_bytes(event)
            if stored is not None:
                state = self._state(stored)
                yield state_bytes(state)
                if state.stale:
                    yield _stale(state)
            self._wake(sent)
            while (message := await queue.get()) is not None:
                number, text = message
                if number is None or number > sent:
                    sent = number or sent
                    yield text
        finally:
            self._listeners.discard(queue)
            if self.idle:
                self.stop()

    def add(self) -> Queue:
        """A new listener's messages."""
        queue: Queue = asyncio.Queue(MOST_WAITING)
        self._listeners.add(queue)
        return queue

    def send(self, message: bytes, number: tuple[int, int] | None = None) -> None:
        """Hand this to all; a listener that is too far behind is sent away, to come back and catch up."""
        for queue in list(self._listeners):
            if queue.full():
                self._listeners.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait((number, message))

    def stop(self) -> None:
        """Send everybody home and read no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)

    def _wake(self, sent: tuple[int, int]) -> None:
        if self._task is None or self._task.done():
            self._told = sent
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._read_on(), name=f"stream of {self._place.id}")

    async def _read_on(self) -> None:
        place = self._place
        self._told_at, self._version = float("-inf"), -1
        while True:
            await asyncio.sleep(self._pace.rest)
            await place.news(PERIOD)
            try:
                stored = await place.store.load(place.name)
                if stored is None:
                    self._tell_it_is_gone()
                    continue
                newest = (stored.rollout.attempt, stored.rollout.events)
                history = await place.store.history(place.name) if newest > self._told else ()
                with self._pace.looking():
                    self._tell(stored, history)
            except SerinusError as error:
                self.send(_problem(str(error)))

    def _tell_it_is_gone(self) -> None:
        if self._now() - self._told_at >= STATE_PERIOD:
            self._told_at = self._now()
            self.send(_problem("It is gone: its state was removed, and what is shown was its last."))

    def _tell(self, stored: Stored, history: Sequence[Event]) -> None:
        """Everybody of the events that they have not heard of, and of the state where it is another or due."""
        self._send_events(history)
        due = REST_PERIOD if stored.rollout.finished else STATE_PERIOD
        now = self._now()
        if stored.version != self._version or now - self._told_at >= due - PERIOD / 2:
            self._version, self._told_at = stored.version, now
            state = self._state(stored)
            # What may be behind the world is not told anew as if it were of now.
            self.send(_stale(state) if state.stale else state_bytes(state))

    def _send_events(self, history: Sequence[Event]) -> None:
        told = self._told
        for event in reversed(list(takewhile(lambda each: _number_of(each.id) > told, reversed(history)))):
            self._told = _number_of(event.id)
            self.send(event_bytes(event), self._told)

    def _state(self, stored: Stored) -> State:
        return state_at(self._place, stored, self._now())


class StreamHub:
    """All channels by rollout, and by what of it is shown."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now`: seconds since the epoch."""
        self._now = now
        self._channels: dict[RolloutHandle, StreamChannel] = {}
        self._pace = StreamThrottle()
        self._closed = False
        self._followers: Counter[str] = Counter()
        """Open streams by sender."""

    def is_full(self, sender: str) -> bool:
        """Whether this sender may open no further stream now."""
        return self._followers.total() >= MOST_FOLLOWERS or self._followers[sender] >= MOST_OF_ONE

    async def listen(self, place: RolloutHandle, last: str, sender: str = "") -> AsyncGenerator[bytes]:
        """Messages about this rollout, until the listener leaves or the server does."""
        self._followers[sender] += 1
        try:
            yield RETRY
            if not self._closed:
                async with aclosing(self._follow(place, last)) as messages:
                    async for message in messages:
                        yield message
        finally:
            self._followers -= Counter({sender: 1})

    async def _follow(self, place: RolloutHandle, last: str) -> AsyncGenerator[bytes]:
        channel = self._channels.setdefault(place, StreamChannel(place, self._now, self._pace))
        self._pace.followed = self.followed
        try:
            async with aclosing(channel.listen(last)) as messages:
                async for message in messages:
                    yield message
        finally:
            if channel.idle and self._channels.get(place) is channel:
                del self._channels[place]
                self._pace.followed = self.followed

    @property
    def followed(self) -> int:
        """How many rollouts somebody listens to."""
        return len(self._channels)

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        for channel in self._channels.values():
            channel.stop()


def _number_of(id_: str) -> tuple[int, int]:
    """Attempt and number of an event id; (0, 0) for what is none."""
    parts = id_.rsplit("/", 2)
    if len(parts) == 3 and parts[1].isascii() and parts[1].isdigit() and parts[2].isascii() and parts[2].isdigit():
        return int(parts[1]), int(parts[2])
    return 0, 0
