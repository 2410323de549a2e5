"""How long does `kubectl canary list` take with 200 ModelCanaries, as somebody feels who types it?

Starts the real program again and again against a real API server and takes the time from start to end, with the
interpreter's own start. The light test bed is one (`tests/cluster/testbed/testbed --light up`); the ModelCanaries are
made in a namespace of their own, with the status that an operator left, and deleted at the end. Prints the times, those
of the processor and those of the interpreter alone; exits with 1 where the median is above the limit.

    python benchmarks/kubectl.py --kubeconfig FILE [--canaries 200] [--runs 20]
"""

import argparse
import asyncio
import copy
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from controlplane.kubectl.client import ThinClient
from controlplane.kubectl.kubeconfig import find
from controlplane.kubernetes.api import Kube
from controlplane.kubernetes.resources import MODEL_CANARY, NAMESPACE
from tests.controlplane.kubectl.desk import left_by, under_way

RESULTS = Path(__file__).parent / "results" / "kubectl.json"
LIMIT_S = 0.6
AT_ONCE = 8
PROGRAM = Path(sys.executable).with_name("kubectl-canary")


async def fill(kube: Kube, namespace: str, count: int) -> None:
    """Make the ModelCanaries, each with a status of its own."""
    (template,), *_ = left_by(under_way)
    await kube.create(NAMESPACE, {"metadata": {"name": namespace}})
    places = asyncio.Semaphore(AT_ONCE)

    async def make(number: int) -> None:
        name = f"chat-{number:03d}"
        made: dict[str, Any] = {"metadata": {"name": name, "namespace": namespace}, "spec": template["spec"]}
        status = copy.deepcopy(template["status"])
        async with places:
            await kube.create(MODEL_CANARY, made)
            patch = [{"op": "add", "path": "/status", "value": status}]
            await kube.patch(MODEL_CANARY, namespace, name, patch, subresource="status")

    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            tasks.create_task(make(number))


def timed(words: list[str]) -> tuple[float, float, str]:
    """Seconds that a program takes, seconds of the processor, and what it prints."""
    began, spent = time.perf_counter(), _spent()
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return time.perf_counter() - began, _spent() - spent, done.stdout


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(what: str, words: list[str], runs: int, lines: int) -> dict[str, float]:
    """The figures of so many runs, printed as well; the first, which reads from the disk, does not count."""
    times, spent = [], []
    for _ in range(runs + 1):
        seconds, processor, printed = timed(words)
        if len(printed.splitlines()) != lines:
            raise SystemExit(f"{what} printed {len(printed.splitlines())} lines, {lines} were expected.")
        times.append(seconds)
        spent.append(processor)
    figures = {
        "median_s": statistics.median(times[1:]),
        "worst_s": max(times[1:]),
        "best_s": min(times[1:]),
        "processor_s": statistics.median(spent[1:]),
    }
    print(f"{what:<28}" + "   ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    return figures


def main() -> int:
    """Measure; answers the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--canaries", type=int, default=200)
    parser.add_argument("--runs", type=int, default=20)
    said = parser.parse_args()
    namespace = f"list-{os.getpid()}"
    left_by(under_way)  # played here, before there is a loop
    list_ = [str(PROGRAM), "list", "-n", namespace, "--kubeconfig", said.kubeconfig]
    try:
        asyncio.run(_with(said.kubeconfig, lambda kube: fill(kube, namespace, said.canaries)))
        listed = measured(f"kubectl canary list ({said.canaries})", list_, said.runs, said.canaries + 1)
        bare = measured("the interpreter alone", [sys.executable, "-c", ""], said.runs, 0)
    finally:
        asyncio.run(_with(said.kubeconfig, lambda kube: kube.delete(NAMESPACE, None, namespace)))
    figures = {"canaries": said.canaries, "runs": said.runs, "limit_s": LIMIT_S, "cores": os.cpu_count()}
    load = round(os.getloadavg()[0], 1)
    RESULTS.write_text(json.dumps(figures | {"load": load, "list": listed, "python": bare}, indent=2) + "\n")
    within = listed["median_s"] <= LIMIT_S
    print(f"{'within' if within else 'ABOVE'} the limit of {LIMIT_S} s; load {load} on {os.cpu_count()} cores")
    return 0 if within else 1


async def _with(kubeconfig: str, work: Callable[[Kube], Awaitable[None]]) -> None:
    kube = ThinClient(find(kubeconfig=kubeconfig))
    try:
        await work(kube)
    finally:
        await kube.close()


if __name__ == "__main__":
    sys.exit(main())
