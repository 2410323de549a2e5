"""Worlds in which a judge may break its promise: healthy canaries rolled back, wrongly passed, and harm that is found.

`python -m benchmarks.judge_promise --rollouts 200` prints a row for each world with its interval; `--only limit` those
whose name begins so. Seeded, so it comes out the same. Each rollout is judged by `canary.judge` itself, block by block.
One service; 5 % for 20 min, 25 % for 40 min, 75 % for an hour; scrapes of 5 s; half an hour of stable's history.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import NormalDist, median

import numpy as np
from numpy.typing import NDArray

from benchmarks.judge import spec_of
from canary import judge
from canary.judge import Increments, ReplicaIncrements
from canary.verdict import GateAnswer
from canary.weights import ARMS, Arm

SCRAPE, HISTORY = 5.0, 1800.0
STAGES = ((0.05, 1200.0), (0.25, 2400.0), (0.75, 3600.0))
VLLM_ITL = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
"""vLLM's bounds of the time between tokens, in seconds."""
ENVOY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
FINE = (0.005, 0.01, 0.025, 0.04, 0.05, 0.06, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 1.0, 2.5)
STRICT = (
    "error_rate not worse than stable by 10%",
    "latency p50 not worse than stable by 5%",
    "latency p99 not worse than stable by 5%",
)
USUAL = ("error_rate not worse than stable by 1pp", "latency p95 not worse than stable by 10%")
LIMIT = ("error_rate <= 1%",)
Level = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def _always(t: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.ones_like(t)


def _after(seconds: float, factor: float) -> Level:
    """1, and from then on a factor."""
    return partial(_stepped, begin=seconds, end=math.inf, factor=factor)


def _stepped(t: NDArray[np.float64], begin: float, end: float, factor: float) -> NDArray[np.float64]:
    return np.where((t > begin) & (t <= end), factor, 1.0)


@dataclass(frozen=True)
class World:
    """What happens to both arms and to the canary alone."""

    name: str
    gates: tuple[str, ...]
    rps: float = 50.0
    errors: float = 0.005
    both: Level = _always
    """Factor on the errors of both arms."""
    storms: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)
    """An hour; shortest and longest in seconds; smallest and largest share of errors on both arms."""
    common: float = 0.0
    """Log-sd over two minutes of the errors that both arms share."""
    worse: Level = _always
    """Factor on the canary's errors."""
    metric: str = "latency"
    middle: float = 0.06
    """Median in seconds, and the log-sd around it."""
    spread: float = 0.45
    edges: tuple[float, ...] = FINE
    slower: Level = _always
    """Factor on the canary's latency."""
    replicas: dict[Arm, int] = field(default_factory=lambda: {"canary": 1, "stable": 4})
    wander: float = 0.0
    """Log-sd of each replica's speed over `wander_seconds`."""
    wander_seconds: float = 300.0
    gateways: int = 0
    """So many proxies count instead of replicas."""
    worth: float = 0.0
    """Log-sd of what each request is worth, summed up as `kpi/revenue`; 0 for nothing."""
    less: Level = _always
    """Factor on what the canary's requests are worth."""
    harmed_at: float | None = None
    """When the canary is harmed; None for a healthy one."""


@dataclass(frozen=True)
class Found:
    """What became of a rollout."""

    rolled_back: float | None = None
    """Seconds after the first traffic."""
    by: str = ""
    passed: tuple[bool, ...] = ()
    """Whether all gates passed at the end of each stage that it came to."""


def _wandering(rng: np.random.Generator, n: int, sd: float, seconds: float) -> NDArray[np.float64]:
    """A stationary series with mean 0 that forgets in so many seconds."""
    keep = math.exp(-SCRAPE / seconds)
    steps = rng.normal(0, sd * math.sqrt(1 - keep * keep), n)
    steps[0] = rng.normal(0, sd)
    series = np.empty(n)
    before = 0.0
    for i, step in enumerate(steps.tolist()):
        before = series[i] = keep * before + step
    return series


