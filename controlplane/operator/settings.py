"""Settings of the operator: what `serinus controller --cluster` was told, each with its reason.

Made by the command line, read by `operator.py`. Plans of rollouts are not settings: they are in the cluster.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from controlplane.adapters.dial_policy import Network
from controlplane.gateway.hostnames import Allowed
from controlplane.kubernetes.allowance import MOST_BYTES
from controlplane.kubernetes.consent import Listed
from controlplane.operator.limit import MOST_ROLLOUTS
from controlplane.operator.registry import Registry
from profiles.catalogue import Catalogue

LEASE_NAME = "serinus-controller"


@dataclass(frozen=True, slots=True)
class Settings:
    """How one replica of the operator works."""

    identity: str
    """This process's alone: a pod's name and something random."""
    home: str
    """Namespace of the operator itself; the Lease is there."""
    namespace: str | None = None
    """The one namespace whose ModelCanaries are carried out; None: all of them."""
    prometheus: Registry = field(default_factory=Registry)
    """Which Prometheus servers are asked, and which of them plans may name."""
    queries: bool = True
    """Whether gates may bring queries of their own, which read whatever that Prometheus has."""
    interval: float = 1.0
    """Seconds between two scrapes of Prometheus; the numbers are read as often."""
    elect: bool = True
    """Whether replicas agree on one that acts. Without it nobody else may run."""
    listen: str | None = None
    """`host:port` for /metrics, /healthz and /readyz; None: nobody is told."""
    networks: Sequence[Network] = ()
    """Networks that alerts may be sent to besides public and private ones."""
    listed: Sequence[Listed] = ()
    """Secrets that may be read without a word of their own."""
    hosts: Allowed | None = None
    """Which host names each namespace may have; None: any that no other has."""
    known: Catalogue | None = None
    """GPUs, models and quantizations that plans may name; None: those that come with the package."""
    most_rollouts: int = MOST_ROLLOUTS
    """Of one namespace at the same time."""
    most_memory: int = MOST_BYTES
    """Bytes for all objects of one kind in one namespace."""
    earlier_histories: bool = False
    """Whether histories that an earlier build kept in ConfigMaps are taken over."""
    dashboard: str = ""
    """Where the dashboard answers, for links in alerts."""
