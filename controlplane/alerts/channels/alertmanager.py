"""A Prometheus Alertmanager, by its API v2: it forgets what is not repeated, so what stands is sent every minute.

What happened once (a rollback) has no end that anybody could tell; it is sent with one an hour ahead.
"""

import json
from collections.abc import Callable
from typing import Any

from pydantic import SecretStr

from canary.alert import AlertNotice
from canary.serial import rfc3339
from canary.spec.alerts import SecretRef
from controlplane.alerts import escape
from controlplane.alerts.post import Post
from controlplane.alerts.secrets import Secrets

REPEAT = 60.0
"""Seconds; Alertmanager drops after five minutes what it does not hear of again."""
SHOWN = 3600.0
"""Seconds for which something that happened once is shown."""


class AlertmanagerChannel:
    """One Alertmanager."""

    keyed = True
    repeats = REPEAT

    def __init__(
        self,
        url: SecretRef,
        secrets: Secrets,
        post: Post,
        *,
        now: Callable[[], float],
        token: SecretRef | None = None,
    ) -> None:
        """`now`: seconds since the epoch."""
        self.name = f"alertmanager ({url})"
        self._url, self._token, self._secrets, self._post = url, token, secrets, post
        self._now = now

    async def send(self, alert: AlertNotice) -> None:
        """Post it as firing: until it is not repeated, or until its end where it has one."""
        ends = {} if alert.standing else {"endsAt": rfc3339(self._now() + SHOWN)}
        await self._put({**message(alert), **ends})

    async def resolve(self, alert: AlertNotice) -> None:
        """Post its end."""
        await self._put({**message(alert), "endsAt": rfc3339(alert.at)})

    async def _put(self, alert: dict[str, Any]) -> None:
        headers = {"content-type": "application/json"}
        if self._token:
            token = await self._secrets.read(self._token)
            headers["authorization"] = f"Bearer {token.get_secret_value()}"
        base = (await self._secrets.read(self._url)).get_secret_value().rstrip("/")
        await self._post.post(SecretStr(f"{base}/api/v2/alerts"), json.dumps([alert]).encode(), headers)


def message(alert: AlertNotice) -> dict[str, Any]:
    """The alert. Its labels are its identity, so they are the same from the beginning to the end."""
    annotations = {"summary": alert.title, "description": alert.sentence}
    if alert.facts:
        annotations["numbers"] = "\n".join(f"{label}: {value}" for label, value in alert.facts)
    if alert.commands:
        annotations["next"] = "\n".join(alert.commands)
    found: dict[str, Any] = {
        "labels": {
            "alertname": f"Serinus{alert.kind[:1].upper()}{alert.kind[1:]}",
            "rollout": escape.plain(alert.rollout, 200),
            "attempt": str(alert.attempt),
            "severity": alert.severity,
        },
        "annotations": {name: escape.plain(value, 4000) for name, value in annotations.items()},
        "startsAt": rfc3339(alert.began),
    }
    return {**found, "generatorURL": alert.link} if alert.link else found
