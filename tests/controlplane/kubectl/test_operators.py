"""What is said of the operator when nothing answers: as much as its Lease tells."""

import asyncio
from typing import Any

from canary.serial import rfc3339
from controlplane.kubectl.operators import whether_one_runs
from controlplane.kubernetes.api import Rejected
from controlplane.kubernetes.resources import LEASE
from controlplane.operator import settings
from controlplane.readmodel.operators import LEASE_NAME
from tests.controlplane.kubectl.desk import NOW, Desk, desk, session


def told(person: Desk) -> str:
    """The sentence."""
    return asyncio.run(whether_one_runs(session(person.kube)))


def lease(renewed: float, **spec: Any) -> dict[str, Any]:
    """An operator's Lease, renewed so many seconds ago."""
    said = {"holderIdentity": "serinus-0", "leaseDurationSeconds": 8, "renewTime": rfc3339(NOW - renewed)}
    return {"metadata": {"namespace": "serinus", "name": LEASE_NAME}, "spec": said | spec}


def test_the_lease_is_the_operators_own() -> None:
    """The plugin does not import the operator's settings, which know of alert channels and more."""
    assert settings.LEASE_NAME == LEASE_NAME


def test_a_fresh_lease_is_an_operator_and_an_old_one_is_none() -> None:
    person = desk()
    person.kube.seed(LEASE, lease(2))
    assert told(person).startswith("An operator runs (serinus-0, Lease serinus/serinus-controller)")
    person.kube.seed(LEASE, lease(300))
    said = "No operator seems to run: its Lease serinus/serinus-controller was last renewed 5 min ago, by serinus-0."
    assert told(person) == said
    person.kube.seed(LEASE, lease(2, holderIdentity=""))
    assert "was given back" in told(person)


def test_no_lease_says_how_to_start_one_and_a_forbidden_one_says_so() -> None:
    person = desk()
    assert "`serinus controller --cluster`" in told(person)
    person.kube.fail_next(Rejected("leases is forbidden"), resource=LEASE)
    assert told(person) == "Whether an operator runs cannot be seen: you may not list Leases."
