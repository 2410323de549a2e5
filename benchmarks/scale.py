"""How fast are rollbacks when a cluster has many rollouts, what do they cost, and what disturbs them?

On the light test bed (a real API server; routes, statuses and leases are real writes) with a Prometheus that answers as
the real one does: N rollouts stay at 5 %, each with three gates, and one of them, or all at once, begin to breach. The
clock runs from the breach to the watch event with the canary's weight at zero, as other tools were measured. Prints
tables and writes JSON to `benchmarks/results/scale.json`.

    python -m benchmarks.scale [--rollouts 200] [--stories breach,outage,faults,leader] [--flips 30]
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.scale_prometheus import FakePrometheus, Fault
from benchmarks.scale_world import SHARE, Operator, Watch, canary, canary_states, cluster
from controlplane.kubernetes.client import KubeClient
from controlplane.kubernetes.resources import MODEL_CANARY
from tests.cluster.bed import Light

RESULTS = Path(__file__).parent / "results" / "scale.json"
NAMESPACE = "scale"
THRESHOLDS = [
    {"metric": metric, "max": limit, "test": "threshold", "failures": 0}
    for metric, limit in (("error_rate", "10%"), ("latency p95", "500ms"), ("latency p99", "1s"))
]
"""What the peers were measured with: three metrics, of which one breaches."""
SEQUENTIAL = ["error_rate not worse than stable by 10%", "latency p95 not worse than stable by 20%"]
RATE = 2000.0
"""Requests a second of each rollout, both arms together."""
FAULTS: Sequence[Fault] = ("down", "500", "empty", "nan", "slow")
FAULT_S = 60.0


@dataclass(slots=True)
class Stage:
    """Everything a story needs."""

    bed: Light
    kube: KubeClient
    watch: Watch
    prometheus: FakePrometheus
    folder: Path
    random: random.Random

    def operator(self, name: str = "operator", *, elect: bool = False) -> Operator:
        """One more operator."""
        return Operator(
            self.bed.kubeconfig, NAMESPACE, self.prometheus.url, elect=elect, log=self.folder / f"{name}.log"
        )

    async def begin(self, names: Sequence[str], gates: Sequence[Any]) -> None:
        """Apply so many rollouts and wait until each has its 5 %."""
        for name in names:
            route = f"{NAMESPACE}/{name}"
            self.prometheus.add(route, canary_rate=RATE * SHARE, stable_rate=RATE * (1 - SHARE))
        made = [self.kube.create(MODEL_CANARY, canary(name, NAMESPACE, gates)) for name in names]
        await asyncio.gather(*made)
        await self.watch.until("5 % everywhere", names, zero=False, seconds=300)

    async def flip(self, name: str, share: float = 1.0, patience: float = 60.0) -> float:
        """Let a canary fail from now on; seconds until it has no traffic."""
        began = self.prometheus.fail(f"{NAMESPACE}/{name}", share)
        await self.watch.until(f"the rollback of {name}", [name], zero=True, seconds=patience)
        return self.watch.changed[name] - began

    async def end(self, names: Sequence[str]) -> None:
        """Delete these rollouts, and wait until they are gone."""
        for name in names:
            await self.kube.delete(MODEL_CANARY, NAMESPACE, name)
        left = set(names)
        while left:
            await asyncio.sleep(0.5)
            left &= set(await asyncio.to_thread(canary_states, self.bed, NAMESPACE))


def named(story: str, count: int) -> list[str]:
    """Names of a story's rollouts."""
    return [f"{story}-{number}" for number in range(count)]


async def one_by_one(stage: Stage, names: Sequence[str], flips: int) -> list[float]:
    """Breaches at random moments, each while all the others go on."""
    found: list[float] = []
    for name in names[:flips]:
        await asyncio.sleep(stage.random.uniform(1.0, 2.0))
        found.append(await stage.flip(name))
        print(f"\r  {len(found)} of {flips} breaches, newest {found[-1]:.2f} s", end="", flush=True)
    print()
    return found


async def breach(stage: Stage, rollouts: int, flips: int) -> dict[str, Any]:
    """One at a time with thresholds; then all that are left, at one moment."""
    names, operator = named("breach", rollouts), stage.operator()
    try:
        await stage.begin(names, THRESHOLDS)
        singles = await one_by_one(stage, names, flips)
        steady = await cost(stage, operator, seconds=60)
        rest = names[flips:]
        began = min(stage.prometheus.fail(f"{NAMESPACE}/{name}", 1.0) for name in rest)
        await stage.watch.until("all rollbacks", rest, zero=True, seconds=120)
        together = [stage.watch.changed[name] - began for name in rest]
        return {"one at a time": spread(singles), "all at once": spread(together), "steady": steady}
    finally:
        operator.stop()
        await asyncio.to_thread(_forget, stage, names)


async def outage(stage: Stage, rollouts: int, flips: int) -> dict[str, Any]:
    """A total outage under the default judge."""
    names, operator = named("outage", rollouts), stage.operator()
    try:
        await stage.begin(names, SEQUENTIAL)
        await asyncio.sleep(20)
        return {
            "total outage, default judge": spread(await one_by_one(stage, names, flips)),
            "steady": await cost(stage, operator, seconds=60),
        }
    finally:
        operator.stop()
        await asyncio.to_thread(_forget, stage, names)