def _below(middle: NDArray[np.float64], world: World) -> NDArray[np.float64]:
    """By scrape, the share of requests at most as slow as each edge."""
    z = (np.log(np.array(world.edges))[None, :] - np.log(middle)[:, None]) / world.spread
    erf = np.frompyfunc(math.erf, 1, 1)
    return np.array(0.5 * (1 + erf(z / math.sqrt(2)).astype(float)))


def blocks(world: World, seed: int) -> Iterator[Increments]:
    """One rollout, scrape by scrape."""
    rng = np.random.default_rng([seed, *world.name.encode()])
    t = np.arange(-HISTORY, sum(hold for _, hold in STAGES), SCRAPE) + SCRAPE
    ends = np.cumsum([hold for _, hold in STAGES])
    stage = np.where(t > 0, np.searchsorted(ends, np.clip(t, SCRAPE, None) - 1e-9), 0)
    share = np.where(t > 0, np.array([weight for weight, _ in STAGES])[stage], 0.0)
    chance = world.errors * world.both(t)
    if world.common:
        chance = chance * np.exp(_wandering(rng, len(t), world.common, 120.0))
    an_hour, shortest, longest, least, most = world.storms
    for begin in rng.uniform(t[0], t[-1], rng.poisson(an_hour * len(t) * SCRAPE / 3600)):
        inside = (t >= begin) & (t < begin + rng.uniform(shortest, longest))
        chance = np.where(inside, rng.uniform(least, most), chance)
    names: dict[Arm, list[str]] = {}
    told: dict[str, list[ReplicaIncrements]] = {}
    for arm in ARMS:
        if world.worth:
            less = world.less(t) if arm == "canary" else np.ones(len(t))
            names[arm] = []
            for replica in range(world.replicas[arm]):
                part = (share if arm == "canary" else 1 - share) / world.replicas[arm]
                n = rng.poisson(world.rps * SCRAPE * part)
                worth = [float(np.exp(rng.normal(0, world.worth, each)).sum()) for each in n.tolist()]
                names[arm].append(f"{arm}-{replica}")
                told[f"{arm}-{replica}"] = [
                    ReplicaIncrements(float(of), 0.0, kpis={"revenue": (sum_ * factor, float(of))})
                    for of, sum_, factor in zip(n.tolist(), worth, less.tolist(), strict=True)
                ]
            continue
        part, number = (share if arm == "canary" else 1 - share), world.replicas[arm]
        summed = np.zeros((world.gateways or number, len(t), 2 + len(world.edges)))
        for replica in range(number):
            n = rng.poisson(world.rps * SCRAPE * part / number)
            worse = world.worse(t) if arm == "canary" else 1.0
            bad = rng.binomial(n, np.minimum(chance * worse, 0.95))
            speed = _wandering(rng, len(t), world.wander, world.wander_seconds) if world.wander else np.zeros(len(t))
            middle = world.middle * np.exp(speed) * (world.slower(t) if arm == "canary" else 1.0)
            below = _below(middle, world)
            parts = rng.multinomial(n, np.diff(np.c_[np.zeros(len(t)), below, np.ones(len(t))], axis=1))
            rest: NDArray[np.int64] = np.c_[bad, parts]
            for left in range(world.gateways, 1, -1):  # a request goes through any proxy, whatever replica answers it
                mine = np.asarray(rng.binomial(rest, 1 / left))
                summed[left - 1] += _cumulative(mine)
                rest = rest - mine
            summed[0 if world.gateways else replica] += _cumulative(rest)
        names[arm] = [f"{arm}-{i}" for i in range(len(summed))]
        for name, rows in zip(names[arm], summed, strict=True):
            told[name] = [_pod(world, row) for row in rows.tolist()]
    for k, at in enumerate(t.tolist()):
        arms: dict[Arm, dict[str, ReplicaIncrements]] = {"stable": {name: told[name][k] for name in names["stable"]}}
        if at > 0:
            arms["canary"] = {name: told[name][k] for name in names["canary"]}
        yield Increments(at, int(stage[k]), float(share[k]), arms)


