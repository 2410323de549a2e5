"""The sample server speaks what clients of model servers expect, badly when told to, and never loses what it began."""

import asyncio
import json
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2 as httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from controlplane.sample.http1 import MAX_BODY_BYTES
from controlplane.sample.knobs import Knobs
from controlplane.sample.server import ModelServer

ASK = {"model": "sample-llm", "messages": [{"role": "user", "content": "Where is my order?"}]}
INSTANT = Knobs(ttft=0.0, itl=0.0, jitter=0.0, tokens=4)


class Served:
    """A server in this process, and a client for it."""

    def __init__(self, server: ModelServer, port: int, client: httpx.AsyncClient, stop: asyncio.Event) -> None:
        self.server, self.port, self.client, self.stop = server, port, client, stop

    async def ask(self, **more: Any) -> httpx.Response:
        return await self.client.post("/v1/chat/completions", json=ASK | more)

    async def metric(self, name: str, **labels: str) -> float:
        return await metric(self.client, name, **labels)


async def metric(client: httpx.AsyncClient, name: str, **labels: str) -> float:
    page = (await client.get("/metrics")).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


@asynccontextmanager
async def serving(knobs: Knobs = INSTANT, **options: Any) -> AsyncIterator[Served]:
    """A server on a free port; stopped, and waited for, at the end."""
    server = ModelServer(
        name="v1", model="sample-llm", knobs=knobs, drain_quiet=0.0, chance=random.Random(7), **options
    )
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve("127.0.0.1", 0, stop, port.set_result))
        url = f"http://127.0.0.1:{await port}"
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            try:
                yield Served(server, port.result(), client, stop)
            finally:
                stop.set()


