"""`serinus dashboard` as a program: what it prints, that it serves, that it leaves, and what it refuses."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import httpx2
import pytest
from click.testing import CliRunner

from controlplane.cli.dashboard import _open, command
from tests.controlplane.api import homes
from tests.controlplane.other_user import exposed


@contextmanager
def dashboard(home: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The program and the address that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "controlplane.cli.main", "dashboard", "--state-home", str(home), "--no-open", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, line
        yield process, found[0]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_it_prints_an_address_that_opens_the_rollouts_and_leaves_at_ctrl_c(tmp_path: Path) -> None:
    homes.under_way(tmp_path)
    with dashboard(tmp_path) as (process, address):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", address)
        with httpx2.Client(follow_redirects=True, timeout=60) as browser:
            assert browser.get(address).status_code == 200
            base = address.partition("/?")[0]
            assert browser.get(f"{base}/api/v1/rollouts").json()["rollouts"][0]["id"] == "support-llm"
    assert process.returncode == 0


def test_s7_the_token_is_its_owners_and_opens_no_later_start_unless_that_is_wanted(tmp_path: Path) -> None:
    file, token = tmp_path / "dashboard-token", re.compile("(?<=token=).*")
    with dashboard(tmp_path) as (_, first):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert token.findall(first) == [file.read_text()]
    with dashboard(tmp_path) as (_, second):
        assert token.findall(second) != token.findall(first)
    with dashboard(tmp_path, "--keep-token", "--read-only") as (_, third):
        assert token.findall(third) == token.findall(second) == [file.read_text()]


def test_s7_the_program_that_opens_a_browser_has_no_token_among_its_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every user of the machine can read them; the file that leads to the address is ours alone."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "serinus").mkdir(mode=0o700)
    opened: list[str] = []
    monkeypatch.setattr(click, "launch", opened.append)
    _open("http://127.0.0.1:1/?token=s3cret", secret=True)
    _open("http://127.0.0.1:1/", secret=False)
    file = tmp_path / "serinus" / "dashboard-open.html"
    assert opened == [str(file), "http://127.0.0.1:1/"]
    assert "url=http://127.0.0.1:1/?token=s3cret" in file.read_text()
    assert exposed(tmp_path / "serinus") == []


def test_a_log_store_gets_lines_without_the_token(tmp_path: Path) -> None:
    """S7: the address for people has it, a log has not."""
    homes.under_way(tmp_path)
    options = ("--state-home", str(tmp_path), "--no-open", "--log-format", "json")
    process = subprocess.Popen(
        [sys.executable, "-m", "controlplane.cli.main", "dashboard", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    first = json.loads(process.stderr.readline())
    process.send_signal(signal.SIGINT)
    out, rest = process.communicate(timeout=60)
    assert re.search(r"http://127\.0\.0\.1:\d+/$", first["message"])
    assert first.keys() == {"time", "level", "message"}
    assert (tmp_path / "dashboard-token").read_text() not in first["message"] + out + rest


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1:x", "127.0.0.1:99999", "203.0.113.1:0", ":::"])
def test_an_address_that_cannot_be_had_is_refused(tmp_path: Path, listen: str) -> None:
    result = CliRunner().invoke(command, ["--state-home", str(tmp_path), "--listen", listen, "--no-open"])
    assert result.exit_code == 2
    assert f"The dashboard cannot listen on {listen}: " in result.stderr
    assert "nothing was started" in result.stderr


def test_a_state_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    result = CliRunner().invoke(command, ["--state-home", str(file / "inside"), "--no-open"])
    assert result.exit_code == 2
    assert "nothing was started" in result.stderr


def test_the_users_own_state_directory_is_the_default(tmp_path: Path) -> None:
    """The same folder that `serinus run` writes to."""
    homes.under_way(tmp_path / "serinus")
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "controlplane.cli.main", "dashboard", "--no-open"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    assert str(tmp_path / "serinus") in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
