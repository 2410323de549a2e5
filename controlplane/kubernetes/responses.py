"""What an API server's answer is: objects, lists, lines of a watch, and its status codes as our errors. Pure.

Used by the clients. Sentences carry the server's own words, cut short, and never what is in a Secret. An answer that
has another shape than an API server's, from a proxy or a page to log in, is an error of the world and no traceback.
"""

import json
from collections.abc import Mapping
from typing import Any

from canary.errors import Conflict, ExternalError, Unavailable
from controlplane.kubernetes import depth
from controlplane.kubernetes.api import (
    Exists,
    NotFound,
    Object,
    Rejected,
    Resource,
    ResourceExpired,
    TooManyRequests,
    WatchEvent,
)

LONGEST_MESSAGE = 600
"""Letters of the server's own words that are kept; some schemas' complaints fill pages."""
PATCH_REJECTED = "the server rejected our request due to an error in our request"
"""All that the server says about a JSON patch that cannot be carried out, a `test` that does not hold included."""
WEBHOOK_DOWN = "failed calling webhook"


def error_from_response(
    status: int, body: bytes, what: str, *, retry_after: str | None = None, tested: bool = False, secret: bool = False
) -> ExternalError:
    """The error that this answer is.

    `what` names the request (`patch httproutes models/chat`), `retry_after` is the header, `tested` says that it was a
    JSON patch with a `test`, `secret` that the server's words may quote what is in the object.
    """
    return error_of_status(
        {"code": status} | _status(body), what, retry_after=retry_after, tested=tested, secret=secret
    )


def error_of_status(
    answer: Mapping[str, Any], what: str, *, retry_after: str | None = None, tested: bool = False, secret: bool = False
) -> ExternalError:
    """The error that a `Status` object is; `error_from_response` says what the rest means."""
    code, reason = int(answer.get("code") or 0), answer.get("reason") or ""
    message = str(answer.get("message") or "") or f"status {code}"
    details = answer.get("details") or {}
    said = reason or f"status {code}" if secret else _shortened(message)
    sentence = f"{what}: {said}"
    match code:
        case 401:
            # About us and not about what was asked: nobody has said no to it.
            return Unavailable(f"{what}: the API server does not accept who we are ({said})")
        case 404:
            return NotFound(sentence)
        case 409:
            return Exists(sentence) if reason == "AlreadyExists" else Conflict(sentence)
        case 410:
            return ResourceExpired(sentence)
        case 422 if tested and message == PATCH_REJECTED:
            return Conflict(f"{what}: the object is no longer what the patch expects")
        case 429:
            return TooManyRequests(sentence, _seconds(details.get("retryAfterSeconds"), retry_after))
        case _ if code >= 500 and WEBHOOK_DOWN in message:
            return TooManyRequests(sentence)
        case _ if 400 <= code < 500:
            return Rejected(sentence)
        case _:
            return Unavailable(sentence)


def object_of(data: bytes) -> Object:
    """The object that an answer is, with its metadata. Raises `ValueError`: a clause that says what it is instead."""
    try:
        read = depth.read(data)
    except ValueError as error:
        raise ValueError("what is not JSON") from error
    if not isinstance(read, dict) or not isinstance(read.setdefault("metadata", {}), dict):
        raise ValueError("what is no object")  # noqa: TRY004 - what a server answers is a value to its reader
    return read


def items_of(page: Object, resource: Resource) -> list[Object]:
    """The objects of a page of a list; those of built-in kinds come without their own kind and version."""
    kind = {"apiVersion": resource.api_version, "kind": resource.kind}
    return [{**kind, **each} for each in page.get("items") or ()]


def event_of(line: bytes, what: str) -> WatchEvent:
    """The event in a line of a watch; raises the error that an ERROR line is."""
    try:
        read = depth.read(line)
        kind, object_ = read["type"], read["object"]
    except (ValueError, TypeError, KeyError) as error:
        raise Unavailable(f"{what}: the watch sent a line that is no event") from error
    if kind == "ERROR":
        raise error_of_status(object_, what)
    return WatchEvent(kind, object_)


def _status(body: bytes) -> dict[str, Any]:
    """The body if it is a `Status`, else its text as the message (proxies answer in plain text or HTML)."""
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        return {"message": body.decode(errors="replace").strip()}
    if not isinstance(read, dict) or read.get("kind") != "Status":
        return {}
    # The code of the HTTP answer counts: some proxies wrap a Status whose own code is missing.
    return {name: value for name, value in read.items() if name != "code"}


def _shortened(message: str) -> str:
    line = " ".join(message.split()) if "<html" in message.lower() else message.strip()
    return line if len(line) <= LONGEST_MESSAGE else f"{line[: LONGEST_MESSAGE - 1]}…"


def _seconds(*candidates: object) -> float:
    """The first that is a number of seconds, else one."""
    for each in candidates:
        if isinstance(each, int | float) and each > 0:
            return float(each)
        if isinstance(each, str) and each.isdigit():
            return float(each)
    return 1.0
