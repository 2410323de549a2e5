"""Decides a recorded rollout again: under its own plan, or under another one on the same record of the world.

Called by `serinus replay`. Under the rollout's own plan every decision comes out as it was: the same function is given
the same arguments. Under another plan the world is the recorded one as far as it can be; `canary.counterfactual` says
what is assumed. Pure: clock, snapshots and people's requests are those of the record.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from canary import baseline
from canary.catch_up import catch_up
from canary.counterfactual import Counterfactual
from canary.frame import Begun, Frame, Looked, NotWatched, Rebuilt, Restated, Taught
from canary.judge import JudgeConfig, compile_gates
from canary.machine import advance, begin
from canary.rollout import Event, Rollout
from canary.spec.models import CanarySpec
from canary.unwatched import not_counted

MOST_WAKINGS = 100_000
"""Looks between two frames after which a replay under another plan goes on to the next frame."""


class NoRecording(ValueError):  # noqa: N818 - a property of the record, told on as bad input
    """The frames do not begin with the beginning of a rollout."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """How it went this time."""

    rollout: Rollout
    """The state after the last frame."""
    events: tuple[Event, ...]
    until: float
    """Time of the last frame."""
    gaps: tuple[float, ...] = ()
    """When the record restates what it cannot explain: what happened before is then taken over, not decided again."""


def decided_again(spec: CanarySpec, frames: Iterable[Frame]) -> Replayed:
    """The rollout by its own plan; raises `NoRecording` without its beginning."""
    rollout, events, gaps, at = None, list[Event](), list[float](), 0.0
    for rollout, frame in _own_states(compile_gates(spec), frames):
        events += _new(rollout, events)
        at = max(at, frame.at)
        if isinstance(frame, Restated):
            gaps.append(frame.at)
    if rollout is None:
        raise NoRecording("there is not a single frame")
    return Replayed(rollout, tuple(events), at, tuple(gaps))


def decided_otherwise(own: CanarySpec, frames: Iterable[Frame], other: CanarySpec, revision: str) -> Replayed:
    """What another plan, with this revision, would have decided upon the same record.

    `own` is the plan that the record was made under. Ends with the recorded rollout: what its end did to the variants
    (a canary that is stopped) is no fact about the other plan. Raises `NoRecording` as above.
    """
    player, at, otherwise = None, 0.0, compile_gates(other)
    for recorded, frame in _own_states(compile_gates(own), frames):
        if isinstance(frame, Begun):
            player = _Player(
                otherwise, begin(otherwise, name=frame.name, revision=revision, attempt=frame.attempt, now=frame.at)
            )
        elif player is not None:
            player.take(frame)
        at = max(at, frame.at)
        if recorded.finished:
            break
    if player is None:
        raise NoRecording("there is not a single frame")
    return Replayed(player.rollout, tuple(player.events), at, tuple(player.gaps))


class _Player:
    """The other plan's rollout, moved through the record."""

    def __init__(self, config: JudgeConfig, rollout: Rollout) -> None:
        self.config, self.rollout = config, rollout
        self.events = list(rollout.history)
        self.gaps = list[float]()
        self._world = Counterfactual()
        self._wake_at = float("inf")

    def take(self, frame: Frame) -> None:
        """One frame: what the plan would have woken up for before it, and then the frame itself."""
        if not isinstance(frame, NotWatched):  # the loop was not running
            self._wake_until(frame.at)
        match frame:
            case Looked(at, seen):
                self._world.see(at, seen)
                self._decide(at)
            case Taught(at, history):
                self._becomes(baseline.learn_noise(self.config, self.rollout, history, at))
            case Rebuilt(at, history):
                self._becomes(catch_up(self.config, self.rollout, [self._world.as_if(each) for each in history]))
            case NotWatched(at, seconds):
                self._becomes(not_counted(self.rollout, seconds, at))
            case Restated(at):
                self.gaps.append(at)
            case Begun():
                pass

    def _wake_until(self, at: float) -> None:
        """Deadlines that fall between two frames: the recorded plan had no reason to look there."""
        for _ in range(MOST_WAKINGS):
            if self._wake_at >= at or self.rollout.finished:
                break
            self._decide(self._wake_at)

    def _decide(self, now: float) -> None:
        decision = advance(self.config, self.rollout, self._world.seen(now), now)
        self._world.carry_out(decision.actions)
        self._wake_at = decision.wake_at
        self._becomes(decision.rollout)

    def _becomes(self, rollout: Rollout) -> None:
        self.rollout = rollout
        self.events += _new(rollout, self.events)


def _own_states(config: JudgeConfig, frames: Iterable[Frame]) -> Iterator[tuple[Rollout, Frame]]:
    """The recorded rollout's state after each of its frames."""
    rollout: Rollout | None = None
    for frame in frames:
        if isinstance(frame, Begun):
            rollout = begin(config, name=frame.name, revision=frame.revision, attempt=frame.attempt, now=frame.at)
        elif rollout is None:
            raise NoRecording("it does not begin with the rollout's beginning")
        else:
            rollout = _after(config, rollout, frame)
        yield rollout, frame


def _after(config: JudgeConfig, rollout: Rollout, frame: Frame) -> Rollout:
    match frame:
        case Looked(at, seen):
            return advance(config, rollout, seen, at).rollout
        case Taught(at, history):
            return baseline.learn_noise(config, rollout, history, at)
        case Rebuilt(_, history):
            return catch_up(config, rollout, history)
        case NotWatched(at, seconds):
            return not_counted(rollout, seconds, at)
        case Restated(_, restated):
            return replace(restated, announced=rollout.announced)
        case Begun():
            return rollout


def _new(rollout: Rollout, known: Sequence[Event]) -> list[Event]:
    """The events that were not there before."""
    last = known[-1].seq if known else 0
    return [event for event in rollout.history if event.seq > last]
