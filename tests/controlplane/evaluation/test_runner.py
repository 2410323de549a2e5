"""An evaluation over real connections: it decides, it waits, and it asks nothing twice."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from canary.verdict import GateAnswer
from controlplane.evaluation import endpoint
from controlplane.evaluation.answers import AnswerStore
from controlplane.evaluation.loading import load_file
from controlplane.evaluation.runner import EvaluationOutcome, evaluate
from tests.controlplane.evaluation.chat_server import ChatServer, Reply, echo
from tests.controlplane.evaluation.evaluations import sides, write


async def run(
    file: Path, stable: ChatServer, canary: ChatServer, *, lines: list[Any] | None = None
) -> EvaluationOutcome:
    loaded = load_file(file)
    store = AnswerStore(file.parent / "state")
    try:
        async with stable.listening(), canary.listening(), sides(loaded, {"stable": stable, "canary": canary}) as both:
            said = lines.append if lines is not None else (lambda _line: None)
            return await evaluate(loaded, both, store, run="r", now=time.monotonic, item=said)
    finally:
        await store.close()


def truncated(body: dict[str, Any]) -> str:
    """Every fourth answer misses its end."""
    text = echo(body)
    return text[:8] if int(text[-2]) % 4 == 0 else text


async def test_a_planted_fault_is_found_and_a_good_build_passes(tmp_path: Path) -> None:
    file = write(tmp_path, 400)
    lines: list[Any] = []
    bad = await run(file, ChatServer(), ChatServer(truncated), lines=lines)
    assert bad.verdict.verdict is GateAnswer.FAIL
    assert bad.progress.asked == len(lines) < 100
    assert lines[0]["event"] == "item"
    assert set(lines[0]["scores"]["contains"]) == {"stable", "canary"}
    good = await run(file, ChatServer(), ChatServer())
    assert good.verdict.verdict is GateAnswer.PASS
    assert good.line()["metrics"][0]["discordant"] == 0


async def test_r1_what_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    """The canary breaks in the middle: the evaluation waits. With the same command it goes on from there."""
    file = write(tmp_path, 60, metrics=["contains not worse than stable by 1pp"])
    stable, asked = ChatServer(), 0

    def breaks(body: dict[str, Any]) -> str | None:
        nonlocal asked
        asked += 1
        return echo(body) if asked <= 20 else None

    loaded = load_file(file)
    store = AnswerStore(tmp_path / "state")
    canary = ChatServer(breaks)
    async with stable.listening(), canary.listening(), sides(loaded, {"stable": stable, "canary": canary}) as both:
        first = await evaluate(loaded, both, store, run="r", now=time.monotonic)
        assert first.verdict.verdict is GateAnswer.WAIT
        assert first.problem.startswith("canary gives no answer to item")
        assert await store.latest() is None
        canary.reply = echo
        kept = len(stable.asked)
        second = await evaluate(loaded, both, store, run="r", now=time.monotonic)
    await store.close()
    assert second.progress.asked == 60
    prompts = [body["messages"][0]["content"] for body in stable.asked]
    # What was in flight when it was left may be asked again; what was kept is not.
    assert len(prompts) - len(set(prompts)) <= 16
    assert len(stable.asked) - kept < 60


async def test_answers_are_taken_in_the_order_of_the_data_set(tmp_path: Path) -> None:
    """Whatever comes first: a verdict does not depend on which answers are quick."""
    file = write(tmp_path, 40)
    expected = [item.id for unit in load_file(file).units for item in unit]
    lines: list[Any] = []

    class Uneven(ChatServer):
        async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.delay_s = 0.02 if len(self.asked) % 3 else 0.0
            await super()._serve(reader, writer)

    await run(file, Uneven(), ChatServer(), lines=lines)
    assert [line["id"] for line in lines] == expected[: len(lines)]


async def test_no_more_questions_are_in_flight_than_was_said(tmp_path: Path) -> None:
    canary = ChatServer(delay_s=0.005)
    await run(write(tmp_path, 60, metrics=["contains >= 99%"]), ChatServer(), canary)
    assert 2 <= canary.most_open <= 8


NONSENSE: dict[str, tuple[Reply, str]] = {
    "no JSON": (lambda _body: b"<html>", "its answer is no chat completion"),
    "no choice": (lambda _body: b'{"choices": []}', "its answer is no chat completion"),
    "deep": (lambda _body: b"[" * 100_000, "its answer is no chat completion"),
    "a list of parts": (lambda _body: b'{"choices": [{"message": {"content": [1]}}]}', "is no chat completion"),
    "a server error": (lambda _body: 500, "it answers 500 ("),
    "an unknown model": (lambda _body: 404, "it answers 404 ("),
    "a broken connection": (lambda _body: None, "the connection broke"),
    "an endless answer": (lambda _body: b"x" * (endpoint.MOST_ANSWER_BYTES + 1), "is larger than 4194304 bytes"),
}


@pytest.mark.parametrize("kind", NONSENSE)
async def test_r4_nonsense_is_no_answer_and_never_a_pass(tmp_path: Path, kind: str) -> None:
    reply, sentence = NONSENSE[kind]
    outcome = await run(write(tmp_path, 20), ChatServer(), ChatServer(reply))
    assert outcome.verdict.verdict is GateAnswer.WAIT
    assert sentence in outcome.problem
    assert "\x1b" not in outcome.problem
    assert outcome.line()["problem"] == outcome.problem


async def test_s4_a_redirect_is_not_followed(tmp_path: Path) -> None:
    inner = ChatServer()
    async with inner.listening():
        canary = ChatServer(lambda _body: 307, location=f"{inner.url}/v1/chat/completions")
        outcome = await run(write(tmp_path, 20), ChatServer(), canary)
    assert inner.asked == []
    assert "with a redirect, which is not followed" in outcome.problem


async def test_r4_a_server_that_is_slow_is_no_answer(tmp_path: Path) -> None:
    file = write(tmp_path, 3, request={"timeout": "0.1s", "retries": 1})
    outcome = await run(file, ChatServer(), ChatServer(delay_s=30))
    assert outcome.verdict.verdict is GateAnswer.WAIT
    assert "no answer within 0.1 s" in outcome.problem


async def test_a_hiccup_is_asked_again(tmp_path: Path) -> None:
    tries: dict[str, int] = {}

    def hiccups(body: dict[str, Any]) -> str | int:
        question = body["messages"][0]["content"]
        tries[question] = tries.get(question, 0) + 1
        return 503 if tries[question] == 1 else echo(body)

    outcome = await run(write(tmp_path, 30), ChatServer(), ChatServer(hiccups))
    assert outcome.verdict.verdict is GateAnswer.PASS
    assert max(tries.values()) == 2


async def test_stable_is_not_asked_where_nothing_compares_with_it(tmp_path: Path) -> None:
    stable = ChatServer()
    outcome = await run(write(tmp_path, 30, metrics=["contains >= 50%"]), stable, ChatServer())
    assert outcome.verdict.verdict is GateAnswer.PASS
    assert stable.asked == []
    assert outcome.line()["metrics"][0]["stable"] is None


async def test_tools_and_parameters_go_along(tmp_path: Path) -> None:
    line = '{"id": "a", "prompt": "x", "expected": "x", "tools": [{"type": "function"}]}'
    canary = ChatServer()
    await run(
        write(tmp_path, lines=[line], metrics=["contains >= 50%"], request={"maxTokens": 7}), ChatServer(), canary
    )
    (body,) = canary.asked
    assert body["tools"] == [{"type": "function"}]
    assert (body["model"], body["max_tokens"], body["temperature"], body["stream"]) == ("m", 7, 0.0, False)
