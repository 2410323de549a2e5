"""The machine: one look at the world, one decision. Every phase change happens in this file, along `transitions.py`.

Called by `controlplane.reconcile` at every pass and by the virtual world. Reads no clock and talks to nobody: what it
knows is in its arguments, and the same arguments give the same decision for ever.

Theory of operation. `seen` is a snapshot, so nothing depends on having noticed an event. A pass (1) lets the judge take
in new evidence, (2) answers people's requests, (3) asks the guards, (4) asks the phase's own step, and repeats 3 and 4
until nothing changes. It then says where the world should be, as actions that may be repeated. Whoever carries them out
keeps one order: **a weight that falls is set first and saved after; a weight that rises is saved first and set after.**
So a crash at any line is healed by the next pass, and never gives the canary more than was saved.
"""

import math
from dataclasses import replace
from typing import Any

from canary import drain, fingerprint, judge, messages
from canary.action import Action, Evaluate, Mirror, Retire, Run, SetWeights, Stop
from canary.blocked import AWAITED, blocking_condition, is_news
from canary.errors import BugError
from canary.guards import first_match, verdict_evidence
from canary.ingest import ingest
from canary.judge import Analysis, JudgeConfig
from canary.pass_context import EXPOSED, JUDGED, PassContext, Transition
from canary.requests import answer, answered, next_request
from canary.rollout import FINISHED, Decision, Event, EventKind, Phase, Reason, Rollout
from canary.snapshot import Snapshot
from canary.steps import STEPS, stage_may_end
from canary.transitions import allowed
from canary.verdict import GateAnswer
from canary.weights import ALL_STABLE, Weights

REMEMBERED_EVENTS = 100
"""Events that a rollout carries itself; a store keeps all of them."""
LONGEST_WAIT = 60.0
"""Seconds until the next look when nothing is heard and no deadline is near."""
BUSY_WAIT = 0.25
"""Seconds between looks while weights or readiness are on their way."""


def begin(config: JudgeConfig, *, name: str, revision: str, attempt: int, now: float) -> Rollout:
    """A new rollout in Pending; its first event says what the plan is."""
    rollout = Rollout(name=name, revision=revision, attempt=attempt, began=now, since=now, judge=judge.begin(config))
    plan = messages.accepted(name, [Weights.of_share(stage.traffic) for stage in config.spec.stages])
    rollout = replace(rollout, message=plan)
    return note(rollout, "phase", Reason.ACCEPTED, plan, {}, now)


def advance(
    config: JudgeConfig, rollout: Rollout, seen: Snapshot, now: float, last: Analysis | None = None
) -> Decision:
    """Decide once. Never raises for anything that the world does; `BugError` for what we did.

    `last` is the analysis of the decision before this one; it saves work where nothing is new and changes no decision.
    """
    look, analysis = _judge(config, PassContext(config.spec, rollout, seen, now), last)
    look = replace(look, rollout=drain.noted(look))
    look = _answer_requests(config, _compare(look))
    for _ in Phase:  # a pass can walk the table at most once through
        change = first_match(look) or STEPS[look.rollout.phase](look)
        if change is None:
            break
        look = _apply(config, look, change)
    else:
        raise BugError(f"{rollout.name} runs in circles at {look.rollout.phase}; nothing was changed")
    look = _tell_what_is_awaited(_give_back(look))
    return Decision(look.rollout, _actions(look), _wake_at(look), analysis)


def _judge(config: JudgeConfig, look: PassContext, last: Analysis | None) -> tuple[PassContext, Analysis | None]:
    """Let the judge take in what is new, count what was served, and note gates that changed their answer."""
    rollout, seen = look.rollout, look.seen
    if rollout.phase in FINISHED | {Phase.PENDING}:
        return look, None
    if rollout.judge.previous is None:
        rollout = _wait_for_stable(rollout, seen, look.now)
        if not _begins_steady(rollout, seen):
            return replace(look, rollout=rollout), None
    rollout, analysis = ingest(config, rollout, seen.evidence, look.now, last)
    judgement = analysis.judgement
    if rollout.phase not in EXPOSED:
        return replace(look, rollout=rollout), analysis
    if judgement.gates is not rollout.verdicts:  # most passes hear nothing new and cost nothing
        answers = {verdict.gate: verdict.verdict for verdict in rollout.verdicts}
        rollout = replace(rollout, verdicts=judgement.gates)
        for verdict in judgement.gates:
            if answers.get(verdict.gate, GateAnswer.WAIT) is not verdict.verdict:
                rollout = note(rollout, "verdict", rollout.reason, verdict.why, verdict_evidence(verdict), look.now)
    return replace(look, rollout=rollout, judgement=judgement), analysis


