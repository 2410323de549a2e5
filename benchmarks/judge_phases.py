"""The judge where replicas are scraped at their own phases: healthy canaries rolled back, and the time to find harm.

`python -m benchmarks.judge_phases --rollouts 300` prints the tables of `docs/judge.md`; seeded, so they come out the
same. Totals are differenced and aligned as `judge.watch` does with what a source gives it that reads several times a
scrape, each replica with the time of its own last one. The worlds are those of `judge_traffic.py` in small, second by
second, because phases only matter where trouble is shorter than a scrape: storms of errors that both arms share, and
times when both are slow.
"""

import argparse
import math
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from statistics import median

import numpy as np
from numpy.typing import NDArray

from canary import judge
from canary.judge import Increments, alignment, feed
from canary.snapshot import Counters, PodCounters
from canary.spec.models import CanarySpec, Gate, JudgeSettings, ModelRef, Stage, Variant
from canary.weights import ARMS, Arm

Totals = dict[str, tuple[Arm, NDArray[np.float64]]]
"""By replica its arm and, second by second, its requests, errors, and requests below each bound."""
Found = tuple[float, float | None]
BOUNDS = (0.05, 0.06, 0.075, 0.1, 0.15, 0.2, 0.3, math.inf)
READINGS = 5
"""A scrape, as the operator reads."""
SHARE, RPS, ERRORS = 0.25, 50.0, 0.005
QUIET = 600
"""Seconds for which the canary is well before it is harmed."""


def _gate(text: str, metric: str, statistic: str | None = None, limit: float = 0.1) -> Gate:
    return Gate(text=text, metric=metric, statistic=statistic, comparison="notWorseThan", limit=limit, better="lower")


GATES = (
    _gate("error_rate not worse than stable by 10%", "error_rate"),
    _gate("latency p50 not worse than stable by 5%", "latency", "p50", 0.05),
    _gate("latency p95 not worse than stable by 10%", "latency", "p95"),
)
SPEC = CanarySpec(
    model=ModelRef(name="served"),
    stable=Variant(name="old"),
    canary=Variant(name="new"),
    stages=(Stage(traffic=SHARE, hold=7200.0, gates=GATES), Stage(traffic=1.0, hold=0.0)),
    judge=JudgeSettings(false_rollback=0.01),
)


@dataclass(frozen=True)
class World:
    """Trouble that both arms share, and how targets are scraped."""

    name: str
    storms: float = 0.0
    """An hour, of errors x 3 to 15 for one to five minutes."""
    short: float = 0.0
    """An hour, of errors x 5 to 60 for 5 to 20 s."""
    slow: float = 0.0
    """An hour, of answers half as fast for 5 to 60 s."""


WORLDS = {
    world.name: world
    for world in (World("iid"), World("storms", storms=2.0), World("short storms", short=6.0, slow=6.0))
}
HARMS = {"errors x10": (10.0, 1.0), "errors x2": (2.0, 1.0), "latency +30 %": (1.0, 1.3)}
"""By name: errors and answers' times as multiples of stable's."""


def _serve(rng: np.random.Generator, world: World, replicas: dict[Arm, int], seconds: int, harm: str) -> Totals:
    """Running totals of every replica by second."""
    errors, slower = np.full(seconds, ERRORS), np.ones(seconds)
    for rate, shortest, longest, low, high, what in (
        (world.storms, 60, 300, 3.0, 15.0, errors),
        (world.short, 5, 20, 5.0, 60.0, errors),
        (world.slow, 5, 60, 1.5, 2.0, slower),
    ):
        for _ in range(rng.poisson(rate * seconds / 3600)):
            begin, length = rng.integers(seconds), rng.integers(shortest, longest + 1)
            what[begin : begin + length] *= rng.uniform(low, high)
    times_errors, times_slower = HARMS.get(harm, (1.0, 1.0))
    harmed = np.arange(seconds) >= QUIET
    totals: Totals = {}
    for arm in ARMS:
        part = SHARE if arm == "canary" else 1 - SHARE
        worse = harmed & (arm == "canary")
        for number in range(replicas[arm]):
            n = rng.poisson(RPS * part / replicas[arm], seconds)
            bad = rng.binomial(n, np.minimum(errors * np.where(worse, times_errors, 1.0), 0.9))
            median = 0.06 * slower * np.where(worse, times_slower, 1.0)
            log_bounds = np.log(np.array(BOUNDS[:-1]))[None, :] - np.log(median)[:, None]
            below = np.array([[0.5 * (1 + math.erf(z / 0.45 / math.sqrt(2))) for z in row] for row in log_bounds])
            parts = rng.multinomial(n, np.diff(np.c_[np.zeros(seconds), below, np.ones(seconds)], axis=1))
            counts = np.c_[n, bad, np.cumsum(parts, axis=1)]
            totals[f"{arm}-{number}"] = arm, np.cumsum(counts, axis=0)
    return totals


def _readings(totals: Totals, phases: dict[str, int], interval: int, seconds: int) -> Iterator[Counters]:
    """What a source gives that reads several times a scrape."""
    for now in range(2 * interval, seconds, max(1, interval // READINGS)):
        arms: dict[Arm, dict[str, PodCounters]] = {arm: {} for arm in ARMS}
        newest = max(now - (now - phase) % interval for phase in phases.values())
        for name, (arm, counted) in totals.items():
            at = now - (now - phases[name]) % interval
            requests, errors, *below = counted[at - 1].tolist()
            arms[arm][name] = PodCounters(
                requests, errors, {"latency": dict(zip(BOUNDS, below, strict=True))}, at=None if at == newest else at
            )
        yield Counters(float(newest), arms)


HOW = ("in phase", "unaligned", "aligned")
"""All replicas scraped at once; at their own phases and judged reading by reading; the same, and aligned."""


def rollout(
    seed: int, world: str, interval: int, replicas: tuple[int, int], harm: str, minutes: int, how: str
) -> Found:
    """The highest log evidence of a rollout, and when it was 100 to 1: seconds after the harm began, None for never."""
    rng = np.random.default_rng([seed, interval, *replicas])
    wanted: dict[Arm, int] = {"canary": replicas[0], "stable": replicas[1]}
    seconds = QUIET + 60 * minutes
    totals = _serve(rng, WORLDS[world], wanted, seconds, harm)
    phases = {name: 0 if how == "in phase" else int(rng.integers(interval)) for name in totals}
    config = judge.compile_gates(SPEC)
    state, highest = judge.begin(config), 0.0
    before: Counters | None = None
    held: alignment.Held = {}
    for counters in _readings(totals, phases, interval, seconds):
        if before is not None and counters.at > before.at:
            block: Increments | None = feed.difference(before, counters, stage=0, weight=SHARE, warmup=0.0)
            if how == "aligned" and block is not None:
                held, block, *_ = alignment.take(held, block, before, counters)
            if block is not None:
                state = judge.update(config, state, block)
                highest = max(highest, judge.weight_of_evidence(config, state))
                if highest >= math.log(100):
                    return highest, counters.at - QUIET
        before = counters
    return highest, None


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=int, default=300, help="healthy rollouts for each cell")
    parser.add_argument("--harmed", type=int, default=60, help="harmed rollouts for each cell")
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    cells = list(product(((1, 1), (2, 4)), (5, 15, 30), HOW))
    with ProcessPoolExecutor(asked.workers) as pool:
        print("healthy: rolled back at 5 % and at 1 %")
        for world, (replicas, interval, how) in product(WORLDS, cells):
            one = partial(
                rollout, world=world, interval=interval, replicas=replicas, harm="", minutes=asked.minutes, how=how
            )
            found = [highest for highest, _ in pool.map(one, range(asked.rollouts), chunksize=4)]
            beyond = [sum(each >= math.log(1 / level) for each in found) for level in (0.05, 0.01)]
            print(f"{world:12} {replicas} {interval:2} s {how:12} {beyond} of {len(found)}", flush=True)
        print("harmed: median / 90 % seconds until 100 to 1, at most 30 min")
        for harm, (replicas, interval, how) in product(HARMS, cells):
            one = partial(rollout, world="iid", interval=interval, replicas=replicas, harm=harm, minutes=30, how=how)
            times = sorted(math.inf if at is None else at for _, at in pool.map(one, range(asked.harmed), chunksize=4))
            late = times[math.ceil(0.9 * len(times)) - 1]
            print(f"{harm:14} {replicas} {interval:2} s {how:12} {median(times):.0f} / {late:.0f}", flush=True)


if __name__ == "__main__":
    main()
