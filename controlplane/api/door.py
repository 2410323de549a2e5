"""Who asks: what a request carries that says so, and the door of a dashboard that one person started for themselves.

Used by `guard.py` before any route; `reviews.py` is the door in a cluster. Says who somebody is and by which means they
said it, never what they may do: that is the source's business (`places.py`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Protocol

from starlette.datastructures import Headers
from starlette.responses import Response

from controlplane.api.keys import Keys, same


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, as requests are signed and as an API server knows them."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Caller:
    """A person, and how a request said that it is theirs."""

    person: Person
    key: str
    """What the page sends with an action, so that no other site's page can."""
    by_cookie: bool
    """Whether the browser said it by itself; then an action needs the key besides."""


@dataclass(frozen=True, slots=True)
class Cookie:
    """What a browser is given to keep."""

    name: str
    value: str
    secure: bool = False
    key: str = ""
    """What the page is told once, beside the cookie; empty where it learns its key from the session."""

    def put(self, response: Response) -> None:
        """Give it to the browser until that is closed; no script sees it and no other site's page sends it."""
        response.set_cookie(self.name, self.value, httponly=True, samesite="strict", secure=self.secure)


class Door(Protocol):
    """Tells who asks."""

    @property
    def signs_in(self) -> bool:
        """Whether people sign in with tokens of their own, on a page of their own."""
        ...

    @property
    def how(self) -> str:
        """The command that prints what opens it."""
        ...

    @property
    def hint(self) -> str:
        """What somebody should do who carries nothing that says who they are."""
        ...

    async def admit(self, headers: Headers, sender: str) -> Caller | None:
        """Who asks; None for somebody unknown. `sender`: the address that asks, as limits know it.

        Raises `Refused` where nobody can be known now, or where the sender has tried too often.
        """
        ...

    async def opened(self, token: str, origin: str, sender: str) -> Cookie | None:
        """The cookie for whoever has this token; None where it opens nothing. `origin`: of the page that asks."""
        ...


class KeyDoor:
    """One token, one person: whoever has it is who started the dashboard. Implements `Door`."""

    signs_in = False
    how = "serinus dashboard"
    hint = (
        "This needs the token of the dashboard: open the address that `serinus dashboard` printed, or send it "
        "as `Authorization: Bearer …`."
    )

    def __init__(self, keys: Keys, name: str, groups: tuple[str, ...] = ()) -> None:
        """`name`: whom requests are signed with; `groups`: for whom that person speaks besides."""
        self._keys, self._person = keys, Person(name, groups=groups)

    async def admit(self, headers: Headers, sender: str) -> Caller | None:
        """See `Door`; the token before the cookie."""
        keys = self._keys
        if same(bearer(headers), keys.token):
            return Caller(self._person, keys.header, by_cookie=False)
        if any(same(value, keys.cookie) for value in cookies(headers, keys.cookie_name)):
            return Caller(self._person, keys.header, by_cookie=True)
        return None

    async def opened(self, token: str, origin: str, sender: str) -> Cookie | None:
        """See `Door`; the cookie is not the token, and may only read."""
        keys = self._keys
        return Cookie(keys.cookie_name, keys.cookie, key=keys.header) if same(token, keys.token) else None


def bearer(headers: Headers) -> str:
    """The token of the `Authorization` header; empty where there is none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def cookies(headers: Headers, name: str) -> Iterable[str]:
    """The values of this cookie; what is not one is left out."""
    for line in headers.getlist("cookie"):
        try:
            found = SimpleCookie(line).get(name)
        except CookieError:
            continue
        if found is not None:
            yield found.value