def _cumulative(counted: NDArray[np.int64]) -> NDArray[np.float64]:
    """Requests, errors, and requests up to each edge, of errors and requests by bucket."""
    below = np.cumsum(counted[:, 1:], axis=1)
    summed: NDArray[np.float64] = np.c_[below[:, -1], counted[:, 0], below[:, :-1]].astype(float)
    return summed


def _pod(world: World, row: list[float]) -> ReplicaIncrements:
    n, bad, *below = row
    return ReplicaIncrements(n, bad, {world.metric: dict(zip((*world.edges, math.inf), (*below, n), strict=True))})


def rollout(seed: int, world: World, false_rollback: float = 0.01) -> Found:
    """Judge one rollout to its end, or to where it is rolled back."""
    spec = spec_of(world.gates, STAGES)
    spec = spec.model_copy(update={"judge": spec.judge.model_copy(update={"false_rollback": false_rollback})})
    config = judge.compile_gates(spec)
    state, passed, before = judge.begin(config), [], None
    for block in blocks(world, seed):
        if before is not None and block.stage != before.stage:
            passed.append(_passes(config, state, before))
        state, before = judge.update(config, state, block), block
        if state.memory is not None and state.memory.failed:
            failed = next(iter(state.memory.failed))
            return Found(block.t, failed, tuple(passed))
    if before is not None:
        passed.append(_passes(config, state, before))
    return Found(passed=tuple(passed))


def _passes(config: judge.JudgeConfig, state: judge.JudgeState, last: Increments) -> bool:
    answer = judge.read(config, state, stage=last.stage, now=last.t)
    return not answer.problem and all(gate.verdict is GateAnswer.PASS for gate in answer.gates)


def _limits() -> list[World]:
    """The service itself is beyond the limit, or the canary alone."""
    alone = ("{metric: error_rate, max: 1%, regardlessOfStable: true}",)
    found = [
        World(f"limit: service at {0.5 * k:g} %{noise}", LIMIT, both=_after(600.0, k), common=sd)
        for k in (2.2, 2.6, 4.0, 10.0)
        for noise, sd in (("", 0.0), (", drifting", 0.3))
    ]
    storms = World("limit: storms of both arms of 2 to 5 %", LIMIT, storms=(2.0, 60.0, 300.0, 0.02, 0.05))
    outage = World("limit: outages of both arms at 1 request/s", LIMIT, rps=1.0, storms=(1.0, 60.0, 300.0, 0.5, 1.0))
    found += [storms, replace(storms, name="limit alone: the same storms", gates=alone), outage]
    for share, rps in ((2.0, 50.0), (5.0, 50.0), (20.0, 50.0)):
        worse = _after(600.0, share / 0.5)
        found.append(World(f"limit harm: canary at {share:g} %", LIMIT, rps, worse=worse, harmed_at=600.0))
    return found


def _shared() -> list[World]:
    """Both arms are worse than stable's history from the first traffic on: nothing passes."""
    gates = ("error_rate not worse than stable by 100%",)
    return [
        World(f"shared: both x{k:g}, {rps:g} requests/s", gates, rps, both=_after(0.0, k), common=sd)
        for k, sd in ((1.0, 0.0), (1.0, 0.3), (3.0, 0.3), (6.0, 0.3))
        for rps in (50.0, 200.0)
    ]


def _margins() -> list[World]:
    """Margins that lie between two bounds of a histogram: a canary within its margin, and one far beyond it."""
    itl, usual = ("itl p95 not worse than stable by 10%",), USUAL[1:]
    token = World("", itl, metric="itl", middle=0.023, spread=0.05, edges=VLLM_ITL)
    return [
        replace(token, name="margin: ITL 23 ms +- 5 %, canary 2 % slower by 10 %", slower=_after(0.0, 1.02)),
        replace(token, name="margin: the same, no slower"),
        replace(token, name="margin harm: the same, 2.5 times as slow", slower=_after(600.0, 2.5), harmed_at=600.0),
        World("margin: Envoy's buckets, 9 % slower by 10 %", usual, edges=ENVOY, slower=_after(0.0, 1.09)),
        World("margin: fine buckets, 9 % slower by 10 %", usual, slower=_after(0.0, 1.09)),
        World("margin harm: Envoy's, 30 %", usual, edges=ENVOY, slower=_after(600.0, 1.3), harmed_at=600.0),
        World("margin harm: fine, 30 %", usual, slower=_after(600.0, 1.3), harmed_at=600.0),
    ]


