"""What must hold at every moment of every rollout. Asserted after every step of every test, and in simulations.

Called with the state before a pass, the snapshot, and the decision. Answers with the broken ones; raises nothing.
"""

from collections.abc import Sequence

from canary import drain as drain_
from canary.action import Run, SetWeights, Stop
from canary.fingerprint import blocking
from canary.pass_context import EXPOSED
from canary.rollout import Decision, Phase, Rollout
from canary.snapshot import Snapshot
from canary.spec.models import CanarySpec
from canary.transitions import TRANSITIONS
from canary.weights import WHOLE


def broken(spec: CanarySpec, before: Rollout, seen: Snapshot, decision: Decision) -> Sequence[str]:
    """Sentences for every invariant that this decision breaks; empty when all hold."""
    checks = (
        _weights,
        _exposure,
        _same_model,
        _stages,
        _finished,
        _reasons,
        _stable_outlives,
        _rollback_is_prompt,
        _answers_are_finished,
        _history,
    )
    return [sentence for check in checks for sentence in check(spec, before, seen, decision)]


def _weights(spec: CanarySpec, before: Rollout, seen: Snapshot, decision: Decision) -> list[str]:
    """Weights sum to 100 %, are the stage's or nothing, and are asked for once a pass, first."""
    rollout = decision.rollout
    sets = [action for action in decision.actions if isinstance(action, SetWeights)]
    wrong = []
    if rollout.weights.canary + rollout.weights.stable != WHOLE:
        wrong.append("the weights do not sum to 100 %")
    if len(sets) > 1 or (sets and (decision.actions[0] != sets[0] or sets[0].weights != rollout.weights)):
        wrong.append("the route is not asked for first and once, with the recorded weights")
    shares = {0, *(round(stage.traffic * WHOLE) for stage in spec.stages)}
    if rollout.weights.canary not in shares:
        wrong.append(f"{rollout.weights} is no stage's weight")
    return wrong


def _exposure(spec: CanarySpec, before: Rollout, seen: Snapshot, decision: Decision) -> list[str]:
    """No traffic for an unready canary while stable is ready; none outside the phases for it."""
    rollout = decision.rollout
    wrong = []
    if rollout.weights.canary and not seen.canary.usable and seen.stable.usable and not before.finished:
        wrong.append("the canary cannot serve, stable can, and the canary is given traffic")
    if rollout.weights.canary > before.weights.canary and not seen.canary.usable:
        wrong.append("traffic rises on a canary that cannot serve")
    if rollout.weights.canary and rollout.phase not in EXPOSED | {Phase.ROLLING_BACK, Phase.SUCCEEDED}:
        wrong.append(f"the canary has traffic while {rollout.phase}")
    if rollout.weights.canary < before.weights.canary and not seen.stable.usable and seen.canary.usable:
        wrong.append("traffic moves to a stable variant that cannot serve while the canary can")
    return wrong


def _same_model(spec: CanarySpec, before: Rollout, seen: Snapshot, decision: Decision) -> list[str]:
    """No traffic for a canary that is another model than the plan says, unless stable cannot serve and it can."""
    rollout, must_wait = decision.rollout, seen.canary.usable and not seen.stable.usable
    if before.finished or not rollout.weights.canary or not blocking(spec, seen):
        return []
    if rollout.phase is Phase.ROLLING_BACK and must_wait:
        return []
    return ["a canary whose fingerprint blocks has traffic"]


def _stages(spec: CanarySpec, before: Rollout, seen: Snapshot, decision: Decision) -> list[str]:
    """No stage is entered without a PASS, or a person's word, on all before it; stages never go back."""
    rollout = decision.rollout
    wrong = []
    if rollout.stage < before.stage:
        wrong.append("a stage was repeated")
    if set(range(rollout.stage)) - set(rollout.passed):
        wrong.append(f"stage {rollout.stage} was entered without a pass on the ones before")
    if rollout.phase is Phase.SUCCEEDED and len(rollout.passed) != len(spec.stages):
        wrong.append("promoted without a pass on the last stage")
    return wrong


