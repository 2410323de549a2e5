"""`serinus profile measure` against a real server of known speed, in a process of its own.

How near it comes on a quiet machine is said by `benchmarks/measure.py`; here is what holds on any machine: nothing
comes before the server sent it, and no stream has waited longer than the command ran.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.real

TTFT, ITL, TOKENS = 0.4, 0.05, 12
"""Seconds, and tokens of an answer."""
E2E = TTFT + (TOKENS - 1) * ITL
EARLY = 1e-3
"""Two processes read one clock, which is rounded."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    speed = ["--ttft", str(TTFT), "--itl", str(ITL), "--tokens", str(TOKENS), "--jitter", "0"]
    command = [sys.executable, "-m", "controlplane.sample.server", "--port", "0", *speed]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        yield running.stdout.readline().split(" at ")[1].strip()
        running.terminate()


@pytest.mark.parametrize("streams", [1, 8, 64])
def test_what_it_measures_is_what_the_server_did(server: str, streams: int) -> None:
    """First token, later tokens and whole answers, at any number of streams."""
    load = ["--concurrency", str(streams), "--seconds", "4", "--warmup", "0.5", "--output-tokens", str(TOKENS)]
    command = [sys.executable, "-m", "controlplane.cli.main", "profile", "measure", "--url", f"{server}/v1", *load]
    began = time.monotonic()
    done = subprocess.run([*command, "-o", "json"], capture_output=True, text=True, check=False)
    ran = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    (level,) = json.loads(done.stdout)["levels"]
    assert level["failures"] == {}
    ttft, itl, e2e = (level[name]["value"] for name in ("ttft", "itl", "e2e"))
    assert ttft >= TTFT - EARLY
    assert e2e >= E2E - EARLY
    assert e2e == pytest.approx(ttft + (TOKENS - 1) * itl)
    assert level["completed"] * e2e <= streams * ran
