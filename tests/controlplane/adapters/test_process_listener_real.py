"""Ports and variables of real servers: nobody else's port counts, and nobody else's passwords are seen."""

import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from canary.spec.models import Variant
from controlplane.adapters.envoy_config import Address
from controlplane.adapters.process_ports import port_is_free
from controlplane.adapters.processes import ProcessPlatform
from controlplane.private_files import read_json, write_json
from tests.controlplane.adapters.test_processes import (
    QUICK,
    SERVER,
    folder,
    pid_of,
    platform,
    ready,
    server,
    until_seen,
)
from tests.controlplane.adapters.upstreams import ask
from tests.controlplane.adapters.waiting import until
from tests.controlplane.other_user import THEIRS, listening

pytestmark = pytest.mark.real
__all__ = ["folder"]


def port_of(folder: Path, replica: str = "stable-0") -> int:
    return int(read_json(folder / "processes.json")[replica]["port"])


async def test_between_two_starts_nobody_else_can_take_the_port(folder: Path) -> None:
    async with platform(folder, replace(QUICK, pause_s=2.0, longest_pause_s=2.0)) as here:
        await here.run("stable", server())
        await until_seen(ready, here)
        before = here.endpoints()
        host, port = before["stable"]["stable-0"].split(":")
        os.kill(pid_of(folder), signal.SIGKILL)
        await until_seen(lambda seen: "killed" in seen.problem, here)
        await until(lambda: not port_is_free(host, int(port)))
        await until_seen(ready, here)
        assert here.endpoints() == before


async def test_s7_a_port_that_another_user_took_while_the_server_loads_is_never_ready(folder: Path) -> None:
    """The server is started again on a port of its own, and the sentence says whose the other one is."""
    loads = folder / "loads"
    loads.touch()
    async with platform(folder) as here:
        await here.run("stable", server("--closed-while", str(loads)))
        await until_seen(lambda seen: "nothing listens" in seen.problem, here)
        taken = port_of(folder)
        with listening(taken):
            seen = await until_seen(lambda seen: "is held by" in seen.problem, here)
            assert f"port {taken} is held by" in seen.problem
            assert f"of user {THEIRS}, not by v1" in seen.problem
            await until(lambda: here.addresses()["stable"]["stable-0"] != f"127.0.0.1:{taken}")
            assert Address.parse(here.addresses()["stable"]["stable-0"]).port
            loads.unlink()
            await until_seen(ready, here)
            assert port_of(folder) != taken
            assert (await ask(here.endpoints()["stable"]["stable-0"]))[2] == "ok"


async def test_s7_a_port_that_another_user_has_by_the_next_run_is_not_taken_over_as_ready(folder: Path) -> None:
    """The record says ready, its process runs, and somebody else listens."""
    loads = folder / "loads"
    loads.touch()
    variant = server("--closed-while", str(loads))
    async with platform(folder) as killed:
        await killed.run("stable", variant)
        await until_seen(lambda seen: "nothing listens" in seen.problem, killed)
    records = read_json(folder / "processes.json")
    records["stable-0"]["readySince"] = time.time() - 60
    write_json(folder / "processes.json", records)
    with listening(port_of(folder)):
        async with platform(folder) as here:
            await here.run("stable", variant)
            assert here.endpoints()["stable"] == {}
            assert "is held by" in (await here.seen())["stable"].problem


async def test_a_server_in_a_session_of_its_own_is_known_by_its_descent(folder: Path) -> None:
    command = ("sh", "-c", f"setsid {sys.executable} {SERVER} {{port}} & wait")
    async with platform(folder) as here:
        await here.run("stable", Variant(name="v1", command=command))
        await until_seen(ready, here)
        (shell,) = psutil.Process(pid_of(folder)).children()
        shell.kill()


async def test_s7_a_server_that_daemonises_counts_only_where_the_plan_says_so(folder: Path) -> None:
    """Nothing tells it from a stranger of the same user; as with containers, whose ports an engine holds."""
    command = (
        "sh",
        "-c",
        f"(setsid {sys.executable} {SERVER} {{port}} & echo $! >> {folder}/daemons) & wait; sleep 600",
    )
    variant = Variant(name="v1", command=command)
    try:
        async with platform(folder) as here:
            await here.run("stable", variant)
            seen = await until_seen(lambda seen: "is held by" in seen.problem, here)
            assert "or the plan says platform.local.listeners: user" in seen.problem
        async with ProcessPlatform(folder, now=time.time, pace=QUICK, foreign_ok=True) as here:
            await here.run("stable", variant)
            await until_seen(ready, here)
    finally:
        for pid in (folder / "daemons").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


async def test_s7_a_server_sees_few_of_our_variables_and_what_the_plan_passes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the kernel has it, for whoever may look into /proc."""
    for name in ("SMTP_PASSWORD", "HF_TOKEN", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, f"of-{name}")
    variant = server().model_copy(update={"env": {"OWN": "{name}"}, "pass_env": ("HF_TOKEN",)})
    async with platform(folder) as here:
        await here.run("stable", variant)
        await until_seen(ready, here)
        seen = psutil.Process(pid_of(folder)).environ()
    assert "SMTP_PASSWORD" not in seen
    assert (seen["HF_TOKEN"], seen["CUDA_VISIBLE_DEVICES"], seen["OWN"]) == (
        "of-HF_TOKEN",
        "of-CUDA_VISIBLE_DEVICES",
        "v1",
    )
    assert "HOME" in seen or "HOME" not in os.environ


async def test_a_server_that_misses_a_variable_says_how_it_gets_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "s3cret")
    needs = Variant(name="v1", command=(sys.executable, "-c", "import os; os.environ['HF_TOKEN']"))
    async with platform(folder) as here:
        await here.run("stable", needs)
        seen = await until_seen(lambda seen: "KeyError" in seen.problem, here)
    assert "HF_TOKEN is set here and not passed on to it" in seen.problem
    assert "passEnv: [HF_TOKEN]" in seen.problem


async def test_s7_the_last_words_of_a_server_say_no_secret_of_its_plan(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers print their arguments when they end; the sentence goes to events, pages and alerts."""
    monkeypatch.setenv("HF_TOKEN", "passed-marker")
    talk = 'import os, sys; sys.exit(f\'bad: {sys.argv} {os.environ["DB_PASSWORD"]} {os.environ["HF_TOKEN"]} url\')'
    command = (sys.executable, "-c", talk, "--api-key", "argv-marker", "--hf_token=flag-marker", "--kept", "shown")
    variant = Variant(name="v1", command=command, env={"DB_PASSWORD": "env-marker"}, pass_env=("HF_TOKEN",))
    async with platform(folder) as here:
        await here.run("stable", variant)
        seen = await until_seen(lambda seen: "bad:" in seen.problem, here)
    assert "marker" not in seen.problem
    assert "shown" in seen.problem
