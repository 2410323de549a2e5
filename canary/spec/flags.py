"""Engine flags as a cluster takes them: texts, numbers, switches and lists of these, so many and so long. Pure.

Used by `cluster.py` for plans and by `crd_rules.py` for the schema of the resource. A flag is a word of a command line:
nothing in it is nested, and a schema that said less would let anybody store objects of any depth and size.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from canary.spec.crd_types import ANYTHING

MOST_FLAGS = 100
MOST_VALUES = 100
"""Of one flag."""
LONGEST_FLAG = 16_384
"""Characters: a chat template fits."""
_NOTHING_IN_IT = {"maxItems": 0, "maxProperties": 0}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "maxProperties": MOST_FLAGS,
    "additionalProperties": {
        **ANYTHING,
        "maxLength": LONGEST_FLAG,
        "maxItems": MOST_VALUES,
        "maxProperties": 0,
        "items": {**ANYTHING, "maxLength": LONGEST_FLAG, **_NOTHING_IN_IT},
    },
}
"""A structural schema knows no word for "text, number or switch": it says what a value of each other type may hold."""


def unfit(flags: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Flags that no cluster takes, each with what is wrong; an empty name for all of them together."""
    if len(flags) > MOST_FLAGS:
        yield "", f"expected at most {MOST_FLAGS} flags, found {len(flags)}"
    for name, value in flags.items():
        values = value if isinstance(value, list | tuple) else [value]
        if len(values) > MOST_VALUES:
            yield name, f"expected at most {MOST_VALUES} values, found {len(values)}"
        elif any(isinstance(each, Mapping | list | tuple) for each in values):
            yield name, "expected a text, a number, true or false, or a list of these; write what is nested as a text"
        elif any(isinstance(each, str) and len(each) > LONGEST_FLAG for each in values):
            yield name, f"expected at most {LONGEST_FLAG:,} characters"
