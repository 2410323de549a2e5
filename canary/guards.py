"""The ordered chain of objections to going on: each guard answers with a change, or with None.

Asked by the machine at every pass, before the phase's own step and whatever the phase is; the first answer counts.
Reading the chain is reading the safety policy. Guards only ever take exposure away or freeze it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from canary import messages
from canary.fingerprint import the_canary_is_another_model
from canary.pass_context import EXPOSED, JUDGED, PassContext, Transition
from canary.rollout import Phase, Reason
from canary.verdict import GateVerdict

Guard = Callable[[PassContext], Transition | None]


def superseded(look: PassContext) -> Transition | None:
    """A plan that was replaced gives its traffic back before the new one begins."""
    if not look.seen.superseded_by:
        return None
    message = f"A newer plan ({look.seen.superseded_by[:12]}) replaces this one: everything goes back to stable first."
    return look.back(Reason.REPLACED, message, result="superseded")


def gate_failed(look: PassContext) -> Transition | None:
    """The judge has seen enough harm. Nothing else is asked first."""
    failed = look.judgement.failed("rollback")
    if look.rollout.phase not in EXPOSED or not failed:
        return None
    first = min(failed, key=lambda verdict: verdict.harm_began if verdict.harm_began is not None else look.now)
    return look.back(
        Reason.GATE_FAILED, first.why, verdict_evidence(first), result="rolled_back", harm_began=first.harm_began
    )


def canary_unavailable(look: PassContext) -> Transition | None:
    """No traffic for a canary that cannot serve while stable can."""
    rollout, canary = look.rollout, look.seen.canary
    if rollout.phase not in EXPOSED or not rollout.weights.canary or canary.usable or not look.seen.stable.usable:
        return None
    message = messages.lost(look.spec.canary.name, canary.problem)
    return look.back(
        Reason.CANARY_LOST, message, {"problem": canary.problem}, result="rolled_back", harm_began=canary.at
    )


def route_lowered_externally(look: PassContext) -> Transition | None:
    """Traffic that somebody took away, or a rollback that was never saved, is not given back."""
    rollout, route = look.rollout, look.seen.route
    found = route.asked if route.weights is None else route.weights  # before its gateway's word, it says so itself
    if rollout.phase not in EXPOSED or found is None or route.at < rollout.since:
        return None
    shifting = Phase.SHIFTING, Phase.PROMOTING
    on_the_way_up = rollout.phase in shifting or rollout.resume_to in shifting
    before = rollout.came_from if rollout.came_from is not None else look.weights_of(rollout.stage - 1)
    expected = before if on_the_way_up else rollout.weights
    if found.canary >= expected.canary:
        return None
    return look.back(
        Reason.ROUTE_LOWERED,
        messages.route_lowered(found, rollout.weights),
        {"found": found.share, "recorded": rollout.weights.share},
        result="rolled_back",
    )


def variant_never_ready(look: PassContext) -> Transition | None:
    """Waiting for a variant has an end: its deadline, or the certainty that it cannot start."""
    if look.rollout.phase is not Phase.PREPARING:
        return None
    waited = look.now - look.rollout.since
    arms = (
        (look.spec.canary.name, look.seen.canary, Reason.CANARY_NOT_READY),
        (look.spec.stable.name, look.seen.stable, Reason.STABLE_NOT_READY),
    )
    for name, variant, reason in arms:
        if not variant.complete and (variant.hopeless or waited >= look.spec.progress_deadline):
            message = messages.not_ready(name, variant.problem, waited, variant.hopeless)
            return look.back(reason, message, {"problem": variant.problem, "waited": waited}, result="failed")
    return None


def route_never_ready(look: PassContext) -> Transition | None:
    """Waiting for the route has the same end: what nobody can be served through must not hold a canary's machines."""
    waited, route = look.now - look.rollout.since, look.seen.route
    if look.rollout.phase is not Phase.PREPARING or look.in_force or waited < look.spec.progress_deadline:
        return None
    message = messages.no_route(look.spec.stable.name, look.spec.canary.name, route.problem, waited)
    return look.back(Reason.ROUTE_NOT_READY, message, {"problem": route.problem, "waited": waited}, result="failed")


def gate_pauses(look: PassContext) -> Transition | None:
    """A gate that its owner wants to look at himself freezes the rollout."""
    failed = look.judgement.failed("pause")
    if look.rollout.phase not in JUDGED | {Phase.AWAITING_APPROVAL} or not failed:
        return None
    message = f"{failed[0].why} The weights stay until somebody resumes or aborts."
    updates = {"resume_to": look.rollout.phase}
    return Transition(Phase.PAUSED, Reason.GATE_PAUSED, message, verdict_evidence(failed[0]), updates)


def metrics_unavailable(look: PassContext) -> Transition | None:
    """Without a source nobody can judge: the weights freeze."""
    if look.rollout.phase not in JUDGED or look.seen.evidence.up:
        return None
    message = messages.blind(look.seen.evidence.problem)
    evidence = {"problem": look.seen.evidence.problem}
    return Transition(Phase.BLIND, Reason.METRICS_SILENT, message, evidence, {"resume_to": look.rollout.phase})


CHAIN: tuple[Guard, ...] = (
    gate_failed,  # evidence of harm comes before everything else
    canary_unavailable,  # a canary that is down needs no statistics
    route_lowered_externally,  # what was taken away stays away
    superseded,  # its rollout waits for ours to give the traffic back
    the_canary_is_another_model,  # nobody's evidence is about the change that was meant
    variant_never_ready,  # before any traffic: stop waiting
    route_never_ready,  # likewise, with both variants ready
    gate_pauses,  # a person wants to decide
    metrics_unavailable,  # nobody can decide
)


def first_match(look: PassContext) -> Transition | None:
    """What the first guard with an objection asks for."""
    if look.rollout.phase is Phase.ROLLING_BACK or look.rollout.finished:
        return None
    return next((change for guard in CHAIN if (change := guard(look))), None)


def verdict_evidence(verdict: GateVerdict) -> Mapping[str, Any]:
    """A verdict as the evidence of an event: plain values, the answer by name."""
    return {**verdict.plain(), "verdict": verdict.verdict.value}
