"""What the judge remembers of gates, how it weighs them and what a block says of them, as columns of numbers.

The shapes that `judge_arrays.py` works on; nothing is worked out here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from canary.judge import self_normalised
from canary.judge.e_process import POINTS, EProcessParams
from canary.judge.noise import LEVELS

Array = NDArray[np.float64]
"""One number a gate; or several, shape (numbers, gates)."""
Mask = NDArray[np.bool_]
_ORDER = np.arange(self_normalised.STARTS)


@dataclass(slots=True)
class Columns:
    """`EProcess` of many gates, field by field; its parts are spread out. Changed in place.

    Without what only sentences need: where harm seems to begin, and the block held for a single replica's placebo.
    """

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
    lately: Array
    usual: Array
    unspent: Array
    slow_test: Array
    scale: Array
    taught: Array
    log_e: Array
    log_clear: Array
    blocks: Array
    x: Array
    xx: Array
    u: Array
    ux: Array
    z_squares: Array
    """`AATest.squares`."""
    vr: Array
    starts: Array
    """How many beginnings the self-normalised test has had."""
    partial: Array
    grouped: Array
    groups: Array
    """By level."""

    @classmethod
    def fresh(cls, gates: int) -> "Columns":
        """Before anything was seen."""
        shapes = {
            **dict.fromkeys(("bet", "ratio", "clear"), POINTS),
            **dict.fromkeys(("totals", "squares"), self_normalised.STARTS),
            **dict.fromkeys(("partial", "grouped", "groups"), len(LEVELS)),
            "pool": 3,
            "clear_sums": 2,
            "fast": 4,
            "lately": 4,
            "usual": 3,
        }
        ones = {"clear", "unspent", "slow_test", "vr"}
        return cls(
            **{
                each.name: np.full(
                    (shapes[each.name], gates) if each.name in shapes else gates, float(each.name in ones)
                )
                for each in fields(cls)
            }
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """`EProcessParams` of many gates. Margins in points and limits are NaN where there are none."""

    counts: Mask
    limit: Array
    points: Array
    r: Array
    r_clear: Array
    more: Array
    log_ratio: Array
    """The grid: odds ratios less one, and their logarithms, by effect size."""

    @classmethod
    def of(cls, rules: Sequence[EProcessParams]) -> "Rules":
        """From each gate's own."""
        counts, limit, points, r, r_clear = np.array([_RULE(rule) for rule in rules], float).T  # None becomes NaN
        more, log_ratio = np.array([rule.grid for rule in rules]).transpose(2, 1, 0)
        return cls(counts > 0, limit, points, r, r_clear, more, log_ratio)


_RULE = attrgetter("counts", "limit", "points", "r", "r_clear")


@dataclass(frozen=True, slots=True)
class Blocks:
    """`GateCounts` of many gates at one block each, field by field."""

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


def begun_by(starts: Array) -> Mask:
    """Which of the beginnings there have been, shape (beginnings, gates)."""
    begun: Mask = starts > _ORDER[:, None]
    return begun
