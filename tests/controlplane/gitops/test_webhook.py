"""S9: a webhook moves something only when it is genuine, new, small and about the branch; nothing else costs much.

Payloads have the shape that each host documents; signatures are made here by its documented rule.
"""

import base64
import hashlib
import hmac
import json
import tracemalloc
from collections.abc import Mapping

import pytest

from canary.errors import BadInput
from controlplane.gitops.webhook import LARGEST, Kind, SignatureVerifier

SECRET = "0123456789abcdef-secret"
NOW = 1_795_270_000.0
GITHUB = {
    "ref": "refs/heads/main",
    "before": "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
    "after": "0d1a26e67d8f5eaf1f6ba5c57fc3c7d91ac0fd1c",
    "repository": {"full_name": "team/models", "clone_url": "https://evil.example.com/models.git"},
    "pusher": {"name": "ann"},
    "commits": [{"id": "0d1a26e", "modified": ["apps/chat/canary.yml"]}],
}
GITLAB = {
    "object_kind": "push",
    "event_name": "push",
    "ref": "refs/heads/main",
    "checkout_sha": "0d1a26e",
    "project_id": 15,
}
KINDS: list[Kind] = ["github", "gitea", "gitlab", "standard"]


def hexed(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def signed(
    kind: Kind, body: bytes, *, id_: str = "msg_1", at: float = NOW, key: bytes = SECRET.encode()
) -> dict[str, str]:
    """The headers that a genuine delivery has."""
    if kind == "github":
        own = {
            "X-Hub-Signature-256": f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}",
            "X-GitHub-Event": "push",
        }
    elif kind == "gitea":
        own = {"X-Gitea-Signature": hmac.new(key, body, hashlib.sha256).hexdigest(), "X-Gitea-Event": "push"}
    else:
        text = f"{id_}.{at:.0f}.".encode() + body
        signature = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
        own = {"webhook-id": id_, "webhook-timestamp": f"{at:.0f}", "webhook-signature": f"v1,{signature}"}
    return {"Content-Type": "application/json", **own}


def body_of(kind: Kind, **changes: object) -> bytes:
    return json.dumps({**(GITLAB if kind == "gitlab" else GITHUB), **changes}).encode()


@pytest.mark.parametrize("kind", KINDS)
def test_s9_a_genuine_push_to_the_branch_is_taken_once(kind: Kind) -> None:
    """The same delivery again, whatever unsigned header was changed, moves nothing."""
    verifier, body = SignatureVerifier(kind, SECRET, "main"), body_of(kind)
    first = verifier.answer(signed(kind, body), body, NOW)
    assert (first.status, first.fetch) == (202, True)
    replayed = verifier.answer({**signed(kind, body), "X-GitHub-Delivery": "another"}, body, NOW + 1)
    assert (replayed.status, replayed.fetch) == (200, False)
    other = body_of(kind, after="1" * 40)
    assert verifier.answer(signed(kind, other, id_="msg_2"), other, NOW).fetch


@pytest.mark.parametrize("kind", KINDS)
def test_s9_a_missing_short_wrong_or_foreign_signature_is_refused(kind: Kind) -> None:
    verifier, body = SignatureVerifier(kind, SECRET, "main"), body_of(kind)
    genuine = signed(kind, body)
    forged: list[Mapping[str, str]] = [
        {"Content-Type": "application/json"},
        {name: value[:-1] for name, value in genuine.items()},
        {name: value.replace("sha256=", "").replace("v1,", "") + "é" for name, value in genuine.items()},
        signed(kind, body, key=b"another secret, long enough"),
        signed(kind, body + b" "),
        {
            **genuine,
            "X-Hub-Signature-256": f"sha1={hexed(body)}",
            "X-Gitea-Signature": "",
            "webhook-signature": "v1a,x",
        },
    ]
    for headers in forged:
        answer = verifier.answer(headers, body, NOW)
        assert (answer.status, answer.fetch) == (401, False)
    assert verifier.answer(genuine, body, NOW).fetch


