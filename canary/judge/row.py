"""A gate's evidence as one row of numbers, read like what `Evidence.kept` writes.

Left by `columns.py`, which works out the evidence of many gates at once and takes the rows as they are the next time.
Between two blocks nobody reads more than a handful of these hundred numbers, so names and lists are made of all of them
only for whoever needs them: a store that writes them down, or a gate that is weighed by itself.
"""

from collections.abc import ItemsView, Iterator, Mapping
from itertools import accumulate
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from canary.judge.evidence import POINTS, Evidence
from canary.judge.noise import LEVELS, Placebo
from canary.judge.selfnormalised import STARTS

LISTS = {"bet": POINTS, "ratio": POINTS, "clear": POINTS, "totals": STARTS, "squares": STARTS} | {
    "pool": 3,
    "clear_sums": 2,
    "fast": 4,
    "usual": 3,
    "since": 4,
    "held": 2,
    **dict.fromkeys(("partial", "grouped", "groups"), len(LEVELS)),
}
"""Lists with their lengths; those by beginning end in zeros for what has not begun."""
PLAIN = (
    *("unspent", "slow_test", "scale", "low", "low_at", "log_e", "log_clear"),
    *("blocks", "x", "xx", "u", "ux", "z_squares", "vr", "starts"),
)
"""Plain numbers; `z_squares` is the placebo's `squares`, `starts` how many beginnings there have been."""
_ENDS = list(accumulate((*LISTS.values(), *[1] * len(PLAIN))))
PLACES: dict[str, int | slice] = {
    **{name: slice(end - length, end) for (name, length), end in zip(LISTS.items(), _ENDS, strict=False)},
    **{name: end - 1 for name, end in zip(PLAIN, _ENDS[len(LISTS) :], strict=True)},
}
"""Where each of these stands in a row, in this order."""
_NAMES = Evidence().kept().keys()
_AT_ONCE = {name: PLACES[name] for name in _NAMES - {"placebo", "totals", "squares"}}
"""What is read as it stands."""
_OF_PLACEBO = {name: "z_squares" if name == "squares" else name for name in Placebo().kept()}
_OF_GATE = _NAMES - {"placebo"}
_read = itemgetter(*(PLACES[name] for name in _OF_GATE))
_read_placebo = itemgetter(*(PLACES[column] for column in _OF_PLACEBO.values()))


class Row(Mapping[str, Any]):
    """What is remembered of one gate. Never changed, since several states may share it."""

    __slots__ = ("log_e", "numbers")

    def __init__(self, numbers: NDArray[np.float64], log_e: float) -> None:
        self.numbers = numbers
        self.log_e = log_e
        """Once more as a plain number: it is asked for after every block."""

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> "Row":
        """From what `Evidence.kept` wrote."""
        if isinstance(kept, cls):
            return kept
        unbegun = [0.0] * (STARTS - len(kept["totals"]))
        known = {
            **kept,
            **{column: kept["placebo"][name] for name, column in _OF_PLACEBO.items()},
            "totals": [*kept["totals"], *unbegun],
            "squares": [*kept["squares"], *unbegun],
            "starts": len(kept["totals"]),
        }
        row = [number for name in LISTS for number in known[name]]
        return cls(np.array([*row, *(known[name] for name in PLAIN)], float), kept["log_e"])

    def __getitem__(self, name: str) -> Any:
        if name == "log_e":
            return self.log_e
        place = _AT_ONCE.get(name)
        return dict(self.items())[name] if place is None else self.numbers[place].tolist()

    def items(self) -> ItemsView[str, Any]:
        """All of it at once."""
        numbers = self.numbers.tolist()
        kept = dict(zip(_OF_GATE, _read(numbers), strict=True))
        starts = int(numbers[PLACES["starts"]])
        kept["totals"], kept["squares"] = kept["totals"][:starts], kept["squares"][:starts]
        kept["placebo"] = dict(zip(_OF_PLACEBO, _read_placebo(numbers), strict=True))
        return kept.items()

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)
