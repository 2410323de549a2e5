"""What each phase waits for, and what follows: one small function a phase.

Called by the machine when no guard objects. A step answers with a change, or with None while it waits.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from canary import drain, fingerprint, messages, shadow
from canary import format as fmt
from canary.pass_context import PassContext, Transition
from canary.rollout import Drain, Phase, Reason
from canary.spec.models import Criterion
from canary.verdict import GateAnswer, GateVerdict
from canary.weights import ALL_CANARY

Step = Callable[[PassContext], Transition | None]


def enter_stage(look: PassContext, stage: int, reason: Reason, why: str) -> Transition:
    """Begin to move traffic to a stage; every stage before it counts as passed by a PASS or a person's word."""
    weights = look.weights_of(stage)
    to = Phase.PROMOTING if weights == ALL_CANARY else Phase.SHIFTING
    updates: dict[str, Any] = {
        "stage": stage,
        "weights": weights,
        "came_from": look.rollout.weights,
        "passed": tuple(range(stage)),
        "resume_to": None,
        "verdicts": (),
    }
    evidence = {"verdicts": [verdict.why for verdict in look.judgement.gates]}
    return Transition(to, reason, messages.shifting(look.spec.canary.name, weights, why), evidence, updates)


def pending(look: PassContext) -> Transition | None:
    """An accepted plan begins at once."""
    message = messages.starting(look.spec.stable.name, look.spec.canary.name)
    return Transition(Phase.PREPARING, Reason.VARIANTS_STARTING, message)


def preparing(look: PassContext) -> Transition | None:
    """Both variants have to be up with all their replicas, compared, and all traffic has to be seen on stable."""
    if not (look.seen.stable.complete and look.seen.canary.complete and look.in_force):
        return None
    if fingerprint.is_awaited(look):
        return None
    why = f"Both variants are ready.{fingerprint.in_a_clause(look)}"
    if look.spec.evaluation:
        message = f"{why} {look.spec.canary.name} is evaluated on {look.spec.evaluation.dataset} before any traffic."
        return Transition(Phase.EVALUATING, Reason.VARIANTS_READY, message)
    return _after_evaluation(look, Reason.VARIANTS_READY, why)


def evaluating(look: PassContext) -> Transition | None:
    """Every criterion has to hold, unless the plan only warns. What is undecided waits for a person."""
    plan, (answer, why) = look.spec.evaluation, evaluated(look)
    if plan is None or answer is None or answer is GateAnswer.WAIT:
        return None
    if answer is GateAnswer.FAIL and plan.on_fail == "block":
        return look.back(Reason.EVALUATION_FAILED, why, _evaluation_evidence(look), result="failed")
    if (answer is GateAnswer.FAIL and plan.on_fail == "pause") or not look.both_usable:
        return None
    if answer is GateAnswer.FAIL:
        return after_evaluation(look, Reason.EVALUATION_OVERRULED, f"{why} The plan only warns of that.")
    return after_evaluation(look, Reason.EVALUATION_PASSED, why)


def evaluated(look: PassContext) -> tuple[GateAnswer | None, str]:
    """What the evaluation says and the sentence for it; None while it goes on."""
    result, plan = look.seen.evaluation, look.spec.evaluation
    if plan is None or result is None or not result.done:
        return None, ""
    if result.verdict is not None:
        outcome = {GateAnswer.PASS: "passed", GateAnswer.FAIL: "failed", GateAnswer.WAIT: "is undecided"}[
            result.verdict
        ]
        said = result.why if result.verdict is GateAnswer.PASS else result.why[:1]
        return result.verdict, f"The evaluation {outcome}: {' '.join(said)}"
    missed = [c for c in plan.metrics if not _holds(c, result.canary, result.stable)]
    if not missed:
        return GateAnswer.PASS, f"All {len(plan.metrics)} criteria hold."
    measured = result.canary.get(missed[0].metric)
    shown = "was not measured" if measured is None else f"is {fmt.number(measured)}"
    return GateAnswer.FAIL, f"The evaluation failed: {missed[0].text} was asked for and {missed[0].metric} {shown}."


