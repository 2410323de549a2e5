"""The story of `scale.py` in which nothing grows: an operator for minutes or hours, while rollouts come and go.

Every few seconds the operator's memory, descriptors, threads, the length of a tick and its processor time a tick are
read; now and then a canary breaks, its rollout is deleted once it was rolled back, and another one begins. Told are the
slopes over the whole time, each with two standard errors. Judges nothing: a slope whose interval holds zero is none.
"""

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.scale_stage import Stage, named, route_of
from benchmarks.scale_world import Operator, name_in, place_of
from controlplane.kubernetes.api import NotFound
from controlplane.kubernetes.resources import HTTP_ROUTE, MODEL_CANARY

EVERY_S = 5.0
"""Between two samples."""
LIFE_S = 20.0
"""Between two rollouts that end."""
WARM_UP_S = 60.0
"""Before the first sample: caches fill, and gates give their first answers."""
GONE_S = 60.0
HOUR_S = 3600.0

Sample = Mapping[str, float]


async def soak(stage: Stage, rollouts: int, _flips: int, gates: Sequence[Any], _fault_s: float) -> dict[str, Any]:
    """Slopes over `stage.soak_s` seconds."""
    names, operator = named("soak", rollouts), stage.operator()
    samples: list[tuple[float, Sample]] = []
    lives = 0
    try:
        await stage.begin(names, gates)
        await asyncio.sleep(WARM_UP_S)
        began, before = time.monotonic(), await asyncio.to_thread(_totals, operator)
        while (t := time.monotonic() - began) < stage.soak_s:
            if t >= (lives + 1) * LIFE_S:
                await _replace(stage, names, lives, gates)
                lives += 1
            await asyncio.sleep(EVERY_S)
            after = await asyncio.to_thread(_totals, operator)
            samples.append((time.monotonic() - began, _sample(operator, before, after)))
            before = after
            print(f"\r  {t:.0f} of {stage.soak_s:.0f} s, {lives} lives, {samples[-1][1]}", end="", flush=True)
        print()
        return {
            "seconds": round(samples[-1][0]),
            "rollouts that ended": lives,
            "ticks slipped": await asyncio.to_thread(operator.slipped),
            **{what: told(samples, what) for what in samples[0][1]},
        }
    finally:
        operator.stop()
        await stage.clear()


def told(samples: Sequence[tuple[float, Sample]], what: str) -> dict[str, float]:
    """First and last tenth, and the slope an hour with two standard errors, by least squares."""
    times = [t / HOUR_S for t, _ in samples]
    values = [sample[what] for _, sample in samples]
    slope, start = statistics.linear_regression(times, values)
    rest = [value - start - slope * t for t, value in zip(times, values, strict=True)]
    spread = statistics.pvariance(times) * len(times) * max(len(times) - 2, 1)
    error = (sum(each * each for each in rest) / spread) ** 0.5
    tenth = max(len(values) // 10, 1)
    return {
        "first": round(statistics.mean(values[:tenth]), 3),
        "last": round(statistics.mean(values[-tenth:]), 3),
        "an hour": round(slope, 3),
        "give or take": round(2 * error, 3),
    }


def _sample(operator: Operator, before: tuple[float, float], after: tuple[float, float]) -> Sample:
    ticks = max(after[1] - before[1], 1.0)
    return {
        "RSS MB": round(operator.resident_mb(), 2),
        "descriptors": float(operator.usage.num_fds()),
        "threads": float(operator.usage.num_threads()),
        "tick ms": round(1000 * operator.tick_seconds(), 2),
        "CPU ms a tick": round(1000 * (after[0] - before[0]) / ticks, 2),
    }


def _totals(operator: Operator) -> tuple[float, float]:
    """Processor time in seconds, and ticks."""
    return operator.cpu_seconds(), operator.ticks()


async def _replace(stage: Stage, names: list[str], lives: int, gates: Sequence[Any]) -> None:
    """One more canary breaks; its rollout goes, and another one takes its place."""
    place = lives % len(names)
    name, new = names[place], name_in(place_of(names[place])[0], f"soak-again-{lives}")
    await stage.flip(name)
    namespace, plain = place_of(name)
    await stage.kube.delete(MODEL_CANARY, namespace, plain)
    end = time.monotonic() + GONE_S
    while await _is_there(stage, namespace, plain):
        if time.monotonic() > end:
            raise TimeoutError(f"{name} is still there {GONE_S:g} s after it was deleted")
        await asyncio.sleep(0.5)
    await stage.kube.delete(HTTP_ROUTE, namespace, plain)
    stage.prometheus.forget(route_of(name))
    names[place] = new
    await stage.begin([new], gates)


async def _is_there(stage: Stage, namespace: str, name: str) -> bool:
    try:
        await stage.kube.get(MODEL_CANARY, namespace, name)
    except NotFound:
        return False
    return True
