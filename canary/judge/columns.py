"""The evidence of many gates as columns of numbers, and back to what is remembered of each: `Evidence`, turned round.

Used by `fleet.py`, which works on the columns, and by the benchmark, whose thousands of rollouts stay in them. The
layout of the memory is that of `evidence.py`; nothing is worked out here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from canary.judge import row
from canary.judge.evidence import Evidence, Numbers, Rule
from canary.judge.row import Row
from canary.judge.selfnormalised import STARTS

Array = NDArray[np.float64]
"""One number a gate; or a row of numbers a gate, shape (gates, numbers)."""
Mask = NDArray[np.bool_]
_ORDER = np.arange(STARTS)


@dataclass(slots=True)
class Columns:
    """`Evidence` of many gates, field by field; `placebo` is spread out. Changed in place."""

    bet: Array
    ratio: Array
    clear: Array
    """Shape (gates, points)."""
    totals: Array
    squares: Array
    """Shape (gates, beginnings), zero from `starts` on."""
    pool: Array
    clear_sums: Array
    fast: Array
    usual: Array
    since: Array
    held: Array
    """Shape (numbers, gates), as they are used column by column."""
    unspent: Array
    slow_test: Array
    scale: Array
    low: Array
    low_at: Array
    log_e: Array
    log_clear: Array
    blocks: Array
    x: Array
    xx: Array
    u: Array
    ux: Array
    z_squares: Array
    """`Placebo.squares`."""
    vr: Array
    starts: Array
    """How many beginnings the self-normalised test has had."""
    partial: Array
    grouped: Array
    groups: Array
    """Shape (levels, gates)."""

    @classmethod
    def of(cls, kept: Sequence[Mapping[str, Any]]) -> "Columns":
        """From what is remembered of each gate."""
        rows = np.concatenate([Row.of(each).numbers for each in kept]).reshape(len(kept), -1)
        parts = np.split(rows, row.ENDS[:-1], axis=1)
        grids = parts[: len(row.GRIDS)]
        short = parts[len(row.GRIDS) : len(row.GRIDS) + len(row.SHORT)]
        plain = parts[len(row.GRIDS) + len(row.SHORT) :]
        return cls(
            **{name: part.copy() for name, part in zip(row.GRIDS, grids, strict=True)},
            **{name: part.T.copy() for name, part in zip(row.SHORT, short, strict=True)},
            **{name: part[:, 0].copy() for name, part in zip(row.PLAIN, plain, strict=True)},
        )

    @classmethod
    def fresh(cls, gates: int) -> "Columns":
        """Before anything was seen."""
        return cls.of([Evidence().kept()] * gates)

    def kept(self) -> list[Row]:
        """What is remembered of each gate."""
        grids = (getattr(self, name) for name in row.GRIDS)
        short = (getattr(self, name).T for name in row.SHORT)
        plain = (getattr(self, name)[:, None] for name in row.PLAIN)
        rows = np.concatenate([*grids, *short, *plain], axis=1)
        at_hand = zip(*(getattr(self, name).T.tolist() for name in row.AT_HAND), strict=True)
        return [Row(each, dict(zip(row.AT_HAND, some, strict=True))) for each, some in zip(rows, at_hand, strict=True)]


@dataclass(frozen=True, slots=True)
class Rules:
    """`Rule` of many gates. Margins in points and limits are NaN where there are none."""

    counts: Mask
    limit: Array
    points: Array
    r: Array
    r_clear: Array
    more: Array
    log_ratio: Array
    """The grid: odds ratios less one, and their logarithms, shape (gates, points)."""

    @classmethod
    def of(cls, rules: Sequence[Rule]) -> "Rules":
        """From each gate's own."""
        plain = np.array(list(map(_RULE, rules)), float)  # None becomes NaN
        grids = {id(rule.grid): rule.grid for rule in rules}
        place = {key: index for index, key in enumerate(grids)}
        grid = np.array(list(grids.values()))[[place[id(rule.grid)] for rule in rules]]
        counts, limit, points, r, r_clear = plain.T
        return cls(counts > 0, limit, points, r, r_clear, grid[:, :, 0], grid[:, :, 1])


_RULE = attrgetter("counts", "limit", "points", "r", "r_clear")


@dataclass(frozen=True, slots=True)
class Blocks:
    """`Numbers` of many gates at one block each, field by field."""

    xv: Array
    nv: Array
    xc: Array
    nc: Array
    clear_xv: Array
    clear_xc: Array
    rho: Array
    contrast: Array
    weight: Array
    information: Array
    x1: Array
    n1: Array
    x2: Array
    n2: Array
    single: Mask

    @classmethod
    def of(cls, numbers: Sequence[Numbers]) -> "Blocks":
        """From each gate's own."""
        columns = dict(zip(Numbers._fields, _matrix(numbers).T.copy(), strict=True))
        single = columns.pop("single") > 0
        return cls(single=single, **columns)


def begun_by(starts: Array) -> Mask:
    """Which of the beginnings there have been, shape (gates, beginnings)."""
    begun: Mask = starts[:, None] > _ORDER
    return begun


def _matrix(rows: Sequence[Sequence[float]]) -> Array:
    """Rows of plain numbers as an array; by this way in two thirds of numpy's own time."""
    flat = np.fromiter(chain.from_iterable(rows), float, sum(map(len, rows)))
    return flat.reshape(len(rows), -1)
