"""What the chat rooms have in common: one webhook takes a message, and the end of a fact is a message of its own.

The base of `slack.py`, `teams.py` and `discord.py`, each of which knows only its own payload.
"""

import json
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from canary.alert import AlertNotice
from canary.spec.alerts import SecretRef
from controlplane.alerts.post import Post
from controlplane.alerts.secrets import Secrets


class ChatRoom(ABC):
    """One webhook of a chat room."""

    kind: ClassVar[str]
    keyed = False
    repeats = None

    def __init__(self, url: SecretRef, secrets: Secrets, post: Post) -> None:
        self.name = f"{self.kind} ({url})"
        self._url, self._secrets, self._post = url, secrets, post

    async def send(self, alert: AlertNotice) -> None:
        """Post the message."""
        body = json.dumps(self.payload(alert)).encode()
        await self._post.post(await self._secrets.read(self._url), body, {"content-type": "application/json"})

    async def resolve(self, alert: AlertNotice) -> None:
        """A room keeps no state: the end is a message of its own."""
        await self.send(alert)

    @abstractmethod
    def payload(self, alert: AlertNotice) -> dict[str, Any]:
        """The message as this room takes it."""