def shadowing(look: PassContext) -> Transition | None:
    """Enough days running have to be won before the plan's shadow time is over."""
    plan, result = look.spec.shadow, look.seen.shadow
    if plan is None:
        return enter_stage(look, 0, Reason.SHADOW_WON, "The shadow is over.")
    days = result.days if result else ()
    needed = plan.promote.days
    running = shadow.days_won_running(days, plan.promote.win_rate, look.spec.judge.false_rollback)
    evidence = {"days": [{"day": d.day, "net_win_rate": shadow.net_win_rate(d)} for d in days[-needed:]]}
    if running >= needed and look.both_usable:
        plural = "day" if needed == 1 else "days running"
        return enter_stage(look, 0, Reason.SHADOW_WON, f"Won {needed} {plural} in the shadow.")
    if plan.for_ and look.now - look.rollout.since >= plan.for_:
        message = (
            f"{look.spec.canary.name} did not win {needed} days running by {fmt.share(plan.promote.win_rate)} within "
            f"{fmt.duration(plan.for_)} in the shadow; no user ever saw it."
        )
        return look.back(Reason.SHADOW_LOST, message, evidence, result="failed")
    return None


def shifting(look: PassContext) -> Transition | None:
    """The weights asked for have to be seen in force."""
    if not look.in_force:
        return None
    message = messages.judging(look.spec.canary.name, look.rollout.weights, look.stage.hold, len(look.stage.gates))
    return Transition(Phase.ANALYZING, Reason.WEIGHTS_IN_FORCE, message, {}, {"stage_since": look.now})


def promoting(look: PassContext) -> Transition | None:
    """100 % has to be seen in force."""
    if not look.in_force:
        return None
    message = messages.watching(look.spec.canary.name, look.stage.hold)
    drained = None if look.spec.cohort else Drain("stable", look.now)  # who is outside the cohort still asks stable
    updates = {"stage_since": look.now, "drain": drained}
    return Transition(Phase.WATCHING, Reason.WEIGHTS_IN_FORCE, message, {}, updates)


def analyzing(look: PassContext) -> Transition | None:
    """The hold has to be over and every gate has to pass."""
    ready = stage_may_end(look)
    if not isinstance(ready, str):
        return ready
    if look.stage.approve:
        message = f"{ready} {look.stage.approve} has to approve before more traffic moves."
        return Transition(Phase.AWAITING_APPROVAL, Reason.APPROVAL_NEEDED, message)
    return enter_stage(look, look.rollout.stage + 1, Reason.STAGE_PASSED, ready)


def watching(look: PassContext) -> Transition | None:
    """Like a stage, and at its end, once stable has answered what it had begun, the canary is what stable means."""
    ready = stage_may_end(look)
    if not isinstance(ready, str):
        return ready
    if look.stage.approve or not drain.is_over(look, "stable"):
        return None  # nothing follows 100 % that could be approved; `checks.py` refuses such a plan
    answered, updates = drain.ended(look)
    message = " ".join(filter(None, (f"{look.spec.canary.name} is promoted: {ready}", answered)))
    passed = (*look.rollout.passed, look.rollout.stage)
    return Transition(
        Phase.SUCCEEDED, Reason.PROMOTED, message, {}, {"result": "promoted", "passed": passed, **updates}
    )


def blind(look: PassContext) -> Transition | None:
    """Until the source is back, or has been silent for longer than the plan allows."""
    if look.seen.evidence.up:
        to = look.rollout.resume_to or Phase.ANALYZING
        return Transition(to, Reason.METRICS_BACK, "The metric source is back.", {}, {"resume_to": None})
    silent = look.now - look.rollout.since
    if silent < look.spec.max_blind or look.spec.on_blind == "hold":
        return None
    message = f"The metric source has been silent for {fmt.duration(silent)}, longer than maxBlind."
    if look.spec.on_blind == "rollback":
        return look.back(Reason.BLIND_TOO_LONG, f"{message} Everything goes back to stable.", result="rolled_back")
    return Transition(Phase.PAUSED, Reason.BLIND_TOO_LONG, f"{message} The weights stay until somebody decides.")


def rolling_back(look: PassContext) -> Transition | None:
    """The canary has to be seen to get nothing, and to have answered what it had begun."""
    if not look.rollout.peak.canary:
        message = messages.never_had_traffic(look.spec.stable.name, look.spec.canary.name, look.seen.stable)
        return _over(look, message, took=0.0, zero=look.rollout.decided)
    return given_back(look) if drain.is_over(look, "canary") else None


