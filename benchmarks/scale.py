"""How fast are rollbacks when a cluster has many rollouts, what do they cost, and what disturbs them?

On the light test bed (a real API server; routes, statuses and leases are real writes) with a Prometheus that answers as
the real one does: N rollouts stay at 5 %, each with three gates, and one of them, or all at once, begin to breach. The
clock runs from the breach to the watch event with the canary's weight at zero, as other tools were measured. Prints
tables and writes JSON to `benchmarks/results/scale.json`: the stories that were told, beside those of earlier runs.

    python -m benchmarks.scale [--rollouts 200] [--stories breach,outage,faults,leader,fleet,tenant] [--flips 30]
    python -m benchmarks.scale --stories soak [--soak-minutes 10]
"""

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from benchmarks.scale_faults import faults, leader
from benchmarks.scale_prometheus import FakePrometheus
from benchmarks.scale_soak import soak
from benchmarks.scale_stage import Stage, named, route_of, spread
from benchmarks.scale_tenant import tenant
from benchmarks.scale_world import at_rest, cluster, make_alike
from canary.errors import ExternalError

RESULTS = Path(__file__).parent / "results" / "scale.json"
THRESHOLDS = [
    {"metric": metric, "max": limit, "test": "threshold", "failures": 0}
    for metric, limit in (("error_rate", "10%"), ("latency p95", "500ms"), ("latency p99", "1s"))
]
"""What the peers were measured with: three metrics, of which one breaches."""
SEQUENTIAL = ["error_rate not worse than stable by 10%", "latency p95 not worse than stable by 20%"]
FLEET, ACTIVE = 1000, 50
SETTLED_S = 60.0
"""Until then gates give their first answers, which are written once."""
Story = Callable[[Stage, int, int, Sequence[Any], float], Coroutine[Any, Any, dict[str, Any]]]
"""Told with: how many rollouts, how many of them breach one at a time, their gates, how long a fault lasts (s)."""


async def breach(stage: Stage, rollouts: int, flips: int, gates: Sequence[Any], _fault_s: float) -> dict[str, Any]:
    """One at a time with thresholds; then all that are left, at one moment."""
    names, operator = named("breach", rollouts), stage.operator()
    try:
        await stage.begin(names, gates)
        singles = await stage.one_by_one(names[:flips])
        steady = await stage.cost(operator)
        rest = names[flips:]
        began = min(stage.prometheus.fail(route_of(name), 1.0) for name in rest)
        await stage.watch.until("all rollbacks", rest, zero=True, seconds=120)
        together = [stage.watch.changed[name] - began for name in rest]
        return {"one at a time": spread(singles), "all at once": spread(together), "steady": steady}
    finally:
        operator.stop()
        await stage.clear()


async def outage(stage: Stage, rollouts: int, flips: int, gates: Sequence[Any], _fault_s: float) -> dict[str, Any]:
    """A total outage under the default judge."""
    names, operator = named("outage", rollouts), stage.operator()
    try:
        await stage.begin(names, gates)
        singles = await stage.one_by_one(names[:flips])
        return {"total outage, default judge": spread(singles), "steady": await stage.cost(operator)}
    finally:
        operator.stop()
        await stage.clear()


async def fleet(stage: Stage, rollouts: int, _flips: int, gates: Sequence[Any], _fault_s: float) -> dict[str, Any]:
    """Five times as many ModelCanaries, one in twenty of which has a rollout under way: what they weigh.

    The others are copies of one that has ended, route and status included; the operator meets them when it starts.
    """
    count = FLEET * rollouts // 200
    active = named("fleet", ACTIVE * rollouts // 200)
    operator = stage.operator()
    try:
        await stage.begin(["ended"], gates)
        await stage.flip("ended")
        ended, route = await at_rest(stage.kube, "ended")
        operator.stop()
        await make_alike(stage.kube, ended, route, named("ended", count - len(active) - 1))
        operator = stage.operator("fleet")
        await stage.begin(active, gates)
        await asyncio.sleep(SETTLED_S)
        return {"canaries": count, "active": len(active), "steady": await stage.cost(operator)}
    finally:
        operator.stop()
        await stage.clear()


STORIES: dict[str, tuple[Story, Sequence[Any]]] = {
    "breach": (breach, THRESHOLDS),
    "outage": (outage, SEQUENTIAL),
    "faults": (faults, THRESHOLDS),
    "leader": (leader, THRESHOLDS),
    "fleet": (fleet, SEQUENTIAL),
    "tenant": (tenant, SEQUENTIAL),
    "soak": (soak, SEQUENTIAL),
}


async def main(rollouts: int, stories: Sequence[str], flips: int, seed: int, fault_s: float, soak_s: float) -> None:
    """Tell the stories one after the other; what each found is kept, whatever becomes of the next."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="serinus-scale-") as folder:
        async with cluster() as (bed, kube, watch):
            prometheus = FakePrometheus()
            await prometheus.open()
            stage = Stage(bed, kube, watch, prometheus, Path(folder), random.Random(seed), soak_s)
            for story in stories:
                print(f"{story}, {rollouts} rollouts, load {os.getloadavg()[0]:.1f}", flush=True)
                load, (tell, gates) = os.getloadavg()[0], STORIES[story]
                try:
                    told = await tell(stage, rollouts, flips, gates, fault_s)
                except (TimeoutError, ExternalError) as error:
                    told = {"not reached": str(error) or "in time"}
                    await asyncio.to_thread(_show_logs, Path(folder))
                conditions = {"rollouts": rollouts, "load before": round(load, 2), "load after": os.getloadavg()[0]}
                found[story] = {"at": time.strftime("%FT%TZ", time.gmtime()), **conditions, **told}
                print(json.dumps(found[story], indent=1), flush=True)
                RESULTS.parent.mkdir(exist_ok=True)  # no part of a clone
                RESULTS.write_text(json.dumps(_kept() | found, indent=2) + "\n")
            await prometheus.close()


def _show_logs(folder: Path) -> None:
    for log in sorted(folder.glob("*.log")):
        print(f"--- {log.name}\n{log.read_text()[-2000:]}", flush=True)


def _kept() -> dict[str, Any]:
    """What earlier runs have found."""
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return {story: told for story, told in known.items() if story in STORIES}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rollouts", type=int, default=200)
    parser.add_argument("--stories", default=",".join(story for story in STORIES if story != "soak"))
    parser.add_argument("--flips", type=int, default=30)
    parser.add_argument("--fault-seconds", type=float, default=60.0)
    parser.add_argument("--soak-minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    soak_s = 60 * given.soak_minutes
    asyncio.run(main(given.rollouts, given.stories.split(","), given.flips, given.seed, given.fault_seconds, soak_s))
    print(f"written to {RESULTS}")
