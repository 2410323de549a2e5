"""Traffic weights: which share of requests each arm gets. Whole millionths, so that they always sum to exactly one.

Used by the spec, the machine and every router. A millionth, not a percent, because some gateways must be moved over a
weight of one in a million (see `docs/architecture.md`).
"""

from dataclasses import dataclass
from typing import Literal, Self

from canary.format import weight

Arm = Literal["stable", "canary"]
ARMS: tuple[Arm, Arm] = ("stable", "canary")
WHOLE = 1_000_000


@dataclass(frozen=True, slots=True, order=True)
class Weights:
    """The canary's share in millionths; the stable arm has the rest."""

    canary: int

    def __post_init__(self) -> None:
        """Refuse what is not a share."""
        if not 0 <= self.canary <= WHOLE:
            raise ValueError(f"a weight is between 0 and {WHOLE} millionths, got {self.canary}")

    @classmethod
    def of_share(cls, share: float) -> Self:
        """The weights that give the canary `share` (0.05 is 5 %)."""
        return cls(round(share * WHOLE))

    @property
    def stable(self) -> int:
        """The stable arm's millionths."""
        return WHOLE - self.canary

    @property
    def share(self) -> float:
        """The canary's share as a fraction."""
        return self.canary / WHOLE

    def __str__(self) -> str:
        """The canary's share as a person writes it: `5 %`."""
        return weight(self.share)


ALL_STABLE = Weights(0)
ALL_CANARY = Weights(WHOLE)
