"""Who takes part where a plan has a cohort, through a real Envoy."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from canary.spec.models import Cohort
from canary.weights import ALL_CANARY, Arm, Weights
from controlplane.adapters.envoy import EnvoyRouter
from controlplane.adapters.envoy_process import EnvoyProcess
from tests.controlplane.adapters.upstreams import ask, upstream
from tests.controlplane.adapters.waiting import PATIENCE_S
from tests.patience import now

pytestmark = pytest.mark.real
Endpoints = dict[Arm, dict[str, str]]


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    """A state folder whose Envoy is gone afterwards."""
    yield tmp_path
    await EnvoyProcess(tmp_path, print).stop_left_behind(grace_s=0.0)


@pytest.fixture
async def both() -> AsyncIterator[Endpoints]:
    """One replica on each arm."""
    async with upstream("stable") as stable, upstream("canary") as canary:
        yield {"stable": {"stable-0": stable}, "canary": {"canary-0": canary}}


def envoy(folder: Path, cohort: Cohort | None = None) -> EnvoyRouter:
    """A router on this folder; leaving its block without `close` is what a kill -9 of Serinus leaves behind."""
    return EnvoyRouter(folder, listen="127.0.0.1:0", now=now, patience_s=PATIENCE_S, cohort=cohort)


async def test_only_the_cohort_takes_part(folder: Path, both: Endpoints) -> None:
    async with envoy(folder, cohort=Cohort(header="x-group", values=("beta", "staff"))) as router:
        await router.set_endpoints(both, both)
        await router.set_weights(ALL_CANARY)
        groups: tuple[dict[str, str], ...] = ({"x-group": "beta"}, {"X-Group": "staff"}, {"x-group": "other"}, {})
        served = [(await ask(router.address, headers=group))[1] for group in groups]
        assert served == ["canary", "canary", "stable", "stable"]
        assert (await router.seen()).weights == ALL_CANARY
        # The canary has won and stable is stopped: whoever is outside the cohort must not be left without an answer.
        winner: Endpoints = {"canary": both["canary"]}
        await router.set_endpoints(winner, winner)
        assert (await ask(router.address))[:2] == (200, "canary")


async def test_retiring_stable_takes_those_outside_the_cohort_along(folder: Path, both: Endpoints) -> None:
    """Until other weights are set: who puts everything back means everybody."""
    async with envoy(folder, cohort=Cohort(header="x-group", values=("beta",))) as router:
        await router.set_endpoints(both, both)
        await router.set_weights(ALL_CANARY)
        assert (await ask(router.address))[1] == "stable"
        assert not router.idle("stable")
        await router.retire("stable")
        assert router.idle("stable")
        assert [(await ask(router.address))[1] for _ in range(20)] == ["canary"] * 20
        await router.set_weights(Weights(500_000))
        assert not router.idle("stable")
        assert (await ask(router.address))[1] == "stable"


async def test_a_restart_does_not_widen_the_cohort(folder: Path, both: Endpoints) -> None:
    """A run without the cohort leaves the routes narrow until it sets weights of its own."""
    async with envoy(folder, cohort=Cohort(header="x-group", values=("beta",))) as router:
        await router.set_endpoints(both, both)
        await router.set_weights(ALL_CANARY)
    async with envoy(folder) as router:
        await router.set_endpoints(both, both)
        assert (await ask(router.address))[1] == "stable"
        await router.set_weights(ALL_CANARY)
        assert (await ask(router.address))[1] == "canary"
