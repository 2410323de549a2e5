"""The repository, its host and the stored git state in one value, made by `commit_outbox.py`.

Used by `pull_requests.py` and `commit_statuses.py`. Has no behaviour of its own.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from controlplane.gitops.bare_repository import BareRepository
from controlplane.gitops.git_state import GitStateStore
from controlplane.gitops.hosts.host import Host


@dataclass(frozen=True, slots=True)
class RepoContext:
    """A repository, its host, and what is remembered of both."""

    store: BareRepository
    git_state: GitStateStore
    host: Host
    lock: asyncio.Lock
    """Held while the store is used, and never while the host is asked."""
    say: Callable[[str], None]
    """Shows a sentence to people."""
