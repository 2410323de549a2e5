"""Discord, by a webhook: one embed. Nobody is ever mentioned, and Markdown in texts from outside stays letters."""

from typing import Any

from canary.alert import AlertNotice
from canary.serial import rfc3339
from controlplane.alerts import escape
from controlplane.alerts.channels.chat_room import ChatRoom

COLOURS = {"critical": 0xD92D20, "warning": 0xF79009, "info": 0x2E90FA}
GREEN = 0x12B76A
MOST_FIELDS = 25


class DiscordChannel(ChatRoom):
    """One webhook."""

    kind = "discord"

    def payload(self, alert: AlertNotice) -> dict[str, Any]:
        """See `message`."""
        return message(alert)


def message(alert: AlertNotice) -> dict[str, Any]:
    """The payload. All of an embed's texts together may have 6000 characters."""
    fields = [
        {"name": escape.markdown(label, 100), "value": escape.markdown(value, 200), "inline": True}
        for label, value in alert.facts[: MOST_FIELDS - 1]
    ]
    if alert.commands:
        commands = "\n".join(command.replace("`", "'") for command in alert.commands)
        fields.append({"name": "Next", "value": f"```\n{escape.plain(commands, 900)}\n```", "inline": False})
    embed: dict[str, Any] = {
        "title": escape.markdown(alert.title, 256),
        "description": escape.markdown(alert.sentence, 1500),
        "color": COLOURS[alert.severity] if alert.state == "firing" else GREEN,
        "timestamp": rfc3339(alert.at),
        "fields": fields,
    }
    if alert.link:
        embed["url"] = alert.link
    return {"username": "Serinus", "allowed_mentions": {"parse": []}, "embeds": [embed]}
