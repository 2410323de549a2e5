"""The evidence of many gates as columns of numbers, and back to what is remembered of each: `Evidence`, turned round.

Used by `fleet.py`, which works on the columns, and by the benchmark, whose thousands of rollouts stay in them. The
layout of the memory is that of `evidence.py`; nothing is worked out here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from canary.judge import row
from canary.judge.evidence import Evidence, Numbers, Rule, Told
from canary.judge.row import Row
from canary.judge.selfnormalised import STARTS

Array = NDArray[np.float64]
"""One number a gate; or several, shape (numbers, gates)."""
Mask = NDArray[np.bool_]
_ORDER = np.arange(STARTS)
T = TypeVar("T")


@dataclass(slots=True)
class Columns:
    """`Evidence` of many gates, field by field; `placebo` is spread out. Changed in place."""

    bet: Array
    ratio: Array
    clear: Array
    """By effect size."""
    totals: Array
    squares: Array
    """By beginning, zero from `starts` on."""
    pool: Array
    clear_sums: Array
    fast: Array
    usual: Array
    since: Array
    held: Array
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
    """By level."""

    @classmethod
    def of(cls, kept: Sequence[Mapping[str, Any]]) -> "Columns":
        """From what is remembered of each gate."""
        rows = np.concatenate([Row.of(each).numbers for each in kept]).reshape(len(kept), -1)
        columns = rows.T.copy()
        return cls(**{name: columns[place] for name, place in row.PLACES.items()})

    @classmethod
    def fresh(cls, gates: int) -> "Columns":
        """Before anything was seen."""
        return cls.of([Evidence().kept()] * gates)

    def kept(self) -> list[Row]:
        """What is remembered of each gate."""
        columns = np.vstack([getattr(self, name) for name in row.PLACES])
        return list(map(Row, columns.T.copy(), self.log_e.tolist()))


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
    """The grid: odds ratios less one, and their logarithms, by effect size."""

    @classmethod
    def of(cls, rules: Sequence[Rule]) -> "Rules":
        """From each gate's own."""
        few, at = _distinct(rules)
        grids, of_few = _distinct([rule.grid for rule in few])
        counts, limit, points, r, r_clear = np.array(list(map(_RULE, few)), float).T[:, at]  # None becomes NaN
        more, log_ratio = np.array(grids).transpose(2, 1, 0)[:, :, of_few[at]]
        return cls(counts > 0, limit, points, r, r_clear, more, log_ratio)


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
    def of(cls, numbers: Sequence[Told]) -> "Blocks":
        """From each gate's own."""
        columns = dict(zip(Numbers._fields, _matrix(numbers).T.copy(), strict=True))
        single = columns.pop("single") > 0
        return cls(single=single, **columns)


def begun_by(starts: Array) -> Mask:
    """Which of the beginnings there have been, shape (beginnings, gates)."""
    begun: Mask = starts > _ORDER[:, None]
    return begun


def _distinct(things: Sequence[T]) -> tuple[list[T], NDArray[np.intp]]:
    """The different objects among these, and which of them each one is. Gates alike share what is told of them."""
    distinct = {id(thing): thing for thing in things}
    places = dict(zip(distinct, range(len(distinct)), strict=True))
    return list(distinct.values()), np.fromiter(map(places.__getitem__, map(id, things)), np.intp, len(things))


def _matrix(rows: Sequence[Sequence[float]]) -> Array:
    """Rows of plain numbers as an array; by this way in two thirds of numpy's own time."""
    flat = np.fromiter(chain.from_iterable(rows), float, sum(map(len, rows)))
    return flat.reshape(len(rows), -1)
