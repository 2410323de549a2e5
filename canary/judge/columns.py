"""The evidence of many gates as columns of numbers, and back to what is remembered of each: `Evidence`, turned round.

Used by `fleet.py`, which works on the columns, and by the benchmark, whose thousands of rollouts stay in them. The
layout of the memory is that of `evidence.py`; nothing is worked out here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from operator import attrgetter, itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from canary.judge.evidence import POINTS, Evidence, Numbers, Rule
from canary.judge.noise import LEVELS
from canary.judge.selfnormalised import STARTS

Array = NDArray[np.float64]
"""One number a gate; or a row of numbers a gate, shape (gates, numbers)."""
Mask = NDArray[np.bool_]
_ORDER = np.arange(STARTS)
_UNBEGUN = [[0.0] * (STARTS - started) for started in range(STARTS + 1)]
_ENDS = list(accumulate([POINTS] * 3 + [STARTS] * 2 + [3, 2, 4, 3, 4] + [len(LEVELS)] * 3))
"""Where in a row of all that is remembered each list ends, in the order of `_row`; plain numbers come after them."""


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
    starts: NDArray[np.int64]
    """How many beginnings the self-normalised test has had."""
    pool: Array
    clear_sums: Array
    fast: Array
    usual: Array
    since: Array
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
    partial: Array
    grouped: Array
    groups: Array
    """Shape (levels, gates)."""

    @classmethod
    def of(cls, kept: Sequence[Mapping[str, Any]]) -> "Columns":
        """From what `Evidence.kept` wrote of each gate."""
        rows = [each.row if type(each) is Remembered else _row(each) for each in kept]
        lists = np.split(_matrix(rows), _ENDS, axis=1)
        bet, ratio, clear, totals, squares = (each.copy() for each in lists[:5])
        pool, clear_sums, fast, usual, since, partial, grouped, groups, plain = (each.T.copy() for each in lists[5:])
        unspent, slow_test, scale, low, low_at, log_e, log_clear, blocks, x, xx, u, ux, z_squares, vr = plain
        return cls(
            bet=bet,
            ratio=ratio,
            clear=clear,
            totals=totals,
            squares=squares,
            starts=np.array([len(each["totals"]) for each in kept]),
            pool=pool,
            clear_sums=clear_sums,
            fast=fast,
            usual=usual,
            since=since,
            unspent=unspent,
            slow_test=slow_test,
            scale=scale,
            low=low,
            low_at=low_at,
            log_e=log_e,
            log_clear=log_clear,
            blocks=blocks,
            x=x,
            xx=xx,
            u=u,
            ux=ux,
            z_squares=z_squares,
            vr=vr,
            partial=partial,
            grouped=grouped,
            groups=groups,
        )

    @classmethod
    def fresh(cls, gates: int) -> "Columns":
        """Before anything was seen."""
        return cls.of([Evidence().kept()] * gates)

    def kept(self, held: Iterable[list[float]]) -> list[dict[str, Any]]:
        """What `Evidence.kept` writes of each gate; `held` is what the columns do not have."""
        grids = (self.bet, self.ratio, self.clear, self.totals, self.squares)
        short = (self.pool, self.clear_sums, self.fast, self.usual, self.since, self.partial, self.grouped, self.groups)
        plain = (self.unspent, self.slow_test, self.scale, self.low, self.low_at, self.log_e, self.log_clear)
        placebo = (self.blocks, self.x, self.xx, self.u, self.ux, self.z_squares, self.vr)
        rows = np.concatenate([*grids, *(each.T for each in short), np.array(plain + placebo).T], axis=1)
        return [_kept(*row) for row in zip(rows.tolist(), self.starts.tolist(), held, strict=True)]


class Remembered(dict[str, Any]):
    """What `Evidence.kept` writes, with the row that it was made of: the next block need not gather it up again."""

    __slots__ = ("row",)

    row: list[float]


def _row(kept: Mapping[str, Any]) -> list[float]:
    """What is remembered of a gate in a row."""
    totals, squares, placebo = kept["totals"], kept["squares"], kept["placebo"]
    unbegun = _UNBEGUN[len(totals)]
    return [
        *kept["bet"],
        *kept["ratio"],
        *kept["clear"],
        *totals,
        *unbegun,
        *squares,
        *unbegun,
        *kept["pool"],
        *kept["clear_sums"],
        *kept["fast"],
        *kept["usual"],
        *kept["since"],
        *placebo["partial"],
        *placebo["grouped"],
        *placebo["groups"],
        kept["unspent"],
        kept["slow_test"],
        kept["scale"],
        kept["low"],
        kept["low_at"],
        kept["log_e"],
        kept["log_clear"],
        placebo["blocks"],
        placebo["x"],
        placebo["xx"],
        placebo["u"],
        placebo["ux"],
        placebo["squares"],
        placebo["vr"],
    ]


def _kept(row: list[float], starts: int, held: list[float]) -> Remembered:
    """The reverse: what `Evidence.kept` writes, in its order."""
    bet, ratio, clear, totals, squares, pool, sums, fast, usual, since, partial, grouped, groups, plain = _PARTS(row)
    unspent, slow_test, scale, low, low_at, log_e, log_clear, blocks, x, xx, u, ux, z_squares, vr = plain
    kept = Remembered(
        {
            "bet": bet,
            "ratio": ratio,
            "unspent": unspent,
            "totals": totals[:starts],
            "squares": squares[:starts],
            "slow_test": slow_test,
            "pool": pool,
            "scale": scale,
            "clear": clear,
            "clear_sums": sums,
            "placebo": {
                "blocks": blocks,
                "x": x,
                "xx": xx,
                "u": u,
                "ux": ux,
                "squares": z_squares,
                "partial": partial,
                "grouped": grouped,
                "groups": groups,
                "vr": vr,
            },
            "fast": fast,
            "usual": usual,
            "low": low,
            "low_at": low_at,
            "since": since,
            "log_e": log_e,
            "log_clear": log_clear,
            "held": held,
        }
    )
    kept.row = row
    return kept


_PARTS = itemgetter(*(slice(begin, end) for begin, end in zip([0, *_ENDS], [*_ENDS, None], strict=True)))


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


def begun_by(starts: NDArray[np.int64]) -> Mask:
    """Which of the beginnings there have been, shape (gates, beginnings)."""
    begun: Mask = starts[:, None] > _ORDER
    return begun


def _matrix(rows: Sequence[Sequence[float]]) -> Array:
    """Rows of plain numbers as an array; by this way in two thirds of numpy's own time."""
    flat = np.fromiter(chain.from_iterable(rows), float, sum(map(len, rows)))
    return flat.reshape(len(rows), -1)
