"""Whether an operator seems to be at work, told from its Lease. For people who wonder why nothing answers.

Used where a wait ran out. Not every person may read Leases, and an operator without leader election has none, so the
sentences say what was seen and no more.
"""

from datetime import datetime
from typing import Any

from canary.errors import WorldError
from canary.wording import duration
from controlplane.kubectl.session import Session
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.resources import LEASE

LEASE_NAME = "serinus-controller"
SPARE = 2.0
"""Seconds that clocks may differ."""


async def whether_one_runs(session: Session) -> str:
    """One sentence for a person."""
    try:
        leases = (await session.kube.list(LEASE)).items
    except WorldError:
        return "Whether an operator runs cannot be seen: you may not list Leases."
    held = [each for each in leases if each["metadata"]["name"] == LEASE_NAME]
    if not held:
        return (
            f"No operator seems to run in this cluster: there is no Lease {LEASE_NAME}. "
            f"Install the chart, or start one with `serinus controller --cluster`."
        )
    ages = {_age(each, session.now()): each for each in held}
    age, lease = min(ages.items(), key=lambda item: item[0])
    spec: dict[str, Any] = lease.get("spec") or {}
    place = f"{lease['metadata'].get('namespace', '')}/{LEASE_NAME}"
    if not spec.get("holderIdentity"):
        return f"No operator seems to run: its Lease {place} was given back and nobody has taken it."
    if age > float(spec.get("leaseDurationSeconds") or 0) + SPARE:
        return (
            f"No operator seems to run: its Lease {place} was last renewed {duration(age)} ago, "
            f"by {spec['holderIdentity']}."
        )
    return f"An operator runs ({spec['holderIdentity']}, Lease {place}), and may be busy or watch other namespaces."


def _age(lease: Object, now: float) -> float:
    stamp = (lease.get("spec") or {}).get("renewTime")
    return max(now - datetime.fromisoformat(stamp).timestamp(), 0.0) if stamp else float("inf")
