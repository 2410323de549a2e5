"""What a cluster checks of a single value: for each type of the models its type there, a rule and the rule's sentence.

Used by `crd_schema.py`. A rule is CEL, because its sentence is what the person sees; a `pattern` would show a regular
expression. No rule refuses what the parser accepts: where CEL cannot tell exactly, it lets pass and the parser refuses.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from canary.spec import gates, names, units

LONGEST_TEXT = 262_144
"""Characters of any text: as many as a file may have."""
SPACE = r"[\s\v\x1c-\x1f\x{85}\p{Z}]*"
"""Everything that Python strips; `\\s` alone knows no non-breaking space here."""
NUMBER = r"([0-9]{1,15}([.][0-9]{1,25})?|[.][0-9]{1,25})"
SHARE = f"^{SPACE}{NUMBER}{SPACE}%?{SPACE}$"
DURATION = f"^{SPACE}({NUMBER}{SPACE}(ms|[smhdw]){SPACE})+$|^{SPACE}[0.]+{SPACE}$"
AMOUNT = f"^{SPACE}[$]{SPACE}[0-9.,]+{SPACE}$|^{SPACE}[0.]+{SPACE}$"


@dataclass(frozen=True, slots=True)
class Rule:
    """A CEL rule with the sentence for who broke it; the server adds path and value."""

    rule: str
    message: str
    field: str = ""
    """Path of the field that it is about, below the object that it stands on, such as `.gateway`."""

    def as_json(self) -> dict[str, str]:
        """An item of `x-kubernetes-validations`."""
        said = {"rule": self.rule, "message": self.message, "fieldPath": self.field}
        return {key: each for key, each in said.items() if each}


@dataclass(frozen=True, slots=True)
class CrdValue:
    """One kind of value."""

    schema: Mapping[str, Any]
    rules: tuple[Rule, ...] = ()
    unit: units.Unit | None = None
    """How its default is written."""
    example: str = ""
    """What a person should write in place of a number that is none here."""


def text(longest: int = LONGEST_TEXT) -> dict[str, Any]:
    """A text of at most so many characters."""
    return {"type": "string", "maxLength": longest}


def matching(pattern: str, expected: str) -> Rule:
    """The value has this form."""
    return Rule(f"self.matches({literal(pattern)})", f"expected {expected}")


def literal(value: str) -> str:
    """A text as CEL writes it."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def percent(of: str) -> str:
    """CEL: a share as a number of percent; `5%` is 5.0, and so is `0.05`."""
    return f"double({of}.find('[0-9.]+')) * ({of}.contains('%') ? 1.0 : 100.0)"


def is_share(of: str) -> str:
    """CEL: the text can be read as a share at all."""
    return f"{of}.matches({literal(SHARE)})"


def zero_or(pattern: str, expected: str) -> Rule:
    """A text of this form, or the number 0, which needs no unit."""
    rule = f"type(self) == int ? self == 0 : string(self).matches({literal(pattern)})"
    return Rule(rule, f"expected {expected}; only 0 needs no unit")


_SHARE_RULES = (
    matching(SHARE, "a share such as 5% or 0.1%"),
    Rule(
        f"!{is_share('self')} || self.contains('%') || self.contains('.') || double(self.find('[0-9]+')) < 1.0",
        "may be meant in percent or not; write it with %, such as 5%",
    ),
    Rule(f"!{is_share('self')} || {percent('self')} <= 100.0", "expected a share of at most 100%"),
)
_CHANCE_RULES = (
    *_SHARE_RULES,
    Rule(
        f"!{is_share('self')} || ({percent('self')} > 0.0 && {percent('self')} < 100.0)",
        "expected a chance above 0% and below 100%",
    ),
)
_INT_OR_TEXT = {"x-kubernetes-int-or-string": True, "maxLength": units.LONGEST_VALUE}
ANYTHING = {"x-kubernetes-preserve-unknown-fields": True}
"""A value of any type: of a gate's limit, an engine flag."""
_PLACE = f"^({'|'.join(names.URI_SCHEMES)})://."
_LOCATION = Rule(
    f"!self.contains('://') || self.matches({literal(_PLACE)})",
    f"expected a place that begins with one of {', '.join(name for name in names.URI_SCHEMES if name != 'file')}, then ://",
)

KINDS: tuple[tuple[Any, CrdValue], ...] = (
    (units.Share, CrdValue(text(units.LONGEST_VALUE), _SHARE_RULES, "share", "5%")),
    (units.Chance, CrdValue(text(units.LONGEST_VALUE), _CHANCE_RULES, "share", "1%")),
    (
        units.Seconds,
        CrdValue(_INT_OR_TEXT, (zero_or(DURATION, "a duration such as 200ms, 2.5s, 4h or 7d"),), "seconds", "30s"),
    ),
    (units.Dollars, CrdValue(_INT_OR_TEXT, (zero_or(AMOUNT, "an amount such as $100 or $0.40"),), "dollars", "$100")),
    (units.Positive, CrdValue({"type": "integer", "format": "int64", "minimum": 1, "maximum": 1_000_000_000})),
    (units.Count, CrdValue({"type": "integer", "format": "int64", "minimum": 0, "maximum": 1_000_000_000})),
    (units.Switch, CrdValue({"type": "boolean"})),
    (
        names.Name,
        CrdValue(
            text(63), (matching(names.NAME, "a name of lower-case letters, digits, - and ., such as support-llm"),)
        ),
    ),
    (
        names.ObjectName,
        CrdValue(text(63), (matching(names.OBJECT, "the name of an object in a cluster, such as vllm-runtime"),)),
    ),
    (names.Header, CrdValue(text(128), (matching(names.HEADER, "the name of an HTTP header, such as x-session-id"),))),
    (names.HttpPath, CrdValue(text(names.LONGEST_PATH), (matching(names.HTTP_PATH, "a path such as /health"),))),
    (
        names.Hostname,
        CrdValue(text(names.LONGEST_HOST), (matching(names.HOSTNAME, "a host name such as llm.example.com"),)),
    ),
    (
        names.Prometheus,
        CrdValue(
            text(names.LONGEST_PLACE),
            (
                matching(
                    names.PROMETHEUS,
                    "the name of a Prometheus that the operator knows, or an address such as http://a:9090",
                ),
            ),
        ),
    ),
    (
        names.WebAddress,
        CrdValue(
            text(names.LONGEST_PLACE), (Rule("self.matches('^https?://.')", "expected an address such as http://a/b"),)
        ),
    ),
    (names.Location, CrdValue(text(names.LONGEST_PLACE), (_LOCATION,))),
    (gates.Limit, CrdValue(ANYTHING)),
    (units.Text, CrdValue(text())),
)
"""From the most particular type to the plainest."""


def kind_of(annotation: Any) -> CrdValue | None:
    """The first kind that this type is, or is made of by further bounds; None for none of them."""
    marks = get_args(annotation)[1:]
    for known, value in KINDS:
        wanted = get_args(known)[1:]
        if wanted and marks[: len(wanted)] == wanted:
            return value
    return None
