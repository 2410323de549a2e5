"""Takes new evidence into a rollout: the judge sees it, and what was served is counted. No phase is changed here.

Called by `machine.py` at every pass, and by `rebuild.py` for evidence of the past. Whoever has many rollouts asks
before their passes what each of them will hear. Pure.
"""

from dataclasses import replace

from canary import judge, served
from canary.judge import Heard
from canary.look import JUDGED
from canary.observation import Counters, EvidenceSeen
from canary.rollout import FINISHED, Phase, Rollout
from canary.spec.models import CanarySpec
from canary.verdict import Judgement


def take_in(spec: CanarySpec, rollout: Rollout, evidence: EvidenceSeen, now: float) -> tuple[Rollout, Judgement]:
    """The rollout with this evidence, and what the judge says of its stage; the very same rollout for nothing new."""
    before, counters = rollout.judge.previous, evidence.counters
    state, judgement = judge.watch(
        spec,
        rollout.judge,
        stage=rollout.stage,
        weights=rollout.weights,
        evidence=evidence,
        now=now,
        stage_since=judged_since(rollout),
    )
    if state is rollout.judge:
        return rollout, judgement
    counts = served.served_since(before, counters)
    totals = {arm: rollout.served.get(arm, 0.0) + more for arm, more in counts.items()} or rollout.served
    lost = served.unrouted_since(before, counters)
    unrouted = rollout.unrouted if lost is None else (rollout.unrouted or 0.0) + lost
    return replace(rollout, judge=state, served=totals, unrouted=unrouted), judgement


def heard(spec: CanarySpec, rollout: Rollout, counters: Counters) -> Heard | None:
    """These totals as `take_in` will tell the judge of them; None where it is not asked, or has nothing to learn."""
    previous = rollout.judge.previous
    if rollout.phase in FINISHED | {Phase.PENDING} or previous is None or counters.at == previous.at:
        return None
    return Heard(spec, rollout.judge, counters, rollout.stage, rollout.weights, judged_since(rollout))


def judged_since(rollout: Rollout) -> float | None:
    """Since when the stage's weights have been in force; None while they are not, so nothing may pass yet."""
    phase = rollout.resume_to if rollout.phase in {Phase.PAUSED, Phase.BLIND} else rollout.phase
    return rollout.stage_since if phase in JUDGED | {Phase.AWAITING_APPROVAL} else None
