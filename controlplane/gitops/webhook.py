"""Whether a webhook is genuine: GitHub, Gitea and Forgejo, GitLab, and anybody who signs as Standard Webhooks says.

Asked by `listener.py`; nothing here opens a socket. The answer is only ever "look at the configured branch
now": no address out of a payload is ever used. The size is checked first, then the signature, and only a genuine body
is parsed. Pure: headers, body and time come in, a verdict goes out; what was seen is remembered in a bounded list.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from canary.errors import BadInput

Kind = Literal["github", "gitea", "gitlab", "standard", "any"]
"""`any` takes the one whose header is there: each of them proves that the sender knows the secret."""
LARGEST = 1024 * 1024
"""Bytes of a body. A listener stops reading there too."""
CLOCKS_DIFFER = 300.0
"""Seconds that a signed time may be away from ours, either way."""
REMEMBERED = 10_000
"""Deliveries; the oldest is forgotten first. A replay of one that was forgotten costs one look at the branch."""
SHORTEST_SECRET = 16
"""Characters. A signature under a shorter one can be guessed offline from a single delivery."""


@dataclass(frozen=True, slots=True)
class WebhookAnswer:
    """What to answer, and whether the branch is to be looked at."""

    status: int
    sentence: str
    fetch: bool = False


class SignatureVerifier:
    """Checks the deliveries of one hook for one branch."""

    def __init__(self, kind: Kind, secret: str, branch: str) -> None:
        """Raises `BadInput` without a secret that is worth the name: an unsigned hook is no hook."""
        self._secret = checked_secret(secret)
        self._ref = f"refs/heads/{branch}"
        self._check = _CHECKS[kind]
        self._seen: OrderedDict[str, None] = OrderedDict()

    def renew(self, secret: str) -> None:
        """Ask for another secret from now on; what was seen stays known. Raises `BadInput`."""
        self._secret = checked_secret(secret)

    def answer(self, headers: Mapping[str, str], body: bytes, now: float) -> WebhookAnswer:
        """What to do with a delivery. Header names in any case; `now` in seconds since the epoch. Never raises."""
        if len(body) > LARGEST:
            return WebhookAnswer(413, "The body is larger than 1 MiB.")
        given = {name.lower(): value for name, value in headers.items()}
        key = self._check(self._secret, given, body, now)
        if key is None:
            return WebhookAnswer(401, "The signature is missing, wrong or late.")
        if given.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return WebhookAnswer(415, "Expected application/json.")
        if key in self._seen:
            return WebhookAnswer(200, "Seen already.")
        self._seen[key] = None
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return self._of_genuine(body)

    def _of_genuine(self, body: bytes) -> WebhookAnswer:
        try:
            payload = json.loads(body)
        except (ValueError, RecursionError):
            return WebhookAnswer(400, "The body is not JSON.")
        ref = payload.get("ref") if isinstance(payload, dict) else None
        if ref != self._ref:
            return WebhookAnswer(200, "Nothing that concerns the branch.")
        return WebhookAnswer(202, "The branch is looked at.", fetch=True)


def checked_secret(secret: str) -> str:
    """The secret, if it is worth the name; raises `BadInput`."""
    if len(secret) < SHORTEST_SECRET:
        raise BadInput(f"A webhook needs a secret of at least {SHORTEST_SECRET} characters; nothing was opened.")
    return secret


def _github(secret: str, headers: Mapping[str, str], body: bytes, _now: float) -> str | None:
    """`X-Hub-Signature-256: sha256=<hex>`. The delivery's id is not signed, so a replay is known by its body."""
    algorithm, _, digest = headers.get("x-hub-signature-256", "").partition("=")
    return digest.lower() if algorithm == "sha256" and _same(digest.lower(), _hex(secret, body)) else None


def _gitea(secret: str, headers: Mapping[str, str], body: bytes, _now: float) -> str | None:
    """`X-Gitea-Signature` or `X-Forgejo-Signature`, hex."""
    digest = (headers.get("x-forgejo-signature") or headers.get("x-gitea-signature", "")).lower()
    return digest if _same(digest, _hex(secret, body)) else None


def _gitlab(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> str | None:
    """The signature of newer versions; where there is none, the token of older ones, which signs nothing."""
    if "webhook-signature" in headers:
        return _standard(secret, headers, body, now)
    if _same(headers.get("x-gitlab-token", ""), secret):
        return hashlib.sha256(body).hexdigest()
    return None


def _standard(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> str | None:
    """`webhook-signature: v1,<base64>` over `id.timestamp.body`; several may stand there while a secret changes."""
    id_, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not id_ or not stamp.isascii() or not stamp.isdigit() or len(stamp) > 12:
        return None
    if abs(now - int(stamp)) > CLOCKS_DIFFER:
        return None
    signed = f"{id_}.{stamp}.".encode() + body
    expected = base64.b64encode(hmac.digest(_key(secret), signed, "sha256")).decode()
    given = headers.get("webhook-signature", "").split(" ")[:10]
    return f"{id_}" if any(_same(each, f"v1,{expected}") for each in given) else None


def _any(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> str | None:
    """The first of these whose header is there decides alone. Gitea sends GitHub's header too; both sign the same."""
    if "webhook-signature" in headers:
        return _standard(secret, headers, body, now)
    if "x-hub-signature-256" in headers:
        return _github(secret, headers, body, now)
    if "x-gitlab-token" in headers:
        return _gitlab(secret, headers, body, now)
    return _gitea(secret, headers, body, now)


_CHECKS: Mapping[Kind, Callable[[str, Mapping[str, str], bytes, float], str | None]] = {
    "github": _github,
    "gitea": _gitea,
    "gitlab": _gitlab,
    "standard": _standard,
    "any": _any,
}
"""Each answers what a delivery is known by, or None for one that is not genuine."""


def _key(secret: str) -> bytes:
    """`whsec_` begins a key in base64; anything else is the key itself."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        return secret.encode()


def _hex(secret: str, body: bytes) -> str:
    return hmac.digest(secret.encode(), body, "sha256").hex()


def _same(given: str, expected: str) -> bool:
    """In constant time; also for letters that are none of a digest's."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())
