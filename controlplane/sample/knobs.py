"""The knobs of the sample server: how fast, how good and how reliable it pretends to be.

Set by flags when it starts and by `POST /knobs` while it runs, so that a demo or a test can make a healthy variant
sick. Values only; `engine.py` lives by them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Self

SHARES = frozenset({"error_rate", "truncated"})
COUNTS = frozenset({"tokens", "readers"})
GROUPS = ("kpis", "tenant_error_rates")
"""Knobs that map names to shares; those that are not named in a change stay as they are."""


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
    readers: int = 1
    """People who read an answer; for every KPI each of them makes up their own mind."""
    tenant_error_rates: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Tenant (header `x-tenant`) to the share of its answers that are a 500, in place of `error_rate`."""

    truncated: float = 0.0
    """Share of answers that end in the middle, and say that they ended well: worse answers that nothing counts."""

    def __post_init__(self) -> None:
        """Refuse what cannot be lived by, naming the knob."""
        for name in ("ttft", "itl", "tokens", "jitter", "error_rate", "readers", "truncated"):
            self._check(name, getattr(self, name))
        for group in GROUPS:
            for name, share in getattr(self, group).items():
                self._check(f"{group}.{name}", share)

    def _check(self, name: str, value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            raise ValueError(f"{name} is a number from 0, got {value!r}")
        if (name in SHARES or "." in name) and value > 1:
            raise ValueError(f"{name} is a share between 0 and 1, got {value!r}")
        if name in COUNTS and not (isinstance(value, int) and value >= 1):
            raise ValueError(f"{name} is a whole number from 1, got {value!r}")

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """These knobs with some turned. Raises `ValueError` for an unknown knob or an impossible value."""
        known = [f.name for f in fields(self)]
        for name in changes:
            if name not in known:
                raise ValueError(f"there is no knob {name!r}; there are {', '.join(known)}")
        groups = {}
        for group in GROUPS:
            given = changes.get(group, {})
            if not isinstance(given, Mapping):
                raise ValueError(f"{group} maps names to shares, got {given!r}")  # noqa: TRY004 - one error for all
            groups[group] = MappingProxyType({**getattr(self, group), **given})
        return replace(self, **{**changes, **groups})

    def as_dict(self) -> dict[str, Any]:
        """For `GET /knobs`."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return values | {group: dict(getattr(self, group)) for group in GROUPS}