def _compare(look: PassContext) -> PassContext:
    """Tell once in what the canary differs from stable beyond what the plan says."""
    rollout, seen = look.rollout, look.seen.fingerprint
    if rollout.compared or seen is None or not seen.done or rollout.phase in {*FINISHED, Phase.ROLLING_BACK}:
        return look
    rollout = replace(rollout, compared=True)
    if told := fingerprint.warning(look):
        sentence, evidence = told
        rollout = note(rollout, "alert", Reason.FINGERPRINT_DIFFERS, sentence, evidence, look.now)
    return replace(look, rollout=rollout)


def _wait_for_stable(rollout: Rollout, seen: Snapshot, now: float) -> Rollout:
    """Note since when stable has been complete; what failed before was nobody's canary."""
    if not seen.stable.complete:
        return replace(rollout, steady_since=None)
    return rollout if rollout.steady_since is not None else replace(rollout, steady_since=now)


def _begins_steady(rollout: Rollout, seen: Snapshot) -> bool:
    """Whether these totals are young enough to be what all later ones are differenced against."""
    if rollout.phase in EXPOSED:
        return True
    counters = seen.evidence.counters
    return rollout.steady_since is not None and counters is not None and counters.at >= rollout.steady_since


def _answer_requests(config: JudgeConfig, look: PassContext) -> PassContext:
    """Answer every open request, oldest first."""
    while request := next_request(look):
        response = answer(look, request)
        change = response.change
        rollout = replace(look.rollout, answered=answered(look.rollout, request))
        evidence: dict[str, Any] = {
            "id": request.id,
            "verb": request.verb,
            "by": request.by,
            "accepted": response.accepted,
        }
        if request.verified is not None:
            evidence["identity"] = "verified" if request.verified else "unverified"
        reason = change.reason if change else rollout.reason
        rollout = note(rollout, "operator", reason, response.message, evidence, look.now)
        look = replace(look, rollout=rollout)
        if change:
            look = _apply(config, look, change)
    return look


def _apply(config: JudgeConfig, look: PassContext, change: Transition) -> PassContext:
    """Change the phase along the table, with its events."""
    before = look.rollout
    if not allowed(before.phase, change.to):
        raise BugError(f"{before.name}: {before.phase} may not become {change.to} ({change.reason}); nothing changed")
    rollout = replace(
        before, phase=change.to, reason=change.reason, message=change.message, since=look.now, **change.updates
    )
    rollout = note(rollout, "phase", change.reason, change.message, change.evidence, look.now)
    if rollout.weights != before.weights:
        rollout = _note_weights(rollout, look.now)
    if rollout.finished:
        rollout = note(rollout, "end", change.reason, change.message, _end_evidence(rollout), look.now)
    if change.to is not before.phase and change.to in EXPOSED and change.to not in JUDGED:
        look = replace(look, judgement=judge.read(config, rollout.judge, stage=rollout.stage, now=look.now))
    return replace(look, rollout=rollout)


def _give_back(look: PassContext) -> PassContext:
    """While rolling back: everything to stable, unless stable cannot serve and the canary can."""
    rollout, seen = look.rollout, look.seen
    if rollout.phase is not Phase.ROLLING_BACK or not rollout.weights.canary:
        return look
    if seen.canary.usable and not seen.stable.usable:
        message = messages.waiting_for_stable(seen.stable.problem)
        if rollout.message != message:
            rollout = replace(rollout, message=message)
            rollout = note(
                rollout, "alert", Reason.STABLE_NOT_READY, message, {"problem": seen.stable.problem}, look.now
            )
        return replace(look, rollout=rollout)
    return replace(look, rollout=_note_weights(replace(rollout, weights=ALL_STABLE), look.now))


def _tell_what_is_awaited(look: PassContext) -> PassContext:
    """Say what does not come by itself, once; when it has come, the phase's own words stand again."""
    rollout, found = look.rollout, blocking_condition(look)
    if found is not None:
        reason, message = found
        told = replace(rollout, reason=reason, message=message)
        if reason is not rollout.reason or is_news(rollout.message, message):
            told = note(told, "alert", reason, message, {}, look.now)
        return replace(look, rollout=told)
    if rollout.reason not in AWAITED:
        return look
    begun = [each for each in rollout.history if each.event == "phase" and each.phase is rollout.phase]
    if begun:
        rollout = replace(rollout, reason=begun[-1].reason, message=begun[-1].message)
    return replace(look, rollout=rollout)


