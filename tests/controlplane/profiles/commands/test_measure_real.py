"""`serinus profile measure` against a real server of known speed, in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator

import httpx2 as httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.real

TTFT, ITL, TOKENS = 1.0, 0.1, 12
"""Seconds, and tokens of an answer. Slow, because the aim is a share, and a busy machine wakes late by tens of
milliseconds.
"""
AIM = 0.03
"""What the tool may differ from what the server itself has counted."""
NOMINAL = 0.10
"""What both may differ from the knobs: this much belongs to the operating system."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    speed = ["--ttft", str(TTFT), "--itl", str(ITL), "--tokens", str(TOKENS), "--jitter", "0"]
    command = [sys.executable, "-m", "controlplane.sample.server", "--port", "0", *speed]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        yield running.stdout.readline().split(" at ")[1].strip()
        running.terminate()


class Book:
    """What the server has counted: seconds and how many, by metric."""

    def __init__(self, url: str) -> None:
        page = httpx.get(f"{url}/metrics", trust_env=False).text
        self.values = {
            sample.name: sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if sample.name.endswith(("_sum", "_count"))
        }

    def mean_since(self, before: "Book", metric: str) -> float:
        """Seconds on average since an earlier look."""
        seconds, count = (self.values[f"{metric}_{end}"] - before.values[f"{metric}_{end}"] for end in ("sum", "count"))
        return seconds / count


@pytest.mark.parametrize("streams", [1, 8, 64])
def test_what_it_measures_is_what_the_server_did(server: str, streams: int) -> None:
    """Within 3 % of the server's own count at any number of streams, and near what the server was told to be."""
    load = ["--concurrency", str(streams), "--seconds", "5", "--warmup", "2", "--output-tokens", str(TOKENS)]
    command = [sys.executable, "-m", "controlplane.cli.main", "profile", "measure", "--url", f"{server}/v1", *load]
    before = Book(server)
    done = subprocess.run([*command, "-o", "json"], capture_output=True, text=True, check=False)
    after = Book(server)
    assert done.returncode == 0, done.stderr
    (level,) = json.loads(done.stdout)["levels"]
    assert level["completed"] >= 2 * streams
    assert level["failures"] == {}
    ttft = after.mean_since(before, "vllm:time_to_first_token_seconds")
    itl = after.mean_since(before, "vllm:inter_token_latency_seconds")
    assert level["ttft"]["value"] == pytest.approx(ttft, rel=AIM)
    assert level["itl"]["value"] == pytest.approx(itl, rel=AIM)
    assert level["ttft"]["value"] == pytest.approx(TTFT, rel=NOMINAL)
    assert level["itl"]["value"] == pytest.approx(ITL, rel=NOMINAL)
