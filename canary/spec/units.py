"""Human units as pydantic types: `5 %`, `200ms`, `7d`, `$100` in, base units out.

Used by `models.py` for whole fields and by the gate grammar for the number in a line. Text is read with its unit and
refused without one where that would be a guess; native numbers (from the Kubernetes API and from Python) are base
units already. Arithmetic is decimal, so `0.1%` is exactly the float 0.001. `show_…` writes a value back so that
reading it gives the same.
"""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeGuard

from pydantic import BeforeValidator, Field, WithJsonSchema

from canary.spec.source import Plain, quoted

LONGEST_VALUE = 100
"""Characters that a number with its unit may have; no longer text is even looked at."""
TEN_YEARS = 3650 * 86400.0
NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,25})?|\.[0-9]{1,25}"
DURATION_UNITS = {
    "w": Decimal(604_800),
    "d": Decimal(86_400),
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
}
Unit = Literal["share", "seconds", "dollars", "number"]

_BARE = re.compile(rf"({NUMBER})")
_PERCENT = re.compile(rf"({NUMBER})\s*(%|pp)")
_DURATION_PART = re.compile(rf"({NUMBER})\s*(ms|[smhdw])")
_DOLLARS = re.compile(rf"\$\s*({NUMBER})")
_THOUSANDS = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?:[^0-9]|$))")


class UnreadableNumber(ValueError):  # noqa: N818 - says what the text is
    """A text does not say what its field needs. `offset` is the character it is about, `key` a field of a mapping.

    `private`: what stands there may be a secret, so no message shows the line.
    """

    def __init__(self, message: str, *, offset: int = 0, key: str = "", private: bool = False) -> None:
        super().__init__(message)
        self.offset = offset
        self.key = key
        self.private = private


def share(value: object) -> float:
    """`5%`, `5 %` or `0.05` as 0.05. A bare `5` is refused: it may mean 5 % or 500 %."""
    if _is_number(value):
        if 0 <= value <= 1:
            return float(value)
        raise UnreadableNumber(f"expected a share from 0 to 1 (0.05 is 5 %), got {value:g}")
    text = _text(value, "a share such as 5% or 0.05")
    percent = _PERCENT.fullmatch(text)
    if percent and percent[2] == "%":
        return _at_most_one(Decimal(percent[1]) / 100, text)
    bare = _BARE.fullmatch(text)
    if not bare:
        raise _unreadable(text, "a share such as 5% or 0.05")
    number = Decimal(bare[1])
    if number >= 1 and "." not in text:
        raise UnreadableNumber(f"{quoted(text)} may be meant in percent or not; write {number}%{_or_fraction(number)}")
    return _at_most_one(number, text)


def seconds(value: object) -> float:
    """`200ms`, `2.5s`, `1h30m` or `7d` in seconds. A bare number other than 0 is refused."""
    if _is_number(value):
        if 0 <= value <= TEN_YEARS:
            return float(value)
        raise UnreadableNumber(f"expected seconds from 0 to ten years, got {value:g}")
    text = _text(value, "a duration such as 200ms, 2.5s, 4h or 7d")
    parts = list(_DURATION_PART.finditer(text))
    covered = "".join(part[0] for part in parts) == re.sub(r"(?<=[a-z])\s+", "", text)
    order = [list(DURATION_UNITS).index(part[2]) for part in parts]
    if parts and covered and order == sorted(set(order)):
        total = sum((Decimal(part[1]) * DURATION_UNITS[part[2]] for part in parts), Decimal(0))
        if total > TEN_YEARS:
            raise UnreadableNumber(f"{quoted(text)} is longer than ten years")
        return float(total)
    bare = _BARE.fullmatch(text)
    if bare and not Decimal(bare[1]):
        return 0.0
    if bare:
        raise UnreadableNumber(f"{quoted(text)} has no unit; write {text}ms, {text}s, {text}m, {text}h or {text}d")
    raise _unreadable(text, "a duration such as 200ms, 2.5s, 4h or 7d")