def _actions(look: PassContext) -> tuple[Action, ...]:
    """Where the world should be, safety first."""
    rollout = look.rollout
    if rollout.phase is not Phase.PENDING and _an_earlier_winner_serves(look):
        return (Run("stable"),)
    weights = SetWeights(rollout.weights)
    running = (Run("stable"), Run("canary"))
    match rollout.phase:
        case Phase.PENDING:
            return ()
        case Phase.PREPARING:
            return (weights, *running)
        case Phase.EVALUATING:
            return (weights, *running, Evaluate())
        case Phase.SHADOWING:
            return (weights, *running, Mirror(look.spec.shadow.traffic if look.spec.shadow else 0.0))
        case Phase.WATCHING if look.spec.cohort and isinstance(stage_may_end(look), str):
            return (weights, *running, Retire("stable"))
        case Phase.SUCCEEDED:
            return (weights, Run("canary"), Stop("stable"))
        case Phase.ROLLED_BACK | Phase.SUPERSEDED:
            return (weights, Run("stable"), Stop("canary"))
        case _:
            return (weights, *running)


def _an_earlier_winner_serves(look: PassContext) -> bool:
    """Whether the route still leads to the canary that an earlier rollout promoted, and stable cannot take over yet.

    It goes on serving, and is not replaced, until stable can: a new rollout must not begin with an outage.
    """
    route = look.seen.route.weights
    return not look.rollout.peak.canary and route is not None and route.canary > 0 and not look.seen.stable.usable


def _wake_at(look: PassContext) -> float:
    """When to look again at the latest."""
    rollout, now = look.rollout, look.now
    if rollout.reason is Reason.DRAINING and rollout.drain is not None:
        return min(drain.ends_at(look, rollout.drain), now + LONGEST_WAIT)
    match rollout.phase:
        case Phase.PENDING | Phase.SHIFTING | Phase.PROMOTING | Phase.ROLLING_BACK:
            return now + BUSY_WAIT
        case Phase.PREPARING:
            return now + BUSY_WAIT * 4
        case Phase.ANALYZING | Phase.WATCHING if look.hold_ends > now:
            return min(look.hold_ends, now + LONGEST_WAIT)
        case Phase.SUCCEEDED | Phase.ROLLED_BACK | Phase.SUPERSEDED:
            return math.inf
        case _:
            return now + LONGEST_WAIT


def _note_weights(rollout: Rollout, now: float) -> Rollout:
    """Record that other weights are asked for."""
    rollout = replace(rollout, peak=max(rollout.peak, rollout.weights))
    message = f"Asking for {rollout.weights} of the traffic on the canary."
    return note(rollout, "weights", rollout.reason, message, {"weight": rollout.weights.share}, now)


def note(rollout: Rollout, kind: EventKind, reason: Reason, message: str, evidence: Any, now: float) -> Rollout:
    """Add an entry to the history."""
    seq = rollout.events + 1
    event = Event(
        id=f"{rollout.name}/{rollout.attempt}/{seq}",
        seq=seq,
        at=now,
        t=now - rollout.began,
        rollout=rollout.name,
        revision=rollout.revision,
        event=kind,
        phase=rollout.phase,
        stage=rollout.stage,
        weight=rollout.weights.share,
        reason=reason,
        message=message,
        evidence=evidence,
    )
    return replace(rollout, history=(*rollout.history, event)[-REMEMBERED_EVENTS:], events=seq)


def _end_evidence(rollout: Rollout) -> dict[str, Any]:
    """What the last event says besides its sentence."""
    evidence: dict[str, Any] = {"result": rollout.result}
    if rollout.served:
        requests: dict[str, Any] = {arm: round(count) for arm, count in rollout.served.items()}
        if rollout.unrouted is not None:
            requests["failed_by_shift"] = round(rollout.unrouted)
        if rollout.cut is not None:
            requests["cut_by_stop"] = round(rollout.cut)
        evidence["requests"] = requests
    if rollout.decided is not None and rollout.zero is not None:
        evidence |= {
            "harm_began": rollout.harm_began,
            "decided": rollout.decided,
            "zero": rollout.zero,
            "decided_to_zero": round(rollout.zero - rollout.decided, 3),
        }
    return evidence
