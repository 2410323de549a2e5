"""What the judge remembers of a rollout: small, plain numbers, versioned, the same after a restart.

Part of `canary.rollout.Rollout`; read and written only inside `canary.judge`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from canary.observation import Counters

VERSION = 2
"""Layout of `JudgeState.memory`. A state of another version is begun anew, with its totals kept."""


@dataclass(frozen=True, slots=True)
class JudgeState:
    """Evidence so far."""

    version: int = VERSION
    previous: Counters | None = None
    """The totals that the next ones are differenced against; kept, so a lost pass only makes a longer block."""
    memory: Mapping[str, Any] = field(default_factory=dict)
    """The processes' numbers, JSON-able; the layout belongs to `canary.judge` and its version."""
