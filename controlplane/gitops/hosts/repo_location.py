"""Where a repository's host has its API, and what kind it is: from the repository's address and the operator's word.

Called when a controller begins, with `host_for`; `location_of` is the pure part of it. The token is sent nowhere else
than here, so nothing is guessed: hosts that the whole world uses are known by their names, all others are named by
`--host`, and only the operator's own options say so, never a file in a repository.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from canary.errors import BadInput
from canary.spec.alerts import SecretRef
from canary.spec.source import printable, quoted
from controlplane.adapters.dial_policy import Reach, networks_of
from controlplane.alerts.guarded_http import GuardedHttp
from controlplane.alerts.secrets import LocalSecrets
from controlplane.gitops.hosts.api import HostAccess
from controlplane.gitops.hosts.gitea import Gitea
from controlplane.gitops.hosts.github import GitHub
from controlplane.gitops.hosts.gitlab import GitLab
from controlplane.gitops.hosts.host import Host
from controlplane.gitops.hosts.settings import GitSettings, Kind

_KNOWN: Mapping[str, Kind] = {
    "github.com": "github",
    "gitlab.com": "gitlab",
    "codeberg.org": "gitea",
    "gitea.com": "gitea",
}
_BELOW: Mapping[Kind, str] = {"github": "/api/v3", "gitlab": "/api/v4", "gitea": "/api/v1"}
"""Where the API is on a host of one's own."""
_PUBLIC_GITHUB = "https://api.github.com"
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_SCP = re.compile(r"(?:[^/@:]+@)?(?P<host>[^/:]+):(?P<path>.+)")
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class RepoLocation:
    """One repository on a host whose API is known."""

    kind: Kind
    root: str
    """Where the API answers, without a slash at its end."""
    repository: str
    """`owner/name`; with GitLab as many groups as there are."""


def location_of(url: str, settings: GitSettings) -> RepoLocation | None:
    """The place of a repository; None where nobody said what its host is. Raises `BadInput` for what means nothing."""
    web, host, path = _parts(url)
    kind = settings.host or _KNOWN.get(host)
    if kind is None:
        if settings.api:
            raise BadInput(
                "--api says where, but not what: say --host github, gitlab or gitea too. Nothing was started."
            )
        return None
    if not host:
        raise BadInput(f"{quoted(url)} is a folder of this machine; it has no {kind}. Nothing was started.")
    below = _BELOW[kind]
    root = settings.api.rstrip("/") or (_PUBLIC_GITHUB if host == "github.com" else f"{web}{below}")
    _check(root)
    # On a host that others share, everything stands below a folder: https://host/git/owner/name,
    # https://host/git/api/v1.
    folder = urlsplit(root).path.removesuffix(below).strip("/")
    repository = path.removeprefix(f"{folder}/") if folder else path
    parts = repository.split("/")
    if len(parts) < 2 or (kind != "gitlab" and len(parts) != 2) or not all(_NAME.fullmatch(part) for part in parts):
        raise BadInput(
            f"{quoted(url)} does not name a repository on {kind}; expected …/owner/name. Nothing was started."
        )
    return RepoLocation(kind, root, repository)


def host_at(place: RepoLocation, door: HostAccess) -> Host:
    """The adapter for a place."""
    make: Mapping[Kind, Callable[[HostAccess, str], Host]] = {"github": GitHub, "gitlab": GitLab, "gitea": Gitea}
    return make[place.kind](door, place.repository)


def access_of(place: RepoLocation, token: Path, now: Callable[[], float], reach: Reach | None = None) -> HostAccess:
    """The way to a place on this machine, with the token in a file."""
    reference = SecretRef(file=str(token.absolute()))  # not resolved: a mounted Secret changes by its links
    secrets = LocalSecrets({})
    return HostAccess(place.root, lambda: secrets.read(reference), GuardedHttp(reach or Reach()), now)


def host_for(
    url: str, token: Path | None, settings: GitSettings, now: Callable[[], float], reach: Reach | None = None
) -> Host | None:
    """The host of a repository as an operator described it; None where there is no API to speak with.

    `token` is the repository's own file; `reach`: what may be dialled, else what this machine's alerts may be sent to.
    Raises `BadInput` where something was asked for that nobody could do.
    """
    place, token = location_of(url, settings), settings.api_token or token
    if token is not None and not token.is_file():
        raise BadInput(f"The file for the token, {printable(str(token))}, does not exist; nothing was started.")
    if place is not None and token is not None:
        reach = reach or Reach(networks=networks_of(os.environ.get("SERINUS_ALERT_NETWORKS", "")))
        return host_at(place, access_of(place, token, now, reach))
    missing = "--host github, gitlab or gitea" if place is None else "--api-token-file"
    if settings.write == "pull-request" or settings.host or settings.api_token:
        raise BadInput(f"Pull requests and statuses need {missing} as well. Nothing was started.")
    return None


def _parts(url: str) -> tuple[str, str, str]:
    """Where its pages are, the host's name and the path of a repository, for every form of address that git takes."""
    split = urlsplit(url)
    if split.scheme in {"http", "https", "ssh"}:
        host = split.hostname or ""
        web = f"https://{host}" if split.scheme == "ssh" else f"{split.scheme}://{split.netloc}"
        return web, host, _named(split.path)
    if "://" not in url and (found := _SCP.fullmatch(url)):
        return f"https://{found['host']}", found["host"].lower(), _named(found["path"])
    return "", "", ""


def _named(path: str) -> str:
    return path.strip("/").removesuffix(".git")


def _check(root: str) -> None:
    """Raises `BadInput` for an address that a token must not be sent to."""
    split = urlsplit(root)
    safe = split.scheme == "https" or (split.scheme == "http" and split.hostname in _LOOPBACK)
    plain = not split.query and not split.fragment and "@" not in split.netloc and root.isascii() and root.isprintable()
    if not safe or not plain or not split.hostname:
        raise BadInput(f"{quoted(root)} is no address of an API; expected https://host/path. Nothing was started.")
