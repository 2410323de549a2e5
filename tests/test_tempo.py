"""The markers that make a quick run: by the list of slow tests, and by names that speak of rates."""

import subprocess
import sys
from pathlib import Path

from tests.tempo import LIST

ROOT = Path(__file__).parent.parent


def collected(expression: str, file: str) -> list[str]:
    """Names of the tests of a file that such a run takes."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-m", expression, file]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return [line.partition("[")[0] for line in found.stdout.splitlines() if "::" in line]


def test_a_test_is_slow_by_the_list_and_statistical_by_its_name() -> None:
    """The rest of the file is quick."""
    file = "tests/canary/judge/test_segments.py"
    slow = {name for name in LIST.read_text().split() if name.startswith(f"{file}::")}
    assert set(collected("slow", file)) == slow
    rates = set(collected("statistics", file))
    assert rates == {f"{file}::test_healthy_segments_are_seldom_convicted_however_many_there_are"}
    quick = collected("not slow and not statistics and not real", file)
    assert quick
    assert not set(quick) & (slow | rates)
