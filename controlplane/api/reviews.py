"""The door of a dashboard in a cluster: people come with tokens of their own, and the API server says whose they are.

Used by `guard.py`. Every token is shown to the API server (TokenReview) and has to be made for us (the audience), so
that one that was stolen from here opens nothing else. An answer counts for a minute at most and is kept by the token's
hash. There is no anonymous person, and no header of a proxy says who anybody is. The cookie of the sign-in page is the
token itself, which the browser hides from scripts: nothing is kept here, so replicas and restarts end no session.
"""

import asyncio
import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable
from hashlib import sha256
from typing import TypeVar
from weakref import WeakValueDictionary

from starlette.datastructures import Headers

from canary.errors import ExternalError
from controlplane.adapters.rate_limiter import RateLimiter
from controlplane.api.door import Caller, Cookie, Person, bearer, cookies
from controlplane.api.keys import Keys
from controlplane.api.problem import HttpProblem
from controlplane.fair_queue import FairQueue
from controlplane.kubernetes.api import Kube, Resource

REVIEW = Resource("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", namespaced=False)
AUDIENCE = "serinus"
COOKIE, SECURE_COOKIE = "serinus-session", "__Host-serinus-session"
"""Over plain HTTP, which is for a port that is forwarded to one's own machine, and over TLS."""
FRESH = 60.0
"""Seconds for which a person is known by a token."""
FRESH_NO = 5.0
"""Seconds for which a token is known to open nothing; short, so that it may begin to."""
MOST_KEPT = 2000
"""Tokens that are known, and as many that are known to open nothing: the latter take no place of the former."""
LONGEST = 8 * 1024
AT_ONCE, OF_ONE = 8, 4
"""Reviews under way at the same time, of all senders and of one; who had fewest lately goes next."""
BURST, RATE = 30.0, 1.0
"""Unknown tokens that one sender may have reviewed at once, and how many more a second."""
NOBODY = "system:anonymous"


class ReviewDoor:
    """Asks the API server who has a token. Implements `door.Door`."""

    signs_in = True

    def __init__(self, kube: Kube, now: Callable[[], float], audience: str = AUDIENCE) -> None:
        """`now`: seconds; only differences count. `audience`: whom tokens have to be made for."""
        self._kube, self._now, self._audience = kube, now, audience
        self._known: dict[bytes, tuple[float, Person]] = {}
        """By the hash of a token; whoever was known once is asked about first, and at nobody's expense."""
        self._bogus: dict[bytes, float] = {}
        self._asking: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()
        self._turns = FairQueue(AT_ONCE, OF_ONE)
        self._rate = RateLimiter(BURST, RATE)
        self.how = f"kubectl create token NAME --namespace NAMESPACE --audience {audience}"
        self.hint = (
            f"This needs a token for the audience {audience}: sign in at /sign-in with the output of "
            f"`{self.how}`, or send it as `Authorization: Bearer …`."
        )

    async def admit(self, headers: Headers, sender: str) -> Caller | None:
        """See `door.Door`; a header that is no good is not made good by a cookie."""
        if "authorization" in headers:
            return await self._caller(bearer(headers), sender, by_cookie=False)
        for name in (SECURE_COOKIE, COOKIE):
            for token in cookies(headers, name):
                return await self._caller(token, sender, by_cookie=True)
        return None

    async def opened(self, token: str, origin: str, sender: str) -> Cookie | None:
        """See `door.Door`."""
        if await self._person(token, sender) is None:
            return None
        secure = origin.startswith("https://")
        return Cookie(SECURE_COOKIE if secure else COOKIE, token, secure)

    async def _caller(self, token: str, sender: str, *, by_cookie: bool) -> Caller | None:
        person = await self._person(token, sender)
        return None if person is None else Caller(person, Keys(token).header, by_cookie)

    async def _person(self, token: str, sender: str) -> Person | None:
        """Whose token it is; None where it opens nothing. Raises `ExternalError` while that cannot be asked."""
        if not is_token(token):
            return None
        digest = sha256(token.encode()).digest()
        lock = self._asking.setdefault(digest, asyncio.Lock())
        async with lock:  # many requests with one token are one question
            known, now = self._known.get(digest), self._now()
            if known is not None and 0 <= now - known[0] < FRESH:
                return known[1]
            if 0 <= now - self._bogus.get(digest, float("-inf")) < FRESH_NO:
                return None
            if known is None and not self._rate.take(sender, now):
                raise HttpProblem(429, "Too many attempts", "This address has tried too many tokens; try again soon.")
            # Nobody who was known a while ago waits behind tokens that nobody knows.
            async with self._turns.held(digest.hex() if known else sender, urgent=known is not None):
                person = await self._reviewed(token)
            self._known.pop(digest, None)
            if person is None:
                _keep(self._bogus, digest, now)
            else:
                _keep(self._known, digest, (now, person))
            return person

    async def _reviewed(self, token: str) -> Person | None:
        told = await self._kube.create(
            REVIEW, {"metadata": {}, "spec": {"token": token, "audiences": [self._audience]}}
        )
        status = told.get("status") or {}
        # A server that does not know of audiences answers none, and then the token may be anybody's for anything.
        if status.get("authenticated") is not True or self._audience not in (status.get("audiences") or ()):
            return None
        user = status.get("user") or {}
        name = str(user.get("username") or "")
        if not name or name == NOBODY:
            return None
        try:
            extra = {str(key): tuple(str(each) for each in values) for key, values in (user.get("extra") or {}).items()}
        except (TypeError, AttributeError) as error:
            raise ExternalError(f"The API server's word on who asks cannot be read ({error}).") from error
        return Person(name, str(user.get("uid") or ""), tuple(str(each) for each in user.get("groups") or ()), extra)


_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


def is_token(text: str) -> bool:
    """Whether this has the form of a token that a cluster gives for an audience (a JWT); nothing else is sent on."""
    if len(text) > LONGEST or not _JWT.fullmatch(text):
        return False
    head = text.partition(".")[0]
    try:
        return "alg" in json.loads(urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (ValueError, TypeError, RecursionError):
        return False


V = TypeVar("V")


def _keep(known: dict[bytes, V], digest: bytes, value: V) -> None:
    """Remember this, in the place of what was remembered first if need be."""
    if len(known) >= MOST_KEPT:
        known.pop(next(iter(known)))
    known.pop(digest, None)
    known[digest] = value
