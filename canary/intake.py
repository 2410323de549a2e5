"""Takes new evidence into a rollout: the judge sees it, and what was served is counted. No phase is changed here.

Called by `machine.py` at every pass, and by `rebuild.py` for evidence of the past. Pure.
"""

from dataclasses import replace

from canary import judge, served
from canary.judge import Analysis, JudgeConfig
from canary.look import JUDGED
from canary.observation import EvidenceSeen
from canary.rollout import Phase, Rollout


def take_in(
    config: JudgeConfig, rollout: Rollout, evidence: EvidenceSeen, now: float, last: Analysis | None = None
) -> tuple[Rollout, Analysis]:
    """The rollout with this evidence, and what the judge says of its stage; the very same rollout for nothing new.

    `last` is what this answered at the pass before; it saves work and changes nothing.
    """
    before, counters = rollout.judge.previous, evidence.counters
    analysis = judge.watch(
        config,
        rollout.judge,
        stage=rollout.stage,
        weights=rollout.weights,
        evidence=evidence,
        now=now,
        stage_since=judged_since(rollout),
        last=last,
    )
    if analysis.state is rollout.judge:
        return rollout, analysis
    counts = served.served_since(before, counters)
    totals = {arm: rollout.served.get(arm, 0.0) + more for arm, more in counts.items()} or rollout.served
    lost = served.unrouted_since(before, counters)
    unrouted = rollout.unrouted if lost is None else (rollout.unrouted or 0.0) + lost
    return replace(rollout, judge=analysis.state, served=totals, unrouted=unrouted), analysis


def judged_since(rollout: Rollout) -> float | None:
    """Since when the stage's weights have been in force; None while they are not, so nothing may pass yet."""
    phase = rollout.resume_to if rollout.phase in {Phase.PAUSED, Phase.BLIND} else rollout.phase
    return rollout.stage_since if phase in JUDGED | {Phase.AWAITING_APPROVAL} else None
