"""The OpenAI and KServe protocols in values: reads a request's body, words the answer. Pure; `server.py` sends it.

Errors carry vLLM's statuses and types, because clients and dashboards know them.
"""

import json
from dataclasses import dataclass
from typing import Any

from controlplane.sample.http1 import HttpError

MAX_CONTEXT_TOKENS = 8192
CHARACTERS_PER_TOKEN = 4
WORDS = (
    "Your",
    "order",
    "is",
    "on",
    "its",
    "way",
    "and",
    "will",
    "arrive",
    "within",
    "two",
    "days",
    "at",
    "no",
    "cost",
)


@dataclass(frozen=True, slots=True)
class Chat:
    """What a chat request asks for."""

    prompt_tokens: int
    max_tokens: int | None
    """None leaves the length to the model."""
    stream: bool
    include_usage: bool
    """Whether a stream ends with an event that carries the usage."""


def read_json(body: bytes) -> dict[str, Any]:
    """The body as an object. Raises `HttpError` 400."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HttpError(400, f"The body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise HttpError(400, "The body is JSON, but not an object.")
    return value


def read_chat(body: bytes, model: str) -> Chat:
    """The chat request in `body`. Raises `HttpError`: 404 for another model, 400 for what cannot be understood."""
    request = read_json(body)
    asked = request.get("model")
    if asked is not None and asked != model:
        raise HttpError(404, f"The model `{asked}` does not exist.", kind="NotFoundError", param="model")
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        raise HttpError(400, "`messages` is a list of at least one message.", param="messages")
    max_tokens = request.get("max_completion_tokens", request.get("max_tokens"))
    if max_tokens is not None and (not isinstance(max_tokens, int) or isinstance(max_tokens, bool) or max_tokens < 1):
        raise HttpError(400, f"`max_tokens` is a whole number from 1, got {max_tokens!r}.", param="max_tokens")
    prompt_tokens = sum(count_tokens(str(message.get("content") or "")) for message in messages)
    if prompt_tokens + (max_tokens or 1) > MAX_CONTEXT_TOKENS:
        raise HttpError(
            400,
            f"This model's maximum context length is {MAX_CONTEXT_TOKENS} tokens. "
            f"You asked for {max_tokens or 1} tokens after a prompt of {prompt_tokens}.",
            kind="BadRequestError",
            param="max_tokens",
        )
    options = request.get("stream_options")
    include_usage = isinstance(options, dict) and options.get("include_usage") is True
    return Chat(prompt_tokens, max_tokens, stream=request.get("stream") is True, include_usage=include_usage)


def count_tokens(text: str) -> int:
    """A rough count: four characters a token, at least one."""
    return max(1, len(text) // CHARACTERS_PER_TOKEN)


def word(index: int) -> str:
    """The answer's token at `index`, with its space."""
    return f"{WORDS[index % len(WORDS)]} "


def completion(base: dict[str, Any], chat: Chat, tokens: int, finish_reason: str) -> dict[str, Any]:
    """A whole chat completion."""
    text = "".join(map(word, range(tokens))).rstrip()
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
    return base | {"object": "chat.completion", "choices": [choice], "usage": usage(chat, tokens)}


def chunk(base: dict[str, Any], delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
    """One event of a stream."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return base | {"object": "chat.completion.chunk", "choices": [choice]}


def usage_chunk(base: dict[str, Any], chat: Chat, tokens: int) -> dict[str, Any]:
    """The event that closes a stream whose client asked for the usage."""
    return base | {"object": "chat.completion.chunk", "choices": [], "usage": usage(chat, tokens)}


def usage(chat: Chat, tokens: int) -> dict[str, int]:
    """Tokens read and written."""
    return {
        "prompt_tokens": chat.prompt_tokens,
        "completion_tokens": tokens,
        "total_tokens": chat.prompt_tokens + tokens,
    }


def read_infer(body: bytes) -> Chat:
    """An inference request of the KServe protocol (v2), taken as a prompt. Raises `HttpError` 400."""
    inputs = read_json(body).get("inputs")
    if not isinstance(inputs, list) or not inputs or not all(isinstance(i, dict) and "data" in i for i in inputs):
        raise HttpError(400, "`inputs` is a list of at least one tensor with `data`.", param="inputs")
    return Chat(count_tokens(str(inputs[0]["data"])), None, stream=False, include_usage=False)


def inference(request_id: str, model: str, tokens: int) -> dict[str, Any]:
    """The answer of the KServe protocol: one tensor of text."""
    text = "".join(map(word, range(tokens))).rstrip()
    output = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}
    return {"id": request_id, "model_name": model, "outputs": [output]}
