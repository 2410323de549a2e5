"""Any server that takes JSON: CloudEvents 1.0, or a template of the user's, signed as Standard Webhooks has it."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import asdict
from string import Template
from typing import Any

from pydantic import SecretStr

from canary.alert import AlertNotice, text
from canary.serial import rfc3339
from canary.spec.alerts import TEMPLATE_FIELDS, SecretRef
from controlplane.alerts.channel import DeliveryRejected
from controlplane.alerts.post import Post
from controlplane.alerts.secrets import Secrets

TYPE = "dev.serinus.alert"
PREFIX = "whsec_"


class WebhookChannel:
    """One server."""

    keyed = True
    repeats = None

    def __init__(
        self,
        url: SecretRef,
        secrets: Secrets,
        post: Post,
        *,
        now: Callable[[], float],
        signing_key: SecretRef | None = None,
        token: SecretRef | None = None,
        template: str | None = None,
    ) -> None:
        """`now`: seconds since the epoch; a signature is good for some minutes only."""
        self.name = f"webhook ({url})"
        self._url, self._secrets, self._post, self._now = url, secrets, post, now
        self._signing_key, self._token, self._template = signing_key, token, template

    async def send(self, alert: AlertNotice) -> None:
        """Post the event, signed anew at each try and with the same id."""
        kind = "application/json" if self._template else "application/cloudevents+json"
        body = (filled(self._template, alert) if self._template else json.dumps(event(alert))).encode()
        stamp = str(int(self._now()))
        headers = {"content-type": kind, "webhook-id": alert.id, "webhook-timestamp": stamp}
        if self._signing_key:
            key = await self._secrets.read(self._signing_key)
            headers["webhook-signature"] = signature(key, alert.id, stamp, body)
        if self._token:
            token = await self._secrets.read(self._token)
            headers["authorization"] = f"Bearer {token.get_secret_value()}"
        await self._post.post(await self._secrets.read(self._url), body, headers)

    async def resolve(self, alert: AlertNotice) -> None:
        """Post it likewise: the event says that it is an end."""
        await self.send(alert)


def event(alert: AlertNotice) -> dict[str, Any]:
    """The CloudEvent: `id` is the same at every try, `data.key` for everything said of one fact."""
    data = {name: value for name, value in asdict(alert).items() if name not in {"complete", "number"}}
    return {
        "specversion": "1.0",
        "id": alert.id,
        "source": "/serinus",
        "type": f"{TYPE}.{alert.kind}.{alert.state}",
        "subject": alert.rollout,
        "time": rfc3339(alert.at),
        "datacontenttype": "application/json",
        "data": {
            **data,
            "title": alert.title,
            "began": rfc3339(alert.began),
            "at": rfc3339(alert.at),
            "facts": dict(alert.facts),
        },
    }


def filled(template: str, alert: AlertNotice) -> str:
    """The template with its fields; each is escaped to stand inside a JSON string."""
    values = {
        **{name: getattr(alert, name, "") for name in TEMPLATE_FIELDS},
        "at": rfc3339(alert.at),
        "text": text(alert),
    }
    return Template(template).substitute({name: json.dumps(str(value))[1:-1] for name, value in values.items()})


def signature(key: SecretStr, id_: str, stamp: str, body: bytes) -> str:
    """`v1,<base64>` over `id.timestamp.body`. A key with `whsec_` before it is base64, any other is taken as it is."""
    secret = key.get_secret_value()
    try:
        raw = (
            base64.b64decode(secret.removeprefix(PREFIX), validate=True)
            if secret.startswith(PREFIX)
            else secret.encode()
        )
    except binascii.Error:
        raise DeliveryRejected("its signing key begins with whsec_ and is not base64 after that") from None
    digest = hmac.new(raw, f"{id_}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
