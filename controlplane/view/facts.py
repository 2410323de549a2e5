"""What stands around a rollout: its replicas, where its plan came from, who was told, what is said of its route.

Plain values, handed in by whoever serves a rollout: from a laptop's state folder, or from a cluster's caches. Nothing
here is needed to carry a rollout out; it is for people who look on, and each part may be missing.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Replica:
    """One process or pod."""

    arm: str
    """`stable` or `canary`; where nobody can tell, what it is called instead."""
    name: str
    ready: bool
    since: float | None
    """When it was started, in seconds since the epoch; None when unknown."""
    restarts: int
    place: str
    """Where it runs: `pid 4711, port 40123`, or a node."""
    serves: str = ""
    """The image or model that it was started with; empty where the variant's plan says it all."""
    trouble: str = ""
    """Why it is not ready, one clause; empty when it is."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What the platform or the gateway says of one of its objects."""

    of: str
    """Such as `HTTPRoute fraud`."""
    type: str
    status: str
    """True, False or Unknown."""
    reason: str = ""
    message: str = ""
    since: float | None = None
    good: bool = True
    """Whether this status is the wished one."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit and where a browser finds it; without a link where that is not known."""

    id: str
    text: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class GitOrigin:
    """Where a plan came from in git, and what was written back."""

    repository: str
    path: str
    line: int
    commit: Commit
    author: str = ""
    file_link: str = ""
    ours: bool = True
    """Whether this commit brought the plan that is shown; False when git has another one by now."""
    pull_request: Commit | None = None
    """That brought the plan's commit."""
    proposed: Commit | None = None
    """The pull request in which the commit about the rollout's end waits."""
    written: Commit | None = None
    """The newest commit that was made for this rollout: the stable variant named anew, or the file put back."""
    waits: str = ""
    """Why a commit that has to be made is not made yet; empty when none is."""
    rejected: str = ""
    """Why this revision is not started again by itself; empty when it may be."""


@dataclass(frozen=True, slots=True)
class ChannelReport:
    """One alert channel and how it fared."""

    channel: str
    delivered: int = 0
    """Alerts of this attempt that arrived."""
    last: float | None = None
    """When one arrived last; None when none has."""
    about: str = ""
    """What that one was about."""
    trouble: str = ""
    """Why alerts do not arrive at present; empty when they do."""
    trouble_since: float | None = None


@dataclass(frozen=True, slots=True)
class RolloutFacts:
    """Everything of this that is known. None where nobody can say, empty where there is none."""

    replicas: tuple[Replica, ...] | None = None
    unseen: str = ""
    """Why replicas cannot be shown, or may be behind, a sentence; empty while they can."""
    conditions: tuple[Condition, ...] | None = None
    origin: GitOrigin | None = None
    channels: tuple[ChannelReport, ...] | None = None
    runs: str = "process"
    """What a replica is called here: `process` or `pod`."""


def safe_link(address: str) -> str:
    """The address if a browser may open it (http or https, with a host, without a password), else nothing."""
    if not address or not address.isprintable() or len(address) > 2000 or any(each in address for each in ' "<>\\'):
        return ""
    try:
        parts = urlsplit(address)
        host, password = parts.hostname, parts.password
    except ValueError:
        return ""
    return address if parts.scheme in {"http", "https"} and host and password is None else ""
