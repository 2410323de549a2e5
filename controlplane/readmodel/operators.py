"""Whether an operator seems to be at work, told from its Lease. For people who wonder whether anything moves.

Used by the dashboard of a cluster and by `kubectl canary`. Not every person may read Leases, and an operator without
leader election has none, so the sentences say what was seen and no more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from canary.errors import ExternalError, Unavailable
from canary.format import duration
from controlplane.kubernetes.api import Kube, Object
from controlplane.kubernetes.resources import LEASE
from controlplane.ports import Clock

LEASE_NAME = "serinus-controller"
SPARE = 2.0
"""Seconds that clocks may differ."""
PERIOD = 5.0
"""Seconds between two looks at the Leases; also how soon it is noticed that the API server is away."""
UNSEEN = "Whether an operator runs cannot be seen: you may not list Leases."


@dataclass(frozen=True, slots=True)
class LeaseReport:
    """What the Leases say."""

    running: bool | None
    """None where it cannot be seen."""
    sentence: str


def told_by(leases: Sequence[Object], now: float) -> LeaseReport:
    """What these Leases say at `now` (seconds since the epoch)."""
    held = [each for each in leases if each["metadata"]["name"] == LEASE_NAME]
    if not held:
        return LeaseReport(
            running=False,
            sentence=f"No operator seems to run in this cluster: there is no Lease {LEASE_NAME}. "
            f"Install the chart, or start one with `serinus controller --cluster`.",
        )
    ages = {_age(each, now): each for each in held}
    age, lease = min(ages.items(), key=lambda item: item[0])
    spec: dict[str, Any] = lease.get("spec") or {}
    place = f"{lease['metadata'].get('namespace', '')}/{LEASE_NAME}"
    if not spec.get("holderIdentity"):
        why = f"No operator seems to run: its Lease {place} was given back and nobody has taken it."
        return LeaseReport(running=False, sentence=why)
    if age > float(spec.get("leaseDurationSeconds") or 0) + SPARE:
        why = (
            f"No operator seems to run: its Lease {place} was last renewed {duration(age)} ago, "
            f"by {spec['holderIdentity']}."
        )
        return LeaseReport(running=False, sentence=why)
    runs = f"An operator runs ({spec['holderIdentity']}, Lease {place}), and may be busy or watch other namespaces."
    return LeaseReport(running=True, sentence=runs)


async def whether_one_runs(kube: Kube, now: float) -> str:
    """One sentence for a person."""
    try:
        return told_by((await kube.list(LEASE)).items, now).sentence
    except ExternalError:
        return UNSEEN


class Office:
    """Looks at the Leases every few seconds, and so notices when the API server does not answer."""

    def __init__(self, kube: Kube, clock: Clock, namespace: str | None) -> None:
        """`namespace`: where the operator's Lease is; None where that is not known."""
        self.told = LeaseReport(running=None, sentence=UNSEEN)
        self.problem = ""
        """Why the API server cannot be asked, as a clause; empty while it answers."""
        self.heard_at = clock.now()
        """When it answered last, in seconds of the clock."""
        self._kube, self._clock, self._namespace = kube, clock, namespace

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            await self.look()
            await self._clock.sleep(PERIOD)

    async def look(self) -> None:
        """Look once."""
        try:
            leases = (await self._kube.list(LEASE, self._namespace)).items
            self.told, self.problem, self.heard_at = told_by(leases, self._clock.now()), "", self._clock.now()
        except Unavailable as error:
            # What the Lease said before is no news of now: nobody is declared dead because we cannot see.
            self.told, self.problem = (
                LeaseReport(running=None, sentence="Whether an operator runs cannot be seen now."),
                str(error),
            )
        except ExternalError:
            self.told, self.problem, self.heard_at = LeaseReport(running=None, sentence=UNSEEN), "", self._clock.now()


def _age(lease: Object, now: float) -> float:
    stamp = (lease.get("spec") or {}).get("renewTime")
    return max(now - datetime.fromisoformat(stamp).timestamp(), 0.0) if stamp else float("inf")
