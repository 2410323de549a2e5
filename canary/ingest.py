"""Takes new evidence into a rollout: the judge sees it, and what was served is counted. No phase is changed here.

Called by `machine.py` at every pass, and by `catch_up.py` for evidence of the past. Pure.
"""

from dataclasses import replace

from canary import judge, request_counts
from canary.judge import Analysis, JudgeConfig
from canary.pass_context import JUDGED
from canary.rollout import Phase, Rollout
from canary.snapshot import MetricsStatus


def ingest(
    config: JudgeConfig, rollout: Rollout, evidence: MetricsStatus, now: float, last: Analysis | None = None
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
        stage_since=analysis_since(rollout),
        last=last,
    )
    if analysis.state is rollout.judge:
        return rollout, analysis
    counts = request_counts.served_since(before, counters)
    totals = {arm: rollout.served.get(arm, 0.0) + more for arm, more in counts.items()} or rollout.served
    lost = request_counts.unrouted_since(before, counters)
    unrouted = rollout.unrouted if lost is None else (rollout.unrouted or 0.0) + lost
    return replace(rollout, judge=analysis.state, served=totals, unrouted=unrouted), analysis


def analysis_since(rollout: Rollout) -> float | None:
    """Since when the stage's weights have been in force; None while they are not, so nothing may pass yet."""
    phase = rollout.resume_to if rollout.phase in {Phase.PAUSED, Phase.BLIND} else rollout.phase
    return rollout.stage_since if phase in JUDGED | {Phase.AWAITING_APPROVAL} else None
