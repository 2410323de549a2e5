"""What the judge says of a gate: three answers, each with its evidence.

Made by `canary.judge`, read by the machine, shown everywhere. Decides nothing itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field, computed_field, model_validator

from canary.weights import Arm

OnBreach = Literal["rollback", "pause", "hold"]
Edge = Literal["under", "over"]
Spoke = Literal["sequential", "threshold", "hard stop", "data", "blame"]


class GateAnswer(StrEnum):
    """PASS lets a stage end, FAIL takes the traffic back (or pauses, or holds), WAIT says what is missing."""

    PASS = "pass"  # noqa: S105 - not a password
    FAIL = "fail"
    WAIT = "wait"


class Grounds(Protocol):
    """What an answer rests on, in plain numbers."""

    def in_words(self, verdict: "GateVerdict") -> str:
        """One sentence, for whoever shows the verdict."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class GateVerdict:
    """One gate's answer with everything needed to understand it at 3 a.m. Values are in the metric's base unit.

    It is stored with its sentence and without its grounds; both forms say the same and are equal.
    """

    gate: str
    """The gate as its owner wrote it, normalised: `latency p95 <= 200ms`."""
    verdict: GateAnswer
    grounds: Annotated[Any, Field(exclude=True)]
    """`Grounds`, or the sentence itself where that is all there is."""
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
    edges: Mapping[Arm, Edge] = field(default_factory=dict)
    """By arm, where its value is only known to lie under, or over, the number that is given: see `spoken`."""

    def spoken(self, arm: Arm, text: str) -> str:
        """A number of this arm in words: `under 300 ms` for a quantile within its histogram's first bucket."""
        return f"{self.edges[arm]} {text}" if arm in self.edges else text

    @computed_field  # type: ignore[prop-decorator]  # pydantic's way
    @property
    def why(self) -> str:
        """One sentence, composed whenever it is read: most passes change no answer, and nobody reads theirs."""
        return self.grounds if isinstance(self.grounds, str) else str(self.grounds.in_words(self))

    def plain(self) -> dict[str, Any]:
        """Every field by name, with the sentence in place of its grounds."""
        shown = {"why" if each.name == "grounds" else each.name: getattr(self, each.name) for each in fields(self)}
        return shown | {"why": self.why, "samples": dict(self.samples), "edges": dict(self.edges)}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GateVerdict):
            return NotImplemented
        return self.plain() == other.plain()

    __hash__ = None  # type: ignore[assignment]  # as for anything with a mapping in it

    @model_validator(mode="before")
    @classmethod
    def _stored(cls, plain: Any) -> Any:
        """What a store gives back has the sentence in place of its grounds."""
        if isinstance(plain, Mapping) and "why" in plain:
            return {**{name: value for name, value in plain.items() if name != "why"}, "grounds": plain["why"]}
        return plain


@dataclass(frozen=True, slots=True)
class Judgement:
    """All gates of the stage at one moment."""

    gates: tuple[GateVerdict, ...] = ()
    problem: str = ""
    """Why nothing can be judged at all (both arms suffer, no data yet); empty otherwise."""

    @property
    def answer(self) -> GateAnswer:
        """FAIL if a gate that rolls back fails; PASS if every gate passes; WAIT otherwise."""
        if any(g.verdict is GateAnswer.FAIL and g.on_breach == "rollback" for g in self.gates):
            return GateAnswer.FAIL
        if all(g.verdict is GateAnswer.PASS for g in self.gates) and not self.problem:
            return GateAnswer.PASS
        return GateAnswer.WAIT

    def failed(self, on_breach: OnBreach) -> tuple[GateVerdict, ...]:
        """The gates that fail and ask for this reaction."""
        return tuple(g for g in self.gates if g.verdict is GateAnswer.FAIL and g.on_breach == on_breach)
