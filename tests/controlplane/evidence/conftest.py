"""A Prometheus played by a small server, and a fleet that reads it."""

from collections.abc import AsyncIterator

import pytest

from controlplane.evidence.shared_prometheus import SharedPrometheus
from tests.controlplane.evidence.scraped import Prometheus, fleet_on
from tests.controlplane.reconcile.desk import Hand


@pytest.fixture
async def prometheus() -> AsyncIterator[Prometheus]:
    async with Prometheus() as found:
        yield found


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
async def fleet(prometheus: Prometheus, clock: Hand) -> AsyncIterator[SharedPrometheus]:
    found = fleet_on(prometheus, clock)
    yield found
    await found.api.close()
