"""The machine in small random worlds: whatever is seen, in whatever order, no invariant breaks and an abort ends it.

2 000 worlds in a normal run, 100 000 with SERINUS_PROFILE=nightly. A failure prints the seed and the whole story.
"""

import os

import pytest

from canary.rollout import Phase
from canary.weights import ALL_STABLE
from tests.simulation.small_world import SmallWorld

NIGHTLY = os.environ.get("SERINUS_PROFILE") == "nightly"
WORLDS = 100_000 if NIGHTLY else 2_000
CHUNK = 500 if NIGHTLY else 100
PASSES = 40


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(0, WORLDS, CHUNK))
def test_r12_no_random_world_breaks_an_invariant(first: int) -> None:
    """Forty passes of chaos, then a person aborts in a calm world: all invariants hold, and it ends on stable."""
    for seed in range(first, first + CHUNK):
        world = SmallWorld(seed)
        for _ in range(PASSES):
            wrong = world.chaos()
            assert not wrong, report(world, wrong)
        end(world)


def end(world: SmallWorld) -> None:
    """A rollout that is aborted while everything is well ends within a few passes, with nothing on the canary."""
    was_finished = world.rollout.finished
    wrong = world.calm(requests=(world.request("abort"),))
    for _ in range(4):
        wrong += world.calm()
    assert not wrong, report(world, wrong)
    assert world.rollout.finished, report(world, ["an abort did not end it"])
    if not was_finished or world.rollout.phase is not Phase.SUCCEEDED:
        assert world.route == ALL_STABLE, report(world, ["traffic stayed on the canary after the end"])


def report(world: SmallWorld, wrong: list[str]) -> str:
    """Everything that is needed to understand and to repeat it."""
    return "\n".join([f"SmallWorld({world.seed}): {'; '.join(wrong)}", *world.story])


def test_r12_the_random_worlds_reach_every_phase() -> None:
    """Chaos that never got anywhere would prove nothing."""
    reached: set[Phase] = set()
    for seed in range(150):
        world = SmallWorld(seed)
        for _ in range(PASSES):
            world.chaos()
            reached.add(world.rollout.phase)
    assert reached >= set(Phase) - {Phase.PENDING}