async def cost(stage: Stage, operator: Operator, seconds: float) -> dict[str, float]:
    """What the operator uses while nothing changes."""
    await asyncio.sleep(5)
    written, asked, used = await asyncio.to_thread(operator.writes), stage.prometheus.queries, operator.cpu_seconds()
    began = time.monotonic()
    await asyncio.sleep(seconds)
    took = time.monotonic() - began
    used, asked = operator.cpu_seconds() - used, stage.prometheus.queries - asked
    return {
        "share of a core": round(used / took, 3),
        "RSS MB": round(operator.resident_mb(), 1),
        "queries a second": round(asked / took, 2),
        "API writes": await asyncio.to_thread(operator.writes) - written,
    }


async def faults(stage: Stage, rollouts: int, _flips: int) -> dict[str, Any]:
    """Prometheus in trouble for a minute, five times over: nobody may be rolled back, and a breach after it must be."""
    names, operator = named("faults", rollouts), stage.operator()
    result: dict[str, float] = {}
    try:
        await stage.begin(names, THRESHOLDS)
        for fault in FAULTS:
            await asyncio.sleep(5)
            if fault == "down":
                await stage.prometheus.close()
            else:
                stage.prometheus.fault = fault
            await asyncio.sleep(FAULT_S)
            if fault == "down":
                await stage.prometheus.open()
            stage.prometheus.fault = ""
            await asyncio.sleep(10)
            lost = [name for name in names if stage.watch.at_zero(name) is not None]
            result[fault] = len(lost)
            print(f"  {fault} for {FAULT_S:g} s: {len(lost)} of {len(names)} rolled back", flush=True)
        result["breach afterwards, s"] = round(await stage.flip(names[0]), 2)
        return {"false rollbacks": result}
    finally:
        operator.stop()
        stage.prometheus.fault = ""
        await asyncio.to_thread(_forget, stage, names)


async def leader(stage: Stage, rollouts: int, _flips: int) -> dict[str, Any]:
    """Two operators; the one that leads is killed, or stopped in order, and a canary breaches at that moment."""
    names = named("leader", min(rollouts, 30))
    found: dict[str, list[float]] = {"kill -9": [], "stopped": []}
    operators = [stage.operator("first", elect=True)]
    try:
        await stage.begin(names, THRESHOLDS)
        for number, name in enumerate(names[:6]):
            operators.append(stage.operator(f"standby-{number}", elect=True))
            await asyncio.sleep(8)
            how = "kill -9" if number % 2 == 0 else "stopped"
            leading = operators.pop(0)
            if how == "kill -9":
                leading.stop(kill=True)
            else:
                leading.process.terminate()
            found[how].append(await stage.flip(name))
            leading.process.wait(30)
            print(f"  {how}: rolled back {found[how][-1]:.2f} s after", flush=True)
        return {f"leader {how}": spread(values) for how, values in found.items()}
    finally:
        for operator in operators:
            operator.stop()
        await asyncio.to_thread(_forget, stage, names)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Quantiles in seconds."""
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 3)

    return {
        "n": len(ordered),
        "p50": round(statistics.median(ordered), 3),
        "p95": at(0.95),
        "p99": at(0.99),
        "max": round(ordered[-1], 3),
    }


def _show_logs(folder: Path) -> None:
    for log in sorted(folder.glob("*.log")):
        print(f"--- {log.name}\n{log.read_text()[-2000:]}", flush=True)


def _forget(stage: Stage, names: Sequence[str]) -> None:
    """Remove a story's rollouts without waiting for an operator."""
    bare = '{"metadata":{"finalizers":null}}'
    for name in names:
        stage.bed.kubectl("patch", "mcan", name, "-n", NAMESPACE, "--type=merge", "-p", bare, check=False)
    stage.bed.kubectl("delete", "mcan", "-n", NAMESPACE, "--all", "--wait=false", check=False)
    stage.bed.kubectl("delete", "httproutes", "-n", NAMESPACE, "--all", check=False)


STORIES: dict[str, Callable[[Stage, int, int], Any]] = {
    "breach": breach,
    "outage": outage,
    "faults": faults,
    "leader": leader,
}


async def main(rollouts: int, stories: Sequence[str], flips: int, seed: int) -> dict[str, Any]:
    """Tell the stories one after the other."""
    found: dict[str, Any] = {"rollouts": rollouts, "load before": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory(prefix="serinus-scale-") as folder:
        async with cluster(NAMESPACE) as (bed, kube, watch):
            prometheus = FakePrometheus()
            await prometheus.open()
            stage = Stage(bed, kube, watch, prometheus, Path(folder), random.Random(seed))
            for story in stories:
                print(f"{story}, {rollouts} rollouts", flush=True)
                try:
                    found[story] = await STORIES[story](stage, rollouts, flips)
                except TimeoutError:
                    found[story] = {"not reached": True}
                    await asyncio.to_thread(_show_logs, Path(folder))
                print(json.dumps(found[story], indent=1), flush=True)
            await prometheus.close()
    found["load after"] = os.getloadavg()[0]
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rollouts", type=int, default=200)
    parser.add_argument("--stories", default="breach,outage,faults,leader")
    parser.add_argument("--flips", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    result = asyncio.run(main(given.rollouts, given.stories.split(","), given.flips, given.seed))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(f"written to {RESULTS}")
