"""Events mean the same whether they are read as JSON or only looked at: whatever the text, whatever the cut."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controlplane.profiles.connection import Connection

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
TEXTS = st.text(max_size=12) | st.sampled_from(['"content": "x"', '\\"usage": {', '","finish_reason":"stop"', "\n\n"])
KEYS = st.sampled_from(["content", "reasoning_content", "reasoning", "role"])
DELTAS = st.dictionaries(KEYS, st.none() | TEXTS, max_size=3)
CHOICES = st.builds(
    lambda delta, reason: {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason},
    DELTAS,
    st.sampled_from([None, None, "stop", "length"]),
)
EVENTS = st.builds(
    lambda choices, more: {"id": "chatcmpl-1", "choices": choices, **more},
    st.lists(CHOICES, max_size=1),
    st.sampled_from([{}, {"usage": None}, {"usage": {"completion_tokens": 3}}, {"error": {"message": "no"}}]),
)
SEPARATORS = st.sampled_from([(",", ":"), (", ", ": ")])


def tokens(event: dict[str, Any]) -> int:
    """How many tokens an event holds, by its meaning."""
    deltas = [choice["delta"] for choice in event["choices"]]
    return sum(any(delta.get(key) for key in ("content", "reasoning_content", "reasoning")) for delta in deltas)


@given(st.lists(EVENTS, max_size=6), SEPARATORS, st.integers(1, 400))
def test_every_event_counts_for_what_it_means(
    events: list[dict[str, Any]], separators: tuple[str, str], cut: int
) -> None:
    data = [f"data: {json.dumps(event, separators=separators)}\n\n".encode() for event in events]
    stream = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in data)
    for pieces in (
        [b"%x\r\n%s\r\n" % (len(each), each) for each in data],  # as servers send: an event a chunk, a chunk a read
        [stream[start : start + cut] for start in range(0, len(stream), cut)],
    ):
        connection = Connection(lambda: 1.0)
        connection.answer.error = ""
        connection.data_received(HEAD)
        for piece in pieces:
            connection.data_received(piece)
        answer = connection.answer
        assert len(answer.arrivals) == sum(map(tokens, events))
        reasons = [choice["finish_reason"] for event in events for choice in event["choices"]]
        assert answer.finished == any(reasons)
        assert bool(answer.usage) == any(event.get("usage") for event in events)
        assert bool(answer.error) == any(event.get("error") for event in events)
