"""The knobs of the sample server: how fast, how good and how reliable it pretends to be.

Set by flags when it starts and by `POST /knobs` while it runs, so that a demo or a test can make a healthy variant
sick. Values only; `engine.py` lives by them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Self

SHARES = frozenset({"error_rate"})


@dataclass(frozen=True, slots=True)
class Knobs:
    """Times in seconds, shares as fractions."""

    ttft: float = 0.02
    """Time to the first token, in the median."""
    itl: float = 0.001
    """Time between two tokens, in the median."""
    tokens: int = 16
    """Tokens of an answer that asks for no other number."""
    jitter: float = 0.15
    """Standard deviation of the logarithm of `ttft` and `itl`; 0 makes every answer equally fast."""
    error_rate: float = 0.0
    """Share of answers that are a 500."""
    kpis: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """KPI name to the share of good answers that lead to its event (0.2: every fifth customer buys)."""

    def __post_init__(self) -> None:
        """Refuse what cannot be lived by, naming the knob."""
        for name in ("ttft", "itl", "tokens", "jitter", "error_rate"):
            self._check(name, getattr(self, name))
        for name, share in self.kpis.items():
            self._check(f"kpis.{name}", share)

    def _check(self, name: str, value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            raise ValueError(f"{name} is a number from 0, got {value!r}")
        if (name in SHARES or name.startswith("kpis.")) and value > 1:
            raise ValueError(f"{name} is a share between 0 and 1, got {value!r}")
        if name == "tokens" and not (isinstance(value, int) and value >= 1):
            raise ValueError(f"tokens is a whole number from 1, got {value!r}")

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """These knobs with some turned. Raises `ValueError` for an unknown knob or an impossible value."""
        known = [f.name for f in fields(self)]
        for name in changes:
            if name not in known:
                raise ValueError(f"there is no knob {name!r}; there are {', '.join(known)}")
        kpis = changes.get("kpis", {})
        if not isinstance(kpis, Mapping):
            raise ValueError(f"kpis maps names to shares, got {kpis!r}")  # noqa: TRY004 - one error for every bad value
        return replace(self, **{**changes, "kpis": MappingProxyType({**self.kpis, **kpis})})

    def as_dict(self) -> dict[str, Any]:
        """For `GET /knobs`."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return values | {"kpis": dict(self.kpis)}