def dollars(value: object) -> float:
    """`$100` or `$0.40` in dollars. A bare number other than 0 is refused."""
    if _is_number(value):
        if 0 <= value < float("inf"):
            return float(value)
        raise UnreadableNumber(f"expected an amount from $0, got {value:g}")
    text = _text(value, "an amount such as $100 or $0.40")
    amount = _DOLLARS.fullmatch(_THOUSANDS.sub("", text))
    if amount:
        return float(Decimal(amount[1]))
    bare = _BARE.fullmatch(text)
    if bare and not Decimal(bare[1]):
        return 0.0
    if bare:
        raise UnreadableNumber(f"{quoted(text)} has no currency; write ${text}")
    raise _unreadable(text, "an amount such as $100 or $0.40")


def number(value: object) -> float:
    """A plain number such as 40 or 0.85."""
    if _is_number(value):
        if 0 <= value < float("inf"):
            return float(value)
        raise UnreadableNumber(f"expected a number from 0, got {value:g}")
    text = _text(value, "a number such as 40")
    bare = _BARE.fullmatch(text)
    if not bare:
        raise _unreadable(text, "a plain number such as 40")
    return float(Decimal(bare[1]))


def whole(value: object) -> int:
    """A whole number; nothing is rounded and leading zeros are refused, since they mean octal elsewhere."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, float):
        raise UnreadableNumber(f"expected a whole number such as 3, got {value:g}")
    text = _text(value, "a whole number such as 3")
    if re.fullmatch(r"0|[1-9][0-9]{0,11}", text):
        return int(text)
    raise _unreadable(text, "a whole number such as 3")


def switch(value: object) -> bool:
    """`true` or `false`; `yes`, `on` and 1 are refused."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in {"true", "True", "TRUE"}:
        return True
    if isinstance(value, str) and value in {"false", "False", "FALSE"}:
        return False
    raise UnreadableNumber(f"expected true or false, got {quoted(value)}")


def text(value: object) -> str:
    """Text as it stands. Control characters but tabs and line ends are refused: terminals and shells obey them."""
    if not isinstance(value, str):
        hint = "; put it in quotes" if isinstance(value, bool | int | float) else ""
        raise UnreadableNumber(f"expected text, got {quoted(value)}{hint}")
    for offset, character in enumerate(value):
        if (character < " " and character not in "\t\n\r") or "\x7f" <= character <= "\x9f":
            raise UnreadableNumber(
                f"expected text without control characters, found U+{ord(character):04X}", offset=offset
            )
    return str(value)


def native(value: object) -> Any:
    """A value whose type no field decides (engine flags): YAML 1.2 rules, so `on` and `025` stay text."""
    if isinstance(value, dict):
        return {str(key): native(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [native(child) for child in value]
    if not isinstance(value, Plain):
        return value
    if value in {"true", "True", "TRUE", "false", "False", "FALSE"}:
        return switch(value)
    if re.fullmatch(r"[-+]?(0|[1-9][0-9]{0,17})", value):
        return int(value)
    if re.fullmatch(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]{0,16})(\.[0-9]*)?)([eE][-+]?[0-9]{1,2})?", value):
        return float(value)
    return str(value)


def quantity(value: str, unit: Unit) -> float:
    """The number in a gate line, in the base unit of its metric. Raises `UnreadableNumber`."""
    return {"share": share, "seconds": seconds, "dollars": dollars, "number": number}[unit](value)


def unit_of(value: str) -> Unit:
    """The unit that a text itself says; `number` where it says none."""
    if value.rstrip().endswith(("%", "pp")):
        return "share"
    if value.lstrip().startswith("$"):
        return "dollars"
    return "seconds" if re.search("[a-z]", value) else "number"


def show(value: float, unit: Unit) -> str:
    """A base-unit value as a person writes it; reading it gives the same float."""
    return {"share": show_share, "seconds": show_seconds, "dollars": show_dollars, "number": show_number}[unit](value)


def show_share(value: float) -> str:
    """0.001 as `0.1%`."""
    return f"{_plain(_exact(value) * 100)}%"


def show_seconds(value: float) -> str:
    """0.2 as `200ms`, 14400 as `4h`, 90 as `90s`: the largest unit that needs no fraction."""
    exact = _exact(value)
    if not exact:
        return "0s"
    if exact < 1:
        return f"{_plain(exact * 1000)}ms"
    for name in ("d", "h", "m"):
        if not exact % DURATION_UNITS[name]:
            return f"{_plain(exact / DURATION_UNITS[name])}{name}"
    return f"{_plain(exact)}s"


def show_dollars(value: float) -> str:
    """0.4 as `$0.40`, 100 as `$100`."""
    shown = _plain(_exact(value))
    whole_part, _, cents = shown.partition(".")
    return f"${whole_part}.{cents:0<2}" if cents else f"${whole_part}"


