"""What does recording a rollout cost: for the loop, for the store's thread, and on the disk?

One look a second of two replicas as a local run sees them (Envoy's fine latency buckets, four histograms and ten totals
of a vLLM server), saved every five looks. Measured is processor time. Prints a table and writes JSON to
`benchmarks/results/recording.json`.

    python benchmarks/recording.py [--looks 1800]
"""

import argparse
import json
import math
import platform
import random
import time
from pathlib import Path

from canary.frame import Looked
from canary.judge import compile_gates
from canary.machine import advance, begin
from canary.snapshot import Counters, MetricsStatus, PodCounters, RouteStatus, Snapshot, VariantStatus
from canary.spec.parse import parse
from canary.weights import ARMS, Weights
from controlplane.adapters.envoy_config import FINE_BOUNDS_MS
from controlplane.adapters.memory_store import MemoryStore
from controlplane.adapters.sqlite_frames import MOST_BYTES, _packed
from controlplane.reconcile.recording import Recording
from controlplane.simulation.sample import SAMPLE

RESULTS = Path(__file__).parent / "results" / "recording.json"
SAVED_EVERY = 5
HISTOGRAMS = {"ttft": 23, "itl": 20, "e2e": 22, "queue_time": 22}
"""Buckets of a vLLM server's own histograms."""
TOTALS = (
    "generation_tokens",
    "prompt_tokens",
    "decode_seconds",
    "preemptions",
    "finished",
    *(f"finish_reason/{reason}" for reason in ("abort", "error", "length", "repetition", "stop")),
)


def looks(count: int, rng: random.Random) -> list[Looked]:
    """One a second, with 150 requests a second on each arm."""
    bounds = [bound / 1000 for bound in FINE_BOUNDS_MS]
    latency = {arm: dict.fromkeys([*bounds, math.inf], 0.0) for arm in ARMS}
    found = []
    for number in range(count):
        arms = {}
        for arm in ARMS:
            for _ in range(150):
                took = rng.lognormvariate(-3.5, 0.4)
                for bound in latency[arm]:
                    if took <= bound:
                        latency[arm][bound] += 1
            whole = latency[arm][math.inf]
            histograms = {"latency": dict(latency[arm])} | {
                name: {2.0**k: float(round(whole * k / buckets)) for k in range(buckets)}
                for name, buckets in HISTOGRAMS.items()
            }
            totals = {name: whole * (index + 1) + rng.random() for index, name in enumerate(TOTALS)}
            pod = PodCounters(whole, 0.0, histograms, totals, gauges={"kv_cache_usage": rng.random()}, started_at=0.0)
            arms[arm] = {f"{arm}-0": pod}
        at = float(number)
        ready, route = VariantStatus(at, 1, 1), RouteStatus(at, Weights.of_share(0.5))
        found.append(Looked(at, Snapshot(ready, ready, route, MetricsStatus(at, Counters(at, arms, unrouted=0.0)))))
    return found


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--looks", type=int, default=1800)
    frames = looks(parser.parse_args().looks, random.Random(1))
    spec = parse(SAMPLE.read_text(), SAMPLE.name).spec
    config = compile_gates(spec)
    before = begin(config, name="bench", revision="r", attempt=1, now=0.0)
    decision = advance(config, before, frames[0].seen, 0.0)

    recording = Recording(MemoryStore())
    start = time.process_time()
    for frame in frames:
        recording.looked(before, frame.seen, decision, frame.at)
    noting = (time.process_time() - start) / len(frames)

    start, size = time.process_time(), 0
    pieces = range(0, len(frames), SAVED_EVERY)
    for first in pieces:
        size += len(_packed(frames[first : first + SAVED_EVERY]))
    packing = (time.process_time() - start) / len(pieces)

    result = {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "looks": len(frames),
        "noting_us_per_look": round(noting * 1e6, 2),
        "packing_ms_per_save": round(packing * 1e3, 3),
        "bytes_per_look": round(size / len(frames)),
        "hours_until_the_bound": round(MOST_BYTES / (size / len(frames)) / 3600, 1),
    }
    for name, value in result.items():
        print(f"{name:24} {value}")
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
