"""How long the judge takes, and how much it remembers. Used by `judge.py`.

Times are of the process's own processor time, so that a busy machine blurs them less; medians of many calls.
"""

import gc
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from benchmarks.judge_traffic import BOUNDS, REAL, Rollout, draw
from canary import judge
from canary.judge import Analysis, Increments, JudgeConfig, JudgeState, compile_gates, feed
from canary.snapshot import Counters, MetricsStatus, PodCounters
from canary.spec import parse
from canary.verdict import Judgement
from canary.weights import Weights

EDGES = [*BOUNDS, math.inf]
CANARIES, ROUNDS = 200, 7
MANY = 1000
"""Canaries of a large fleet."""
GATES = (
    "error_rate not worse than stable by 10%, error_rate <= 5%, latency p50 not worse than stable by 5%, "
    "latency p99 not worse than stable by 5%, kpi/conversion drift <= 1%"
)
THRESHOLDS = (
    "{metric: error_rate, max: 50%, test: threshold}, {metric: latency p95, max: 8s, test: threshold}, "
    "{metric: kpi/conversion, min: 1%, test: threshold}"
)
TEXT = """
apiVersion: serinus.dev/v1alpha1
kind: ModelCanary
metadata: {name: speed}
spec:
  model: {name: served}
  platform: {local: {}}
  stable: {name: a, command: [a]}
  canary: {name: b, command: [b]}
  stages:
    - traffic: 25%
      hold: 4h
      gates: [GATES]
    - traffic: 100%
"""


