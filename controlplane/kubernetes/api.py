"""What the shell needs of a Kubernetes API server: eight verbs over plain dicts.

Implemented by `client.py` (a real server) and `testing.fake_apiserver` (one in this
process), which pass the same suite. Objects are dicts as the server sends them, because typed models refuse objects
that real clusters hold. Knows no kind of its own and retries nothing: callers are level-based and come again.
`Resource.path` is the only place where names become addresses.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, Self
from urllib.parse import quote

from canary.dns import LONGEST_LABEL, LONGEST_SUBDOMAIN, is_label, is_subdomain
from canary.errors import Conflict, ExternalError, Unavailable

Object = dict[str, Any]
"""One object as the server sends it; never changed in place by readers."""
Slim = Callable[[Object], Object]
"""What is worth keeping of an object; leaves what it is given alone."""

FIELD_MANAGER = "serinus"
"""By this name managed fields tell our writes from those of others."""
SILENCE_SECONDS = 75.0
"""No watch is silent for longer while it lives: servers send a bookmark every minute."""
SHOWN = 80
"""Characters of a name that is none, in the sentence about it."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind by its place in the API."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    labelled: bool = False
    """Whether its names are single labels, as those of namespaces and Services are."""

    @property
    def api_version(self) -> str:
        """As it stands in objects: `gateway.networking.k8s.io/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str = "") -> str:
        """The request path; without a namespace all of them, without a name the collection.

        Raises `Rejected` for names that no object can have: they come out of what people wrote, and a path that they
        could lead elsewhere would be followed with our own permissions.
        """
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace:
            if not is_label(namespace):
                raise self._no_name("a namespace", namespace, LONGEST_LABEL)
            parts += ["namespaces", namespace]
        elif self.namespaced and name is not None:
            raise Rejected(f"A {self.kind} is in a namespace, and none was named. The API server was not asked for it")
        parts.append(self.plural)
        if name is not None:
            if not (is_label(name) if self.labelled else is_subdomain(name)):
                raise self._no_name(f"a {self.kind}", name, LONGEST_LABEL if self.labelled else LONGEST_SUBDOMAIN)
            parts.append(name)
        if subresource:
            if not is_label(subresource):
                raise self._no_name("a subresource", subresource, LONGEST_LABEL)
            parts.append(subresource)
        return "".join(f"/{quote(part, safe='')}" for part in parts)

    def _no_name(self, of: str, name: str, longest: int) -> "Rejected":
        shown = ascii(name if len(name) <= SHOWN else f"{name[: SHOWN - 1]}…")
        return Rejected(
            f"{shown} cannot be the name of {of}: expected at most {longest} lower-case letters, digits and -"
            f"{'' if longest == LONGEST_LABEL else ' or .'}. The API server was not asked for {self.plural}"
        )


class KubeRequest(NamedTuple):
    """What was asked of the server, in the words of its permissions (RBAC)."""

    verb: str
    """get, list, watch, create, patch (server-side apply too) or delete."""
    group: str
    resource: str
    """Plural, with its subresource where there is one: `modelcanaries/status`."""

    @classmethod
    def of(cls, verb: str, resource: Resource, subresource: str = "") -> Self:
        """The request of this verb on a kind."""
        return cls(verb, resource.group, f"{resource.plural}/{subresource}" if subresource else resource.plural)

    @property
    def writes(self) -> bool:
        """Whether it may change anything."""
        return self.verb in {"create", "patch", "delete"}


def typed(resource: Resource, object_: Object) -> Object:
    """With its kind and version, which writers may leave out."""
    return {"apiVersion": resource.api_version, "kind": resource.kind, **object_}


def deletion(uid: str = "") -> Object:
    """The options of a deletion in the background; with `uid` only of that very object."""
    options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
    return options | {"preconditions": {"uid": uid}} if uid else options


class NotFound(ExternalError):  # noqa: N818 - the API's word for it
    """The object, or its kind, is not there."""


class Exists(ExternalError):  # noqa: N818 - the API's word for it
    """An object of this name is there already."""


class Rejected(ExternalError):  # noqa: N818 - the API's word for it
    """The server understood and says no: a schema, a webhook, a quota, a missing permission. Its sentence is ours.

    Or it was not asked, because no object can have such a name.
    """


class ResourceExpired(ExternalError):  # noqa: N818 - the API's word for it
    """The version to go on from is too old (410): list again."""


class TooManyRequests(Unavailable):
    """The server asks to come back later (429, or a webhook of somebody's that does not answer)."""

    def __init__(self, sentence: str, after: float = 1.0) -> None:
        """`after`: seconds that it asks for."""
        super().__init__(sentence)
        self.after = after


__all__ = [
    "FIELD_MANAGER",
    "SILENCE_SECONDS",
    "Conflict",
    "Exists",
    "Kube",
    "KubeRequest",
    "NotFound",
    "Object",
    "ObjectList",
    "Rejected",
    "Resource",
    "ResourceExpired",
    "Slim",
    "TooManyRequests",
    "Unavailable",
    "WatchEvent",
    "deletion",
    "typed",
]


@dataclass(frozen=True, slots=True)
class ObjectList:
    """A collection at one moment."""

    items: Sequence[Object]
    version: str
    """Resource version to watch from."""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One line of a watch."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: Object


class Kube(Protocol):
    """Every method raises `ExternalError`: the subclasses above, or `Unavailable` when the server does not answer.

    `urgent` puts a write into the priority lane, ahead of everything that waits for a connection.
    """

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Object:
        """One object; raises `NotFound`."""
        ...

    async def list(
        self, resource: Resource, namespace: str | None = None, *, labels: str = "", slim: Slim | None = None
    ) -> ObjectList:
        """All objects, in one namespace or everywhere; `labels` is a selector.

        With `slim` that is what they come as: a list is read page by page, and never is in memory whole.
        """
        ...

    def watch(
        self, resource: Resource, namespace: str | None, version: str, *, labels: str = ""
    ) -> AsyncIterator[WatchEvent]:
        """Changes after `version` until the server ends it; raises `ResourceExpired`. Silence is bounded by the
        implementation.
        """
        ...

    async def create(self, resource: Resource, object_: Object) -> Object:
        """Make it; raises `Exists`."""
        ...

    async def apply(self, resource: Resource, object_: Object, *, force: bool = True, urgent: bool = False) -> Object:
        """Server-side apply as `FIELD_MANAGER`: these fields have these values. Raises `Conflict` without `force`."""
        ...

    async def patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: Sequence[Mapping[str, Any]] | Mapping[str, Any],
        *,
        subresource: str = "",
        urgent: bool = False,
    ) -> Object:
        """A JSON patch (a list; raises `Conflict` where its `test` does not hold) or a merge patch (a mapping)."""
        ...

    async def delete(self, resource: Resource, namespace: str | None, name: str, *, uid: str = "") -> None:
        """Delete it and what it owns, in the background; one that is not there is deleted already.

        With `uid` only that very object, else `Conflict`.
        """
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...