def show_number(value: float) -> str:
    """40.0 as `40`."""
    return _plain(_exact(value))


def _exact(value: float) -> Decimal:
    """The shortest decimal that is this float."""
    return Decimal(repr(value))


def _plain(value: Decimal) -> str:
    """Digits without an exponent or trailing zeros."""
    digits = f"{value:f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: object, expected: str) -> str:
    """A stripped text that is not negative, or the error that says what was expected."""
    if not isinstance(value, str) or len(value) > LONGEST_VALUE:
        raise UnreadableNumber(f"expected {expected}, got {quoted(value)}")
    stripped = value.strip()
    if stripped.startswith("-"):
        raise UnreadableNumber(f"expected {expected}, got {quoted(value)}: it must not be negative")
    return stripped


def _unreadable(value: str, expected: str) -> UnreadableNumber:
    return UnreadableNumber(f"expected {expected}, got {quoted(value)}")


def _at_most_one(value: Decimal, written: str) -> float:
    if value > 1:
        raise UnreadableNumber(f"expected a share of at most 100%, got {quoted(written)}")
    return float(value)


def _or_fraction(number: Decimal) -> str:
    return f" or {_plain(number / 100)}" if number < 100 else ""


def _written(pattern: str, *also: dict[str, Any], examples: list[str]) -> WithJsonSchema:
    """JSON Schema of a unit as it stands in a file: text of this form, or what YAML readers make a number of."""
    return WithJsonSchema({"anyOf": [{"type": "string", "pattern": pattern}, *also], "examples": examples})


_N = r"([0-9]{1,15}(\.[0-9]{1,25})?|\.[0-9]{1,25})"
_SHARE_SCHEMA = _written(
    rf"^\s*{_N}\s*%?\s*$", {"type": "number", "minimum": 0, "maximum": 1}, examples=["5%", "0.1%", "100%"]
)
_SECONDS_SCHEMA = _written(
    rf"^\s*({_N}\s*(ms|[smhdw])\s*)+$|^\s*[0.]+\s*$", {"const": 0}, examples=["200ms", "2.5s", "30m", "4h", "7d"]
)
_DOLLARS_SCHEMA = _written(r"^\s*\$\s*[0-9.,]+\s*$|^\s*[0.]+\s*$", {"const": 0}, examples=["$100", "$0.40"])
_SWITCH_SCHEMA = WithJsonSchema({"enum": [True, False, "true", "True", "TRUE", "false", "False", "FALSE"]})
_TEXT_SCHEMA = WithJsonSchema({"type": ["string", "number", "boolean"]})
_LARGEST_COUNT = 1_000_000_000


def _whole_schema(smallest: int) -> WithJsonSchema:
    pattern = rf"^\s*({'0|' if not smallest else ''}[1-9][0-9]*)\s*$"
    return WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": smallest, "maximum": _LARGEST_COUNT},
                {"type": "string", "pattern": pattern},
            ]
        }
    )


Share = Annotated[float, BeforeValidator(share), Field(ge=0, le=1), _SHARE_SCHEMA]
"""A fraction; `5%` and `5 %` are 0.05."""
Chance = Annotated[float, BeforeValidator(share), Field(gt=0, lt=1), _SHARE_SCHEMA]
"""A probability that is neither impossible nor certain."""
Seconds = Annotated[float, BeforeValidator(seconds), Field(ge=0), _SECONDS_SCHEMA]
"""A duration in seconds; `200ms`, `2.5s`, `4h`, `7d`."""
Dollars = Annotated[float, BeforeValidator(dollars), Field(ge=0), _DOLLARS_SCHEMA]
"""Money; `$100`."""
Positive = Annotated[int, BeforeValidator(whole), Field(ge=1, le=_LARGEST_COUNT), _whole_schema(1)]
"""A whole number from 1."""
Count = Annotated[int, BeforeValidator(whole), Field(ge=0, le=_LARGEST_COUNT), _whole_schema(0)]
"""A whole number from 0."""
Switch = Annotated[bool, BeforeValidator(switch), _SWITCH_SCHEMA]
"""`true` or `false`, nothing else."""
Text = Annotated[str, BeforeValidator(text), _TEXT_SCHEMA]
"""Text as it stands in the file: `1.10` stays `1.10`."""
