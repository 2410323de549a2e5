"""How an event stream leaves the sample server."""

import asyncio
from typing import Any

import pytest

from controlplane.sample.http1 import SampleResponse


class Wire:
    """Notes each write, and pretends that the client has gone when it is told to."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.gone = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def is_closing(self) -> bool:
        return self.gone

    async def drain(self) -> None:
        pass


def streaming() -> tuple[SampleResponse, Wire]:
    wire: Any = Wire()
    answer = SampleResponse(asyncio.StreamReader(), wire, served_by="v1", keep_alive=True)
    answer.start_stream()
    return answer, wire


async def test_what_is_ready_together_leaves_in_one_write() -> None:
    """Head, role and first token; then the last token with the end: at many streams writes are what costs."""
    answer, wire = streaming()
    answer.hold(b"role")
    assert wire.writes == []
    await answer.send(b"first")
    answer.hold(b"last")
    await answer.end_stream()
    head_and_first, rest = wire.writes
    assert head_and_first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert head_and_first.endswith(b"\r\n\r\nc\r\ndata: role\n\n\r\nd\r\ndata: first\n\n\r\n")
    assert rest == b"c\r\ndata: last\n\n\r\n0\r\n\r\n"


async def test_a_client_that_has_gone_is_noticed_at_the_end_too() -> None:
    """Otherwise an answer that nobody read would count as a success."""
    answer, wire = streaming()
    await answer.send(b"first")
    wire.gone = True
    with pytest.raises(ConnectionResetError):
        await answer.end_stream()
    assert len(wire.writes) == 1
