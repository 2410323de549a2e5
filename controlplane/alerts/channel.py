"""The port of all alert channels, and what a channel says when it could not deliver.

Implemented in `controlplane/alerts/channels`, one file a channel; called by `mailbox.py`, which waits, retries and
gives up. A channel delivers once or raises; it keeps nothing.
"""

from typing import Protocol

from canary.alert import AlertNotice
from canary.errors import ExternalError, Unavailable

SECONDS = 10.0
"""How long one delivery may take."""


class DeliveryRejected(ExternalError):  # noqa: N818 - what the receiver did
    """The receiver answers and says no: a wrong key, a webhook that is gone. Trying again at once would not help."""


class DeliveryDeferred(Unavailable):
    """The receiver asks to wait."""

    def __init__(self, message: str, wait: float) -> None:
        """`wait`: seconds."""
        super().__init__(message)
        self.wait = wait


class AlertChannel(Protocol):
    """One place to tell. Both methods raise `Unavailable`, `DeliveryRejected` or another `ExternalError` with one
    clause each.
    """

    @property
    def name(self) -> str:
        """Kind and reference, such as `slack (slack-webhook/url)`; never a secret."""
        ...

    @property
    def keyed(self) -> bool:
        """Whether the receiver itself knows alerts by their key. If so it gets every end and no summaries."""
        ...

    @property
    def repeats(self) -> float | None:
        """Seconds after which a fact that stands is sent again; None for receivers that remember."""
        ...

    async def send(self, alert: AlertNotice) -> None:
        """Deliver a fact; what is sent again has the same id and key."""
        ...

    async def resolve(self, alert: AlertNotice) -> None:
        """Deliver its end."""
        ...
