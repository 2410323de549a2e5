"""One rollout: the frozen state that a store keeps and `advance` moves on.

Written only by `canary.machine`; kept in SQLite on a laptop and in the resource's status in a cluster; its history is
what every interface shows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from pydantic import model_validator

from canary.action import Action
from canary.judge.analysis import Analysis
from canary.judge.state import JudgeState
from canary.verdict import GateVerdict
from canary.weights import ALL_STABLE, Arm, Weights


class Phase(StrEnum):
    """Where a rollout is. The transitions between them stand in `transitions.py`."""

    PENDING = "Pending"
    PREPARING = "Preparing"
    EVALUATING = "Evaluating"
    SHADOWING = "Shadowing"
    SHIFTING = "Shifting"
    ANALYZING = "Analyzing"
    AWAITING_APPROVAL = "AwaitingApproval"
    PAUSED = "Paused"
    PROMOTING = "Promoting"
    WATCHING = "Watching"
    SUCCEEDED = "Succeeded"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"
    SUPERSEDED = "Superseded"
    BLIND = "Blind"


FINISHED = frozenset({Phase.SUCCEEDED, Phase.ROLLED_BACK, Phase.SUPERSEDED})
Result = Literal["promoted", "rolled_back", "failed", "aborted", "superseded"]


class Reason(StrEnum):
    """Why a phase changed: the vocabulary of status, events, alerts and commits. Sentences stand in `messages.py`."""

    ACCEPTED = "Accepted"
    VARIANTS_STARTING = "VariantsStarting"
    VARIANTS_READY = "VariantsReady"
    EVALUATION_PASSED = "EvaluationPassed"
    EVALUATION_FAILED = "EvaluationFailed"
    EVALUATION_WAITING = "EvaluationWaiting"
    EVALUATION_UNDECIDED = "EvaluationUndecided"
    EVALUATION_OVERRULED = "EvaluationOverruled"
    SHADOW_WON = "ShadowWon"
    SHADOW_LOST = "ShadowLost"
    WEIGHTS_IN_FORCE = "WeightsInForce"
    STAGE_PASSED = "StagePassed"
    STAGE_SKIPPED = "StageSkipped"
    APPROVAL_NEEDED = "ApprovalNeeded"
    APPROVED = "Approved"
    GATE_FAILED = "GateFailed"
    GATE_PAUSED = "GatePaused"
    NO_DATA = "NoData"
    PAUSED_BY_OPERATOR = "PausedByOperator"
    RESUMED = "Resumed"
    METRICS_SILENT = "MetricsSilent"
    METRICS_BACK = "MetricsBack"
    BLIND_TOO_LONG = "BlindTooLong"
    CANARY_NOT_READY = "CanaryNotReady"
    CANARY_LOST = "CanaryLost"
    STABLE_NOT_READY = "StableNotReady"
    ROUTE_LOWERED = "RouteLowered"
    ABORTED = "Aborted"
    REPLACED = "Replaced"
    PROMOTED = "Promoted"
    TRAFFIC_BACK = "TrafficBack"
    NOISE_FLOOR = "NoiseFloor"
    JUDGED_ANEW = "JudgedAnew"
    TIME_NOT_WATCHED = "TimeNotWatched"
    FINGERPRINT_DIFFERS = "FingerprintDiffers"
    FINGERPRINT_BLOCKED = "FingerprintBlocked"
    FINGERPRINT_FOUND_LATE = "FingerprintFoundLate"
    ROUTE_NOT_READY = "RouteNotReady"
    WAITING_FOR_STABLE = "WaitingForStable"
    WAITING_FOR_CANARY = "WaitingForCanary"
    WAITING_FOR_ROUTE = "WaitingForRoute"
    DRAINING = "Draining"


EventKind = Literal["phase", "weights", "verdict", "alert", "git", "operator", "end"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, as every interface shows it (contract: `docs/contracts.md`, section 1)."""

    id: str
    """`<rollout>/<attempt>/<number>`: stable and unique, so a repeated announcement is recognised."""
    at: float
    """Seconds since the epoch (on the virtual clock in simulations)."""
    t: float
    """Seconds since the rollout began."""
    rollout: str
    revision: str
    event: EventKind
    phase: Phase
    stage: int
    weight: float
    reason: Reason
    message: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    seq: int = field(kw_only=True)
    """Its number within the attempt, from 1, without gaps: the last part of the id."""

    @property
    def attempt(self) -> int:
        """The attempt that it belongs to, as the id says; raises ValueError for an id that is none of ours."""
        return int(self.id.split("/")[-2])

    @model_validator(mode="before")
    @classmethod
    def _of_an_earlier_build(cls, plain: Any) -> Any:
        """Builds before this field wrote the number into the id alone."""
        if isinstance(plain, dict) and "seq" not in plain:
            return plain | {"seq": str(plain.get("id", "")).rpartition("/")[2]}
        return plain


