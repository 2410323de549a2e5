"""Microsoft Teams, by a workflow that posts what it is sent: an Adaptive Card.

Texts stand in RichTextBlocks, which take them as they are; Teams would read Markdown in other elements.
"""

from typing import Any

from canary.alert import AlertNotice
from controlplane.alerts import escape
from controlplane.alerts.channels.chat_room import ChatRoom

COLOURS = {"critical": "Attention", "warning": "Warning", "info": "Accent"}
LONGEST = 2000


class TeamsChannel(ChatRoom):
    """One workflow."""

    kind = "teams"

    def payload(self, alert: AlertNotice) -> dict[str, Any]:
        """See `message`."""
        return message(alert)


def message(alert: AlertNotice) -> dict[str, Any]:
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
