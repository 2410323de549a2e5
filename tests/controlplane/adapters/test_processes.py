"""Real processes on this machine: crash, slowness, take-over, replacement, end. Nobody else's is ever touched."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from canary.snapshot import VariantStatus
from canary.spec.models import ReadinessProbe, Variant
from canary.weights import Arm
from controlplane.adapters.process_child import Child, end
from controlplane.adapters.process_replica import StartPace
from controlplane.adapters.processes import ProcessPlatform
from controlplane.private_files import read_json, write_json
from tests.controlplane.adapters.upstreams import ask
from tests.controlplane.adapters.waiting import PATIENCE_S, alive, until

pytestmark = pytest.mark.real
SERVER = str(Path(__file__).with_name("small_server.py"))
QUICK = StartPace(
    look_every_s=0.02,
    probe_every_s=0.03,
    notice_s=0.0,
    pause_s=0.02,
    longest_pause_s=0.1,
    grace_s=PATIENCE_S,
)
PATIENT = ReadinessProbe(timeout=PATIENCE_S, period=0.1, failures=2)


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    """A state folder with no process left afterwards."""
    yield tmp_path
    async with platform(tmp_path) as left_behind:
        await left_behind.close()


def platform(folder: Path, pace: StartPace = QUICK, on_change: Callable[[], None] = lambda: None) -> ProcessPlatform:
    """Leaving its block without `close` is what a kill -9 of Serinus leaves behind."""
    return ProcessPlatform(folder, now=time.time, pace=pace, on_change=on_change)


def server(*options: str, name: str = "v1", replicas: int = 1) -> Variant:
    command = (sys.executable, SERVER, "{port}", *options)
    return Variant(name=name, command=command, replicas=replicas, ready=PATIENT)


async def until_seen(
    condition: Callable[[VariantStatus], bool], of: ProcessPlatform, arm: Arm = "stable"
) -> VariantStatus:
    async with asyncio.timeout(PATIENCE_S):
        while not condition(seen := (await of.seen())[arm]):  # noqa: ASYNC110 - readiness comes from other processes
            await asyncio.sleep(0.01)
        return seen


def ready(seen: VariantStatus) -> bool:
    return seen.ready == seen.wanted > 0


def pid_of(folder: Path, replica: str = "stable-0") -> int:
    return int(read_json(folder / "processes.json")[replica]["pid"])


async def test_port_name_and_address_are_filled_in_and_other_braces_stay(folder: Path) -> None:
    options = ("--crash", '{name} at {address}: {"json": {}}')
    async with platform(folder) as here:
        await here.run("stable", server(*options, name="v7"))
        seen = await until_seen(lambda seen: "exit status" in seen.problem, here)
        address = here.addresses()["stable"]["stable-0"]
        assert seen.problem == f'exit status 3: v7 at {address}: {{"json": {{}}}}'


async def test_python_is_found_even_where_only_ours_exists(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    async with platform(folder) as here:
        await here.run("stable", Variant(name="v1", command=("python", SERVER, "{port}")))
        await until_seen(ready, here)


async def test_a_crash_loop_is_hopeless_after_four_and_quotes_the_last_line(folder: Path) -> None:
    """Hopeless, and still tried again: a stable variant must come back once its cause is gone."""
    async with platform(folder) as here:
        await here.run("canary", server("--crash", "no such model"))
        seen = await until_seen(lambda seen: seen.hopeless, here, "canary")
        assert seen.problem == "exit status 3: no such model"
        starts = (folder / "logs" / "v1-0.log").read_text().count("no such model")
        assert starts == 4
        await until(lambda: (folder / "logs" / "v1-0.log").read_text().count("no such model") > starts)


async def test_a_crash_after_a_settled_start_is_the_first_of_a_new_series(folder: Path) -> None:
    async with platform(folder, replace(QUICK, settled_s=0.0)) as here:
        await here.run("stable", server())
        for _ in range(5):
            await until_seen(ready, here)
            os.kill(pid_of(folder), signal.SIGKILL)
            seen = await until_seen(lambda seen: "killed by SIGKILL" in seen.problem, here)
            assert not seen.hopeless


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("no-such-program", "command not found: no-such-program"),
        ("./no-such-file", "command not found: ./no-such-file"),
        (SERVER, f"not executable: {SERVER}"),
    ],
)
async def test_a_command_that_cannot_start_is_hopeless_at_once(folder: Path, command: str, problem: str) -> None:
    async with platform(folder) as here:
        await here.run("canary", Variant(name="v2", command=(command, "{port}")))
        seen = await until_seen(lambda seen: seen.hopeless, here, "canary")
        assert seen.problem == problem
        assert here.addresses()["canary"] == {}


async def test_a_silent_crash_is_not_explained_with_the_words_of_the_one_before(folder: Path) -> None:
    script = f"if [ -e {folder}/flag ]; then exit 4; fi; touch {folder}/flag; echo once; exit 3"
    async with platform(folder) as here:
        await here.run("canary", Variant(name="v2", command=("sh", "-c", script)))
        await until_seen(lambda seen: seen.problem == "exit status 3: once", here, "canary")
        seen = await until_seen(lambda seen: "exit status 4" in seen.problem, here, "canary")
        assert "once" not in seen.problem


async def test_a_replica_that_is_tried_again_still_says_how_it_ended(folder: Path) -> None:
    script = f"if [ -e {folder}/flag ]; then sleep 60; fi; touch {folder}/flag; exit 3"
    async with platform(folder) as here:
        await here.run("canary", Variant(name="v2", command=("sh", "-c", script)))
        seen = await until_seen(lambda seen: "started again" in seen.problem, here, "canary")
        assert seen.problem.endswith("yet (started again after exit status 3)")


async def test_a_slow_start_says_what_it_waits_for(folder: Path) -> None:
    flag = folder / "closed"
    flag.touch()
    async with platform(folder) as here:
        await here.run("stable", server("--closed-while", str(flag)))
        seen = await until_seen(lambda seen: "nothing listens" in seen.problem, here)
        assert not seen.hopeless
        flag.unlink()
        assert (await until_seen(ready, here)).problem == ""


async def test_a_replica_that_stops_answering_200_is_unready_until_it_does_again(folder: Path) -> None:
    """Its process stays the same; the routes hear of both changes."""
    flag = folder / "unready"
    changes: list[bool] = []
    here = platform(folder, on_change=lambda: changes.append(bool(here.endpoints()["stable"])))
    async with here:
        await here.run("stable", server("--unready-while", str(flag)))
        await until_seen(ready, here)
        pid = pid_of(folder)
        flag.touch()
        seen = await until_seen(lambda seen: not ready(seen), here)
        assert seen.problem == "GET /health answers 503, expected 200"
        assert here.endpoints()["stable"] == {}
        assert list(here.addresses()["stable"]) == ["stable-0"]
        flag.unlink()
        await until_seen(ready, here)
        assert pid_of(folder) == pid
        assert changes[-3:] == [True, False, True]


async def test_one_of_two_replicas_down_is_named(folder: Path) -> None:
    async with platform(folder, replace(QUICK, pause_s=60.0, longest_pause_s=60.0)) as here:
        await here.run("stable", server(replicas=2))
        await until_seen(ready, here)
        os.kill(pid_of(folder, "stable-1"), signal.SIGKILL)
        seen = await until_seen(lambda seen: "killed" in seen.problem, here)
        assert (seen.wanted, seen.ready, seen.problem) == (2, 1, "stable-1: killed by SIGKILL")
        assert list(here.endpoints()["stable"]) == ["stable-0"]


async def test_a_restarted_replica_keeps_its_port(folder: Path) -> None:
    async with platform(folder) as here:
        await here.run("stable", server())
        await until_seen(ready, here)
        before, pid = here.endpoints(), pid_of(folder)
        os.kill(pid, signal.SIGKILL)
        await until_seen(lambda seen: not ready(seen), here)
        await until_seen(ready, here)
        assert here.endpoints() == before
        assert pid_of(folder) != pid


async def test_the_next_run_takes_the_processes_over(folder: Path) -> None:
    """Same process, same port, ready from the first look on, and since when it really was."""
    async with platform(folder) as killed:
        await killed.run("stable", server(replicas=2))
        await until_seen(ready, killed)
        before = (killed.endpoints(), killed.ready_since(), pid_of(folder), pid_of(folder, "stable-1"))
    async with platform(folder) as here:
        await here.run("stable", server(replicas=2))
        assert ready((await here.seen())["stable"])
        assert (here.endpoints(), here.ready_since(), pid_of(folder), pid_of(folder, "stable-1")) == before


async def test_who_is_taken_over_and_does_not_answer_is_unready_after_two_probes(folder: Path) -> None:
    flag = folder / "unready"
    async with platform(folder) as killed:
        await killed.run("stable", server("--unready-while", str(flag)))
        await until_seen(ready, killed)
    flag.touch()
    async with platform(folder) as here:
        await here.run("stable", server("--unready-while", str(flag)))
        seen = await until_seen(lambda seen: not ready(seen), here)
        assert seen.problem == "GET /health answers 503, expected 200"


async def test_another_command_under_the_same_name_ends_the_former_process_first(folder: Path) -> None:
    async with platform(folder) as killed:
        await killed.run("stable", server(replicas=2))
        await until_seen(ready, killed)
        former = (pid_of(folder), pid_of(folder, "stable-1"))
    async with platform(folder) as here:
        await here.run("stable", server("--says", "another"))
        await until_seen(ready, here)
        assert pid_of(folder) != former[0]
        await until(lambda: not any(map(alive, former)))
        assert list(here.addresses()["stable"]) == ["stable-0"]


async def test_a_promoted_canary_serves_on_as_the_next_plan_s_stable_variant(folder: Path) -> None:
    """What won is not started a second time: its processes get the stable name, and the former stable one ends."""
    async with platform(folder) as first_plan:
        await first_plan.run("stable", server(name="v1"))
        await first_plan.run("canary", server(name="v2"))
        await until_seen(ready, first_plan)
        await until_seen(ready, first_plan, "canary")
        old, winner = pid_of(folder), pid_of(folder, "canary-0")
        address = first_plan.endpoints()["canary"]["canary-0"]
    async with platform(folder) as next_plan:
        await next_plan.run("stable", server(name="v2"))
        await next_plan.run("canary", server(name="v3"))
        await until_seen(ready, next_plan)
        await until_seen(ready, next_plan, "canary")
        assert pid_of(folder) == winner
        assert next_plan.endpoints()["stable"]["stable-0"] == address
        assert pid_of(folder, "canary-0") not in {old, winner}
        await until(lambda: not alive(old))


async def test_stop_lets_open_requests_end(folder: Path) -> None:
    async with platform(folder) as here:
        await here.run("canary", server("--work", str(folder)))
        await until_seen(ready, here, "canary")
        async with asyncio.TaskGroup() as clients:
            answer = clients.create_task(ask(here.endpoints()["canary"]["canary-0"], "/work"))
            await until((folder / "begun").exists)
            clients.create_task(here.stop("canary"))
            await until((folder / "told").exists)
            (folder / "finish").touch()
        assert answer.result()[0] == 200


async def test_what_is_being_stopped_is_not_taken_over_by_a_new_run(folder: Path) -> None:
    """Asked for again while its last request is answered, the variant gets a process that stays."""
    async with platform(folder) as here:
        await here.run("canary", server("--work", str(folder)))
        await until_seen(ready, here, "canary")
        former = pid_of(folder, "canary-0")
        async with asyncio.TaskGroup() as clients:
            answer = clients.create_task(ask(here.endpoints()["canary"]["canary-0"], "/work"))
            await until((folder / "begun").exists)
            clients.create_task(here.stop("canary"))
            await until((folder / "told").exists)
            await here.run("canary", server("--work", str(folder)))
            seen = await until_seen(lambda seen: "former process" in seen.problem, here, "canary")
            assert (seen.ready, seen.problem) == (0, "waiting for the former process to end")
            (folder / "finish").touch()
        assert answer.result()[0] == 200
        await until_seen(ready, here, "canary")
        assert pid_of(folder, "canary-0") != former
        assert not alive(former)


async def test_a_process_that_does_not_listen_is_killed_with_its_group(folder: Path) -> None:
    """After the grace period, and its children with it, even those of a shell."""
    async with platform(folder, replace(QUICK, grace_s=0.2)) as here:
        deaf = f"{sys.executable} {SERVER} {{port}} --deaf & wait"
        await here.run("canary", Variant(name="v2", command=("sh", "-c", f"trap '' TERM; {deaf}")))
        await until_seen(ready, here, "canary")
        family = [pid_of(folder, "canary-0"), *[c.pid for c in psutil.Process(pid_of(folder, "canary-0")).children()]]
        assert len(family) == 2
        await here.stop("canary")
        await until(lambda: not any(map(alive, family)))


async def test_what_a_dead_shell_left_behind_does_not_hold_the_port(folder: Path) -> None:
    async with platform(folder) as here:
        await here.run("stable", Variant(name="v1", command=("sh", "-c", f"{sys.executable} {SERVER} {{port}} & wait")))
        await until_seen(ready, here)
        left = psutil.Process(pid_of(folder)).children()[0].pid
        before = here.endpoints()
        os.kill(pid_of(folder), signal.SIGKILL)
        await until_seen(lambda seen: not ready(seen), here)
        await until_seen(ready, here)
        assert not alive(left)
        assert here.endpoints() == before


async def test_a_pid_that_now_belongs_to_somebody_else_is_left_alone(folder: Path) -> None:
    """The record is from before a reboot; neither take-over, nor stop, nor close may signal that process."""
    async with platform(folder) as killed:
        await killed.run("stable", server())
        await until_seen(ready, killed)
    stranger = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(60)")
    try:
        records = read_json(folder / "processes.json")
        really, created = records["stable-0"]["pid"], records["stable-0"]["created"]
        records["stable-0"]["pid"] = stranger.pid
        records["stable-0"]["created"] -= 5
        write_json(folder / "processes.json", records)
        async with platform(folder) as here:
            await here.run("stable", server())
            await until_seen(ready, here)
            assert pid_of(folder) not in {stranger.pid, really}
            await here.stop("stable")
        write_json(folder / "processes.json", records)
        async with platform(folder) as here:
            await here.close()
        assert alive(stranger.pid)
        assert alive(really)
        await end(Child(really, created), 0.0)
    finally:
        stranger.kill()
        await stranger.wait()


async def test_close_ends_what_earlier_runs_left(folder: Path) -> None:
    async with platform(folder) as killed:
        await killed.run("stable", server())
        await until_seen(ready, killed)
        pid = pid_of(folder)
    assert alive(pid)
    async with platform(folder) as here:
        await here.close()
        assert not alive(pid)
    assert read_json(folder / "processes.json") == {}


async def test_records_that_make_no_sense_are_none(folder: Path) -> None:
    (folder / "processes.json").write_text('{"stable-0": {"pid": "x"}, "canary-0"')
    async with platform(folder) as here:
        await here.run("stable", server())
        await until_seen(ready, here)