def _finished(spec: CanarySpec, before: Rollout, seen: Snapshot, decision: Decision) -> list[str]:
    """A finished rollout stays finished, and says how it ended."""
    rollout = decision.rollout
    wrong = []
    if before.finished and (rollout.phase, rollout.result) != (before.phase, before.result):
        wrong.append("a finished rollout changed")
    if rollout.finished != (rollout.phase in {Phase.SUCCEEDED, Phase.ROLLED_BACK, Phase.SUPERSEDED}):
        wrong.append("finished is not what its phase says")
    if rollout.finished and rollout.result is None:
        wrong.append("a rollout ended without a result")
    if before.phase is Phase.ROLLING_BACK and rollout.phase not in {
        Phase.ROLLING_BACK,
        Phase.ROLLED_BACK,
        Phase.SUPERSEDED,
    }:
        wrong.append("a rollback was taken back")
    return wrong


def _reasons(spec: CanarySpec, before: Rollout, seen: Snapshot, decision: Decision) -> list[str]:
    """Every phase change has an event with its reason and sentence; each walk is a path in the table."""
    rollout = decision.rollout
    new = [event for event in rollout.history if event.seq > before.events]
    changes = [event for event in new if event.event == "phase"]
    wrong = []
    at = before.phase
    for event in changes:
        if event.phase not in TRANSITIONS[at]:
            wrong.append(f"{at} became {event.phase}, which the table does not have")
        at = event.phase
    if at is not rollout.phase:
        wrong.append("a phase changed without an event")
    if any(not event.message or not event.reason for event in new):
        wrong.append("an event has no sentence or no reason")
    if rollout.weights != before.weights and not any(event.event == "weights" for event in new):
        wrong.append("weights changed without an event")
    return wrong


def _stable_outlives(spec: CanarySpec, before: Rollout, seen: Snapshot, decision: Decision) -> list[str]:
    """Stable is stopped only once the canary is promoted; the canary only once it has no traffic."""
    rollout = decision.rollout
    wrong = []
    if Stop("stable") in decision.actions and rollout.phase is not Phase.SUCCEEDED:
        wrong.append("stable is stopped before the canary is promoted")
    if Stop("canary") in decision.actions and (rollout.weights.canary or Run("canary") in decision.actions):
        wrong.append("the canary is stopped while it has traffic")
    if Stop("canary") in decision.actions and rollout.peak.canary and rollout.zero is None:
        wrong.append("the canary is stopped before the route was seen to send it nothing")
    return wrong


def _answers_are_finished(spec: CanarySpec, before: Rollout, seen: Snapshot, decision: Decision) -> list[str]:
    """Nothing is stopped while it answers, unless it has had its time or a person does not want to wait."""
    rollout = decision.rollout
    drain, now = rollout.drain, rollout.since
    if before.finished or not rollout.finished or drain is None:
        return []
    counted = drain.open is not None or drain.arm in seen.in_flight
    if now >= drain.since + drain_.longest(spec, counted=counted):
        return []
    if before.answered != rollout.answered:
        return []
    count = seen.in_flight.get(drain.arm)
    if count is None or count.open > 0 or count.at < drain.since:
        return [f"{drain.arm} is stopped although it may still be answering"]
    return []


def _rollback_is_prompt(spec: CanarySpec, before: Rollout, seen: Snapshot, decision: Decision) -> list[str]:
    """A rollback takes the traffic away in the pass that decides it, unless stable cannot serve and the canary can."""
    rollout = decision.rollout
    must_wait = seen.canary.usable and not seen.stable.usable
    if rollout.phase is Phase.ROLLING_BACK and rollout.weights.canary and not must_wait:
        return ["a rollback leaves traffic on the canary although stable can take it"]
    return []


def _history(spec: CanarySpec, before: Rollout, seen: Snapshot, decision: Decision) -> list[str]:
    """Event numbers rise by one, without gaps."""
    numbers = [event.seq for event in decision.rollout.history]
    if numbers != list(range(decision.rollout.events - len(numbers) + 1, decision.rollout.events + 1)):
        return ["the history has a gap"]
    return []