def speed() -> dict[str, Any]:
    """Microseconds of updates and passes with five gates, milliseconds of a tick of 200 canaries, and memory."""
    drawn = draw(np.random.default_rng(1), REAL, stages=((0.25, 4 * 3600.0),), history=1200.0)
    totals = _running_totals(drawn)
    plan, by_thresholds = (_plan(gates) for gates in (GATES, THRESHOLDS))
    state, live = _passes(plan, totals)
    fresh, late = live[: len(live) // 10], live[-len(live) // 10 :]
    _, thresholds = _passes(by_thresholds, totals[: len(totals) // 3])
    more = _ten_more(totals[-1])
    after = _watch(plan, state, more)
    fleet = _fleet(totals)
    ticks = _without_collecting(lambda: [_tick(fleet) for _ in range(ROUNDS)])
    large = [*fleet * (MANY // CANARIES)]
    many = _without_collecting(lambda: [_tick(large) for _ in range(3)])
    return {
        "one update, five gates, median (µs)": round(statistics.median(one for tick in ticks for one in tick.updates)),
        "one pass (totals in, verdicts out), five gates, median (µs)": round(statistics.median(live)),
        "first tenth of the rollout, median (µs)": round(statistics.median(fresh)),
        "last tenth of the rollout, median (µs)": round(statistics.median(late)),
        "the same and every sentence read, median (µs)": _median(lambda: _read(_watch(plan, state, more).judgement)),
        "one pass with three thresholds alone, median (µs)": round(statistics.median(thresholds)),
        "one pass over nothing new, median (µs)": _median(lambda: _watch(plan, after.state, more, after)),
        "a tick of 200 canaries, updates, median (ms)": _milliseconds([sum(tick.updates) for tick in ticks]),
        "a tick of 200 canaries, passes, median (ms)": _milliseconds([sum(tick.passes) for tick in ticks]),
        "a tick of 1000 canaries, updates, median (ms)": _milliseconds([sum(tick.updates) for tick in many]),
        "a tick of 1000 canaries, passes, median (ms)": _milliseconds([sum(tick.passes) for tick in many]),
        "memory of a rollout (bytes of JSON)": len(TypeAdapter(JudgeState).dump_json(state)),
    }


def _plan(gates: str) -> JudgeConfig:
    return compile_gates(parse(TEXT.replace("GATES", gates), "speed.yml").spec)


@dataclass(frozen=True)
class Member:
    """One of the canaries of a tick, each with a plan, an age and news of its own."""

    plan: JudgeConfig
    state: JudgeState
    news: Counters
    block: Increments


def _fleet(totals: list[Counters]) -> list[Member]:
    """Two hundred rollouts of all ages, each about to take in its next scrape."""
    apart = (len(totals) - 301) // CANARIES
    plan = _plan(GATES)
    state, fleet = judge.begin(plan), list[Member]()
    for k, (seen, following) in enumerate(pairwise(totals)):
        state = _watch(plan, state, seen).state
        if k >= 300 and (k - 300) % apart == 0 and len(fleet) < CANARIES:
            fleet.append(Member(_plan(GATES), state, following, _block(seen, following)))
    return fleet


@dataclass(frozen=True)
class Tick:
    """Processor times of one tick (µs)."""

    updates: list[float]
    passes: list[float]
    """Each canary's update, and whole pass."""


def _tick(fleet: list[Member]) -> Tick:
    """Each canary takes in what is new to it."""
    return Tick(
        updates=[_time(partial(judge.update, each.plan, each.state, each.block)) for each in fleet],
        passes=[_time(partial(_watch, each.plan, each.state, each.news)) for each in fleet],
    )


def _without_collecting(call: Callable[[], list[Tick]]) -> list[Tick]:
    """As `timeit` has it: what collecting garbage costs depends on all else that lives in the process."""
    gc.collect()
    gc.disable()
    try:
        return call()
    finally:
        gc.enable()


def _milliseconds(times: Sequence[float]) -> float:
    """The median of times in microseconds."""
    return round(statistics.median(times) / 1000, 1)


def _read(judgement: Judgement) -> int:
    """Read every sentence, as a screen does."""
    return sum(len(verdict.why) for verdict in judgement.gates)


def _passes(plan: JudgeConfig, totals: list[Counters]) -> tuple[JudgeState, list[float]]:
    """The state after all totals, and the time that each pass with a canary took (µs)."""
    state, times = judge.begin(plan), []
    for seen in totals:
        begin = time.process_time_ns()
        state = _watch(plan, state, seen).state
        times.append((time.process_time_ns() - begin) / 1000)
    return state, times[len(times) // 12 :]


def _time(call: Callable[[], object]) -> float:
    """Processor time of a call (µs)."""
    begin = time.process_time_ns()
    call()
    return (time.process_time_ns() - begin) / 1000


def _median(call: Callable[[], object]) -> float:
    """Processor time of a call (µs), the median of many."""
    return round(statistics.median(_time(call) for _ in range(1000)), 1)


def _block(before: Counters, now: Counters) -> Increments:
    """What happened between two scrapes."""
    return feed.difference(before, now, stage=0, weight=0.25, warmup=0.0)


def _watch(plan: JudgeConfig, state: JudgeState, seen: Counters, last: Analysis | None = None) -> Analysis:
    """One pass over new totals."""
    return judge.watch(
        plan,
        state,
        stage=0,
        weights=_weights(seen),
        evidence=MetricsStatus(seen.at, seen),
        now=seen.at,
        stage_since=0.0,
        last=last,
    )


def _weights(seen: Counters) -> Weights:
    """A quarter of the traffic, once there is any."""
    return Weights.of_share(0.25 if seen.at > 0 else 0.0)


def _running_totals(drawn: Rollout) -> list[Counters]:
    """What one canary and two stable replicas would show after each scrape."""
    requests, errors, slow, sales = (
        each.cumsum(axis=1).tolist() for each in (drawn.requests, drawn.errors, drawn.slow, drawn.conversions)
    )
    totals = []
    for k, t in enumerate(drawn.t.tolist()):
        pods = [
            PodCounters(
                requests[group][k],
                errors[group][k],
                {"latency": dict(zip(EDGES, slow[group][k], strict=True))},
                kpis={"conversion": (sales[group][k], requests[group][k])},
            )
            for group in range(3)
        ]
        totals.append(Counters(t, {"canary": {"c-0": pods[0]}, "stable": {"s-0": pods[1], "s-1": pods[2]}}))
    return totals


def _ten_more(seen: Counters) -> Counters:
    """The same totals five seconds on, with ten more requests on each replica, none of them bad."""
    arms = {
        arm: {
            name: replace(
                pod,
                requests=(pod.requests or 0) + 10,
                histograms={"latency": {bound: count + 10 for bound, count in pod.histograms["latency"].items()}},
                kpis={"conversion": (pod.kpis["conversion"][0] + 2, pod.kpis["conversion"][1] + 10)},
            )
            for name, pod in pods.items()
        }
        for arm, pods in seen.arms.items()
    }
    return Counters(seen.at + 5.0, arms)
