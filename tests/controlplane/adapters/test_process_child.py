"""A process is recognised by pid and creation time, and only then asked, ended or killed."""

import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from controlplane.adapters.process_child import Child, end, last_line, start, status_in_words
from tests.controlplane.adapters.waiting import alive, until


def run(code: str, log: Path) -> Child:
    return start([sys.executable, "-c", code], log=log)


@pytest.mark.real
async def test_a_child_tells_how_it_ended(tmp_path: Path) -> None:
    child = run("import sys; print('hello'); sys.exit(7)", tmp_path / "log")
    await until(lambda: not child.alive)
    assert child.exit_status == 7
    assert last_line(tmp_path / "log") == "hello"


@pytest.mark.real
async def test_the_same_pid_with_another_creation_time_is_nobody_of_ours(tmp_path: Path) -> None:
    """It is not alive as far as we are concerned, and no signal of ours reaches it."""
    child = run("import time; time.sleep(60)", tmp_path / "log")
    stranger = replace(child, created=child.created - 60)
    assert not stranger.alive
    await end(stranger, 1.0)
    stranger.kill()
    assert child.alive
    await end(child, 5.0)
    await until(lambda: not child.alive)
    assert child.exit_status == -15


@pytest.mark.real
async def test_a_clock_that_was_adjusted_does_not_make_a_child_a_stranger(tmp_path: Path) -> None:
    """Creation times are counted from the boot time, which moves a little with the clock."""
    child = run("import time; time.sleep(60)", tmp_path / "log")
    assert replace(child, created=child.created + 1.0).alive
    await end(child, 5.0)


@pytest.mark.real
async def test_a_child_lives_until_its_last_thread_has_ended(tmp_path: Path) -> None:
    """Its first one may be gone before, and it looks like a zombie; but its ports are still its own."""
    code = (
        "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(60,)).start(); "
        "ctypes.CDLL(None).pthread_exit(None)"
    )
    child = run(code, tmp_path / "log")
    await until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
    assert child.alive
    child.kill()
    await until(lambda: not child.alive)
    assert child.exit_status == -9


@pytest.mark.real
async def test_what_does_not_end_within_its_grace_is_killed(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    child = run(code, tmp_path / "log")
    await until(lambda: last_line(tmp_path / "log") == "1")
    await end(child, 0.1)
    assert not psutil.pid_exists(child.pid), "nobody waited for it"
    assert child.exit_status == -9


@pytest.mark.real
async def test_what_a_shell_started_is_asked_to_end_as_well(tmp_path: Path) -> None:
    """The shell dies of the first SIGTERM; its server hears of it, finishes, and is gone within the same grace."""
    script = "trap 'echo finished; exit' TERM; echo begun; while :; do sleep 0.02; done"
    child = start(["sh", "-c", f'sh -c "{script}" & wait'], log=tmp_path / "log")
    await until(lambda: last_line(tmp_path / "log") == "begun")
    server = psutil.Process(child.pid).children()[0].pid
    await end(child, 5.0)
    assert last_line(tmp_path / "log") == "finished"
    assert not alive(server)


@pytest.mark.real
async def test_what_a_shell_started_ends_with_it_however_the_race_goes(tmp_path: Path) -> None:
    """The shell may be dead before anybody looked; nobody has heard of its end, so its group is surely ours."""
    child = start(["sh", "-c", "sleep 60 & echo $!; wait"], log=tmp_path / "log")
    await until(lambda: last_line(tmp_path / "log") != "")
    left = int(last_line(tmp_path / "log"))
    child.terminate()
    await until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
    await end(child, 5.0)
    await until(lambda: not alive(left))


def test_a_program_that_does_not_exist_is_the_caller_s_to_explain(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        start(["./no-such-program"], log=tmp_path / "log")


@pytest.mark.parametrize(
    ("status", "words"), [(0, "exit status 0"), (1, "exit status 1"), (-9, "killed by SIGKILL"), (None, "not known")]
)
def test_an_exit_status_in_words(status: int | None, words: str) -> None:
    assert words in status_in_words(status)


def test_the_last_line_is_of_this_start_only(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("of the start before\n")
    since = log.stat().st_size
    assert last_line(log, since) == ""
    log.write_text("of the start before\nfirst\n  last  \n\n")
    assert last_line(log, since) == "last"
    assert last_line(tmp_path / "none") == ""
