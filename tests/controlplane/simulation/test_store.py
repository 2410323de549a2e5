"""The virtual store: faults of real ones, and never a lost state."""

import pytest
from numpy.random import default_rng

from canary.errors import Conflict, Unavailable
from canary.rollout import Rollout
from canary.weights import Weights
from controlplane.simulation.store import VirtualStore

ROLLOUT = Rollout("m", "r", 1, 0.0, weights=Weights(50_000))


def store(*, down: bool = False, conflicts: float = 0.0, lines: list[str] | None = None) -> VirtualStore:
    """A store that writes down the lines it reaches."""
    seen = lines if lines is not None else []
    return VirtualStore(default_rng(1), down=lambda: down, conflicts=conflicts, line=seen.append)


async def test_a_write_is_announced_before_and_after() -> None:
    """There a controller can die; and the record says what was saved."""
    lines: list[str] = []
    world = store(lines=lines)
    assert world.recorded("m") == Weights(0)
    assert await world.save(ROLLOUT, "plan", 0) == 1
    assert lines == ["before save", "after save"]
    assert world.recorded("m") == Weights(50_000)


async def test_a_store_that_is_down_answers_nothing() -> None:
    """And keeps nothing."""
    with pytest.raises(Unavailable):
        await store(down=True).save(ROLLOUT, "plan", 0)
    with pytest.raises(Unavailable):
        await store(down=True).requests("m")


async def test_somebody_elses_write_is_a_conflict_and_keeps_the_state() -> None:
    """Read again, write again."""
    world = store(conflicts=1.0)
    await world.save(ROLLOUT, "plan", 0)
    with pytest.raises(Conflict):
        await world.save(ROLLOUT, "plan", 1)
    stored = await world.load("m")
    assert stored is not None
    assert (stored.rollout, stored.version) == (ROLLOUT, 2)
