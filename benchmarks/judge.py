"""Measures the judge: how often it accuses the innocent, and how soon it finds harm, against the rules of other tools.

    python benchmarks/judge.py --quick      a few minutes: the shape of the tables
    python benchmarks/judge.py              all of it, ten minutes on two cores

Seeded; every rollout has its own seed, so results do not depend on the number of processes. Prints tables and writes
`benchmarks/results/judge.json`. The evidence is computed by `judge_fleet.py`, which a test holds to `canary.judge`.
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import judge_fleet as fleet
from benchmarks.judge_baselines import RULES, Course, minutes
from benchmarks.judge_speed import speed
from benchmarks.judge_tables import seconds
from benchmarks.judge_traffic import PROFILES, REGRESSIONS, STAGES, draw
from canary.spec import parse
from canary.spec.models import CanarySpec

Array = NDArray[np.float64]
BATCH = 100
SECTIONS = ("healthy", "regressions", "advance", "weeks", "speed")
RESULTS = Path(__file__).parent / "results"
GATES = (
    "error_rate not worse than stable by 10%",
    "latency p50 not worse than stable by 5%",
    "latency p99 not worse than stable by 5%",
    "kpi/conversion drift <= 1%",
)
"""Tolerances of the study: what lies within them is never to be rolled back."""
MARGINS = (
    ("error_rate not worse than stable by 100%", "errors", 2.0),
    ("latency p95 not worse than stable by 20%", "latency", 1.2),
    ("kpi/conversion drift <= 5%", "kpi", 0.95),
)
"""Gates with a canary that is exactly at their margin: each pass is one too many."""
OURS = {"ours at 5%": 0.05, "ours at 1%": 0.01}


def spec_of(gates: Sequence[str], stages: Sequence[tuple[float, float]] = STAGES) -> CanarySpec:
    """A plan with these gates in every stage."""
    listed = "".join(f"        - {gate}\n" for gate in gates)
    plan = "".join(
        f"    - traffic: {share:.0%}\n      hold: {hold:.0f}s\n      gates:\n{listed}" for share, hold in stages
    )
    text = (
        "apiVersion: serinus.dev/v1alpha1\nkind: ModelCanary\nmetadata: {name: benchmark}\nspec:\n"
        "  model: {name: served}\n  platform: {local: {}}\n  stable: {name: a, command: [a]}\n"
        "  canary: {name: b, command: [b]}\n  judge: {falseRollback: 5%, refusals: false}\n  stages:\n"
        f"{plan}    - traffic: 100%\n"
    )
    return parse(text, "benchmark.yml").spec


@dataclass(frozen=True)
class Job:
    """A batch of rollouts in one world."""

    first_seed: int
    rollouts: int
    profile: str
    rps: float = 200.0
    harm: str = ""
    baselines: bool = True


def play(job: Job) -> list[dict[str, Course]]:
    """Every method's course on every rollout of the batch."""
    spec = spec_of(GATES)
    methods: list[dict[str, Course]] = []
    seen = []
    for seed in range(job.first_seed, job.first_seed + job.rollouts):
        drawn = draw(np.random.default_rng(seed), PROFILES[job.profile], rps=job.rps, harm=job.harm)
        seen.append(fleet.counts(spec, drawn))
        summed = minutes(drawn) if job.baselines else None
        methods.append({name: rule(summed) for name, (rule, _) in RULES.items()} if summed is not None else {})
    went = fleet.course(spec, seen, drawn.t, drawn.stage)
    for each, total in zip(methods, went.total, strict=True):
        each["ours"] = Course(went.t.astype(np.float32), np.maximum.accumulate(total).astype(np.float32))
    return methods


class World:
    """All batches of one world, on all cores."""

    def __init__(self, pool: ProcessPoolExecutor, seed: int) -> None:
        self.pool, self.seed = pool, seed

    def play(self, rollouts: int, profile: str, **kind: Any) -> list[dict[str, Course]]:
        """So many rollouts; a block of seeds of its own for each."""
        self.seed += 1_000_000
        jobs = [
            Job(self.seed + begin, min(BATCH, rollouts - begin), profile, **kind) for begin in range(0, rollouts, BATCH)
        ]
        return [each for batch in self.pool.map(play, jobs) for each in batch]


def rates(played: list[dict[str, Course]]) -> dict[str, Any]:
    """Share of rollouts that each method rolled back, with its 95 % interval."""
    found: dict[str, Any] = {}
    for name, threshold in _thresholds(played[0]).items():
        hits = sum(math.isfinite(_course(each, name).rolled_back(threshold)) for each in played)
        found[name] = {"rate": hits / len(played), "interval": _wilson(hits, len(played)), "rollouts": len(played)}
    return found


