"""Microsoft Teams, by a workflow that posts what it is sent: an Adaptive Card.

Texts stand in RichTextBlocks, which take them as they are; Teams would read Markdown in other elements.
"""

import json
from typing import Any

from canary.alert import Alert
from canary.spec.alerts import SecretRef
from controlplane.alerts import escape
from controlplane.alerts.post import Post
from controlplane.alerts.secrets import Secrets

COLOURS = {"critical": "Attention", "warning": "Warning", "info": "Accent"}
LONGEST = 2000


class Teams:
    """One workflow."""

    keyed = False
    repeats = None

    def __init__(self, url: SecretRef, secrets: Secrets, post: Post) -> None:
        self.name = f"teams ({url})"
        self._url, self._secrets, self._post = url, secrets, post

    async def send(self, alert: Alert) -> None:
        """Post the card."""
        body = json.dumps(message(alert)).encode()
        await self._post.post(await self._secrets.read(self._url), body, {"content-type": "application/json"})

    async def resolve(self, alert: Alert) -> None:
        """Teams keeps no state: the end is a card of its own."""
        await self.send(alert)


def message(alert: Alert) -> dict[str, Any]:
    """The payload."""
    colour = COLOURS[alert.severity] if alert.state == "firing" else "Good"
    body = [_text(alert.title, size="Large", weight="Bolder", color=colour), _text(alert.sentence)]
    body += [_fact(label, value) for label, value in alert.facts]
    body += [_text(command, fontType="Monospace") for command in alert.commands]
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": escape.plain(f"{alert.title}: {alert.sentence}", LONGEST),
        "msteams": {"width": "Full"},
        "body": body,
    }
    if alert.link:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open the rollout", "url": alert.link}]
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _fact(label: str, value: str) -> dict[str, Any]:
    columns = [("150px", _text(label, weight="Bolder")), ("stretch", _text(value))]
    return {
        "type": "ColumnSet",
        "spacing": "Small",
        "columns": [{"type": "Column", "width": width, "items": [item]} for width, item in columns],
    }


def _text(text: str, **style: str) -> dict[str, Any]:
    run = {"type": "TextRun", "text": escape.plain(text, LONGEST), **style}
    return {"type": "RichTextBlock", "inlines": [run]}