def _sums() -> list[World]:
    """What requests are worth, with tails as those of revenue."""
    gates = ("kpi/revenue drop <= 3%",)
    return [
        *(World(f"sums: log-normal with sd {sd:g}, canary alike", gates, worth=sd) for sd in (1.0, 2.0)),
        *(
            World(f"sums: log-normal with sd {sd:g}, canary 3 % less", gates, worth=sd, less=_after(0.0, 0.97))
            for sd in (1.0, 2.0)
        ),
        *(
            World(f"sums harm: sd {sd:g}, canary {1 - k:.0%} less", gates, worth=sd, less=_after(0.0, k), harmed_at=0.0)
            for sd, k in ((0.5, 0.9), (1.0, 0.8), (2.0, 0.5))
        ),
    ]


def _excluded() -> list[World]:
    """Worlds for which `docs/judge.md` promises nothing: replicas that wander for minutes unseen, and cold caches."""
    found = []
    for gates, name in ((STRICT, "margins of 5 %"), (USUAL, "p95 by 10 %")):
        one: dict[Arm, int] = {"canary": 1, "stable": 1}
        found += [
            World(f"wandering: 1 and 1 replica, {name}", gates, replicas=one, wander=0.05),
            World(f"wandering: behind 2 proxies, {name}", gates, gateways=2, wander=0.05),
            World(f"wandering: 1 and 4 replicas, {name}", gates, wander=0.05),
            World(
                f"cold: 30 % slower for 10 min, {name}", gates, slower=partial(_stepped, begin=0, end=600, factor=1.3)
            ),
        ]
    return found


def worlds() -> list[World]:
    """All of them."""
    return [*_limits(), *_shared(), *_margins(), *_sums(), *_excluded()]


def interval(hits: int, n: int) -> tuple[float, float]:
    """Wilson's, 95 %."""
    z, share = NormalDist().inv_cdf(0.975), hits / n
    middle, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max((middle - half) / (1 + z * z / n), 0.0), min((middle + half) / (1 + z * z / n), 1.0)


def row(world: World, found: list[Found]) -> str:
    """A world's line: how many were rolled back, when, and how many passed at the end of each stage."""
    times = [each.rolled_back for each in found if each.rolled_back is not None]
    low, high = interval(len(times), len(found))
    hard = sum(each.by == "hard stop" for each in found)
    said = f"{len(times)} of {len(found)} ({low:.1%} to {high:.1%})" + (f", hard stop {hard}" if hard else "")
    if world.harmed_at is not None:
        late = sorted([max(time - world.harmed_at, 0.0) for time in times] + [math.inf] * (len(found) - len(times)))
        return f"{said}; median {median(late):.0f} s, 90 % {late[math.ceil(0.9 * len(late)) - 1]:.0f} s"
    ends = [sum(len(each.passed) > i and each.passed[i] for each in found) for i in range(len(STAGES))]
    return f"{said}; passed at the ends of the stages {' / '.join(map(str, ends))}"


def main() -> None:
    """Print a line for each world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=int, default=200)
    parser.add_argument("--only", default="", help="worlds whose name begins so")
    parser.add_argument("--false-rollback", type=float, default=0.01)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    with ProcessPoolExecutor(asked.workers) as pool:
        for world in worlds():
            if not world.name.startswith(asked.only):
                continue
            one = partial(rollout, world=world, false_rollback=asked.false_rollback)
            found = list(pool.map(one, range(asked.rollouts), chunksize=4))
            print(f"{world.name:48} {row(world, found)}", flush=True)


if __name__ == "__main__":
    main()