def given_back(look: PassContext) -> Transition:
    """The end of a rollback whose traffic was seen to be back, however much the canary still answers."""
    zero = look.rollout.zero if look.rollout.zero is not None else look.now
    took = max(zero - (look.rollout.decided if look.rollout.decided is not None else zero), 0.0)
    answered, updates = drain.ended(look)
    message = " ".join(filter(None, (messages.back_on(look.spec.stable.name, took), answered)))
    return _over(look, message, took=took, **updates)


def waiting(look: PassContext) -> Transition | None:
    """Only a person, a guard or nothing at all moves this phase on."""
    return None


STEPS: Mapping[Phase, Step] = {
    Phase.PENDING: pending,
    Phase.PREPARING: preparing,
    Phase.EVALUATING: evaluating,
    Phase.SHADOWING: shadowing,
    Phase.SHIFTING: shifting,
    Phase.ANALYZING: analyzing,
    Phase.AWAITING_APPROVAL: waiting,
    Phase.PAUSED: waiting,
    Phase.PROMOTING: promoting,
    Phase.WATCHING: watching,
    Phase.BLIND: blind,
    Phase.ROLLING_BACK: rolling_back,
    Phase.SUCCEEDED: waiting,
    Phase.ROLLED_BACK: waiting,
    Phase.SUPERSEDED: waiting,
}


def _over(look: PassContext, message: str, *, took: float, **updates: Any) -> Transition:
    """A rollback is complete, `took` seconds after it was decided."""
    to = Phase.SUPERSEDED if look.rollout.result == "superseded" else Phase.ROLLED_BACK
    return Transition(to, Reason.TRAFFIC_BACK, message, {"decided_to_zero": took}, updates)


def _evaluation_evidence(look: PassContext) -> dict[str, Any]:
    result = look.seen.evaluation
    if result is None:
        return {}
    values = {"canary": dict(result.canary), "stable": dict(result.stable)}
    return values if result.verdict is None else {**values, "verdict": str(result.verdict), "why": list(result.why)}


def after_evaluation(look: PassContext, reason: Reason, why: str) -> Transition:
    """What follows an evaluation, or the want of one: the shadow, or the first stage."""
    change = _after_evaluation(look, reason, why)
    return replace(change, evidence={**change.evidence, "evaluation": _evaluation_evidence(look)})


def _after_evaluation(look: PassContext, reason: Reason, why: str) -> Transition:
    if look.spec.shadow:
        share = fmt.share(look.spec.shadow.traffic)
        message = (
            f"{why} {look.spec.canary.name} answers a copy of {share} of the requests; users see stable's answers."
        )
        return Transition(Phase.SHADOWING, reason, message)
    return enter_stage(look, 0, reason, why)


def _holds(criterion: Criterion, canary: Mapping[str, float], stable: Mapping[str, float]) -> bool:
    value = canary.get(criterion.metric)
    limit = criterion.limit if criterion.limit is not None else stable.get(criterion.metric)
    if value is None or limit is None:
        return False
    margin = criterion.margin or 0.0
    return value <= limit + margin if criterion.comparison == "max" else value >= limit - margin


def stage_may_end(look: PassContext) -> str | Transition | None:
    """The sentence why the stage may end; or the change that missing evidence brings; or None to wait."""
    if look.now < look.hold_ends or not look.both_usable or not look.in_force:
        return None
    policies = {gate.text: gate.on_no_data or look.spec.on_no_data for gate in look.stage.gates}
    open_gates = [g for g in look.judgement.gates if g.verdict is not GateAnswer.PASS]
    if look.judgement.answer is GateAnswer.PASS:
        count = len(look.judgement.gates)
        return f"Stage {look.rollout.stage + 1} passed{f' all {count} gates' if count > 1 else ''}."
    lacking = [g for g in open_gates if _lacks_evidence(g)]
    if look.judgement.problem or len(lacking) < len(open_gates):
        return None
    asks_for = {policies.get(g.gate, look.spec.on_no_data) for g in lacking}
    if "hold" in asks_for:
        return None
    if "pause" in asks_for:
        message = f"The hold is over without enough evidence: {lacking[0].why}"
        return Transition(Phase.PAUSED, Reason.NO_DATA, message, {}, {"resume_to": look.rollout.phase})
    return f"Stage {look.rollout.stage + 1} ends without enough evidence, as the plan allows: {lacking[0].why}"


def _lacks_evidence(verdict: GateVerdict) -> bool:
    return verdict.verdict is GateAnswer.WAIT and verdict.spoke != "blame"
