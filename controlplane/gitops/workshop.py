"""What everybody needs who works with a repository and its host's API: one value, made by `desk.py`.

Used by `proposals.py` and `statuses.py`. Has no behaviour of its own.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from controlplane.gitops.hosts.host import Host
from controlplane.gitops.ledger import Ledger
from controlplane.gitops.store import Store


@dataclass(frozen=True, slots=True)
class Workshop:
    """A repository, its host, and what is remembered of both."""

    store: Store
    ledger: Ledger
    host: Host
    lock: asyncio.Lock
    """Held while the store is used, and never while the host is asked."""
    say: Callable[[str], None]
    """Hears sentences for people."""
