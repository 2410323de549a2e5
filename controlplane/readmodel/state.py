"""A rollout's picture as the API answers it: every value beside the text that the terminal would show for it.

Used by the routes and by the stream. Built from `controlplane.view.model.picture`, so the page, the terminal and the
API cannot disagree; it computes nothing of its own.
"""

from collections.abc import Mapping
from functools import lru_cache

from pydantic import BaseModel, Field

from canary import format as fmt
from canary.format import duration
from canary.judge import compile_gates
from canary.judge.confidence_sequence import Interval, intervals
from canary.rollout import Phase
from canary.serial import rfc3339
from canary.spec.models import CanarySpec
from canary.spec.stored import from_text
from canary.weights import ARMS, Arm
from controlplane.ports import Stored
from controlplane.readmodel.actions import Action, actions
from controlplane.readmodel.directory import RolloutHandle
from controlplane.readmodel.gate_view import GateView, gate_view
from controlplane.readmodel.panels import Cell, Panel, cell, live_panels
from controlplane.readmodel.rollout_view import RolloutView, view_of
from controlplane.readmodel.value import TONES, Badge, Value, seconds, share
from controlplane.view.live import Live
from controlplane.view.marks import UNICODE, of_phase
from controlplane.view.model import ArmRow, Picture, StageStep, picture

_STEPS = {"passed": ("✔", "good"), "failed": ("✖", "bad"), "now": ("◑", "busy"), "ahead": ("○", "quiet")}


class StageView(BaseModel):
    """One stage on the rail."""

    share: Value
    state: str = Field(description="passed, now, ahead or failed")
    held: Value
    hold: Value
    gates: int
    badge: Badge
    done: float = Field(description="The share of its hold that is over, 0 to 1.")
    text: str = Field(description="Such as `4 min of 10 min · 4 gates`.")


class ArmView(BaseModel):
    """One variant."""

    arm: str
    name: str
    asked: Value
    in_force: Value
    rate: Value
    served: Value
    ready: int | None = Field(description="Replicas that can serve; null while nobody looks.")
    wanted: int
    problem: str


class Ending(BaseModel):
    """How a rollback went."""

    harm_to_verdict: Value
    verdict_to_zero: Value
    peak: Value


class Banner(BaseModel):
    """What has to be seen before anything else."""

    tone: str
    text: str


class Weight(BaseModel):
    """The canary's share in large letters, with what it is, and what is asked for while that is another."""

    big: str
    text: str
    also: str


class Controller(BaseModel):
    """Whether a process carries the rollout out now."""

    running: bool
    looked_at: str | None
    text: str


class State(BaseModel):
    """Where a rollout is, at one moment."""

    id: str
    name: str
    attempt: int
    revision: str
    phase: str
    badge: Badge
    reason: str
    sentence: str = Field(description="The verdict in one sentence: the cause of a rollback, else where it is and why.")
    waits_for: str
    follows: str
    weight: Weight
    banners: list[Banner]
    notes: list[str] = Field(description="What a person wants to know next, each a sentence without a full stop.")
    finished: bool
    result: str | None
    at: str = Field(description="When this state was read.")
    began: str
    since: str = Field(description="When the phase began.")
    age: Value
    stage: int
    stages: list[StageView]
    arms: list[ArmView]
    gates: list[GateView]
    evidence_age: Value
    problem: str
    ending: Ending | None
    unrouted: float | None
    controller: Controller
    actions: list[Action]
    events: int = Field(description="How many events there have been in this attempt.")
    version: int
    stale: str = Field(default="", description="Why this may be behind the world; empty while it is live.")
    stale_since: str | None = Field(default=None, description="From when it is then; null while it is live.")
    panels: list[Panel] = Field(default=[], description="What stands around it: processes or pods, git, alerts.")


def state_at(place: RolloutHandle, stored: Stored, now: float) -> State:
    """The state of the rollout in this place, with what is known of its world."""
    spec = _spec_of(stored.spec_text)
    return _state(place.id, stored, place.view(spec, stored.rollout, now), now, spec)


def state_of(id_: str, stored: Stored, live: Live | None, now: float, *, spec: CanarySpec | None = None) -> State:
    """The state at `now` (seconds since the epoch). `spec` spares reading the plan again."""
    spec = spec or _spec_of(stored.spec_text)
    return _state(id_, stored, view_of(spec, stored.rollout, live, now), now, spec)


