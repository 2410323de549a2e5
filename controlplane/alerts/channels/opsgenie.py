"""Opsgenie, by the Alert API v2: one alert an alias, created and closed by it."""

import json
from typing import Any
from urllib.parse import quote

from pydantic import SecretStr

from canary.alert import AlertNotice
from canary.spec.alerts import SecretRef
from controlplane.alerts import escape
from controlplane.alerts.post import Post
from controlplane.alerts.secrets import Secrets

ADDRESSES = {"us": "https://api.opsgenie.com", "eu": "https://api.eu.opsgenie.com"}
PRIORITIES = {"critical": "P1", "warning": "P3", "info": "P5"}


class OpsgenieChannel:
    """One team's integration."""

    keyed = True
    repeats = None

    def __init__(self, api_key: SecretRef, secrets: Secrets, post: Post, *, address: str) -> None:
        self.name = f"opsgenie ({api_key})"
        self._api_key, self._secrets, self._post = api_key, secrets, post
        self._address = address

    async def send(self, alert: AlertNotice) -> None:
        """Create; the same alias again counts on the same alert."""
        await self._ask("/v2/alerts", message(alert))

    async def resolve(self, alert: AlertNotice) -> None:
        """Close; Opsgenie accepts that for an alias it does not know, too."""
        note = {"source": "serinus", "user": "serinus", "note": escape.plain(alert.sentence, 25_000)}
        await self._ask(f"/v2/alerts/{quote(_alias(alert), safe='')}/close?identifierType=alias", note)

    async def _ask(self, path: str, body: dict[str, Any]) -> None:
        key = await self._secrets.read(self._api_key)
        headers = {"content-type": "application/json", "authorization": f"GenieKey {key.get_secret_value()}"}
        await self._post.post(SecretStr(f"{self._address}{path}"), json.dumps(body).encode(), headers)


def message(alert: AlertNotice) -> dict[str, Any]:
    """The payload of a new alert."""
    lines = [alert.sentence, *(f"Next: {command}" for command in alert.commands), *([alert.link] if alert.link else [])]
    return {
        "message": escape.plain(alert.title, 130),
        "alias": _alias(alert),
        "description": escape.plain("\n".join(lines), 15_000),
        "priority": PRIORITIES[alert.severity],
        "source": "serinus",
        "entity": escape.plain(alert.rollout, 512),
        "tags": ["serinus", alert.kind],
        "details": {label: escape.plain(value, 1000) for label, value in alert.facts},
    }


def _alias(alert: AlertNotice) -> str:
    return escape.plain(alert.key, 512)
