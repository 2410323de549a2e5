"""What simulated stories are asked in tests, in one place."""

from dataclasses import replace

from canary.rollout import Phase
from controlplane.simulation.scenarios import SCENARIOS, Scenario
from controlplane.simulation.story import Story


def both(harm: str, trouble: str) -> Scenario:
    """A canary with the flaw of one scenario in the surroundings of another."""
    return replace(SCENARIOS[harm], name=f"{harm} and {trouble}", faults=SCENARIOS[trouble].faults)


def stages_entered(story: Story) -> list[int]:
    """The stages that traffic was moved to, in order."""
    return [
        event.stage
        for event in story.events
        if event.event == "phase" and event.phase in {Phase.SHIFTING, Phase.PROMOTING}
    ]


def exposure_without_record(story: Story) -> list[str]:
    """Moments at which the canary really got more than the store had on record; there must be none."""
    wrong, before = [], 0
    for shift in story.shifts:
        if shift.weights.canary > before and shift.weights > shift.saved:
            wrong.append(f"{shift.weights} in force at {shift.t:.2f} s, {shift.saved} on record")
        before = shift.weights.canary
    return wrong


def rollback_seconds(story: Story) -> float:
    """Seconds from the decision to no traffic on the canary, as it really was."""
    rollout = story.rollout
    assert rollout is not None
    assert rollout.decided is not None
    last = story.shifts[-1]
    assert last.weights.canary == 0
    return last.t - (rollout.decided - rollout.began)
