"""Numbers and units as text: the only place that turns a measured value or a length of time into what people read.

Used by every face (verdicts, status, terminal, page, alerts, commits), so that one value reads the same in all of them.
Values come in base units (fractions, seconds, dollars); None and NaN are a dash. Ties are rounded away from zero, as
`toLocaleString` does: `dashboard/static/units.js` is this file's twin in the browser, and a test compares them.
A plan's own text (`5%`, `200ms`) is written by `canary.spec.units`: that can be read back, this cannot.
"""

import math
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:  # a list of rollouts is shown without loading what reads plans
    from canary.spec.units import Unit

DASH = "–"
LARGEST = 1e15
"""From here on no digits are shown: they would not be exact, and a user's own metric can have any value."""
MOST_DECIMALS = 9
_CONTEXT = Context(prec=40)
_BELOW_A_SECOND = 0.9995
"""What is shorter is shown in milliseconds: 0.9996 s is `1 s`, not `1000 ms`."""


def measure(value: float | None, unit: "Unit") -> str:
    """A metric's value in its unit, to three digits."""
    return _BY_UNIT[unit](value)


def share(value: float | None) -> str:
    """A measured fraction in per cent: 0.0123 as `1.23 %`. Near 100 % as exact as the rest: 0.9996 as `99.96 %`."""
    if not _known(value):
        return DASH
    percent = value * 100
    return f"{_fixed(percent, max(_decimals(percent, 3), _decimals((1 - value) * 100, 3)))} %"


def weight(value: float) -> str:
    """A traffic weight in per cent, exact to the millionth: it was set, not measured, and a status is read back."""
    return f"{_fixed(value * 100, 4)} %"


def seconds(value: float | None) -> str:
    """A measured time: 0.084 as `84 ms`, 2.413 as `2.41 s`; from a minute on as a length of time."""
    if not _known(value):
        return DASH
    if value < 0:
        return f"-{seconds(-value)}"
    if 0 < value < _BELOW_A_SECOND:
        return f"{_digits(value * 1000)} ms"
    return f"{_digits(value)} s" if value < 60 else duration(value)


def duration(value: float | None) -> str:
    """A length of time, as exact as a person says it: `39 ms`, `2.5 s`, `45 s`, `12 min`, `4 h`, `7 d`."""
    if not _known(value):
        return DASH
    if value < 0:
        return f"-{duration(-value)}"
    if 0 < value < _BELOW_A_SECOND:
        return f"{_digits(value * 1000, 2)} ms"
    if value < 10:
        return f"{_fixed(value, 1)} s"
    if math.isfinite(value):
        for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
            if value >= 2 * size or (value >= size and value % size == 0):
                return f"{_fixed(value / size, 1)} {unit}"
    return f"{_fixed(value, 0)} s"


def dollars(value: float | None) -> str:
    """0.4 as `$0.40`, 1234.5 as `$1,235`, 0.0123 as `$0.0123`."""
    if not _known(value):
        return DASH
    if value < 0:
        return f"-{dollars(-value)}"
    if 0 < value < 0.1:
        return f"${_digits(value)}"
    if value >= 1000 or value % 1 == 0:
        return f"${_fixed(value, 0)}"
    whole, _, cents = _fixed(value, 2).partition(".")
    return f"${whole}.{cents:0<2}"


def number(value: float | None) -> str:
    """Three digits that mean something: 0.9417 as `0.942`, 12345 as `12,345`."""
    return _digits(value) if _known(value) else DASH


def count(value: float | None) -> str:
    """How many: 31400 as `31,400`; from a million on to three digits, `1.23M`."""
    if not _known(value):
        return DASH
    for size, letter in ((1e9, "G"), (1e6, "M")):
        if value >= size * 0.9999995:
            return f"{_digits(value / size)}{letter}"
    return _fixed(value, 0)


def rate(value: float | None) -> str:
    """Requests a second: `225 req/s`, `0.5 req/s`."""
    if not _known(value):
        return DASH
    return f"{_fixed(value, 0) if value >= 10 else _digits(value, 2)} req/s"


_BY_UNIT: "dict[Unit, Callable[[float | None], str]]" = {
    "share": share,
    "seconds": seconds,
    "dollars": dollars,
    "number": number,
}


def _known(value: float | None) -> TypeGuard[float]:
    return value is not None and not math.isnan(value)


def _digits(value: float, significant: int = 3) -> str:
    """So many significant digits, all of the whole part, no exponent and no trailing zeros."""
    return _fixed(value, _decimals(value, significant))


def _decimals(value: float, significant: int) -> int:
    """How many decimals show so many significant digits."""
    if not value or not abs(value) < LARGEST:
        return 0
    return min(max(0, significant - 1 - Decimal(repr(value)).adjusted()), MOST_DECIMALS)


def _fixed(value: float, decimals: int) -> str:
    """At most so many decimals, thousands set apart, without trailing zeros."""
    if not abs(value) < LARGEST:
        return f"{'-' if value < 0 else ''}{'∞' if math.isinf(value) else 'over 10^15'}"
    rounded = Decimal(repr(value)).quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP, context=_CONTEXT)
    shown = f"{rounded:,f}" if rounded else "0"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown
