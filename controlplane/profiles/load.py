"""Puts a load on an endpoint: closed loop (so many callers) or open loop (arrivals at a rate), with warm-up and a
measured window.

No coordinated omission: an open loop sends each request at its scheduled time whatever the earlier ones do, and
counts its latency from that time; a closed loop has no schedule to miss. Every prompt is new, so that a prefix cache
cannot answer. Called by `serinus profile measure`.
"""

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from controlplane.profiles.stream import Client
from profiles.samples import LoadSample

WORDS = (
    "river", "stone", "market", "window", "letter", "garden", "silver", "engine", "winter", "bridge", "paper",
    "castle", "morning", "yellow", "doctor", "island", "button", "forest", "ticket", "summer", "cotton", "pencil",
)  # fmt: skip
TOKENS_A_WORD = 1.3
"""Tokens of an English word, roughly; the server's own count goes into the result."""


@dataclass(frozen=True, slots=True)
class LoadShape:
    """What every request asks for."""

    model: str
    input_tokens: int
    output_tokens: int
    ignore_eos: bool
    """Ask vLLM to go on to the full length; other servers may refuse the parameter."""


UNIQUE = "{unique}"


class Prompts:
    """Chat requests, each with a beginning that nobody has sent before, so that no prefix cache can answer.

    All else is written once: preparing a request while tokens arrive would delay their timestamps.
    """

    def __init__(self, shape: LoadShape, chance: random.Random) -> None:
        self._chance = chance
        words = max(1, round(shape.input_tokens / TOKENS_A_WORD))
        prompt = " ".join([UNIQUE, *chance.choices(WORDS, k=max(words - 1, 0))])
        request = {
            "model": shape.model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": shape.output_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if shape.ignore_eos:
            request |= {"ignore_eos": True, "min_tokens": shape.output_tokens}
        self._before, self._after = json.dumps(request).encode().split(UNIQUE.encode(), 1)

    def next(self) -> bytes:
        """The body of one more request."""
        return b"%s%012x%s" % (self._before, self._chance.getrandbits(48), self._after)


@dataclass(frozen=True, slots=True)
class Window:
    """When to begin and to stop counting."""

    warmup_seconds: float
    seconds: float
    """Length of the counted part."""


class LoadRun:
    """One level: collects samples until its window closes. `samples` and `begun` stay readable when it is
    interrupted.
    """

    def __init__(
        self,
        client: Client,
        shape: LoadShape,
        window: Window,
        clock: Callable[[], float],
        chance: random.Random,
        told: Callable[[LoadSample], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._prompts = Prompts(shape, chance)
        self._window = window
        self._clock = clock
        self._chance = chance
        self._told = told
        self._samples: list[LoadSample] = []
        self._start = clock()
        self.loop: Literal["closed", "open"] = "closed"

    async def closed(self, callers: int) -> None:
        """`callers` each send their next request when the last is answered. They begin spread over the warm-up."""
        self.loop = "closed"
        self._start = self._clock()
        end = self._start + self._window.warmup_seconds + self._window.seconds
        spread = self._window.warmup_seconds / 2 / callers
        async with asyncio.TaskGroup() as group:
            for index in range(callers):
                group.create_task(self._caller(index * spread, end))

    async def _caller(self, delay: float, end: float) -> None:
        await asyncio.sleep(delay)
        while self._clock() < end:
            request = self._prompts.next()
            found = await self._client.ask(request, self._clock())
            self._keep(found)
            if found.failure:
                await asyncio.sleep(0.05)  # a broken endpoint is not hammered

    async def open(self, rate: float) -> None:
        """Poisson arrivals at `rate` a second, each sent when it is due."""
        self.loop = "open"
        self._start = self._clock()
        length = self._window.warmup_seconds + self._window.seconds
        arrivals: list[float] = []
        at = self._chance.expovariate(rate)
        while at < length:
            arrivals.append(at)
            at += self._chance.expovariate(rate)
        bodies = [self._prompts.next() for _ in arrivals]
        async with asyncio.TaskGroup() as group:
            for arrival, request in zip(arrivals, bodies, strict=True):
                due = self._start + arrival
                wait = due - self._clock()
                if wait > 0:
                    await asyncio.sleep(wait)
                group.create_task(self._arrival(request, due))

    async def _arrival(self, request: bytes, due: float) -> None:
        self._keep(await self._client.ask(request, due))

    def _keep(self, found: LoadSample) -> None:
        self._samples.append(found)
        self._told(found)

    def counted(self) -> tuple[list[LoadSample], float]:
        """`(samples of the window, its length so far)`.

        A closed loop counts the answers that end inside the window, an open loop the requests that were due inside it.
        """
        begin = self._start + self._window.warmup_seconds
        end = begin + self._window.seconds
        inside = [sample for sample in self._samples if begin <= self._place(sample) < end]
        return inside, max(min(self._clock(), end) - begin, 1e-9)

    def _place(self, sample: LoadSample) -> float:
        if self.loop == "open":
            return sample.due
        return sample.last if sample.last is not None else sample.sent

    @property
    def warmed_up(self) -> Sequence[LoadSample]:
        """Everything that came, warm-up included."""
        return tuple(self._samples)
