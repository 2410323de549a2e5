"""A rollout's picture as the API answers it: every value beside the text that the terminal would show for it.

Used by the routes and by the stream. Built from `controlplane.view.model.picture`, so the page, the terminal and the
API cannot disagree; it computes nothing of its own.
"""

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlencode

from pydantic import BaseModel, Field

from canary.judge.interval import Interval, intervals
from canary.rollout import Phase
from canary.serial import rfc3339
from canary.spec.models import CanarySpec, Gate
from canary.spec.stored import from_text
from canary.weights import ARMS, Arm
from canary.wording import duration
from controlplane.adapters.prometheus_gates import query_of
from controlplane.api.actions import Action, actions
from controlplane.api.look import Looked, look
from controlplane.api.panels import Panel, live_panels
from controlplane.api.places import Place
from controlplane.ports import Stored
from controlplane.view import format as fmt
from controlplane.view.facts import safe_link
from controlplane.view.format import clean
from controlplane.view.gates import GateRow, limit
from controlplane.view.live import Live
from controlplane.view.marks import UNICODE, of_answer, of_phase
from controlplane.view.model import ArmRow, Picture, StageStep, picture

_TONES = {"green": "good", "red": "bad", "yellow": "open", "cyan": "busy", "dim": "quiet", "bold": "busy"}


class Value(BaseModel):
    """A number in its base unit (fractions, seconds, dollars) and as people read it."""

    value: float | None
    text: str


class Badge(BaseModel):
    """A symbol, a word and a tone: nothing is told by colour alone."""

    symbol: str
    word: str
    tone: str = Field(description="good, bad, open, busy or quiet")


class StageView(BaseModel):
    """One stage on the rail."""

    share: Value
    state: str = Field(description="passed, now, ahead or failed")
    held: Value
    hold: Value
    gates: int


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


class Band(BaseModel):
    """Between which values an arm is, at every look together with the judge's confidence."""

    low: float
    high: float
    text: str


class GateView(BaseModel):
    """One gate with both arms' values and the answer."""

    gate: str
    label: str
    unit: str
    stable: Value
    canary: Value
    limit: Value
    at_most: bool
    samples: dict[str, float]
    samples_text: str
    needed: Value = Field(description="Canary requests until it is expected to be decided, those gathered included.")
    bands: dict[str, Band] = Field(description="By arm; left out where the value is no count.")
    query: str = Field(description="Its owner's own PromQL as it is asked; empty for built-in metrics.")
    query_link: str = Field(description="The same in Prometheus' own page; empty where no browser would get there.")
    badge: Badge
    why: str
    eta: Value
    spoke: str


class Ending(BaseModel):
    """How a rollback went."""

    harm_to_verdict: Value
    verdict_to_zero: Value
    peak: Value


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
    panels: list[Panel] = Field(default=[], description="What stands around it: processes or pods, git, alerts.")


def state_at(place: Place, stored: Stored, now: float) -> State:
    """The state of the rollout in this place, with what is known of its world."""
    spec = _spec_of(stored.spec_text)
    return _state(place.id, stored, place.look(spec, stored.rollout, now), now, spec)


def state_of(id_: str, stored: Stored, live: Live | None, now: float, *, spec: CanarySpec | None = None) -> State:
    """The state at `now` (seconds since the epoch). `spec` spares reading the plan again."""
    spec = spec or _spec_of(stored.spec_text)
    return _state(id_, stored, look(spec, stored.rollout, live, now), now, spec)


@lru_cache(maxsize=512)
def _spec_of(text: str) -> CanarySpec:
    """A plan is read once: it never changes under the same text, and is looked at every second."""
    return from_text(text).spec


def _state(id_: str, stored: Stored, looked: Looked, now: float, spec: CanarySpec) -> State:
    rollout = looked.rollout
    drawn = picture(spec, rollout, looked.seen, now, looked.rates)
    bands = looked.bands or intervals(spec, rollout.judge, stage=rollout.stage)
    symbol, style = of_phase(UNICODE, rollout.phase)
    ended_at = rollout.history[-1].at if rollout.finished and rollout.history else now
    known = (looked.running and looked.counted) or rollout.phase not in {
        Phase.PREPARING,
        Phase.SHIFTING,
        Phase.PROMOTING,
    }
    return State(
        id=id_,
        name=drawn.name,
        attempt=drawn.attempt,
        revision=rollout.revision,
        phase=rollout.phase.value,
        badge=Badge(symbol=symbol, word=spaced(rollout.phase), tone=_TONES[style]),
        reason=rollout.reason.value,
        sentence=drawn.cause or drawn.message,
        waits_for=drawn.waits_for if known else drawn.message,
        follows=drawn.follows,
        finished=drawn.finished,
        result=rollout.result,
        at=rfc3339(now),
        began=rfc3339(rollout.began),
        since=rfc3339(rollout.since),
        age=_seconds(ended_at - rollout.began),
        stage=drawn.stage,
        stages=[_stage(step, len(stage.gates)) for step, stage in zip(drawn.stages, spec.stages, strict=True)],
        arms=[_arm(row, drawn, looked) for row in drawn.arms],
        gates=[_gate(row, looked, spec, bands.get(row.gate, {})) for row in drawn.gates],
        evidence_age=_seconds(None if rollout.finished or looked.of_record else drawn.evidence_age),
        problem=drawn.problem,
        ending=_ending(drawn),
        unrouted=drawn.unrouted,
        controller=_controller(looked, now),
        actions=actions(spec, looked, now),
        events=rollout.events,
        version=stored.version,
        stale=looked.stale,
        panels=[] if looked.facts is None else live_panels(rollout, looked.facts, now),
    )


