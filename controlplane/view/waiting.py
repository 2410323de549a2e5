"""What a rollout waits for, and what follows: one sentence each, for people who wonder whether anything happens.

Called by `model.py`. Reads the state and the last look; decides nothing.
"""

import math

from canary.format import duration
from canary.rollout import Phase, Rollout
from canary.snapshot import Snapshot
from canary.spec.models import CanarySpec
from canary.verdict import GateAnswer
from canary.weights import Weights


def what_it_waits_for(spec: CanarySpec, rollout: Rollout, seen: Snapshot, now: float) -> str:
    """One sentence. Once finished, or where only the machine's own sentence fits, that one."""
    match rollout.phase:
        case Phase.PREPARING:
            return _for_readiness(spec, seen, rollout.message)
        case Phase.SHIFTING | Phase.PROMOTING:
            return _for_the_route(rollout, seen)
        case Phase.ANALYZING | Phase.WATCHING:
            return _for_the_stage(spec, rollout, now)
        case Phase.AWAITING_APPROVAL:
            return f"waiting for {spec.stages[rollout.stage].approve or 'somebody'} to approve"
        case Phase.ROLLING_BACK:
            return "waiting for the route to send the canary nothing"
        case _:
            return rollout.message


def what_follows(spec: CanarySpec, rollout: Rollout, now: float) -> str:
    """What happens next when all goes well, and when at the earliest; empty when nothing follows."""
    if rollout.finished or rollout.decided is not None:
        return ""
    if not rollout.peak.canary:
        return f"{Weights.of_share(spec.stages[0].traffic)} of the traffic once both variants are ready"
    match rollout.phase:
        case Phase.PAUSED:
            return "it goes on when somebody resumes it"
        case Phase.BLIND:
            return "it goes on when the metric source is back"
        case Phase.AWAITING_APPROVAL:
            return "it goes on when it is approved"
    left = _left_of_hold(spec, rollout, now)
    when = f"in {duration(math.ceil(left))} at the earliest" if left > 0 else "as soon as every gate passes"
    if rollout.phase in {Phase.SHIFTING, Phase.PROMOTING}:
        when = f"after {duration(spec.stages[rollout.stage].hold)} at the earliest"
    following = rollout.stage + 1
    if following == len(spec.stages):
        return f"{spec.canary.name} is promoted {when}"
    return f"{Weights.of_share(spec.stages[following].traffic)} {when}"


def _for_readiness(spec: CanarySpec, seen: Snapshot, message: str) -> str:
    coming = [
        f"{variant.name} ({readiness.ready} of {readiness.wanted} ready{_because(readiness.problem)})"
        for variant, readiness in ((spec.stable, seen.stable), (spec.canary, seen.canary))
        if readiness.ready < readiness.wanted
    ]
    return f"waiting for {' and '.join(coming)}" if coming else message


def _because(problem: str) -> str:
    return f": {problem}" if problem else ""


def _for_the_route(rollout: Rollout, seen: Snapshot) -> str:
    found = "not known" if seen.route.weights is None else str(seen.route.weights)
    return f"waiting until {rollout.weights} is in force; it is {found}{_because(seen.route.problem)}"


def _for_the_stage(spec: CanarySpec, rollout: Rollout, now: float) -> str:
    parts = []
    left = _left_of_hold(spec, rollout, now)
    if left > 0:
        parts.append(f"{duration(math.ceil(left))} more of this stage's hold")
    waiting = [verdict for verdict in rollout.verdicts if verdict.verdict is not GateAnswer.PASS]
    parts += [verdict.why.rstrip(".") for verdict in waiting[:1]]
    if len(waiting) > 1:
        parts.append(f"and {len(waiting) - 1} more gate{'s' if len(waiting) > 2 else ''}")
    if parts:
        return f"waiting for {'; '.join(parts)}"
    return "every gate passes" if rollout.verdicts else "waiting for the first evidence of this stage"


def _left_of_hold(spec: CanarySpec, rollout: Rollout, now: float) -> float:
    return spec.stages[rollout.stage].hold - (now - rollout.stage_since)
