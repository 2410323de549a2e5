"""The pretended inference engine: takes its time, sometimes fails, and counts what it does as vLLM would.

Called by `server.py` for every request that asks for tokens. Its speed and its faults are the knobs; chance comes from
the generator that it is given, so that a seed repeats it.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from controlplane.sample.knobs import Knobs
from controlplane.sample.metrics import ServerMetrics
from controlplane.sample.protocol import Chat

CACHE_TOKENS = 65_536
"""Size of the pretended KV cache."""


class EngineError(Exception):
    """The engine failed a request: a 500, counted as `error`."""


class ClientGoneError(Exception):
    """Nobody waits for the answer any more: counted nowhere, as in vLLM."""


class Generation:
    """One request's way through the engine: `first_token`, then `next_token` or `rest`, then `finish`."""

    def __init__(self, engine: "SampleEngine", chat: Chat, arrived: float, tenant: str) -> None:
        self._engine = engine
        self._tenant = tenant
        self._arrived = arrived
        self._first_token = self._last_token = arrived
        self._after_first = 0
        self._pace = engine.drawn(engine.knobs.itl)
        self.prompt_tokens = chat.prompt_tokens
        self.tokens = min(chat.max_tokens or engine.knobs.tokens, engine.knobs.tokens)
        if engine.knobs.truncated and engine.chance.random() < engine.knobs.truncated:
            self.tokens = max(1, self.tokens // 2)
        self.finish_reason = "length" if chat.max_tokens == self.tokens else "stop"

    async def first_token(self) -> None:
        """Wait for the first token. Raises `EngineError` for the share of requests that fail."""
        engine = self._engine
        await _pause(engine.drawn(engine.knobs.ttft))
        if engine.chance.random() < engine.knobs.tenant_error_rates.get(self._tenant, engine.knobs.error_rate):
            engine.metrics.finished["error"] += 1
            raise EngineError
        self._first_token = self._last_token = engine.time()
        engine.metrics.prompt_tokens += self.prompt_tokens
        engine.metrics.generation_tokens += 1
        engine.metrics.ttft.observe(self._last_token - self._arrived)

    async def next_token(self) -> None:
        """Wait for one more token."""
        await self._wait_for(1)

    async def rest(self) -> None:
        """Wait for all tokens after the first."""
        await self._wait_for(self.tokens - 1)

    async def _wait_for(self, tokens: int) -> None:
        if tokens == 0:
            return
        # Due by the first token, not by the one before: a late wake-up must not make all later tokens late.
        self._after_first += tokens
        due = self._first_token + self._after_first * self._pace
        await _pause(due - self._engine.time())
        now = self._engine.time()
        self._engine.metrics.itl.observe((now - self._last_token) / tokens, times=tokens)
        self._engine.metrics.generation_tokens += tokens
        self._last_token = now

    def finish(self) -> None:
        """Count the answer as a success, and what its readers do with it."""
        engine = self._engine
        engine.metrics.finished[self.finish_reason] += 1
        engine.metrics.e2e.observe(engine.time() - self._arrived)
        counts = engine.metrics.of_tenant(self._tenant) if self._tenant else engine.metrics
        for kpi, share in engine.knobs.kpis.items():
            counts.kpi_of[kpi] += engine.knobs.readers
            counts.kpi_events[kpi] += sum(engine.chance.random() < share for _ in range(engine.knobs.readers))


class SampleEngine:
    """Answers at most `slots` requests at a time; the others wait."""

    def __init__(
        self, knobs: Knobs, metrics: ServerMetrics, *, slots: int, chance: random.Random, time: Callable[[], float]
    ) -> None:
        self.knobs = knobs
        self.metrics = metrics
        self.chance = chance
        self.time = time
        """Monotonic seconds."""
        self._slots = asyncio.Semaphore(slots)
        self._cached_tokens = 0

    def drawn(self, median: float) -> float:
        """A time around this median: log-normal, as latencies are."""
        if median == 0 or self.knobs.jitter == 0:
            return median
        return median * self.chance.lognormvariate(0.0, self.knobs.jitter)

    @asynccontextmanager
    async def generation(self, chat: Chat, tenant: str = "") -> AsyncIterator[Generation]:
        """Wait for a slot and hold it while the request is answered; `tenant` is whose it is, if it says so."""
        arrived = self.time()
        self.metrics.waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self.metrics.waiting -= 1
        generation = Generation(self, chat, arrived, tenant)
        held = chat.prompt_tokens + generation.tokens
        self.metrics.queue_time.observe(self.time() - arrived)
        self._count(running=1, cached_tokens=held)
        try:
            yield generation
        finally:
            self._count(running=-1, cached_tokens=-held)
            self._slots.release()

    def _count(self, *, running: int, cached_tokens: int) -> None:
        self.metrics.running += running
        self._cached_tokens += cached_tokens
        self.metrics.kv_cache_usage = min(1.0, self._cached_tokens / CACHE_TOKENS)


async def _pause(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)
