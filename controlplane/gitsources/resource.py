"""What a GitSource asks for: a repository, its branch, which files, and by whose name. Pure: an object in, a value out.

Read by `sources.py` at each change. The schema of the resource has checked the shape before; everything is checked
again here, because an older schema may be installed, and what is wrong becomes a condition and nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from canary.dns import is_subdomain
from canary.errors import BadInput
from canary.spec.source import quoted
from canary.spec.units import UnreadableNumber, seconds
from controlplane.gitops.hosts.settings import GitSettings, Kind, Write
from controlplane.gitops.paths import Pattern
from controlplane.gitops.remote import Remote, address_of, remote
from controlplane.kubernetes.api import Object

OnDrift = Literal["repair", "report"]
"""What becomes of a ModelCanary that somebody changes by hand."""
PATHS = ("**/canary.yml",)
INTERVAL = "30s"
SHORTEST, LONGEST = 1.0, 3600.0
"""Seconds between two looks at a branch."""
MOST_PATHS = 20
TYPES: Mapping[str, tuple[type, str]] = {
    **dict.fromkeys(("url", "branch", "interval", "write", "user", "author", "onDrift"), (str, "a text")),
    **dict.fromkeys(("suspend", "statuses"), (bool, "true or false")),
    **dict.fromkeys(("secretRef", "host"), (dict, "a mapping")),
    "paths": (list, "a list of texts"),
}
FIELDS = frozenset(TYPES)
"""Of the spec. Nobody's typing error is taken for a wish."""
SECRETS: Mapping[str, tuple[str, ...]] = {
    "token": ("token", "password"),
    "key": ("ssh-privatekey", "identity"),
    "known_hosts": ("known_hosts",),
    "webhook": ("webhook",),
    "api": ("api-token",),
    "sign": ("sign-key",),
    "user": ("username",),
}
"""What a source may need to keep secret, by the keys of its Secret; the first that is there counts."""


@dataclass(frozen=True, slots=True)
class GitSource:
    """One repository as its owner asked for it."""

    namespace: str
    name: str
    url: str
    branch: str
    pattern: Pattern
    interval: float
    """Seconds."""
    suspended: bool
    user: str
    secret: str
    """Name of the Secret; empty where none is needed."""
    write: Write
    host: Kind | None
    api: str
    author: str
    statuses: bool
    on_drift: OnDrift

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that are dialled."""
        return address_of(self.url)

    def remote(self, files: Mapping[str, Path], user: str = "") -> Remote:
        """The repository, with credentials in these files. Raises `BadInput`."""
        is_web = self.url.startswith("http")
        return remote(
            self.url,
            branch=self.branch,
            token=files.get("token") if is_web else None,
            user=user or self.user,
            key=None if is_web else files.get("key"),
            known_hosts=None if is_web else files.get("known_hosts"),
        )

    def settings(self, files: Mapping[str, Path], dashboard: str) -> GitSettings:
        """How to write, and what to tell the host."""
        return GitSettings(
            write=self.write,
            host=self.host,
            api=self.api,
            api_token=files.get("api"),
            sign_key=files.get("sign"),
            author=self.author,
            dashboard=dashboard,
            statuses=self.statuses,
        )


def read(object_: Object) -> GitSource:
    """What the resource asks for. Raises `BadInput`: a sentence that names the field."""
    meta, spec = object_["metadata"], object_.get("spec") or {}
    if not isinstance(spec, dict):
        raise BadInput(f"spec is {quoted(str(spec))}; expected a mapping.")
    if unknown := sorted(set(spec) - FIELDS):
        raise BadInput(f"spec.{unknown[0]} is not known; expected {', '.join(sorted(FIELDS))}.")
    for name, value in spec.items():
        type_, expected = TYPES[name]
        texts = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
        if value is not None and not (isinstance(value, type_) and all(isinstance(each, str) for each in texts)):
            raise BadInput(f"spec.{name} is {quoted(str(value))}; expected {expected}.")
    host = spec.get("host") or {}
    paths = tuple(spec.get("paths") or PATHS)
    if len(paths) > MOST_PATHS:
        raise BadInput(f"spec.paths names {len(paths)} patterns; expected {MOST_PATHS} at most.")
    source = GitSource(
        namespace=meta["namespace"],
        name=meta["name"],
        url=str(spec.get("url") or ""),
        branch=str(spec.get("branch") or "main"),
        pattern=Pattern(*paths),
        interval=_interval(spec.get("interval") or INTERVAL),
        suspended=spec.get("suspend") is True,
        user=str(spec.get("user") or "git"),
        secret=_secret((spec.get("secretRef") or {}).get("name")),
        write=_one_of("spec.write", spec.get("write") or "auto", get_args(Write)),
        host=_one_of("spec.host.kind", host["kind"], get_args(Kind)) if host.get("kind") else None,
        api=str(host.get("api") or ""),
        author=str(spec.get("author") or ""),
        statuses=spec.get("statuses") is not False,
        on_drift=_one_of("spec.onDrift", spec.get("onDrift") or "repair", get_args(OnDrift)),
    )
    source.remote({})
    return source


def _interval(written: Any) -> float:
    try:
        read_ = seconds(str(written))
    except UnreadableNumber as error:
        raise BadInput(f"spec.interval: {error}.") from error
    if not SHORTEST <= read_ <= LONGEST:
        raise BadInput(f"spec.interval is {quoted(str(written))}; expected between 1s and 1h.")
    return read_


def _secret(written: Any) -> str:
    """Of this namespace and nothing else: a name with a path in it would be a Secret of somebody else's."""
    name = str(written or "")
    if name and not is_subdomain(name):
        expected = "the name of a Secret of this namespace, of lower-case letters, digits, - and ."
        raise BadInput(f"spec.secretRef.name is {quoted(name)}; expected {expected}")
    return name


def _one_of(field: str, written: Any, known: tuple[Any, ...]) -> Any:
    if written not in known:
        raise BadInput(f"{field} is {quoted(str(written))}; expected {', '.join(known)}.")
    return written