@pytest.mark.parametrize("kind", ["gitlab", "standard"])
@pytest.mark.parametrize("late", [-301.0, 301.0, 86_400.0])
def test_s9_a_signed_time_that_is_not_now_is_refused(kind: Kind, late: float) -> None:
    verifier, body = SignatureVerifier(kind, SECRET, "main"), body_of(kind)
    assert verifier.answer(signed(kind, body, at=NOW - late), body, NOW).status == 401
    for stamp in ("", "now", "1" * 5000, "１７９５"):
        assert verifier.answer({**signed(kind, body), "webhook-timestamp": stamp}, body, NOW).status == 401


def test_an_older_gitlab_is_known_by_its_token() -> None:
    """And only by all of it."""
    verifier, body = SignatureVerifier("gitlab", SECRET, "main"), body_of("gitlab")
    json_type = {"content-type": "application/json; charset=utf-8"}
    assert verifier.answer({**json_type, "X-Gitlab-Token": SECRET[:-1]}, body, NOW).status == 401
    assert verifier.answer({**json_type, "X-Gitlab-Token": SECRET}, body, NOW).fetch
    assert not verifier.answer({**json_type, "X-Gitlab-Token": SECRET}, body, NOW).fetch


def test_forgejo_and_secrets_in_base64_are_known() -> None:
    """`X-Forgejo-Signature`; a key that begins with `whsec_`; two signatures while a secret changes."""
    body = body_of("gitea")
    headers = {"Content-Type": "application/json", "X-Forgejo-Signature": hexed(body)}
    assert SignatureVerifier("gitea", SECRET, "main").answer(headers, body, NOW).fetch
    key = b"\x00\x01 raw bytes of a key"
    secret = f"whsec_{base64.b64encode(key).decode()}"
    both = signed("standard", body, key=key)
    both["webhook-signature"] = f"v1,AAAA {both['webhook-signature']}"
    assert SignatureVerifier("standard", secret, "main").answer(both, body, NOW).fetch


@pytest.mark.parametrize("kind", KINDS)
def test_s9_a_body_over_one_mebibyte_is_refused_before_anything_else(kind: Kind) -> None:
    verifier, body = SignatureVerifier(kind, SECRET, "main"), b" " * (LARGEST + 1)
    assert verifier.answer(signed(kind, body), body, NOW).status == 413


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_s9_another_content_type_is_refused(content_type: str) -> None:
    body = body_of("github")
    headers = {**signed("github", body), "Content-Type": content_type}
    assert SignatureVerifier("github", SECRET, "main").answer(headers, body, NOW).status == 415


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({**GITHUB, "ref": "refs/heads/other"}).encode(),
        json.dumps({**GITHUB, "ref": "refs/tags/main"}).encode(),
        json.dumps({"zen": "Keep it simple.", "hook_id": 1}).encode(),
        b"[]",
        b'"refs/heads/main"',
        b"null",
    ],
)
def test_a_genuine_delivery_about_something_else_moves_nothing(body: bytes) -> None:
    """Other branches, tags, and the ping of a new hook."""
    answer = SignatureVerifier("github", SECRET, "main").answer(signed("github", body), body, NOW)
    assert (answer.status, answer.fetch) == (200, False)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 200_000])
def test_s9_a_genuine_body_that_is_no_json_is_no_error_of_ours(body: bytes) -> None:
    assert SignatureVerifier("github", SECRET, "main").answer(signed("github", body), body, NOW).status == 400


def test_a_hook_without_a_real_secret_is_not_opened() -> None:
    for secret in ("", "short"):
        with pytest.raises(BadInput, match="needs a secret"):
            SignatureVerifier("github", secret, "main")


def test_s9_a_flood_costs_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands that are forged, and more genuine ones than are remembered."""
    monkeypatch.setattr("controlplane.gitops.webhook.REMEMBERED", 100)
    verifier = SignatureVerifier("github", SECRET, "main")
    tracemalloc.start()
    for number in range(2_000):
        body = b'{"ref": "refs/heads/main", "n": %d}' % number
        verifier.answer({"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={number}"}, body, NOW)
        assert verifier.answer(signed("github", body), body, NOW).fetch
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 500_000
    assert len(verifier._seen) == 100
