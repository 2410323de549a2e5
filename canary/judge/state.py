"""What the judge remembers of a rollout: typed, small, plain numbers, versioned, the same after a restart.

Part of `canary.rollout.Rollout`; made and moved on inside `canary.judge` alone. `codec.py` reads and writes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import model_validator

from canary.judge.alignment import Held
from canary.judge.clock import DataClock
from canary.judge.config import JudgeConfig
from canary.judge.delayed_outcomes import DelayedOutcomes
from canary.judge.feed import Present
from canary.judge.hang import Hang
from canary.judge.hard_stop import Outage
from canary.judge.replica_balance import ReplicaBalance
from canary.judge.sample_ratio import SampleRatio
from canary.judge.segments import Label
from canary.judge.standstill import Standstill
from canary.judge.stratum import Stratum
from canary.judge.threshold import Readings
from canary.snapshot import Counters
from canary.verdict import GateVerdict

VERSION = 3
"""Layout of `JudgeMemory`, counted up when a build cannot read any more what the build before it wrote."""


@dataclass(frozen=True, slots=True)
class StageState:
    """The stage that the totals are of."""

    index: int | None = None
    began: float | None = None
    """When its weights were in force first (seconds)."""
    settled: bool = False
    """Whether they were during the last block."""
    weight: float = 0.0
    """The canary's share in the last block."""
    shown: tuple[str, ...] = ()
    """Gates that were shown to be as good as allowed, and of which nothing has spoken otherwise since."""


@dataclass(frozen=True, slots=True)
class JudgeMemory:
    """The judge's numbers."""

    gates: tuple[str, ...]
    """Texts of the tested gates that it was made for."""
    everything: Stratum = field(default_factory=Stratum)
    """All traffic together."""
    clock: DataClock = field(default_factory=DataClock)
    stage: StageState = field(default_factory=StageState)
    labels: Mapping[str, Label] = field(default_factory=dict)
    """Segments, by label."""
    delayed: Mapping[str, DelayedOutcomes] = field(default_factory=dict)
    """By gate whose events come late."""
    readings: Mapping[str, Readings] = field(default_factory=dict)
    """By gate that counts readings."""
    outage: Outage = field(default_factory=Outage)
    refused: Outage = field(default_factory=Outage)
    """The same with client errors among the failures."""
    sample_ratio: SampleRatio = field(default_factory=SampleRatio)
    replicas: ReplicaBalance = field(default_factory=ReplicaBalance)
    whole: bool = False
    """Whether the last block counted every replica."""
    present: Present = field(default_factory=dict)
    """The replicas of the last reading."""
    failed: Mapping[str, GateVerdict] = field(default_factory=dict)
    """By gate, verdicts that have failed for good."""
    problems: tuple[str, ...] = ()
    """What could not be read in the last block, a clause each."""
    hang: Hang = field(default_factory=Hang)
    standstill: Standstill = field(default_factory=Standstill)
    gaps: Mapping[str, float] = field(default_factory=dict)
    """By gate, how long it usually is from data of the canary to the next (seconds)."""

    @classmethod
    def of(cls, config: JudgeConfig) -> "JudgeMemory":
        """Before anything was seen."""
        return cls(config.texts, Stratum.of((*config.tested, *config.guardrails)))

    def log_e(self, gate: str, by: str | None = None) -> float:
        """Log of a gate's evidence against the canary; of one with `by`, over all its populations."""
        label = self.labels.get(by) if by is not None else None
        if label is not None and gate in label.combined:
            return label.combined[gate]
        return self.everything.gates[gate].log_e

    def clock_moved(self, by: float) -> "JudgeMemory":
        """The source's clock was set: every time moves along, so that ages stay what they were."""
        began = None if self.stage.began is None else self.stage.began + by
        return replace(
            self,
            everything=self.everything.clock_moved(by),
            clock=self.clock.moved(by),
            stage=replace(self.stage, began=began),
            labels={name: label.clock_moved(by) for name, label in self.labels.items()},
            delayed={gate: delayed.clock_moved(by) for gate, delayed in self.delayed.items()},
            readings={gate: readings.clock_moved(by) for gate, readings in self.readings.items()},
            outage=self.outage.clock_moved(by),
            refused=self.refused.clock_moved(by),
            hang=self.hang.clock_moved(by),
            standstill=self.standstill.clock_moved(by),
        )


@dataclass(frozen=True, slots=True)
class JudgeState:
    """Evidence so far."""

    previous: Counters | None = None
    """The totals that the next ones are differenced against; kept, so a lost pass only makes a longer block."""
    memory: JudgeMemory | None = None
    """None before the judge has begun."""
    held: Held = field(default_factory=dict)
    """What some replicas have added while others are waited for."""
    unreadable: bool = False
    """Whether it was stored in a way that this build cannot read: its totals are kept, its evidence is lost."""
    version: int = VERSION

    @model_validator(mode="before")
    @classmethod
    def _of_another_build(cls, plain: Any) -> Any:
        """Called for what a store gives back."""
        from canary.judge import codec

        return codec.readable(plain) if isinstance(plain, Mapping) else plain
