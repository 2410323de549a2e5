"""PagerDutyChannel, by Events API v2: one incident a key, triggered and resolved by that key."""

import json
from typing import Any

from pydantic import SecretStr

from canary.alert import AlertNotice
from canary.serial import rfc3339
from canary.spec.alerts import SecretRef
from controlplane.alerts import escape
from controlplane.alerts.post import Post
from controlplane.alerts.secrets import Secrets

ADDRESSES = {
    "us": "https://events.pagerduty.com/v2/enqueue",
    "eu": "https://events.eu.pagerduty.com/v2/enqueue",
}


class PagerDutyChannel:
    """One service."""

    keyed = True
    repeats = None

    def __init__(self, routing_key: SecretRef, secrets: Secrets, post: Post, *, address: str) -> None:
        self.name = f"pagerduty ({routing_key})"
        self._routing_key, self._secrets, self._post = routing_key, secrets, post
        self._address = SecretStr(address)

    async def send(self, alert: AlertNotice) -> None:
        """Trigger; the same key again updates the same incident."""
        await self._enqueue({"event_action": "trigger", **message(alert)})

    async def resolve(self, alert: AlertNotice) -> None:
        """Resolve; without an incident of this key nothing happens."""
        await self._enqueue({"event_action": "resolve", "dedup_key": escape.plain(alert.key, 255)})

    async def _enqueue(self, event: dict[str, Any]) -> None:
        key = await self._secrets.read(self._routing_key)
        body = json.dumps({"routing_key": key.get_secret_value(), **event}).encode()
        await self._post.post(self._address, body, {"content-type": "application/json"})


def message(alert: AlertNotice) -> dict[str, Any]:
    """The payload of a trigger, without the routing key."""
    details = {label: escape.plain(value, 1024) for label, value in alert.facts}
    return {
        "dedup_key": escape.plain(alert.key, 255),
        "payload": {
            "summary": escape.plain(f"{alert.title}: {alert.sentence}", 1024),
            "source": "serinus",
            "severity": alert.severity,
            "timestamp": rfc3339(alert.began),
            "component": alert.rollout,
            "class": alert.kind,
            "custom_details": {**details, "Next": list(alert.commands)},
        },
        "client": "Serinus",
        **({"client_url": alert.link, "links": [{"href": alert.link, "text": "The rollout"}]} if alert.link else {}),
    }