@lru_cache(maxsize=512)
def _spec_of(text: str) -> CanarySpec:
    """A plan is read once: it never changes under the same text, and is looked at every second."""
    return from_text(text).spec


_BANDS: dict[tuple[str, int, float, int], Mapping[str, Mapping[Arm, Interval]]] = {}
MOST_BANDS = 512


def _bands_of(id_: str, stored: Stored, spec: CanarySpec) -> Mapping[str, Mapping[Arm, Interval]]:
    """The intervals of what was saved, worked out once a version: a list of many rollouts is looked at every second."""
    rollout = stored.rollout
    key = id_, rollout.attempt, rollout.began, stored.version
    if key not in _BANDS:
        if len(_BANDS) >= MOST_BANDS:
            _BANDS.clear()
        _BANDS[key] = intervals(compile_gates(spec), rollout.judge, stage=rollout.stage)
    return _BANDS[key]


def _state(id_: str, stored: Stored, looked: RolloutView, now: float, spec: CanarySpec) -> State:
    rollout = looked.rollout
    drawn = picture(spec, rollout, looked.seen, now, looked.rates)
    arms = [_arm(row, drawn, looked) for row in drawn.arms]
    bands = looked.bands or _bands_of(id_, stored, spec)
    symbol, style = of_phase(UNICODE, rollout.phase)
    ended_at = rollout.history[-1].at if rollout.finished and rollout.history else now
    known = (looked.running and looked.counted) or rollout.phase not in {
        Phase.PREPARING,
        Phase.SHIFTING,
        Phase.PROMOTING,
    }
    waits_for = drawn.waits_for if known else drawn.message
    controller = _controller(looked, now)
    return State(
        id=id_,
        name=drawn.name,
        attempt=drawn.attempt,
        revision=rollout.revision,
        phase=rollout.phase.value,
        badge=Badge(symbol=symbol, word=spaced(rollout.phase), tone=TONES[style]),
        reason=rollout.reason.value,
        sentence=drawn.cause or drawn.message,
        waits_for=waits_for,
        follows=drawn.follows,
        weight=_weight(arms),
        banners=[] if drawn.finished else _banners(drawn, looked, controller),
        notes=_notes(drawn, waits_for),
        finished=drawn.finished,
        result=rollout.result,
        at=rfc3339(now),
        began=rfc3339(rollout.began),
        since=rfc3339(rollout.since),
        age=seconds(ended_at - rollout.began),
        stage=drawn.stage,
        stages=[_stage(step, len(stage.gates)) for step, stage in zip(drawn.stages, spec.stages, strict=True)],
        arms=arms,
        gates=[gate_view(row, looked, spec, bands.get(row.gate, {})) for row in drawn.gates],
        evidence_age=seconds(None if rollout.finished or looked.of_record else drawn.evidence_age),
        problem=drawn.problem,
        ending=_ending(drawn),
        unrouted=drawn.unrouted,
        controller=controller,
        actions=actions(spec, looked, now),
        events=rollout.events,
        version=stored.version,
        stale=looked.lost.why,
        stale_since=looked.lost.moment,
        panels=[_variants(arms, drawn), *(live_panels(rollout, looked.facts, now) if looked.facts else ())],
    )