async def raw(port: int, request: bytes) -> bytes:
    """Everything that comes back for these bytes until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


async def test_a_chat_is_answered_with_its_usage() -> None:
    async with serving() as served:
        answer = await served.ask()
        assert answer.status_code == 200
        assert answer.headers["x-served-by"] == "v1"
        body = answer.json()
        assert (body["object"], body["model"]) == ("chat.completion", "sample-llm")
        assert body["choices"][0]["message"] == {"role": "assistant", "content": "Your order is on"}
        assert body["usage"] == {"prompt_tokens": 4, "completion_tokens": 4, "total_tokens": 8}


async def test_a_stream_is_the_same_answer_in_pieces() -> None:
    """One event a token, the finish reason on the last, the usage when asked for, then `[DONE]`."""
    async with serving() as served:
        answer = await served.ask(stream=True, stream_options={"include_usage": True})
    *lines, done = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    events = [json.loads(line) for line in lines]
    assert done == "[DONE]"
    assert answer.headers["content-type"].startswith("text/event-stream")
    text = "".join(choice["delta"]["content"] for event in events for choice in event["choices"])
    assert text == "Your order is on "
    assert [event["choices"][0]["finish_reason"] for event in events[:-1]] == [None] * 4 + ["stop"]
    assert events[-1]["usage"]["completion_tokens"] == 4


async def test_the_kserve_protocol_is_spoken_too() -> None:
    async with serving() as served:
        assert (await served.client.get("/v2/health/ready")).status_code == 200
        tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["hello"]}
        answer = await served.client.post("/v2/models/sample-llm/infer", json={"inputs": [tensor]})
        assert answer.json()["outputs"][0]["data"] == ["Your order is on"]
        assert (await served.client.get("/v1/models")).json()["data"][0]["id"] == "sample-llm"


async def test_everything_that_happens_is_counted() -> None:
    """Successes with their tokens and times, failures by status, and the KPI of every good answer."""
    knobs = INSTANT.changed({"kpis": {"conversion": 1.0}})
    async with serving(knobs) as served:
        for _ in range(3):
            await served.ask()
        await served.ask(max_tokens=2)
        await served.ask(model="another")
        await served.client.get("/health")
        counted = {
            "stop": await served.metric("vllm:request_success_total", finished_reason="stop"),
            "length": await served.metric("vllm:request_success_total", finished_reason="length"),
            "tokens": await served.metric("vllm:generation_tokens_total"),
            "prompt": await served.metric("vllm:prompt_tokens_total"),
            "ttft": await served.metric("vllm:time_to_first_token_seconds_count"),
            "itl": await served.metric("vllm:inter_token_latency_seconds_count"),
            "e2e": await served.metric("vllm:e2e_request_latency_seconds_count"),
            "running": await served.metric("vllm:num_requests_running"),
            "good": await served.metric("http_requests_total", status="2xx"),
            "bad": await served.metric("http_requests_total", status="4xx", handler="/v1/chat/completions"),
            "kpi": await served.metric("serinus_kpi_events_total", kpi="conversion"),
            "of": await served.metric("serinus_kpi_of_total", kpi="conversion"),
        }
    assert counted == {
        "stop": 3,
        "length": 1,
        "tokens": 14,
        "prompt": 16,
        "ttft": 4,
        "itl": 10,
        "e2e": 4,
        "running": 0,
        "good": 4,
        "bad": 1,
        "kpi": 4,
        "of": 4,
    }


async def test_a_knob_turned_while_it_runs_makes_it_fail() -> None:
    async with serving() as served:
        assert (await served.ask()).status_code == 200
        answer = await served.client.post("/knobs", json={"error_rate": 1.0})
        assert answer.json()["error_rate"] == 1.0
        failed = await served.ask()
        assert (failed.status_code, failed.json()["error"]["type"]) == (500, "InternalServerError")
        assert await served.metric("vllm:request_success_total", finished_reason="error") == 1
        assert await served.metric("http_requests_total", status="5xx") == 1


async def test_an_unknown_knob_is_refused_and_turns_none() -> None:
    async with serving() as served:
        refused = await served.client.post("/knobs", json={"ttft": 3, "speed": 1})
        assert refused.status_code == 400
        assert "there is no knob 'speed'" in refused.json()["error"]["message"]
        assert served.server.engine.knobs == INSTANT


@pytest.mark.parametrize("header", ["x-forwarded-for", "x-envoy-expected-rq-timeout-ms", "origin"])
async def test_knobs_are_not_turned_through_a_proxy_or_a_web_page(header: str) -> None:
    async with serving() as served:
        refused = await served.client.post("/knobs", json={"ttft": 3}, headers={header: "10.0.0.1"})
        assert refused.status_code == 403
        assert served.server.engine.knobs == INSTANT


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"{", 400, "not JSON"),
        (b"[" * 100_000, 400, "not JSON"),
        (b"[]", 400, "not an object"),
        (b"{}", 400, "`messages`"),
        (b'{"messages": ["hi"]}', 400, "`messages`"),
        (b'{"model": "gpt", "messages": [{}]}', 404, "The model `gpt` does not exist."),
        (b'{"messages": [{}], "max_tokens": 0}', 400, "`max_tokens`"),
        (b'{"messages": [{}], "max_tokens": 99999}', 400, "maximum context length is 8192"),
    ],
)
async def test_a_bad_request_gets_an_error_and_the_connection_lives_on(body: bytes, status: int, says: str) -> None:
    async with serving() as served:
        answer = await served.client.post("/v1/chat/completions", content=body)
        error = answer.json()["error"]
        assert answer.status_code == status
        assert set(error) == {"message", "type", "param", "code"}
        assert (says in error["message"], error["code"]) == (True, status)
        assert (await served.ask()).status_code == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", b"400 Bad Request"),
        (b"GET /health HTTP/1.1\r\nno colon\r\n\r\n", b"400 Bad Request"),
        (b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: x\r\n\r\n", b"400 Bad Request"),
        (b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1), b"413 "),
        (b"POST /v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nfffffff\r\n", b"413 "),
        (b"GET /" + b"a" * 70_000, b"431 "),
        (b"GET /health HTTP/1.0\r\n\r\n", b"200 OK"),
        (b"GET /nowhere HTTP/1.1\r\nconnection: close\r\n\r\n", b"404 Not Found"),
        (b"GET /v1/chat/completions HTTP/1.1\r\nconnection: close\r\n\r\n", b"405 Method Not Allowed"),
    ],
)
async def test_what_is_not_proper_http_is_answered_and_hung_up_on(request_: bytes, status: bytes) -> None:
    async with serving() as served:
        answer = await raw(served.port, request_)
        assert answer.startswith(b"HTTP/1.1 " + status)


async def test_a_body_in_chunks_is_read() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        text = json.dumps(ASK).encode()
        yield text[:10]
        yield text[10:]

    async with serving() as served:
        answer = await served.client.post("/v1/chat/completions", content=pieces())
        assert answer.status_code == 200


async def test_a_client_that_leaves_is_counted_nowhere_and_its_slot_is_free_again() -> None:
    """As in vLLM: closed streams are in no finished reason."""
    async with serving(INSTANT.changed({"itl": 0.01, "tokens": 1000}), slots=1) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        body = json.dumps(ASK | {"stream": True}).encode()
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        await reader.readuntil(b"Your")
        assert await served.metric("vllm:num_requests_running") == 1
        writer.close()
        await served.client.post("/knobs", json={"tokens": 1})
        assert (await served.ask()).status_code == 200  # it waits for the only slot
        assert await served.metric("vllm:request_success_total") == 1
        assert await served.metric("vllm:num_requests_running") == 0


async def test_requests_beyond_the_slots_wait_and_their_waiting_is_seen() -> None:
    async with serving(INSTANT.changed({"ttft": 0.05}), slots=1) as served, asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(served.ask())
        while await served.metric("vllm:num_requests_waiting") < 2:
            pass
        assert await served.metric("vllm:num_requests_running") == 1
        assert 0 < await served.metric("vllm:kv_cache_usage_perc") < 0.01


async def test_told_to_leave_it_answers_what_it_has_begun() -> None:
    """The answer that was on its way arrives whole, and says that the connection ends."""
    async with serving(INSTANT.changed({"ttft": 0.4})) as served, asyncio.TaskGroup() as group:
        begun = group.create_task(served.ask())
        while await served.metric("vllm:num_requests_running") == 0:
            pass
        served.stop.set()
        assert (await begun).status_code == 200


async def test_one_that_never_gets_ready_says_so() -> None:
    async with serving(never_ready=True) as served:
        assert (await served.client.get("/health")).status_code == 503


@asynccontextmanager
async def process(*flags: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The server as a process of its own."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "controlplane.sample.server",
        "--port=0",
        *flags,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def said(stream: asyncio.StreamReader | None) -> str:
    assert stream is not None
    return (await stream.readline()).decode().strip()


@pytest.mark.real
async def test_as_a_process_it_says_its_port_and_leaves_on_term() -> None:
    async with process("--name", "v2", "--ttft", "0.3") as child:
        line = await said(child.stdout)
        assert line.startswith("v2 serves sample-llm at http://127.0.0.1:")
        async with (
            httpx.AsyncClient(base_url=line.split()[-1], trust_env=False) as client,
            asyncio.TaskGroup() as group,
        ):
            begun = group.create_task(client.post("/v1/chat/completions", json=ASK))
            while await metric(client, "vllm:num_requests_running") == 0:
                pass
            child.send_signal(signal.SIGTERM)
            assert (await begun).status_code == 200
        assert await child.wait() == 0


@pytest.mark.real
async def test_as_a_process_it_crashes_when_told_to() -> None:
    async with process("--crash-after", "0.05") as child:
        assert await said(child.stderr) == "sample crashes after 0.05 s, as it was told to"
        assert await child.wait() == 1


@pytest.mark.real
async def test_a_port_in_use_is_said_in_a_sentence() -> None:
    async with serving() as served, process("--port", str(served.port)) as child:
        assert await said(child.stderr) == f"cannot listen on 127.0.0.1:{served.port}: Address already in use"
        assert await child.wait() == 1


@pytest.mark.real
async def test_impossible_flags_are_refused() -> None:
    async with process("--error-rate", "30") as child:
        assert child.stderr is not None
        told = (await child.stderr.read()).decode()
        assert "error_rate is a share between 0 and 1, got 30.0" in told
        assert await child.wait() == 2
