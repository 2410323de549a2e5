"""One line of the list of rollouts.

Used by the routes. Shorter than a state: enough to see which rollout needs somebody.
"""

from collections.abc import Callable, Sequence
from urllib.parse import quote

from pydantic import BaseModel, Field

from canary.errors import Unavailable
from controlplane.readmodel.directory import RolloutHandle
from controlplane.readmodel.panels import Cell, Panel, cell
from controlplane.readmodel.state import State, state_at
from controlplane.readmodel.value import Badge, Value

FRESH = 1.0
"""Seconds for which a line is shown to everybody who asks: many people look at one list."""
MOST_KEPT = 5000

_URGENT = {"RollingBack": 0, "Blind": 1, "Paused": 2, "AwaitingApproval": 2}


def empty_list(*, cluster: bool) -> Panel:
    """The columns of the list, and what is said while there is no rollout in it."""
    how = "Apply a ModelCanary" if cluster else "Carry out your own with `serinus run canary.yml`"
    return Panel(
        id="rollouts",
        title="",
        columns=["Rollout", "Phase", "Canary's share", "Stage", "Why", "Began", "Age"],
        rows=[],
        empty=f"There is no rollout here yet. {how}, and it appears here as soon as it begins; or see two of them on "
        f"your own machine in about a minute, one promoted and one put back:",
        command="serinus demo",
    )


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
    needs: bool = Field(
        description="Whether it may need somebody: paused, waiting, blind, going back, carried out by no one."
    )
    cells: list[Cell] = Field(description="Its row in the list, under the columns of the listing's panel.")


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
    stale: str = Field(default="", description="Why all this may be behind the world; empty while it is live.")
    stale_since: str | None = Field(default=None, description="From when it is then; null while it is live.")
    panel: Panel = Field(description="Columns of the list, and what is said while there is none.")


def summary_of(state: State) -> Summary:
    """The line of this state."""
    canary = next(arm for arm in state.arms if arm.arm == "canary")
    running = state.finished or state.controller.running
    sentence = state.sentence if running else state.controller.text
    stage = f"{state.stage + 1} of {len(state.stages)}"
    return Summary(
        id=state.id,
        name=state.name,
        attempt=state.attempt,
        phase=state.phase,
        badge=state.badge,
        weight=canary.asked,
        stage=stage,
        sentence=sentence,
        finished=state.finished,
        running=state.controller.running,
        result=state.result,
        began=state.began,
        since=state.since,
        age=state.age,
        needs=not state.finished and (state.phase in _URGENT or not state.controller.running),
        cells=[
            Cell(
                text=f"{state.id} #{state.attempt}" if state.attempt > 1 else state.id,
                link=f"/rollouts/{quote(state.id, safe='')}",
            ),
            cell(state.badge.word, state.badge.tone, state.badge.symbol),
            cell(canary.asked.text),
            cell(stage),
            cell(sentence) if running else cell(f"not running: {sentence}", "open", "◌"),
            Cell(text=state.began, at=state.began),
            cell(state.age.text),
        ],
    )


def by_need(line: Summary) -> tuple[bool, int, str]:
    """The order of the list: what may need somebody first, what has ended last."""
    return line.finished, _URGENT.get(line.phase, 3 if line.running else 2), line.id


class SummaryLines:
    """The lines of all rollouts, each drawn at most once a second however many people ask."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now`: seconds since the epoch."""
        self._now = now
        self._drawn: dict[str, tuple[float, int, Summary]] = {}

    async def all(self, places: Sequence[RolloutHandle]) -> tuple[list[Summary], dict[str, str]]:
        """The lines of these rollouts; and why there is none of one that cannot be shown, which hides no other."""
        found: list[Summary] = []
        problems: dict[str, str] = {}
        for place in places:
            try:
                line = await self.of(place)
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - a state of another release, or one that somebody wrote to
                problems[place.id] = f"This rollout cannot be shown: {str(error) or type(error).__name__}"
                continue
            if line is not None:
                found.append(line)
        return found, problems

    async def of(self, place: RolloutHandle) -> Summary | None:
        """The line of this rollout; None where its state was removed."""
        stored = await place.store.load(place.name)
        if stored is None:
            return None
        now, known = self._now(), self._drawn.get(place.id)
        if known is not None and known[1] == stored.version and 0 <= now - known[0] < FRESH:
            return known[2]
        if len(self._drawn) >= MOST_KEPT:
            self._drawn.clear()
        line = summary_of(state_at(place, stored, now))
        self._drawn[place.id] = (now, stored.version, line)
        return line
