"""What the machine asks the shell to bring about. Places to be, not changes to make: every action may be repeated.

Returned by `canary.machine.advance`, carried out by `controlplane.reconcile.carry_out` in one exhaustive match.
"""

from dataclasses import dataclass

from canary.weights import Arm, Weights


@dataclass(frozen=True, slots=True)
class SetWeights:
    """Traffic is split like this."""

    weights: Weights


@dataclass(frozen=True, slots=True)
class Run:
    """This variant runs with all its replicas."""

    arm: Arm


@dataclass(frozen=True, slots=True)
class Stop:
    """This variant is stopped once its last request is answered. Never asked for while it has traffic."""

    arm: Arm


@dataclass(frozen=True, slots=True)
class Retire:
    """Nobody is sent to this variant any more, not even who is outside the cohort."""

    arm: Arm


@dataclass(frozen=True, slots=True)
class Mirror:
    """A copy of this share of requests goes to the canary and its answers are compared; 0 ends it."""

    share: float


@dataclass(frozen=True, slots=True)
class Evaluate:
    """The evaluation harness runs against the canary (and stable, where a criterion compares)."""


Action = SetWeights | Run | Stop | Retire | Mirror | Evaluate