def spaced(phase: Phase) -> str:
    """`RollingBack` as `rolling back`."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in phase.value).strip()


def _stage(step: StageStep, gates: int) -> StageView:
    held, hold = seconds(step.held), seconds(step.hold)
    symbol, tone = _STEPS[step.state]
    done = min(1.0, step.held / step.hold) if step.hold else float(step.state == "passed")
    long = f"{held.text} of {hold.text}" if step.state == "now" else f"hold {hold.text}"
    judged = f"{gates} gate{'' if gates == 1 else 's'}" if gates else "watched"
    return StageView(
        share=share(step.share),
        state=step.state,
        held=held,
        hold=hold,
        gates=gates,
        badge=Badge(symbol=symbol, word=step.state, tone=tone),
        done=done,
        text=f"{long} · {judged}",
    )


def _arm(row: ArmRow, drawn: Picture, looked: RolloutView) -> ArmView:
    served = drawn.served.get(row.arm)
    return ArmView(
        arm=row.arm,
        name=row.name,
        asked=share(row.asked),
        in_force=share(row.in_force),
        rate=Value(value=row.rate, text=fmt.rate(row.rate)),
        served=Value(value=served, text=fmt.count(served)),
        ready=_ready(row, looked),
        wanted=row.wanted,
        problem=row.problem,
    )


def _ready(row: ArmRow, looked: RolloutView) -> int | None:
    """Replicas that can serve: those that the process saw, else the pods that can be seen, else nobody knows."""
    if looked.counted:
        return row.ready if looked.running else None
    seen = None if looked.facts is None or looked.facts.unseen else looked.facts.replicas
    if seen is None or looked.rollout.finished or any(each.arm not in ARMS for each in seen):
        return None
    return sum(each.ready for each in seen if each.arm == row.arm)


def _weight(arms: list[ArmView]) -> Weight:
    canary = next(arm for arm in arms if arm.arm == "canary")
    if canary.in_force.value is None:
        return Weight(big=canary.asked.text, text="asked for the canary; not seen in force yet", also="")
    moving = canary.in_force.value != canary.asked.value
    also = f"{canary.asked.text} asked for" if moving else ""
    return Weight(big=canary.in_force.text, text="to the canary, in force", also=also)


def _banners(drawn: Picture, looked: RolloutView, controller: Controller) -> list[Banner]:
    told = [] if looked.running else [controller.text]
    told += [f"Metrics: {drawn.problem}"] if drawn.problem else []
    return [Banner(tone="open", text=f"◌ {text}") for text in told]


def _variants(arms: list[ArmView], drawn: Picture) -> Panel:
    return Panel(
        id="variants",
        title="Variants",
        columns=["Arm", "Variant", "Traffic", "Rate", "Answered", "Ready"],
        rows=[
            [
                cell(arm.arm),
                cell(arm.name),
                cell(f"{arm.asked.text} asked" if arm.in_force.value is None else arm.in_force.text),
                cell(arm.rate.text),
                cell(arm.served.text),
                _readiness(arm),
            ]
            for arm in arms
        ],
        note=" ".join(filter(None, (_lost(drawn.unrouted), _cut(drawn.cut)))),
    )


def _lost(count: float | None) -> str:
    return f"✖ {fmt.count(count)} requests could be sent to neither variant." if count else ""


def _cut(count: float | None) -> str:
    return f"✖ {fmt.count(count)} requests were cut off when their variant was stopped." if count else ""


def _readiness(arm: ArmView) -> Cell:
    if arm.ready is None:
        return cell(fmt.DASH)
    ready = f"{arm.ready} of {arm.wanted}"
    if arm.ready >= arm.wanted:
        return cell(ready, "good", "✔")
    return cell(f"{ready}: {arm.problem}" if arm.problem else ready, "open", "◌")


def _notes(drawn: Picture, waits_for: str) -> list[str]:
    notes = []
    if waits_for != (drawn.cause or drawn.message):
        notes.append(waits_for[:1].upper() + waits_for[1:].removesuffix("."))
    if drawn.follows:
        notes.append(f"Next: {drawn.follows}")
    if how := _ending(drawn):
        told = {
            f"Decided {how.harm_to_verdict.text} after the harm began (estimated)": how.harm_to_verdict.value
            is not None,
            f"no traffic {how.verdict_to_zero.text} later": how.verdict_to_zero.value is not None,
            f"at most {how.peak.text} of the traffic": True,
        }
        notes.append(" · ".join(words for words, known in told.items() if known))
    if drawn.finished:
        notes.append("It has ended: a changed plan begins anew")
    return notes


def _ending(drawn: Picture) -> Ending | None:
    if drawn.ending is None:
        return None
    how = drawn.ending
    return Ending(
        harm_to_verdict=Value(value=how.harm_to_verdict, text=fmt.duration(how.harm_to_verdict)),
        verdict_to_zero=Value(value=how.verdict_to_zero, text=fmt.duration(how.verdict_to_zero)),
        peak=share(how.peak),
    )


def _controller(looked: RolloutView, now: float) -> Controller:
    at = looked.looked_at
    if looked.rollout.finished:
        text = "The rollout has ended."
    elif looked.carrier:
        text = looked.carrier
    elif looked.running:
        text = "A controller carries it out."
    else:
        last = f" for {duration(max(now - at, 0.0))}" if at is not None else ""
        text = (
            f"Nobody has carried this rollout out{last}: its traffic stays as it is, unjudged. "
            f"`serinus run` with the same file goes on."
        )
    return Controller(running=looked.running, looked_at=None if at is None else rfc3339(at), text=text)
