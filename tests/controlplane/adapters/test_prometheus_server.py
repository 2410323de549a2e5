"""Prometheus as a program: found, taken over, replaced, started again, ended."""

import json
import subprocess
from collections.abc import AsyncIterator
from errno import ENOSPC
from pathlib import Path

import pytest

from canary.errors import Unavailable
from controlplane.adapters import prometheus_server
from controlplane.adapters.process_child import Child
from controlplane.adapters.prometheus_server import MISSING, RESTART_AFTER_S, PrometheusServer, find_prometheus
from controlplane.adapters.scrape import Pages
from controlplane.private_files import write_json
from tests.controlplane.adapters.waiting import until


@pytest.fixture
def program() -> Path:
    found = find_prometheus()
    if found is None:
        pytest.skip(MISSING)
    return found


def _server(folder: Path, program: Path, *, interval: float = 1.0, pages: Pages = dict) -> PrometheusServer:
    return PrometheusServer(
        folder,
        program=program,
        envoy=lambda: "127.0.0.1:1",
        pages=pages,
        names={"stable": "v1", "canary": "v2"},
        interval=interval,
    )


@pytest.fixture
async def server(tmp_path: Path, program: Path) -> AsyncIterator[PrometheusServer]:
    server = _server(tmp_path, program)
    yield server
    await server.close()


def _kept(server: PrometheusServer) -> bool:
    """Whether it runs by now; until then it says that another one is ending."""
    try:
        server.keep(now=0.0)
    except Unavailable as waiting:
        if "of the plan before is ending" not in str(waiting):
            raise
        return False
    return True


def _child(server: PrometheusServer) -> Child:
    assert server._child is not None
    return server._child


@pytest.mark.real
async def test_the_next_run_takes_over_what_a_killed_run_left(server: PrometheusServer, tmp_path: Path) -> None:
    server.keep(now=0.0)
    second = _server(tmp_path, server._program)
    second.keep(now=0.0)
    assert (_child(second), second.url) == (_child(server), server.url)
    await second.close()
    assert not _child(server).alive
    assert not (tmp_path / "prometheus.json").exists()


@pytest.mark.real
async def test_one_that_was_started_for_another_plan_is_replaced(server: PrometheusServer, tmp_path: Path) -> None:
    server.keep(now=0.0)
    second = _server(tmp_path, server._program, interval=0.5)
    await until(lambda: _kept(second))
    assert _child(second) != _child(server)
    assert not _child(server).alive
    await second.close()


@pytest.mark.real
async def test_a_run_that_only_ends_things_ends_what_an_earlier_one_left(
    server: PrometheusServer, tmp_path: Path
) -> None:
    server.keep(now=0.0)
    await _server(tmp_path, server._program).close()
    assert not _child(server).alive


async def test_one_that_cannot_be_recorded_does_not_run_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk: nothing would find it again after a crash of ours."""
    program = tmp_path / "prometheus"
    program.write_text("#!/bin/sh\nexec sleep 3600\n", encoding="utf-8")
    program.chmod(0o755)

    def full(file: Path, content: object) -> None:
        if file.name == "prometheus.json":
            raise OSError(ENOSPC, "No space left on device")
        write_json(file, content)

    monkeypatch.setattr(prometheus_server, "write_json", full)
    server = _server(tmp_path, program)
    with pytest.raises(Unavailable, match="No space left on device"):
        server.keep(now=0.0)
    try:
        await until(lambda: not _child(server).alive)
    finally:
        await server.close()


@pytest.mark.real
async def test_one_that_died_is_started_again(server: PrometheusServer) -> None:
    server.keep(now=0.0)
    first = _child(server)
    first.kill()
    _wait(first)
    server.keep(now=RESTART_AFTER_S)
    assert _child(server) != first
    assert _child(server).alive


@pytest.mark.real
def test_prometheus_itself_accepts_the_configuration(server: PrometheusServer, program: Path, tmp_path: Path) -> None:
    file = tmp_path / "prometheus.yml"
    file.write_text(json.dumps(server._configuration()), encoding="utf-8")
    checker = program.with_name("promtool")
    checked = subprocess.run([checker, "check", "config", file], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_one_that_ends_at_once_says_why_and_is_not_started_in_a_hurry(tmp_path: Path) -> None:
    program = tmp_path / "prometheus"
    program.write_text("#!/bin/sh\necho 'no space left on device' >&2\nexit 3\n", encoding="utf-8")
    program.chmod(0o755)
    server = _server(tmp_path, program)
    server.keep(now=10.0)
    first = _child(server)
    _wait(first)
    with pytest.raises(Unavailable, match=r"ended \(exit status 3: no space left on device\)"):
        server.keep(now=10.5)
    assert _child(server) == first
    server.keep(now=10.0 + RESTART_AFTER_S)
    assert _child(server) != first
    _wait(_child(server))


def test_a_program_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be started: No such file or directory"):
        _server(tmp_path, tmp_path / "nothing").keep(now=0.0)


def test_the_targets_follow_the_replicas(tmp_path: Path) -> None:
    """A replica's name is its `instance`, so one that moves to another port stays the same series."""
    replicas = {"canary-0": "http://127.0.0.1:7001/metrics"}
    server = _server(tmp_path, tmp_path / "nothing", pages=lambda: {"canary": replicas})
    server._write_targets()
    replicas["canary-0"] = "http://127.0.0.1:7002/metrics"
    server._write_targets()
    (group,) = json.loads((tmp_path / "targets-replicas.json").read_text(encoding="utf-8"))
    assert group == {
        "targets": ["127.0.0.1:7002"],
        "labels": {
            "__metrics_path__": "/metrics",
            "instance": "canary-0",
            "arm": "canary",
            "replica": "canary-0",
            "variant": "v2",
        },
    }


def test_it_is_looked_for_on_the_path_and_then_in_the_users_cache(tmp_path: Path) -> None:
    home = {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path / "home")}
    assert find_prometheus(home) is None
    unpacked = _program_at(tmp_path / "home" / ".cache" / "serinus" / "prometheus" / "usr" / "bin")
    assert find_prometheus(home) == unpacked
    elsewhere = _program_at(tmp_path / "cache" / "serinus" / "prometheus" / "usr" / "bin")
    assert find_prometheus({**home, "XDG_CACHE_HOME": str(tmp_path / "cache")}) == elsewhere
    assert (
        find_prometheus({**home, "PATH": str(_program_at(tmp_path / "bin").parent)}) == tmp_path / "bin" / "prometheus"
    )


def _program_at(folder: Path) -> Path:
    folder.mkdir(parents=True)
    program = folder / "prometheus"
    program.touch(mode=0o755)
    return program


def _wait(child: Child) -> None:
    """Until it has ended."""
    while child.alive:
        pass


def test_pages_that_a_plan_names_are_read_as_they_are(tmp_path: Path) -> None:
    """Their own labels tell variants apart, and nothing of ours is put over these."""
    server = PrometheusServer(
        tmp_path,
        program=tmp_path / "nothing",
        envoy=lambda: "127.0.0.1:1",
        pages=dict,
        names={"stable": "v1", "canary": "v2"},
        interval=1.0,
        others=["https://shop.example.com:9100/own/metrics"],
    )
    [page] = [each for each in server._configuration()["scrape_configs"] if each["job_name"] == "serinus-page-0"]
    assert (page["scheme"], page["metrics_path"]) == ("https", "/own/metrics")
    assert page["static_configs"] == [{"targets": ["shop.example.com:9100"]}]
    assert "sample_limit" in page
