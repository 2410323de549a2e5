"""One story: the same for the same seed, in every event; and a horizon for what never ends."""

import pytest

from canary import invariants
from canary.errors import BugError
from canary.rollout import Decision, Rollout
from controlplane.simulation.scenarios import SCENARIOS
from controlplane.simulation.story import simulate, usual_horizon
from tests.simulation.plans import SHORT_PLAN, TINY_PLAN


@pytest.mark.parametrize("name", ["healthy", "errors-x20", "controller-killed", "writes-rejected", "nan"])
def test_the_same_seed_tells_the_same_story(name: str) -> None:
    """Every event with its time and evidence, every request, every moment of a shift."""
    first, again = (simulate(SHORT_PLAN, SCENARIOS[name], seed=4, noise="harsh") for _ in range(2))
    assert first == again


def test_another_seed_tells_another_story() -> None:
    """At the very least other requests."""
    first, other = (simulate(TINY_PLAN, SCENARIOS["healthy"], seed=seed) for seed in (1, 2))
    assert first.requests != other.requests


def test_a_story_that_does_not_end_is_given_up() -> None:
    """At the horizon that somebody sets, or at the plan's own."""
    story = simulate(TINY_PLAN, SCENARIOS["no-traffic"], horizon=300.0)
    assert story.result == "timed_out"
    assert 300 <= story.seconds < 320
    assert usual_horizon(SHORT_PLAN.spec) > 3 * 390


def test_every_pass_can_be_watched_and_ends_with_the_state_that_was_saved() -> None:
    """The last decision is the stored rollout, apart from what was announced since."""
    seen: list[tuple[Rollout, Decision]] = []
    story = simulate(TINY_PLAN, SCENARIOS["healthy"], watch=lambda before, decision: seen.append((before, decision)))
    assert len(seen) == story.passes
    assert story.rollout is not None
    assert seen[-1][1].rollout.phase is story.rollout.phase


def test_a_broken_invariant_ends_the_simulation_and_names_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it can be played again."""
    monkeypatch.setattr(invariants, "broken", lambda *_: ["the moon is made of cheese"])
    with pytest.raises(BugError, match=r"healthy, seed 9, t = 0\.0 s\): the moon"):
        simulate(TINY_PLAN, SCENARIOS["healthy"], seed=9)


def test_what_was_counted_is_what_was_sent() -> None:
    """The rollout's own count of requests misses only what came after its last look."""
    story = simulate(SHORT_PLAN, SCENARIOS["healthy"], seed=2)
    assert story.rollout is not None
    for arm, count in story.rollout.served.items():
        assert count == pytest.approx(story.requests[arm], rel=0.05)
        assert count <= story.requests[arm]


@pytest.mark.parametrize("name", ["scrape-gaps", "counter-resets", "nan", "prometheus-down"])
def test_broken_scrapes_never_make_up_requests(name: str) -> None:
    """They may be missed; they are not counted twice."""
    story = simulate(SHORT_PLAN, SCENARIOS[name], seed=2)
    assert story.rollout is not None
    assert all(count <= story.requests[arm] for arm, count in story.rollout.served.items())
