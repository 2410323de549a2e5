"""Slack, by an incoming webhook: blocks, and one line for notifications and screen readers.

Texts are `plain_text`, which Slack does not interpret; only our own labels are formatted.
"""

from typing import Any

from canary.alert import AlertNotice
from canary.spec.alerts import SecretRef
from controlplane.alerts import escape
from controlplane.alerts.channels.chat_room import ChatRoom
from controlplane.alerts.post import Post
from controlplane.alerts.secrets import Secrets

MARKS = {"critical": "🔴", "warning": "🟡", "info": "🔵"}
FACTS_IN_A_SECTION = 5
"""A section has at most ten fields, and a fact takes two."""


class SlackChannel(ChatRoom):
    """One webhook."""

    kind = "slack"

    def __init__(self, url: SecretRef, secrets: Secrets, post: Post, *, channel: str | None = None) -> None:
        """`channel`: for old webhooks, which may post anywhere; those of an app ignore it."""
        super().__init__(url, secrets, post)
        self._channel = channel

    def payload(self, alert: AlertNotice) -> dict[str, Any]:
        """See `message`."""
        return {"channel": self._channel, **message(alert)} if self._channel else message(alert)


def message(alert: AlertNotice) -> dict[str, Any]:
    """The payload."""
    mark = MARKS[alert.severity] if alert.state == "firing" else "✅"
    title = f"{mark} {alert.title}"
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _text(title, 150)},
        {"type": "section", "text": _text(alert.sentence, 3000)},
    ]
    for first in range(0, len(alert.facts), FACTS_IN_A_SECTION):
        fields = [
            field
            for label, value in alert.facts[first : first + FACTS_IN_A_SECTION]
            for field in ({"type": "mrkdwn", "text": f"*{escape.slack(label, 200)}*"}, _text(value, 2000))
        ]
        blocks.append({"type": "section", "fields": fields})
    if alert.commands:
        blocks.append({"type": "context", "elements": [_text(f"Next: {'  ·  '.join(alert.commands)}", 2000)]})
    if alert.link:
        button = {"type": "button", "text": _text("Open the rollout", 75), "url": alert.link, "action_id": "open"}
        blocks.append({"type": "actions", "elements": [button]})
    # Slack would read links and mentions in `text` otherwise.
    return {"text": escape.slack(f"{title}: {alert.sentence}", 3000), "mrkdwn": False, "blocks": blocks}


def _text(text: str, longest: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": escape.slack(text, longest), "emoji": False}
