"""What does a tick of evidence cost, for 200 and for 1000 canaries that all have traffic?

A small server on this machine answers as Prometheus does: two slots a canary, answers by class, and a latency histogram
of Envoy's 20 buckets, raw points of three scrapes. Measured is the processor time of the asking process: the request,
the parsing, the split by owner, and every canary's counters. Prints a table and writes JSON to
`benchmarks/results/evidence.json`.

    python benchmarks/evidence.py [--canaries 200 1000] [--ticks 20]
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import resource
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from canary.spec.models import Gate
from controlplane.adapters.bounded_http import BoundedHttp
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.adapters.system_clock import SystemClock
from controlplane.evidence.metric_locations import MetricLocations, RouteSlot
from controlplane.evidence.shared_prometheus import MOST_BYTES, SharedPrometheus

RESULTS = Path(__file__).parent / "results" / "evidence.json"
LIMIT_AT_200 = 0.10
"""Share of a core that a tick a second may take."""
FINITE = (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 3e5, 6e5, 1.8e6, 3.6e6)
BOUNDS = [*(f"{bound:g}" for bound in FINITE), "+Inf"]
"""Envoy's own, in milliseconds."""
CLASSES = "12345"
GATES = (
    Gate(text="latency p95 <= 200ms", metric="latency", statistic="p95", comparison="max", limit=0.2, better="lower"),
    Gate(text="error_rate <= 1%", metric="error_rate", comparison="max", limit=0.01, better="lower"),
)


def answer(canaries: int, now: float) -> bytes:
    """What Prometheus would say: every series has three points and has grown since the last answer."""
    points = [[now - age, str(round(1000 * (now - age)) % 10**9)] for age in (2.0, 1.0, 0.0)]
    series = []
    for canary in range(canaries):
        for place in (0, 1):
            labels = {
                "container": "envoy",
                "envoy_cluster_name": f"httproute/models/chat-{canary}/rule/0/backend/{place}",
                "instance": "10.244.0.5:19001",
                "job": "envoy-gateway",
                "namespace": "envoy-gateway-system",
                "pod": "envoy-kserve-ingress-gateway-5b7f8d9c9-abcde",
            }
            name = "envoy_cluster_upstream_"
            series += [{**labels, "__name__": f"{name}rq_xx", "envoy_response_code_class": each} for each in CLASSES]
            series += [{**labels, "__name__": f"{name}rq_time_bucket", "le": each} for each in BOUNDS]
            series += [{**labels, "__name__": f"{name}{each}"} for each in ("rq_completed", "cx_protocol_error")]
    result = [{"metric": dict(sorted(labels.items())), "values": points} for labels in series]
    body = {"status": "success", "data": {"resultType": "matrix", "result": result}}
    return json.dumps(body, separators=(",", ":")).encode()


def serve(canaries: int, to_parent: Connection) -> None:
    """Answer every question; in a process of its own, so that its work is not counted."""
    body, made = b"", 0.0

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            nonlocal body, made
            self.rfile.read(int(self.headers["content-length"]))
            if time.time() - made > 0.5:
                made = time.time()
                body = answer(canaries, made)
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    to_parent.send(server.server_address[1])
    server.serve_forever()


@contextmanager
def prometheus(canaries: int) -> Iterator[str]:
    """The URL of a server that answers for so many canaries."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(canaries, there), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}"
    finally:
        process.terminate()
        process.join()


async def measure(canaries: int, ticks: int) -> dict[str, Any]:
    """Processor time and wall time of a tick, in seconds."""
    with prometheus(canaries) as url:
        api = PrometheusApi(url, seconds=20, http=BoundedHttp(most_bytes=MOST_BYTES))
        fleet = SharedPrometheus(api, clock=SystemClock(), interval=1.0)
        for number in range(canaries):
            name = f"chat-{number}"
            slots = [RouteSlot(variant, f"{name}-{variant}-predictor", 0.0) for variant in ("bf16", "int4")]
            fleet.register(
                ("models", name),
                MetricLocations(
                    namespace="models",
                    route=name,
                    slots=partial(list, slots),
                    variants={"stable": "bf16", "canary": "int4"},
                    services={"stable": f"{name}-bf16", "canary": f"{name}-int4"},
                    gates=GATES,
                ),
            )
        costs: list[tuple[float, float]] = []
        for _ in range(ticks + 1):
            cpu, wall = time.process_time(), time.perf_counter()
            await fleet.tick()
            costs.append((time.process_time() - cpu, time.perf_counter() - wall))
            counters = [fleet.newest(("models", f"chat-{number}")) for number in range(canaries)]
            if not all(each.arms["canary"] and each.arms["stable"] for each in counters):
                raise SystemExit("an arm has no numbers: what was measured is not the work")
            await asyncio.sleep(max(0.6 - costs[-1][1], 0.0))
        await api.close()
    (first, _), steady = costs[0], costs[1:]
    return {
        "canaries": canaries,
        "series": canaries * 2 * (len(CLASSES) + len(BOUNDS) + 2),
        "first_tick_cpu_s": round(first, 4),
        "tick_cpu_s": {"p50": round(statistics.median(cpu for cpu, _ in steady), 4), "max": round(max(steady)[0], 4)},
        "tick_wall_s": {"p50": round(statistics.median(wall for _, wall in steady), 4)},
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main() -> None:
    """Measure, print, write."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--canaries", type=int, nargs="+", default=[200, 1000])
    arguments.add_argument("--ticks", type=int, default=20)
    options = arguments.parse_args()
    rows = [asyncio.run(measure(canaries, options.ticks)) for canaries in options.canaries]
    for row in rows:
        cost = {name: f"{1000 * seconds:.0f} ms" for name, seconds in row["tick_cpu_s"].items()}
        print(
            f"{row['canaries']} canaries, {row['series']} series: {cost['p50']} of a core a tick "
            f"(at most {cost['max']}, the first {1000 * row['first_tick_cpu_s']:.0f} ms), {row['rss_mb']} MB"
        )
    machine = {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "python": platform.python_version()}
    RESULTS.write_text(json.dumps({"machine": machine, "limit_at_200": LIMIT_AT_200, "rows": rows}, indent=2) + "\n")
    slow = [row for row in rows if row["canaries"] == 200 and row["tick_cpu_s"]["p50"] > LIMIT_AT_200]
    if slow:
        raise SystemExit(f"more than {LIMIT_AT_200:.0%} of a core at one tick a second")


if __name__ == "__main__":
    main()
