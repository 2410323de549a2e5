"""`serinus eval` as a person runs it: a process, its lines and its exit code."""

import asyncio
import json
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

from tests.controlplane.adapters.waiting import until
from tests.controlplane.evaluation.chat_server import ChatServer, echo
from tests.controlplane.evaluation.evaluations import write

SERINUS = [sys.executable, "-m", "controlplane.cli.main", "eval"]


async def serinus(*words: str | Path) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *SERINUS, *map(str, words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def wrong(_body: dict[str, Any]) -> str:
    """Terminal escapes and markup, to be shown as text."""
    return "\x1b[2J<script>no</script>"


async def test_the_exit_code_is_the_verdict_and_show_has_the_answers_that_differ(tmp_path: Path) -> None:
    file, state = write(tmp_path, 100), tmp_path / "state"
    good, bad = ChatServer(), ChatServer(wrong)
    async with good.listening(), bad.listening():
        code, out, _ = await serinus("run", file, "--stable", good.url, "--canary", good.url, "--state", state)
        assert code == 0
        assert out.startswith("100 items can show a drop of 14.6 points, if one answer in ten differs.")
        assert "PASS  contains >= stable" in out
        words = ("run", file, "--stable", good.url, "--canary", bad.url, "--state", state, "-o", "json")
        code, out, _ = await serinus(*words)
        answers = len(good.asked)
        assert (await serinus(*words))[0] == 1
        assert len(good.asked) > answers  # another build may answer there by now
    assert code == 1
    *items, last = [json.loads(line) for line in out.splitlines()]
    assert {item["event"] for item in items} == {"item"}
    assert set(items[0]) == {"event", "id", "stable", "canary", "scores"}
    assert (last["event"], last["verdict"], last["items"], last["asked"]) == ("evaluation", "fail", 100, len(items))
    assert {"metric", "verdict", "stable", "canary", "difference", "low", "high", "n", "discordant", "why"} <= set(
        last["metrics"][0]
    )
    code, out, _ = await serinus("show", file, "--state", state)
    assert code == 0
    assert "FAIL: 9 of 100 items asked" in out
    assert "<script>no</script>" in out
    assert "\x1b" not in out


async def test_a_server_that_is_down_is_undecided(tmp_path: Path) -> None:
    file = write(tmp_path, 20, request={"retries": 1})
    good = ChatServer()
    async with good.listening():
        words = ("run", file, "--stable", good.url, "--canary", "http://127.0.0.1:9", "--state", tmp_path / "s")
        code, out, _ = await serinus(*words)
    assert code == 3
    assert "WAIT: canary gives no answer to item" in out
    assert "The same command goes on from here." in out


async def test_bad_input_is_two_and_asks_nothing(tmp_path: Path) -> None:
    server = ChatServer()
    async with server.listening():
        for file in (write(tmp_path, lines=["{", "{"]), tmp_path / "none.yml"):
            code, _, err = await serinus("run", file, "--stable", server.url, "--canary", server.url)
            assert code == 2
            assert "Traceback" not in err
        file = write(tmp_path, 20)
        assert (await serinus("run", file, "--canary", server.url))[0] == 2
        assert (await serinus("run", file, "--stable", "ftp://a", "--canary", server.url))[0] == 2
    assert server.asked == []
    code, _, err = await serinus("show", file, "--state", tmp_path / "s")
    assert code == 2
    assert "No run of" in err


def _asked(server: ChatServer, enough: int) -> bool:
    return len(server.asked) >= enough


async def test_r1_a_kill_and_a_ctrl_c_lose_no_answer(tmp_path: Path) -> None:
    """Each time some answers come, then the process ends; what it had kept is not asked again."""
    file = write(tmp_path, 60, metrics=["contains not worse than stable by 1pp"], request={"inFlight": 2})
    stable, canary = ChatServer(), ChatServer(delay_s=0.02)
    async with stable.listening(), canary.listening():
        words: list[str | Path] = [
            "run",
            file,
            "--stable",
            stable.url,
            "--canary",
            canary.url,
            "--state",
            tmp_path / "s",
            "-o",
            "json",
        ]
        for number, enough in ((signal.SIGKILL, 15), (signal.SIGINT, 30)):
            process = await asyncio.create_subprocess_exec(
                *SERINUS, *map(str, words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
            await until(partial(_asked, canary, enough))
            process.send_signal(number)
            _, err = await process.communicate()
            assert process.returncode == (-9 if number is signal.SIGKILL else 3)
        assert b"The answers are kept; the same command goes on." in err
        canary.reply = echo
        code, out, _ = await serinus(*words)
    assert code == 3  # 60 items cannot tell one point
    assert json.loads(out.splitlines()[-1])["asked"] == 60
    questions = [body["messages"][0]["content"] for body in canary.asked]
    assert len(questions) - len(set(questions)) <= 2 * 2  # what was in flight at each end


async def test_plan_says_what_the_data_set_can_show(tmp_path: Path) -> None:
    code, out, _ = await serinus("plan", write(tmp_path, 200), "--drop", "2")
    assert code == 0
    assert "200 items can show a drop of" in out
    assert "A drop of 2 points needs 6310 items." in out
    code, out, _ = await serinus("plan", tmp_path / "evaluation.yml", "-o", "json")
    assert json.loads(out)["items"] == 200
