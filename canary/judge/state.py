"""What the judge remembers of a rollout: small, plain numbers, versioned, the same after a restart.

Part of `canary.rollout.Rollout`; read and written only inside `canary.judge`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import PlainSerializer

from canary.observation import Counters

VERSION = 2
"""Layout of `JudgeState.memory`. A state of another version is begun anew, with its totals kept."""


def _written_out(memory: Mapping[str, Any]) -> dict[str, Any]:
    """The memory as a store keeps it: also of what is a `Row`, all names and lists."""
    return {name: _written_out(kept) if isinstance(kept, Mapping) else kept for name, kept in memory.items()}


@dataclass(frozen=True, slots=True)
class JudgeState:
    """Evidence so far."""

    version: int = VERSION
    previous: Counters | None = None
    """The totals that the next ones are differenced against; kept, so a lost pass only makes a longer block."""
    memory: Annotated[Mapping[str, Any], PlainSerializer(_written_out)] = field(default_factory=dict)
    """The processes' numbers, JSON-able; the layout belongs to `canary.judge` and its version."""