@dataclass(frozen=True, slots=True)
class Drain:
    """The arm that gets no more traffic, while it may still answer what it had begun."""

    arm: Arm
    since: float
    """When the route was first seen to send it nothing."""
    open: float | None = None
    """Requests that were open when somebody first counted them after that; None before."""
    broken: float | None = None
    """The running total of its broken answers at that count."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """Everything that has to survive a crash. A few kilobytes."""

    name: str
    revision: str
    """Digest of the spec that this rollout carries out."""
    attempt: int
    """Counts rollouts of this name, from 1."""
    began: float
    phase: Phase = Phase.PENDING
    reason: Reason = Reason.ACCEPTED
    message: str = ""
    since: float = 0.0
    """When the phase began."""
    stage: int = 0
    """Index of the stage that is being entered or judged."""
    stage_since: float = 0.0
    """When the stage's weights were first seen in force; its hold counts from here."""
    weights: Weights = ALL_STABLE
    """The weights asked for. The route's own answer is in the snapshot."""
    peak: Weights = ALL_STABLE
    """The largest share that the canary was ever asked to get."""
    came_from: Weights | None = None
    """The share that the canary had before the one that is asked for; None before the first."""
    resume_to: Phase | None = None
    """For Paused and Blind: the phase to return to."""
    passed: tuple[int, ...] = ()
    """Stages that ended with a PASS (or an operator's word), in order."""
    steady_since: float | None = None
    """Since when stable has been seen with all its replicas; the judge learns nothing from before."""
    compared: bool = False
    """Whether what the variants' fingerprints say has been told."""
    judge: JudgeState = field(default_factory=JudgeState)
    verdicts: tuple[GateVerdict, ...] = ()
    """The stage's verdicts at the last look."""
    answered: tuple[str, ...] = ()
    """Ids of operator requests already dealt with, newest last, bounded."""
    harm_began: float | None = None
    decided: float | None = None
    """When the rollback was decided."""
    zero: float | None = None
    """When the route was first seen to send the canary nothing after that."""
    drain: Drain | None = None
    """The arm that is drained before it is stopped; None while both have traffic."""
    cut: float | None = None
    """Requests that the stopped arm had begun and did not answer to their end; None where nobody counts them."""
    result: Result | None = None
    served: Mapping[Arm, float] = field(default_factory=dict)
    """Requests that each arm has answered since the rollout began."""
    unrouted: float | None = None
    """Requests that the proxy could send to neither arm: those lost by a shift. None where nobody counts them."""
    history: tuple[Event, ...] = ()
    """The newest events, bounded; the store keeps all of them."""
    announced: int = 0
    """Number of the newest event that people were told about; at least once, so a repeated one has the same id."""
    events: int = 0
    """How many events there have been: the number of the next one."""

    @property
    def finished(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.phase in FINISHED


@dataclass(frozen=True, slots=True)
class Decision:
    """What `advance` answers."""

    rollout: Rollout
    actions: tuple[Action, ...]
    """Safety first."""
    wake_at: float
    """Look again then at the latest, even if nothing is heard."""
    analysis: Analysis | None = None
    """What the judge found in this pass, for the next one; None where it was not asked."""
