"""What the judge says of a gate: three answers, each with its evidence.

Made by `canary.judge`, read by the machine, shown everywhere. Decides nothing itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Literal, Self

OnBreach = Literal["rollback", "pause", "hold"]
Spoke = Literal["sequential", "threshold", "hard stop", "data", "blame"]


class Answer(StrEnum):
    """PASS lets a stage end, FAIL takes the traffic back (or pauses, or holds), WAIT says what is missing."""

    PASS = "pass"  # noqa: S105 - not a password
    FAIL = "fail"
    WAIT = "wait"


class _ToldLater:
    """Room for what tells the rest of a verdict; no field of it, so that nothing compares, keeps or shows it."""

    __slots__ = ("_tell",)


@dataclass(frozen=True, slots=True)
class GateVerdict(_ToldLater):
    """One gate's answer with everything needed to understand it at 3 a.m. Values are in the metric's base unit."""

    gate: str
    """The gate as its owner wrote it, normalised: `latency p95 <= 200ms`."""
    verdict: Answer
    why: str
    """One sentence."""
    canary: float | None = None
    stable: float | None = None
    limit: float | None = None
    """The limit that the canary's value is held against now; for relative gates computed from stable's value."""
    log_e: float | None = None
    """Natural logarithm of the evidence against the canary; rollback at log(1/falseRollback)."""
    samples: Mapping[str, float] = field(default_factory=dict)
    """Requests (or events) behind each arm's value, since the stage began."""
    spoke: Spoke = "data"
    """Which rule decided: the sequential test, the counted threshold, the hard stop, missing data, or blame."""
    on_breach: OnBreach = "rollback"
    eta: float | None = None
    """Seconds until a WAIT is expected to be decided at the present traffic; None when unknown."""
    harm_began: float | None = None
    """For FAIL: when the harm is estimated to have begun (seconds on the rollout's clock)."""

    @classmethod
    def decided(cls, gate: str, verdict: Answer, tell: Callable[[], "GateVerdict"]) -> Self:
        """A verdict whose answer is known; its numbers and its sentence are worked out when somebody reads one.

        Most passes change no answer, and nobody reads what has not changed. `tell` has to be pure.
        """
        made = object.__new__(cls)
        for name, value in (("gate", gate), ("verdict", verdict), ("_tell", tell)):
            object.__setattr__(made, name, value)
        return made

    def __getattr__(self, name: str) -> Any:
        """A field that is not worked out yet; asked for by Python where a slot is empty."""
        names = [each.name for each in fields(self)]
        if name not in names:
            raise AttributeError(f"a verdict has no {name}", name=name, obj=self)
        told = self._tell()
        for each in names:
            object.__setattr__(self, each, getattr(told, each))
        return getattr(told, name)


@dataclass(frozen=True, slots=True)
class Judgement:
    """All gates of the stage at one moment."""

    gates: tuple[GateVerdict, ...] = ()
    problem: str = ""
    """Why nothing can be judged at all (both arms suffer, no data yet); empty otherwise."""

    @property
    def answer(self) -> Answer:
        """FAIL if a gate that rolls back fails; PASS if every gate passes; WAIT otherwise."""
        if any(g.verdict is Answer.FAIL and g.on_breach == "rollback" for g in self.gates):
            return Answer.FAIL
        if all(g.verdict is Answer.PASS for g in self.gates) and not self.problem:
            return Answer.PASS
        return Answer.WAIT

    def failed(self, on_breach: OnBreach) -> tuple[GateVerdict, ...]:
        """The gates that fail and ask for this reaction."""
        return tuple(g for g in self.gates if g.verdict is Answer.FAIL and g.on_breach == on_breach)
