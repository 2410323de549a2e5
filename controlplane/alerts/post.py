"""Posts a body to one web address and judges the answer by its status, which is all that is ever read of it.

Used by the channels that speak HTTP. Nothing of what a receiver answers is shown: it could repeat a secret. Which
addresses may be dialled, and how, is in `guarded_http.py`.
"""

import ssl
from collections.abc import Mapping

from pydantic import SecretStr

from canary.errors import Unavailable
from controlplane.adapters.dial_policy import Reach
from controlplane.alerts.channel import SECONDS, DeliveryDeferred, DeliveryRejected
from controlplane.alerts.guarded_http import GuardedHttp, HttpReply

LONGEST_WAIT = 3600.0
"""Seconds; a receiver that asks for more is tried all the same."""
TRY_AGAIN = frozenset({408, 425, 429})


class Post:
    """Posts, each over its own connection. Every failure is one clause without the address."""

    def __init__(self, reach: Reach, *, seconds: float = SECONDS, tls: ssl.SSLContext | None = None) -> None:
        """`tls`: the certificates to trust; None takes the machine's, loaded when first needed."""
        self._dial = GuardedHttp(reach, seconds=seconds, tls=tls)

    async def post(self, address: SecretStr, body: bytes, headers: Mapping[str, str]) -> None:
        """Deliver the body; raises `DeliveryRejected`, `DeliveryDeferred` or `Unavailable`."""
        _judge(await self._dial.ask("POST", address, body, headers))


def _judge(answer: HttpReply) -> None:
    """Nothing for a success; otherwise the clause that its status deserves."""
    status = answer.status
    if 200 <= status < 300:
        return
    if status in TRY_AGAIN or status >= 500:
        wait = answer.headers.get("retry-after", "")
        if wait.isdigit() and float(wait) <= LONGEST_WAIT:
            raise DeliveryDeferred(f"it answers {status} and asks to wait {wait} s", float(wait))
        raise Unavailable(f"it answers {status}")
    if 300 <= status < 400:
        raise DeliveryRejected(f"it answers {status}, a redirect, which is not followed")
    known = {
        401: ": the key or token is wrong",
        403: ": the key or token is wrong",
        404: ": it is not there (any more)",
    }
    raise DeliveryRejected(f"it answers {status}{known.get(status, '')}")
