"""One variant as it is asked: an OpenAI-compatible chat endpoint, a question at a time, bounded in every way.

Used by `runner.py`. A question that fails is asked again, later each time; what never gets an answer raises
`Unavailable`, and the evaluation waits. An answer that is no chat completion counts as none.
"""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from canary.errors import Unavailable
from canary.evaluation.item import Item
from canary.evaluation.plan import temperature
from canary.evaluation.scorer import Completion, ToolCall
from canary.spec.evaluation import Evaluation
from canary.spec.source import quoted
from controlplane.adapters.bounded_http import BoundedAnswer, BoundedHttp
from controlplane.backoff import delay

MOST_ANSWER_BYTES = 4 * 1024 * 1024
"""Bytes of one answer; a hundred thousand tokens are half a megabyte."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0
PERMANENT = frozenset({400, 401, 403, 404, 405, 413, 415, 422})
"""Statuses that asking again does not change."""


def parameters(evaluation: Evaluation, model: str) -> Mapping[str, Any]:
    """What is asked beside the messages, the same of both variants."""
    return {
        "model": model,
        "max_tokens": evaluation.request.max_tokens,
        "temperature": temperature(evaluation),
        "stream": False,
    }


def open_http(evaluation: Evaluation, *, tls: bool = False) -> BoundedHttp:
    """A client for both variants; `tls` trusts the certificates of the world. No redirect is followed."""
    kept = 2 * evaluation.request.in_flight
    return BoundedHttp(most_bytes=MOST_ANSWER_BYTES, kept=kept, tls=ssl.create_default_context() if tls else None)


class ChatEndpoint:
    """A variant's servers by their base addresses, asked in turn."""

    def __init__(
        self,
        name: str,
        addresses: Callable[[], Sequence[str]],
        http: BoundedHttp,
        evaluation: Evaluation,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`name` is the arm's, for sentences; `addresses` are asked for each time, such as `http://127.0.0.1:8000`."""
        self.name = name
        self._addresses = addresses
        self._http = http
        self._request = evaluation.request
        self._sleep = sleep
        self._turn = 0
        self._free = asyncio.Semaphore(evaluation.request.in_flight)
        self.asked = 0
        """Questions that were sent, retries included."""

    async def ask(self, item: Item, asked: Mapping[str, Any]) -> Completion:
        """The answer to an item. Raises `Unavailable` after the last try, with a sentence that names arm and item."""
        body = {**asked, "messages": item.messages, **({"tools": item.tools} if item.tools else {})}
        why = ""
        async with self._free:
            for attempt in range(self._request.retries):
                if attempt:
                    await self._sleep(delay(attempt, FIRST_PAUSE_S, LONGEST_PAUSE_S))
                try:
                    answer = await self._post(body)
                except Unavailable as error:
                    why = str(error)
                    continue
                if answer.status == 200:
                    completion = _completion(answer.text)
                    if completion is not None:
                        return completion
                    why = "its answer is no chat completion"
                    continue
                why = f"it answers {answer.status}{_reason(answer.text)}"
                if answer.status in PERMANENT:
                    break
        raise Unavailable(f"{self.name} gives no answer to item {quoted(item.id)}: {why}.")

    async def _post(self, body: Mapping[str, Any]) -> BoundedAnswer:
        addresses = self._addresses()
        if not addresses:
            raise Unavailable("none of its replicas is ready")
        self._turn += 1
        self.asked += 1
        base = addresses[self._turn % len(addresses)].rstrip("/")
        return await self._http.post_json(base + self._request.path, seconds=self._request.timeout, body=body)


def _completion(text: str) -> Completion | None:
    """What an answer says; None where it is no chat completion."""
    try:
        choice = json.loads(text)["choices"][0]
        message = choice["message"]
        content = message.get("content")
        calls = tuple(
            ToolCall(str(call["function"]["name"]), str(call["function"].get("arguments", "")))
            for call in message.get("tool_calls") or ()
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    if not isinstance(content, str) and not (content is None and calls):
        return None
    return Completion(content or "", calls, str(choice.get("finish_reason") or ""))


def _reason(text: str) -> str:
    """The server's own words, short and harmless to a terminal; empty where it gives none."""
    try:
        message = json.loads(text)["error"]["message"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return f" ({quoted(message)})" if isinstance(message, str) else ""
