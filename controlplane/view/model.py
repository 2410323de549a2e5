"""The picture of a rollout at one moment: plain values that any interface can draw.

Made from the plan, the state, the last look at the world and the time; drawn by `terminal.py` and `plain.py`. It
computes nothing that the judge or the machine have not decided, and it formats nothing: units stand beside the values.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from canary.rollout import Event, Phase, Result, Rollout
from canary.snapshot import Snapshot
from canary.spec.models import CanarySpec
from canary.weights import ARMS, Arm
from controlplane.view.explain import cause_of
from controlplane.view.gates import GateRow, gate_rows
from controlplane.view.text import clean
from controlplane.view.waiting import what_follows, what_it_waits_for

StepState = Literal["passed", "now", "ahead", "failed"]


@dataclass(frozen=True, slots=True)
class ArmRow:
    """One variant: its traffic and its readiness."""

    arm: Arm
    name: str
    asked: float
    """Share of traffic asked for."""
    in_force: float | None
    """Share that the route is seen to give it; None while the route has not said."""
    rate: float | None
    """Requests a second over the last readings; None before there are two."""
    ready: int
    wanted: int
    problem: str


@dataclass(frozen=True, slots=True)
class StageStep:
    """One stage on the rail."""

    share: float
    state: StepState
    held: float
    """Seconds that its weights have been in force; 0 unless it is the present one."""
    hold: float
    """Seconds that they have to be, at least."""


@dataclass(frozen=True, slots=True)
class RollbackTimes:
    """How a rollback went, in seconds. None where it is not known."""

    harm_to_verdict: float | None
    verdict_to_zero: float | None
    peak: float
    """The largest share that the canary was asked to get."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that a screen shows."""

    name: str
    attempt: int
    phase: Phase
    result: Result | None
    message: str
    """The machine's own sentence about where it is."""
    cause: str
    """Why everything went back to stable; empty otherwise."""
    t: float
    """Seconds since the rollout began."""
    evidence_age: float | None
    """Seconds since the newest totals; None before the first."""
    problem: str
    """What is wrong with the metric source, empty when nothing is."""
    stage: int
    arms: tuple[ArmRow, ...]
    stages: tuple[StageStep, ...]
    gates: tuple[GateRow, ...]
    waits_for: str
    follows: str
    """What comes next and when at the earliest."""
    events: tuple[Event, ...]
    """The newest events, oldest first, texts cleaned."""
    served: Mapping[Arm, float]
    unrouted: float | None
    """Requests that the proxy could send to neither arm; None where nobody counts them."""
    cut: float | None
    """Requests that were still being answered when their arm was stopped; None where nobody counts them."""
    ending: RollbackTimes | None
    of_record: bool = False
    """Whether it shows what was written down, and not a look of just now: then the age of metrics says nothing."""

    @property
    def finished(self) -> bool:
        """Whether it is the last picture."""
        return self.result is not None and self.phase in {Phase.SUCCEEDED, Phase.ROLLED_BACK, Phase.SUPERSEDED}


def picture(
    spec: CanarySpec,
    rollout: Rollout,
    seen: Snapshot,
    now: float,
    rates: Mapping[Arm, float] | None = None,
    *,
    of_record: bool = False,
) -> Picture:
    """The picture at `now` (seconds, same clock as the rollout). `rates` are requests a second by arm."""
    counters = seen.evidence.counters
    return Picture(
        name=clean(rollout.name),
        attempt=rollout.attempt,
        phase=rollout.phase,
        result=rollout.result,
        message=clean(rollout.message),
        cause=cause_of(rollout),
        t=now - rollout.began,
        evidence_age=None if counters is None else max(0.0, now - counters.at),
        problem=clean(seen.evidence.problem),
        stage=rollout.stage,
        arms=tuple(_arm(arm, spec, rollout, seen, rates or {}) for arm in ARMS),
        stages=tuple(_step(index, spec, rollout, now) for index in range(len(spec.stages))),
        gates=gate_rows(spec, rollout),
        waits_for=clean(what_it_waits_for(spec, rollout, seen, now)),
        follows=clean(what_follows(spec, rollout, now)),
        events=rollout.history,
        served=rollout.served,
        unrouted=rollout.unrouted,
        cut=rollout.cut,
        ending=_ending(rollout),
        of_record=of_record,
    )


def _arm(arm: Arm, spec: CanarySpec, rollout: Rollout, seen: Snapshot, rates: Mapping[Arm, float]) -> ArmRow:
    variant, readiness = (spec.stable, seen.stable) if arm == "stable" else (spec.canary, seen.canary)
    route = seen.route.weights
    return ArmRow(
        arm=arm,
        name=clean(variant.name),
        asked=rollout.weights.share if arm == "canary" else 1 - rollout.weights.share,
        in_force=None if route is None else (route.share if arm == "canary" else 1 - route.share),
        rate=rates.get(arm),
        ready=readiness.ready,
        wanted=readiness.wanted,
        problem=clean(readiness.problem),
    )


def _step(index: int, spec: CanarySpec, rollout: Rollout, now: float) -> StageStep:
    stage = spec.stages[index]
    if index in rollout.passed:
        return StageStep(stage.traffic, "passed", stage.hold, stage.hold)
    if index != rollout.stage or not rollout.peak.canary:
        return StageStep(stage.traffic, "ahead", 0.0, stage.hold)
    if rollout.decided is not None:
        return StageStep(stage.traffic, "failed", 0.0, stage.hold)
    in_force = rollout.phase not in {Phase.SHIFTING, Phase.PROMOTING}
    return StageStep(stage.traffic, "now", max(0.0, now - rollout.stage_since) if in_force else 0.0, stage.hold)


def _ending(rollout: Rollout) -> RollbackTimes | None:
    if rollout.decided is None:
        return None
    harm, zero = rollout.harm_began, rollout.zero
    return RollbackTimes(
        harm_to_verdict=None if harm is None else rollout.decided - harm,
        verdict_to_zero=None if zero is None else zero - rollout.decided,
        peak=rollout.peak.share,
    )
