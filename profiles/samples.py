"""From requests' timestamps to a measured level: means with bounds, percentiles, failures by kind. Pure arithmetic.

Definitions (they differ between tools, so ours are said): TTFT runs from the moment at which the request was *due*
(open loop: its arrival in the schedule, whether or not the client was late) to the first token; ITL is (last token -
first token) / (tokens - 1) of a request; E2E ends with the last token. Bounds hold 80 % of where the mean lies, from
the scatter of ten consecutive groups of requests, which keeps the correlation between neighbours.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from profiles.interval import Estimate
from profiles.measured import Level
from profiles.validation import quantile

GROUPS = 10
T_OF_80 = 1.383
"""Student's t for a two-sided 80 % with nine degrees of freedom."""
PERCENTILES = (50, 90, 95, 99)
LITTLE = 0.1
CACHED = 0.05


@dataclass(frozen=True, slots=True)
class LoadSample:
    """One request as the client saw it. Times in seconds on one clock."""

    due: float
    """When it should have been sent."""
    sent: float
    first: float | None
    """Arrival of the first token; None when there was none."""
    last: float | None
    tokens: int
    """Tokens of the answer, from the server's own count where it gives one."""
    prompt_tokens: int
    failure: str = ""
    """Kind of failure (`status 503`, `stalled`, `cut`, …); empty when it was answered in full."""
    counted: bool = True
    """Whether the tokens are the server's count; otherwise they are events of the stream."""
    cached_tokens: int = 0

    @property
    def ttft(self) -> float | None:
        """Seconds from due to the first token."""
        return None if self.first is None else self.first - self.due

    @property
    def itl(self) -> float | None:
        """Average gap between tokens; None for answers of one token."""
        if self.first is None or self.last is None or self.tokens < 2:
            return None
        return (self.last - self.first) / (self.tokens - 1)

    @property
    def e2e(self) -> float | None:
        """Seconds from due to the last token."""
        return None if self.last is None else self.last - self.due


def level(samples: Sequence[LoadSample], loop: Literal["closed", "open"], load: float, seconds: float) -> Level:
    """What these samples of `seconds` of steady load say."""
    good = sorted((sample for sample in samples if not sample.failure), key=lambda sample: sample.due)
    ttft, itl, e2e = (
        values(good, lambda one: one.ttft),
        values(good, lambda one: one.itl),
        values(good, lambda one: one.e2e),
    )
    tokens = sum(sample.tokens for sample in good)
    rate = len(good) / seconds if seconds else 0.0
    mean_e2e = mean(e2e)
    gap = abs(load - rate * mean_e2e) / load if mean_e2e is not None and loop == "closed" else None
    spread = mean_with_bounds(e2e)
    rate_tokens = None
    if tokens and spread and mean_e2e:
        # A closed loop's throughput scatters as its answers' times do.
        per_second = tokens / seconds
        rate_tokens = Estimate(per_second, per_second * mean_e2e / spread.high, per_second * mean_e2e / spread.low)
    return Level(
        loop=loop,
        load=load,
        input_tokens=mean([sample.prompt_tokens for sample in good]) or 0.0,
        output_tokens=tokens / len(good) if good else 0.0,
        seconds=seconds,
        completed=len(good),
        ttft=mean_with_bounds(ttft),
        itl=mean_with_bounds(itl),
        e2e=spread,
        tokens_per_second=rate_tokens,
        requests_per_second=rate,
        percentiles={name: percentiles(found) for name, found in (("ttft", ttft), ("itl", itl), ("e2e", e2e)) if found},
        failures=dict(Counter(sample.failure for sample in samples if sample.failure)),
        littles_law_gap=gap,
        notes=tuple(doubts(samples, good, gap)),
    )


def doubts(samples: Sequence[LoadSample], good: Sequence[LoadSample], gap: float | None) -> list[str]:
    """What makes this level less than a clean measurement."""
    notes = []
    if gap is not None and gap > LITTLE:
        notes.append(
            f"callers and throughput x latency differ by {gap:.0%}: not in a steady state, or the client is the limit"
        )
    if not all(sample.counted for sample in good):
        notes.append("the server gave no usage: tokens are events of the stream, which may hold several")
    lag = [sample.sent - sample.due for sample in samples]
    if lag and max(lag) > 0.05:
        notes.append(f"the client sent up to {max(lag):.2f} s late; times count from when requests were due")
    prompt = sum(sample.prompt_tokens for sample in good)
    if prompt and sum(sample.cached_tokens for sample in good) > CACHED * prompt:
        notes.append("the server answered prompts from its prefix cache: first tokens are faster than for new prompts")
    if len(good) < GROUPS:
        notes.append(f"only {len(good)} complete answers: bounds are missing or wide")
    return notes


def values(samples: Sequence[LoadSample], of: Callable[[LoadSample], float | None]) -> list[float]:
    """One number a sample, where it has one."""
    return [value for sample in samples if (value := of(sample)) is not None]


def mean(numbers: Sequence[float]) -> float | None:
    """The arithmetic mean; None of nothing."""
    return sum(numbers) / len(numbers) if numbers else None


def mean_with_bounds(numbers: Sequence[float]) -> Estimate | None:
    """Mean and its 80 % bounds from consecutive groups; without enough numbers the bounds are their range."""
    centre = mean(numbers)
    if centre is None:
        return None
    if len(numbers) < GROUPS:
        return Estimate(centre, min(numbers), max(numbers))
    edges = [round(index * len(numbers) / GROUPS) for index in range(GROUPS + 1)]
    groups = [sum(numbers[low:high]) / (high - low) for low, high in pairwise(edges)]
    middle = sum(groups) / GROUPS
    scatter = math.sqrt(sum((value - middle) ** 2 for value in groups) / (GROUPS - 1) / GROUPS)
    return Estimate(centre, centre - T_OF_80 * scatter, centre + T_OF_80 * scatter)


def percentiles(numbers: Sequence[float]) -> dict[str, float]:
    """`p50` to `p99`."""
    ordered = sorted(numbers)
    return {f"p{share}": quantile(ordered, share / 100) for share in PERCENTILES}
