"""What every driver shares: a fact that cannot be read ends nothing, and broken invariants are reported."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from canary.errors import ExternalError
from canary.machine import advance
from canary.rollout import Phase
from canary.weights import Weights
from tests.controlplane.reconcile.desk import Desk


async def refused() -> None:
    raise ExternalError("The platform is away.")


async def broken() -> None:
    raise ZeroDivisionError("division by zero")


async def late() -> None:
    raise TimeoutError


async def hanging() -> None:
    await asyncio.Event().wait()


async def test_a_fact_that_cannot_be_read_is_reported_and_raises_nothing() -> None:
    desk = Desk()
    managed = desk.managed()
    assert [await managed.read(each) for each in (refused, broken, late)] == [False] * 3
    assert "The platform is away. It is tried again." in desk.said
    assert [each for each in desk.said if "A bug of ours in broken" in each]
    assert [each for each in desk.said if "A bug of ours in late" in each]


async def test_a_fact_that_takes_too_long_only_grows_old() -> None:
    desk = Desk()
    managed = desk.managed()
    assert not await managed.read(hanging, 0.01)
    assert await managed.read(managed.board.look_at_variants, 5.0)
    assert desk.said == []


async def test_a_broken_invariant_is_reported_and_the_rollout_stays_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    managed = desk.managed()
    await managed.read_everything()
    await managed.decide()

    def wrong(*given: Any) -> Any:
        decision = advance(*given)
        rollout = replace(decision.rollout, phase=Phase.SUCCEEDED, weights=Weights.of_share(0.5))
        return replace(decision, rollout=rollout)

    monkeypatch.setattr("controlplane.reconcile.loop.advance", wrong)
    await managed.decide()
    assert [each for each in desk.said if each.startswith("A bug of ours, please report it: ")]
