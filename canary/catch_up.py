"""What a rollout would know if nobody had been away: the evidence of the meantime, shown to the judge in its order.

Called by `controlplane.reconcile` when it takes up a rollout whose state is older than its numbers. The judge goes on
as if it had looked all the while; phases, weights and announcements stay for the next pass to decide. A judge whose
memory another release wrote, or that has seen nothing yet, begins with the stage. Pure.
"""

from collections.abc import Sequence
from dataclasses import replace

from canary import messages
from canary.ingest import analysis_since, ingest
from canary.judge import JudgeConfig, begin
from canary.judge.baseline import taught
from canary.judge.compat import can_go_on_with
from canary.machine import note
from canary.rollout import FINISHED, Phase, Reason, Rollout
from canary.snapshot import Counters, MetricsStatus


def catch_up(config: JudgeConfig, rollout: Rollout, history: Sequence[Counters]) -> Rollout:
    """The rollout after these counters (oldest first); those that it knows already change nothing.

    A rollout that was not judged, because it had not begun or was over, is given back as it is.
    """
    known = rollout.judge.previous
    if rollout.phase in FINISHED | {Phase.PENDING} or known is None:
        return rollout
    for counters in history:
        if counters.at > known.at:
            rollout, _ = ingest(config, rollout, _seen(counters), counters.at)
    return rollout


def can_resume(config: JudgeConfig, rollout: Rollout) -> bool:
    """Whether its judge can go on: it has looked at something, and this build can read what it remembers of that."""
    return rollout.judge.previous is not None and can_go_on_with(config, rollout.judge)


def judged_from(rollout: Rollout) -> float:
    """From when on a judge that begins anew may look: before, the weights were others, or stable was not complete."""
    since = analysis_since(rollout)
    since = rollout.since if since is None else since
    return since if rollout.steady_since is None else max(since, rollout.steady_since)


def restart_judge(
    config: JudgeConfig, rollout: Rollout, lesson: Sequence[Counters], history: Sequence[Counters], now: float
) -> Rollout:
    """The rollout with a judge that begins with its stage, and a word on it if an older judgement was lost by that.

    `lesson` are counters from before `judged_from`, which teach noise, `history` those since, both oldest first. What
    was served is counted once. Without a history the newest totals are kept, so that the next look is a short one. A
    judge that has only not looked yet keeps what it was taught, and needs no lesson.
    """
    counted = rollout.judge.previous
    unreadable = not can_go_on_with(config, rollout.judge)
    if unreadable:
        judge = begin(config) if history else replace(begin(config), previous=counted)
        rollout = replace(rollout, judge=taught(config, judge, lesson) if lesson else judge)
    for counters in history:
        before = rollout
        rollout, _ = ingest(config, rollout, _seen(counters), counters.at)
        if counted is not None and counters.at <= counted.at:
            rollout = replace(rollout, served=before.served, unrouted=before.unrouted)
    if unreadable:
        sentence = messages.judged_anew(len(history), now - judged_from(rollout))
        rollout = note(rollout, "alert", Reason.JUDGED_ANEW, sentence, {"readings": len(history)}, now)
    return rollout


def _seen(counters: Counters) -> MetricsStatus:
    return MetricsStatus(at=counters.at, counters=counters, problem=counters.problem)
