"""Numbers and texts as people read them: `0.11 %`, `84 ms`, `31k`, and names without control characters.

Used by every view, so that a value looks the same everywhere. Values come in base units (fractions, seconds, dollars);
`None` and NaN are a dash. Durations are worded by `canary.wording`, as in every sentence.
"""

import math
import re
from typing import TYPE_CHECKING, TypeGuard

from canary.wording import duration

if TYPE_CHECKING:  # a list of rollouts is shown sooner than plans are understood
    from canary.spec.units import Unit

DASH = "–"
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def clean(text: str) -> str:
    """A text from outside on one line: no escape sequences, control characters or changes of writing direction."""
    if text.isprintable():  # most texts are, and pages that are drawn every second have hundreds of them
        return text.strip()
    return re.sub(r"[\r\n\t]+", " ", _CONTROLS.sub("", _ESCAPES.sub("", text))).strip()


def share(value: float | None) -> str:
    """0.0011 as `0.11 %`."""
    return f"{_digits(value * 100)} %" if _known(value) else DASH


def seconds(value: float | None) -> str:
    """0.084 as `84 ms`, 2.413 as `2.41 s`, 600 as `10 min`."""
    if not _known(value):
        return DASH
    if value == 0:
        return "0 s"
    if value < 0.9995:
        return f"{_digits(value * 1000)} ms"
    return f"{_digits(value)} s" if value < 60 or math.isinf(value) else duration(value)


def span(value: float | None) -> str:
    """A length of time that was measured, as exact as a person wants it: `21 ms`, `3.8 s`."""
    if not _known(value):
        return DASH
    return f"{_digits(value * 1000, 2)} ms" if value < 0.9995 else duration(value)


def dollars(value: float | None) -> str:
    """0.4 as `$0.40`, 1234.5 as `$1,234`."""
    if not _known(value):
        return DASH
    if 0 < value < 0.1:
        return f"${_digits(value)}"
    return f"${value:,.0f}" if value >= 1000 else f"${value:.2f}"


def number(value: float | None) -> str:
    """Three digits that mean something: 0.9417 as `0.942`, 12345 as `12,345`."""
    return _digits(value) if _known(value) else DASH


def count(value: float | None) -> str:
    """31400 as `31k`, 312 as `312`."""
    if not _known(value):
        return DASH
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size * 0.9995:
            return f"{_digits(value / size, 2)}{letter}"
    return f"{value:.0f}"


def rate(value: float | None) -> str:
    """Requests a second: `225 req/s`, `0.5 req/s`."""
    if not _known(value):
        return DASH
    return f"{value:,.0f} req/s" if value >= 10 else f"{_digits(value, 2)} req/s"


def measure(value: float | None, unit: "Unit") -> str:
    """A metric's value in its unit."""
    return {"share": share, "seconds": seconds, "dollars": dollars, "number": number}[unit](value)


def _known(value: float | None) -> TypeGuard[float]:
    return value is not None and not math.isnan(value)


def _digits(value: float, significant: int = 3) -> str:
    """So many significant digits, without an exponent and without trailing zeros."""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    decimals = max(0, significant - 1 - math.floor(math.log10(abs(value))))
    shown = f"{value:,.{decimals}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown
