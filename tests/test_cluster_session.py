"""What the session of `make test-cluster` does where the test bed cannot run: it says so, and in CI it fails.

The bed itself is not needed: the session is given an empty cache, and a Go that is too old to build anything.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TESTS = ["tests/cluster/test_light.py", "-k", "api_server_knows or webhook_answers"]
OLD_GO = "#!/bin/sh\necho 'go: go.mod requires go >= 1.26 (running go 1.19)' >&2\nexit 1\n"


@pytest.fixture
def without_bed(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine on which nothing was built and nothing can be."""
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(OLD_GO)
    go.chmod(0o755)
    own = {"CI", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "SERINUS_TESTBED_BIN", "SERINUS_TESTBED_KEEP"}
    kept = {name: value for name, value in os.environ.items() if name not in own}
    return {**kept, "PATH": f"{go.parent}:{os.environ['PATH']}", "SERINUS_TESTBED_CACHE": str(tmp_path / "cache")}


def session(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Two tests of the light bed, as `make test-cluster` runs them."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *TESTS]
    return subprocess.run(command, cwd=ROOT, env=env, check=False, capture_output=True, text=True, timeout=120)


def test_a_bed_that_cannot_run_is_named_at_the_end_with_what_would_run_it(without_bed: dict[str, str]) -> None:
    """On a person's machine it is no failure, and not a silent hole either."""
    done = session(without_bed)
    assert done.returncode == 0, done.stdout
    assert "2 skipped" in done.stdout
    end = done.stdout.partition("the light test bed is not available: its tests did not run")[2]
    assert "Go is too old here (go: go.mod requires go >= 1.26 (running go 1.19))." in end
    assert "make test-cluster" in end


def test_in_ci_a_bed_that_cannot_run_is_a_failure(without_bed: dict[str, str]) -> None:
    """CI promises to have run everything."""
    done = session({**without_bed, "CI": "true"})
    assert done.returncode == 1, done.stdout
    assert "skipped" not in done.stdout
    assert "2 errors" in done.stdout
    assert "the light test bed is not available: its tests failed" in done.stdout
