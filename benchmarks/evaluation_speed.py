"""What an evaluation costs: 1 000 one-turn items, a server that takes 50 ms, 32 questions in flight.

    .venv/bin/python benchmarks/evaluation_speed.py [--items 1000] [--delay 0.05] [--in-flight 32]

One variant is asked, by a limit that no answer decides early. The server is a process of its own, so the CPU time is
ours alone: sending, reading, keeping in SQLite, scoring, weighing. Prints seconds, milliseconds of CPU an item and
the growth of memory while it ran. Bars on a quiet machine: 3 s and 3 ms for 1 000 items.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

import psutil

from canary.spec.evaluation import Evaluation
from controlplane.evaluation.answers import AnswerStore
from controlplane.evaluation.endpoint import ChatEndpoint, open_http
from controlplane.evaluation.loading import load
from controlplane.evaluation.runner import Side, evaluate

SERVER = ["-m", "controlplane.sample.server", "--port", "0", "--itl", "0", "--jitter", "0", "--tokens", "4"]


async def started(delay: float) -> tuple[asyncio.subprocess.Process, str]:
    """A sample server and its address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *SERVER, "--ttft", str(delay), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    if process.stdout is None:
        raise RuntimeError("started without a pipe")
    async for line in process.stdout:
        said = line.decode()
        if "127.0.0.1:" in said:
            return process, f"http://127.0.0.1:{said.split('127.0.0.1:')[1].split()[0].strip('/.,;')}"
    raise RuntimeError("the server said no address")


async def main() -> None:
    """Measure once and print one line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=1_000)
    parser.add_argument("--delay", type=float, default=0.05)
    parser.add_argument("--in-flight", type=int, default=32)
    given = parser.parse_args()
    server, url = await started(given.delay)
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows = [json.dumps({"id": str(n), "prompt": f"Order {n}?", "expected": "on" if n % 2 else "off"})
                    for n in range(given.items)]  # fmt: skip
            (Path(folder) / "items.jsonl").write_text("\n".join(rows))
            evaluation = Evaluation.model_validate(
                {
                    "dataset": "items.jsonl",
                    "metrics": ["contains >= 50%"],
                    "request": {"inFlight": given.in_flight, "maxTokens": 4},
                }
            )
            loaded = load(evaluation, Path(folder), model="sample-llm")
            store, http = AnswerStore(Path(folder) / "state"), open_http(evaluation)
            side = Side(ChatEndpoint("canary", lambda: [url], http, evaluation), "canary")
            process = psutil.Process()
            memory, cpu, began = process.memory_info().rss, time.process_time(), time.perf_counter()
            outcome = await evaluate(loaded, {"canary": side}, store, run="r", now=time.perf_counter)
            took, spent = time.perf_counter() - began, time.process_time() - cpu
            grown = process.memory_info().rss - memory
            await http.close()
            await store.close()
        asked = outcome.progress.asked
        print(f"{asked} items, {took:.2f} s, {1000 * spent / asked:.2f} ms CPU an item, {grown / 2**20:.1f} MiB more")
    finally:
        server.terminate()
        await server.wait()


if __name__ == "__main__":
    asyncio.run(main())
