"""How fast is a rollback on one machine, and does a weight change lose a request?

Runs real rollbacks under load, one after the other: two sample servers, a real Envoy, scrapes every second, direct. In
each the canary walks 5 → 25 → 75 % and then fails every request (a total outage); the clock runs from the outage to the
verdict and from the verdict to the last request that any client sent to the canary. Prints a table and writes JSON to
`benchmarks/results/local_rollback.json`.

    python benchmarks/local_rollback.py [--rollbacks 20] [--rate 500] [--metrics scrape|prometheus]
"""

import argparse
import asyncio
import json
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from canary.rollout import Phase, Rollout
from canary.snapshot import Snapshot
from canary.spec.models import ModelCanary
from controlplane.program import Audience, Serving, run_rollout
from controlplane.sample.load import Stats

RESULTS = Path(__file__).parent / "results" / "local_rollback.json"
LIMITS = {"verdict_to_none_s": 0.3, "outage_to_none_s": 2.7}


@dataclass(frozen=True, slots=True)
class Rollback:
    """One measured rollback; times in seconds."""

    outage_to_verdict_s: float
    verdict_to_none_s: float
    """From the verdict to the last request that a client sent and the canary got; 0 when that was earlier."""
    outage_to_none_s: float
    decided_to_zero_s: float
    """What Serinus itself says of the same interval."""
    sent: int
    canary: int
    lost: int
    """Requests that no variant answered: those that a weight change failed."""
    weight_changes: int


def plan(metrics: str) -> ModelCanary:
    """Two sample servers, three short stages, and a fourth that lasts until the outage ends it."""
    server = (sys.executable, "-m", "controlplane.sample.server", "--port", "{port}", "--name", "{name}")
    speed = ("--ttft", "0.005", "--itl", "0", "--tokens", "4")
    return ModelCanary.model_validate(
        {
            "metadata": {"name": "benchmark"},
            "spec": {
                "model": {"name": "sample-llm"},
                "platform": {"local": {"listen": "127.0.0.1:0", "metrics": metrics, "scrape_interval": 1.0}},
                "stable": {"name": "v1", "command": [*server, *speed]},
                "canary": {"name": "v2", "command": [*server, *speed]},
                "stages": [
                    {"traffic": 0.05, "hold": 1.0},
                    {"traffic": 0.25, "hold": 1.0},
                    {"traffic": 0.75, "hold": 600.0},
                    {"traffic": 1.0},
                ],
            },
        }
    )


async def one_rollback(seed: int, rate: float, metrics: str) -> Rollback:
    """Start everything, break the canary at 75 %, and measure until the load has seen it gone for a second."""
    chance = random.Random(seed)
    at_75 = asyncio.Event()
    served: asyncio.Future[Serving] = asyncio.get_running_loop().create_future()
    weights: list[float] = []
    counts: list[Stats] = []

    def update(rollout: Rollout, seen: Snapshot) -> None:
        if not weights or weights[-1] != rollout.weights.share:
            weights.append(rollout.weights.share)
        if seen.stable.complete:
            stable_ready.set()
        if rollout.phase is Phase.ANALYZING and rollout.stage == 2:
            at_75.set()

    async def clients_leave() -> None:
        await asyncio.sleep(1.0)
        counts.append(await _stop_load(load))

    stable_ready = asyncio.Event()
    with tempfile.TemporaryDirectory() as state:
        audience = Audience(update=update, serving=served.set_result, closing=clients_leave)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(run_rollout(plan(metrics), state=Path(state), audience=audience))
            serving = await served
            await stable_ready.wait()
            load = await _start_load(serving, rate)
            async with asyncio.timeout(60):
                await at_75.wait()
            await asyncio.sleep(1.5 + chance.random())  # somewhere between two scrapes
            outage = await _break_canary(serving)
            rollout = await running
    if rollout.decided is None or rollout.zero is None or rollout.result != "rolled_back":
        raise SystemExit(f"The canary failed every request and the rollout ended as {rollout.result}.")
    last_canary = counts[0].variants["canary"].last_sent
    return Rollback(
        outage_to_verdict_s=rollout.decided - outage,
        verdict_to_none_s=max(0.0, last_canary - rollout.decided),
        outage_to_none_s=last_canary - outage,
        decided_to_zero_s=rollout.zero - rollout.decided,
        sent=counts[0].sent,
        canary=counts[0].variants["canary"].answers,
        lost=sum(counts[0].lost.values()),
        weight_changes=len(weights) - 1,
    )


