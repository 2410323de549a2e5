"""One line of the list of rollouts.

Used by the routes. Shorter than a state: enough to see which rollout needs somebody.
"""

from pydantic import BaseModel, Field

from controlplane.api.state import Badge, State, Value

_URGENT = {"RollingBack": 0, "Blind": 1, "Paused": 2, "AwaitingApproval": 2}


class Summary(BaseModel):
    """A rollout in the list."""

    id: str
    name: str
    attempt: int
    phase: str
    badge: Badge
    weight: Value
    stage: str = Field(description="Such as `2 of 4`.")
    sentence: str
    finished: bool
    running: bool
    result: str | None
    began: str
    since: str
    age: Value


class Unreadable(BaseModel):
    """A state folder that cannot be read, and why."""

    folder: str
    problem: str


class Listing(BaseModel):
    """All rollouts, those that need somebody first."""

    at: str
    rollouts: list[Summary]
    unreadable: list[Unreadable]
    read_only: bool


def summary_of(state: State) -> Summary:
    """The line of this state."""
    canary = next(arm for arm in state.arms if arm.arm == "canary")
    return Summary(
        id=state.id,
        name=state.name,
        attempt=state.attempt,
        phase=state.phase,
        badge=state.badge,
        weight=canary.asked,
        stage=f"{state.stage + 1} of {len(state.stages)}",
        sentence=state.sentence if state.finished or state.controller.running else state.controller.text,
        finished=state.finished,
        running=state.controller.running,
        result=state.result,
        began=state.began,
        since=state.since,
        age=state.age,
    )


def by_need(line: Summary) -> tuple[bool, int, str]:
    """The order of the list: what may need somebody first, what has ended last."""
    return line.finished, _URGENT.get(line.phase, 3 if line.running else 2), line.id