def spaced(phase: Phase) -> str:
    """`RollingBack` as `rolling back`."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in phase.value).strip()


def _stage(step: StageStep, gates: int) -> StageView:
    return StageView(
        share=_share(step.share), state=step.state, held=_seconds(step.held), hold=_seconds(step.hold), gates=gates
    )


def _arm(row: ArmRow, drawn: Picture, looked: Looked) -> ArmView:
    served = drawn.served.get(row.arm)
    return ArmView(
        arm=row.arm,
        name=row.name,
        asked=_share(row.asked),
        in_force=_share(row.in_force),
        rate=Value(value=row.rate, text=fmt.rate(row.rate)),
        served=Value(value=served, text=fmt.count(served)),
        ready=row.ready if looked.running and looked.counted else None,
        wanted=row.wanted,
        problem=row.problem,
    )


def _gate(row: GateRow, looked: Looked, spec: CanarySpec, band: Mapping[Arm, Interval]) -> GateView:
    gate = next((each for each in spec.stages[looked.rollout.stage].gates if each.text == row.gate), None)
    symbol, style = of_answer(UNICODE, row.verdict)
    samples = ", ".join(f"{fmt.count(row.samples[arm])} on {arm}" for arm in ARMS if arm in row.samples)
    return GateView(
        gate=row.gate,
        label=row.label,
        unit=row.unit,
        stable=Value(value=_finite(row.stable), text=fmt.measure(row.stable, row.unit)),
        canary=Value(value=_finite(row.canary), text=fmt.measure(row.canary, row.unit)),
        limit=Value(value=_finite(row.limit), text=limit(row, UNICODE, margin=True)),
        at_most=row.at_most,
        samples={clean(arm): count for arm, count in row.samples.items()},
        samples_text=samples or "none yet",
        needed=_needed(row, looked),
        bands={arm: _band(band[arm], row) for arm in ARMS if arm in band},
        query="" if gate is None or gate.query is None else query_of(gate),
        query_link=_in_prometheus(spec, gate),
        badge=Badge(symbol=symbol, word=row.verdict.value, tone=_TONES[style]),
        why=row.why,
        eta=_seconds(row.eta),
        spoke=row.spoke,
    )


def _in_prometheus(spec: CanarySpec, gate: Gate | None) -> str:
    kserve = spec.platform.kserve
    if gate is None or gate.query is None or kserve is None or kserve.prometheus is None:
        return ""
    return safe_link(f"{kserve.prometheus.rstrip('/')}/graph?{urlencode({'g0.expr': query_of(gate), 'g0.tab': 0})}")


def _band(ends: Interval, row: GateRow) -> Band:
    low, high = ends
    return Band(low=low, high=high, text=f"{fmt.measure(low, row.unit)} to {fmt.measure(high, row.unit)}")


def _needed(row: GateRow, looked: Looked) -> Value:
    """Gathered so far, and what will have come at the present rate when it is decided."""
    rate, gathered = looked.rates.get("canary"), row.samples.get("canary")
    if row.eta is None or rate is None or gathered is None:
        return Value(value=None, text=fmt.DASH)
    needed = gathered + row.eta * rate
    return Value(value=needed, text=fmt.count(needed))


def _ending(drawn: Picture) -> Ending | None:
    if drawn.ending is None:
        return None
    how = drawn.ending
    return Ending(
        harm_to_verdict=Value(value=how.harm_to_verdict, text=fmt.span(how.harm_to_verdict)),
        verdict_to_zero=Value(value=how.verdict_to_zero, text=fmt.span(how.verdict_to_zero)),
        peak=_share(how.peak),
    )


def _controller(looked: Looked, now: float) -> Controller:
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


def _share(value: float | None) -> Value:
    return Value(value=value, text=fmt.share(value))


def _seconds(value: float | None) -> Value:
    known = _finite(value)
    return Value(value=known, text=fmt.DASH if known is None else duration(max(known, 0.0)))


def _finite(value: float | None) -> float | None:
    return value if value is not None and abs(value) < float("inf") else None
