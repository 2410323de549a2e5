"""`serinus get -w` beside a real `serinus run`: the same lines and the same screen, from another process."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.controlplane.real import PATIENCE_S, LeftBehind, running, write_plan

pytestmark = pytest.mark.real
SERINUS = str(Path(sys.executable).with_name("serinus"))


async def said(*arguments: object) -> tuple[int | None, str, str]:
    """Exit code, output and errors of a command of its own process."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(SERINUS, *map(str, arguments), stdout=pipe, stderr=pipe)
    async with asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_what_runs_is_followed_to_its_end_from_another_terminal(tmp_path: Path) -> None:
    state = tmp_path / "state"
    stages = [{"traffic": "50%", "hold": "300s"}, {"traffic": "100%"}]
    with LeftBehind(state):
        async with running(write_plan(tmp_path, stages=stages), state) as run, asyncio.TaskGroup() as tasks:
            await run.until(event="phase", phase="Analyzing")
            watched = tasks.create_task(said("get", "real", "--state", state, "-w"))
            waited = tasks.create_task(
                said("status", "real", "--state", state, "--wait", "--timeout", f"{PATIENCE_S:g}s")
            )
            code, screen, errors = await said("get", "real", "--state", state)
            assert (code, errors) == (0, "")
            assert "real  ◑ analyzing  stage 1 of 2" in screen
            assert "✔ ready" in screen
            assert "promote: serinus promote real --state" in " ".join(screen.split())
            assert (await said("promote", "real", "--to", "100%", "--state", state))[0] == 0
            assert await run.end() == 0
        code, lines, errors = await watched
        assert (code, errors) == (0, "")
        assert lines == (await said("history", "real", "--state", state))[1]
        code, told, _ = await waited
        assert (code, told.splitlines()[0]) == (0, "real  Succeeded  100 %  Promoted")
