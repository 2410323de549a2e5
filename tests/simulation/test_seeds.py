"""Two hundred worlds each: a healthy canary is never rolled back, one that fails twenty times as often always is."""

import os

import pytest

from controlplane.simulation.scenarios import SCENARIOS
from controlplane.simulation.story import simulate
from tests.simulation.plans import SAMPLE_PLAN, SHORT_PLAN
from tests.simulation.tales import exposure_without_record

NIGHTLY = os.environ.get("SERINUS_PROFILE") == "nightly"
SEEDS, CHUNK = (1000 if NIGHTLY else 200), 50
DAYS = 200 if NIGHTLY else 2


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
@pytest.mark.parametrize("scenario", ["healthy", "errors-x20"])
def test_r8_the_right_thing_comes_of_every_seed(scenario: str, first: int) -> None:
    """With realistic noise, and always with its exposure on record first."""
    for seed in range(first, first + CHUNK):
        story = simulate(SHORT_PLAN, SCENARIOS[scenario], seed=seed)
        assert story.result == SCENARIOS[scenario].result, (seed, story.rollout and story.rollout.message)
        assert exposure_without_record(story) == [], seed


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("noise", ["real", "harsh"])
def test_r8_a_healthy_canary_survives_a_day_of_noise(noise: str) -> None:
    """The sample plan has nine gates, most of them against stable; none of them convicts a healthy canary."""
    rolled_back = [
        seed
        for seed in range(DAYS)
        if simulate(SAMPLE_PLAN, SCENARIOS["healthy"], seed=seed, noise=noise).result == "rolled_back"
    ]
    assert rolled_back == []