async def _start_load(serving: Serving, rate: float) -> asyncio.subprocess.Process:
    port = serving.address.rsplit(":", 1)[1]
    flags = ("--port", port, "--rate", str(rate), "--report", "60")
    command = (sys.executable, "-m", "controlplane.sample.load", *flags)
    return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)


async def _stop_load(load: asyncio.subprocess.Process) -> Stats:
    """End the load and read the last line that it printed."""
    load.terminate()
    output, _ = await load.communicate()
    return Stats.from_dict(json.loads(output.splitlines()[-1]))


async def _break_canary(serving: Serving) -> float:
    """Make the canary fail every request; answers when it began (seconds since the epoch)."""
    async with httpx2.AsyncClient() as client:
        for address in serving.replicas()["canary"].values():
            (await client.post(f"http://{address}/knobs", json={"error_rate": 1.0})).raise_for_status()
    return time.time()


def p95(values: list[float]) -> float:
    """The 95th percentile, interpolated."""
    return statistics.quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]


def table(runs: list[Rollback]) -> list[dict[str, Any]]:
    """One row for each interval: median, p95, worst, and the limit where there is one."""
    rows = []
    for name in ("outage_to_verdict_s", "verdict_to_none_s", "outage_to_none_s", "decided_to_zero_s"):
        values = [getattr(run, name) for run in runs]
        limit = LIMITS.get(name)
        row = {"interval": name, "median": statistics.median(values), "p95": p95(values), "max": max(values)}
        rows.append(row | {"limit_p95": limit, "met": limit is None or row["p95"] <= limit})
    return rows


async def measure(rollbacks: int, rate: float, metrics: str) -> list[Rollback]:
    """So many rollbacks, one after the other, with a line for each."""
    runs = []
    for number in range(rollbacks):
        run = await one_rollback(number, rate, metrics)
        runs.append(run)
        print(
            f"{number + 1:3}/{rollbacks}  outage to verdict {run.outage_to_verdict_s:5.2f} s  "
            f"verdict to none {run.verdict_to_none_s:5.3f} s  sent {run.sent}  lost {run.lost}",
            flush=True,
        )
    return runs


def main() -> int:
    """Measure, print, write; exit status 1 when a limit was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollbacks", type=int, default=20)
    parser.add_argument("--rate", type=float, default=500.0, help="requests a second (default 500)")
    parser.add_argument("--metrics", choices=("scrape", "prometheus"), default="scrape")
    flags = parser.parse_args()
    runs = asyncio.run(measure(flags.rollbacks, flags.rate, flags.metrics))
    rows = table(runs)
    sent, lost, changes = (sum(getattr(run, name) for run in runs) for name in ("sent", "lost", "weight_changes"))
    print(f"\n{'seconds':22}{'median':>8}{'p95':>8}{'max':>8}{'limit':>8}")
    for row in rows:
        limit = f"{row['limit_p95']:8.2f}" if row["limit_p95"] else f"{'-':>8}"
        print(f"{row['interval']:22}{row['median']:8.3f}{row['p95']:8.3f}{row['max']:8.3f}{limit}")
    print(f"\n{sent} requests through Envoy over {changes} weight changes: {lost} failed by a change")
    met = all(row["met"] for row in rows) and lost == 0
    RESULTS.parent.mkdir(exist_ok=True)
    machine = {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()}
    result = {"machine": machine, "rate": flags.rate, "metrics": flags.metrics, "rows": rows}
    result |= {"requests": sent, "lost": lost, "weight_changes": changes, "met": met}
    RESULTS.write_text(json.dumps(result, indent=1))
    print(f"{'All limits met' if met else 'A limit was missed'}; written to {RESULTS}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
