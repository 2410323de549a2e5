"""Time that was not watched brings no stage and no deadline nearer to its end.

Called by the reconcile loop where the clock moved by more than the loop watched: the machine slept, the process stood
still, or the clock was set. Also called by `canary.replay`. Pure. What the judge has counted stays; its times move
along, so that an hour of sleep is not an hour without requests. Does not decide what counts as watched.
"""

from dataclasses import replace

from canary import judge, messages
from canary.machine import note
from canary.rollout import Reason, Rollout


def not_counted(rollout: Rollout, seconds: float, now: float) -> Rollout:
    """The rollout with its waiting times moved along by so many seconds, negative where the clock was set back.

    `now` is the time after that. A finished rollout waits for nothing and stays as it is.
    """
    if rollout.finished:
        return rollout
    drain, steady = rollout.drain, rollout.steady_since
    moved = replace(
        rollout,
        since=rollout.since + seconds,
        stage_since=rollout.stage_since + seconds,
        steady_since=steady + seconds if steady is not None else None,
        drain=replace(drain, since=drain.since + seconds) if drain is not None else None,
        judge=judge.clock_set(rollout.judge, seconds),
    )
    sentence = messages.not_watched(seconds)
    return note(moved, "alert", Reason.TIME_NOT_WATCHED, sentence, {"seconds": seconds}, now)
