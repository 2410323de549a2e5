"""Webhooks as hosts send them, for tests: payloads in the shape that each host documents, signed by its rule.

The repositories' addresses in them belong to nobody that anything of ours may dial.
"""

import base64
import hashlib
import hmac
import json
from typing import Any

SECRET = "0123456789abcdef-secret"
BEFORE, AFTER = "6113728f27ae82c7b1a177c8d03f9e96e0adf246", "0d1a26e67d8f5eaf1f6ba5c57fc3c7d91ac0fd1c"
FOREIGN = "http://169.254.169.254/latest/models.git"
"""Where no delivery may lead anybody."""
PERSON = {"name": "Ann", "email": "ann@example.com", "username": "ann"}
COMMIT = {
    "id": AFTER,
    "message": "Try v2 of chat\n",
    "timestamp": "2026-11-21T09:00:00Z",
    "url": f"https://git.example.com/ml/models/commit/{AFTER}",
    "author": PERSON,
    "committer": PERSON,
    "added": [],
    "removed": [],
    "modified": ["apps/chat/canary.yml"],
}
PUSH: dict[str, dict[str, Any]] = {
    "github": {
        "ref": "refs/heads/main",
        "before": BEFORE,
        "after": AFTER,
        "base_ref": None,
        "created": False,
        "deleted": False,
        "forced": False,
        "compare": "https://github.com/ml/models/compare/6113728f27ae...0d1a26e67d8f",
        "commits": [{**COMMIT, "distinct": True, "tree_id": BEFORE}],
        "head_commit": {**COMMIT, "distinct": True, "tree_id": BEFORE},
        "repository": {"id": 35129377, "full_name": "ml/models", "clone_url": FOREIGN, "ssh_url": FOREIGN},
        "pusher": {"name": "ann", "email": "ann@example.com"},
        "sender": {"login": "ann", "id": 6752317, "type": "User"},
    },
    "gitea": {
        "ref": "refs/heads/main",
        "before": BEFORE,
        "after": AFTER,
        "compare_url": "https://git.example.com/ml/models/compare/6113728f27ae...0d1a26e67d8f",
        "commits": [COMMIT],
        "repository": {"id": 140, "full_name": "ml/models", "html_url": FOREIGN, "clone_url": FOREIGN},
        "pusher": {"id": 1, "login": "ann", "email": "ann@example.com"},
        "sender": {"id": 1, "login": "ann", "email": "ann@example.com"},
    },
    "gitlab": {
        "object_kind": "push",
        "event_name": "push",
        "before": BEFORE,
        "after": AFTER,
        "ref": "refs/heads/main",
        "ref_protected": True,
        "checkout_sha": AFTER,
        "user_id": 4,
        "user_name": "Ann",
        "user_username": "ann",
        "project_id": 15,
        "project": {"id": 15, "path_with_namespace": "ml/models", "git_http_url": FOREIGN, "default_branch": "main"},
        "commits": [COMMIT],
        "total_commits_count": 1,
        "repository": {"name": "models", "url": FOREIGN, "git_http_url": FOREIGN},
    },
    "standard": {"type": "push", "timestamp": "2026-11-21T09:00:00Z", "ref": "refs/heads/main", "after": AFTER},
}
DELIVERY = "72d3162e-cc78-11e3-81ab-4c9367dc0958"


def push(host: str, **changes: object) -> bytes:
    """The body of a push."""
    return json.dumps({**PUSH["gitlab" if host == "gitlab token" else host], **changes}).encode()


def signed(host: str, body: bytes, *, at: float, id_: str = "msg_1", secret: str = SECRET) -> dict[str, str]:
    """The headers with which this host sends this body."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    stamped = hmac.new(secret.encode(), f"{id_}.{at:.0f}.".encode() + body, hashlib.sha256).digest()
    standard = {
        "webhook-id": id_,
        "webhook-timestamp": f"{at:.0f}",
        "webhook-signature": f"v1,{base64.b64encode(stamped).decode()}",
    }
    own = {
        "github": {
            "User-Agent": "GitHub-Hookshot/044aadd",
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": DELIVERY,
            "X-GitHub-Hook-ID": "292430182",
            "X-Hub-Signature": f"sha1={hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()}",
            "X-Hub-Signature-256": f"sha256={digest}",
        },
        "gitea": {
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": DELIVERY,
            "X-Gitea-Event": "push",
            "X-Gitea-Delivery": DELIVERY,
            "X-Gitea-Signature": digest,
        },
        "gitlab": {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Webhook-UUID": DELIVERY, **standard},
        "gitlab token": {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Event-UUID": DELIVERY, "X-Gitlab-Token": secret},
        "standard": standard,
    }
    return {"Content-Type": "application/json", **own[host]}