def delays(played: list[dict[str, Course]], thresholds: dict[str, float]) -> dict[str, Any]:
    """Seconds to roll back: median and 90 %, and the share that was found at all."""
    found: dict[str, Any] = {}
    for name, threshold in thresholds.items():
        times = sorted(_course(each, name).rolled_back(threshold) for each in played)
        found[name] = {
            "median": _finite(times[len(times) // 2]),
            "p90": _finite(times[math.ceil(0.9 * len(times)) - 1]),
            "found": sum(map(math.isfinite, times)) / len(times),
        }
    return found


def retuned(healthy: list[dict[str, Course]], rate: float = 0.05) -> dict[str, float]:
    """For each method the threshold that rolls back at most this share of the healthy."""
    found = {}
    for name in ("ours", *RULES):
        highest = sorted((each[name].highest for each in healthy), reverse=True)
        # The threshold lies just above the first value that may not count any more.
        found[name] = float(np.nextafter(highest[math.floor(rate * len(highest))], math.inf))
    return found


def _thresholds(methods: dict[str, Course]) -> dict[str, float]:
    """Each method's own threshold."""
    ours = {name: math.log(1 / alpha) for name, alpha in OURS.items()}
    return ours | {name: threshold for name, (_, threshold) in RULES.items() if name in methods}


def _course(methods: dict[str, Course], name: str) -> Course:
    """A method's course; ours is the same at every level."""
    return methods["ours" if name in OURS else name]


def _wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share."""
    z, share = 1.96, hits / n
    middle, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max((middle - half) / (1 + z * z / n), 0.0), min((middle + half) / (1 + z * z / n), 1.0)


def _finite(value: float) -> float | None:
    """The value, or None for never."""
    return value if math.isfinite(value) else None


def advance(job: tuple[int, int, str, int, float]) -> list[tuple[float, float]]:
    """First pass of one gate at 25 % within an hour: for a canary at the margin and for a healthy one (seconds)."""
    first_seed, rollouts, profile, which, share = job
    gate, harm, factor = MARGINS[which]
    stages = ((share, 3600.0),)
    spec = spec_of((gate,), stages)
    found: list[list[float]] = []
    for size in (factor, 1.0):
        latency = "latency" in gate
        drawn = [
            draw(np.random.default_rng(seed), PROFILES[profile], harm=harm, factor=size, stages=stages, latency=latency)
            for seed in range(first_seed, first_seed + rollouts)
        ]
        went = fleet.course(spec, [fleet.counts(spec, each) for each in drawn], drawn[0].t, drawn[0].stage)
        passed = (went.clear >= math.log(1 / 0.05)) & (went.total < 0)
        found.append([float(went.t[row.argmax()]) if row.any() else math.inf for row in passed])
    return list(zip(*found, strict=True))


def look_for_two_weeks(job: tuple[int, int, str]) -> list[float]:
    """Largest evidence in 14 days of looking every 15 s at a healthy canary's errors, for each rollout."""
    first_seed, rollouts, profile = job
    stages = ((0.25, 14 * 86400.0),)
    spec = spec_of(GATES[:1], stages)
    drawn = [
        draw(np.random.default_rng(seed), PROFILES[profile], stages=stages, scrape=15.0, latency=False)
        for seed in range(first_seed, first_seed + rollouts)
    ]
    went = fleet.course(spec, [fleet.counts(spec, each) for each in drawn], drawn[0].t, drawn[0].stage)
    return [float(value) for value in went.total.max(axis=1)]


def main() -> None:
    """Run everything, print tables, write JSON."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="a few minutes instead of an hour")
    arguments.add_argument("--rollouts", type=int, default=None, help="healthy rollouts a profile")
    arguments.add_argument("--regressions", type=int, default=None, help="rollouts a regression")
    arguments.add_argument("--weeks", type=int, default=None, help="rollouts of two weeks")
    arguments.add_argument("--only", choices=SECTIONS, action="append", help="this part alone, adding to the results")
    arguments.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments.add_argument("--seed", type=int, default=20_261_121)
    options = arguments.parse_args()
    healthy = options.rollouts or (100 if options.quick else 2000)
    harmed = options.regressions or (50 if options.quick else 200)
    weeks = options.weeks if options.weeks is not None else (10 if options.quick else 200)
    sections = options.only or SECTIONS
    report: dict[str, Any] = _saved() if options.only else {}
    report["seed"] = options.seed
    began = time.monotonic()
    with ProcessPoolExecutor(options.jobs) as pool:
        if "healthy" in sections:
            _healthy(World(pool, options.seed), report, healthy)
        if "regressions" in sections:
            _harmed(World(pool, options.seed + 50_000_000), report, harmed)
        if "advance" in sections:
            report["advance"] = _advances(pool, options.seed, max(harmed, 100))
            _save(report)
        if "weeks" in sections:
            report["two weeks"] = _two_weeks(pool, options.seed, weeks)
    if "speed" in sections:
        report["speed"] = speed()
        print("\nSpeed\n" + "\n".join(f"  {name}: {value}" for name, value in report["speed"].items()))
    _save(report)
    print(f"\n{time.monotonic() - began:.0f} s; written to {RESULTS / 'judge.json'}")


def _healthy(world: World, report: dict[str, Any], healthy: int) -> None:
    """False rollbacks in every world, and the thresholds at which each method would have 5 % of them."""
    worlds = [("real", 200.0), ("harsh", 200.0), ("iid", 200.0), ("held-out", 200.0), ("real", 5.0), ("real", 2000.0)]
    report["healthy"] = {}
    for profile, rps in worlds:
        many = profile in {"real", "harsh"} and rps == 200
        played = world.play(healthy if many else max(healthy // 10, 50), profile, rps=rps)
        report["healthy"][f"{profile}, {rps:g} rps"] = rates(played)
        if profile == "real" and rps == 200:
            report["retuned thresholds"] = retuned(played)
        print(f"... {profile}, {rps:g} requests/s: done", file=sys.stderr, flush=True)
        _save(report)
    _print_table("Healthy canaries rolled back", report["healthy"], lambda cell: f"{cell['rate']:.1%}")


def _harmed(world: World, report: dict[str, Any], harmed: int) -> None:
    """Delays of every regression, at each method's own threshold and re-tuned. Needs the healthy first."""
    report["regressions"] = {}
    for harm in REGRESSIONS:
        played = world.play(harmed, "real", harm=harm)
        own = delays(played, _thresholds(played[0]))
        tuned = delays(played, report["retuned thresholds"])
        report["regressions"][harm] = {"own": own, "retuned": tuned}
        print(f"... {harm}: done", file=sys.stderr, flush=True)
        _save(report)
    for kind, title in (("own", "each at its own threshold"), ("retuned", "all re-tuned to 5 % false rollbacks")):
        columns = {harm: cells[kind] for harm, cells in report["regressions"].items()}
        _print_table(f"Seconds to roll back, median / 90 %, {title}", columns, _delay)


def _advances(pool: ProcessPoolExecutor, seed: int, rollouts: int) -> dict[str, Any]:
    """Passes of canaries exactly at their margin, and how soon healthy ones pass."""
    found: dict[str, Any] = {}
    for profile in ("iid", "real", "harsh"):
        for which, (gate, _, _) in enumerate(MARGINS):
            jobs = [
                (seed + 77_000_000 + b, min(BATCH, rollouts - b), profile, which, 0.25)
                for b in range(0, rollouts, BATCH)
            ]
            pairs = [pair for batch in pool.map(advance, jobs) for pair in batch]
            wrong = sum(math.isfinite(at_margin) for at_margin, _ in pairs)
            well = sorted(healthy for _, healthy in pairs)
            found.setdefault(gate, {})[profile] = {
                "wrong": wrong / len(pairs),
                "interval": _wilson(wrong, len(pairs)),
                "healthy median": _finite(well[len(well) // 2]),
                "healthy p90": _finite(well[math.ceil(0.9 * len(well)) - 1]),
            }
    print(f"\nPassed at 25 % within an hour ({rollouts} rollouts each): at the margin; healthy: median / 90 % seconds")
    for gate, by_profile in found.items():
        cells = [
            f"{name} {cell['wrong']:.1%}; {seconds(cell['healthy median'])} / {seconds(cell['healthy p90'])}"
            for name, cell in by_profile.items()
        ]
        print(f"  {gate:48s} {' | '.join(cells)}")
    return found


def _two_weeks(pool: ProcessPoolExecutor, seed: int, rollouts: int) -> dict[str, Any]:
    """Looking at a healthy canary for 14 days."""
    jobs = [(seed + 88_000_000 + b, min(BATCH, rollouts - b), "real") for b in range(0, rollouts, BATCH)]
    highest = [value for batch in pool.map(look_for_two_weeks, jobs) for value in batch]
    if not highest:
        return {}
    hits = {name: sum(value >= math.log(1 / alpha) for value in highest) for name, alpha in OURS.items()}
    print(f"\n14 days, a look every 15 s, {rollouts} healthy canaries: rolled back {hits}")
    return {"rollouts": rollouts, "rolled back": hits, "interval": _wilson(hits["ours at 5%"], rollouts)}


def _saved() -> dict[str, Any]:
    """The results so far."""
    file = RESULTS / "judge.json"
    return dict(json.loads(file.read_text())) if file.exists() else {}


def _save(report: dict[str, Any]) -> None:
    """Write down what is known so far."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "judge.json").write_text(json.dumps(report, indent=1) + "\n")


def _print_table(title: str, columns: dict[str, dict[str, Any]], show: Callable[[Any], str]) -> None:
    """A table with a row a method."""
    methods = list(next(iter(columns.values())))
    print(f"\n{title}\n{'':42s}" + "".join(f"{name:>17s}" for name in columns))
    for method in methods:
        print(f"{method:42s}" + "".join(f"{show(cells[method]):>17s}" for cells in columns.values()))


def _delay(cell: dict[str, Any]) -> str:
    """Median and 90 %, and how many were found if not all."""
    share = "" if cell["found"] == 1 else f" ({cell['found']:.0%})"
    return f"{seconds(cell['median'])}/{seconds(cell['p90'])}{share}"


if __name__ == "__main__":
    main()
