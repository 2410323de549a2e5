"""One line of an evaluation, from its text to a normalised value whose `text` says it all.

Used by `evaluation.py` as the type of a field. Units and directions are those of gates, so a figure reads the same in
both; what an evaluation compares are scores, which are shares.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, InstanceOf, Tag, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from canary.spec import gates
from canary.spec.base import Model
from canary.spec.grammar import Word, read_criterion
from canary.spec.metrics import KNOWN_KPIS
from canary.spec.source import quoted
from canary.spec.units import UnreadableNumber, show, unit_of

EITHER_WAY = frozenset({"refusal"})
"""Scores of which some want more and others less."""


class Criterion(Model):
    """One line of the evaluation before any traffic: `first_turn_resolution >= 70%` or `>= stable`."""

    text: str
    metric: str
    comparison: Literal["max", "min"]
    limit: float | None = None
    """None compares with stable's value."""
    margin: float | None = None
    """Against stable: by how much worse the canary may be, as a share; None for `>= stable` and `<= stable`."""


def criterion(written: "str | Criterion") -> Criterion:
    """The criterion that a line means. Raises `UnreadableNumber`."""
    if isinstance(written, Criterion):
        return written
    line = read_criterion(written)
    name = line.metric.text.removeprefix("kpi/")
    better, known_unit, _ = KNOWN_KPIS.get(name, ("either", None, ""))
    if line.operator == "not worse":
        if better == "either" and name in EITHER_WAY:
            raise UnreadableNumber(f"which way does {name} improve? Write {name} <= stable or {name} >= stable")
        return _within_margin(name, "max" if better == "lower" else "min", line.value)
    gates.refuse_wrong_way(name, better, line.operator, line.metric)
    limit, shown = None, "stable"
    if line.value.text != "stable":
        unit = known_unit or unit_of(line.value.text)
        limit = gates.value_of(line.value, unit)
        shown = show(limit, unit)
    return Criterion(
        text=f"{name} {line.operator} {shown}",
        metric=name,
        comparison="max" if line.operator == "<=" else "min",
        limit=limit,
    )


def _within_margin(name: str, comparison: Literal["max", "min"], word: Word) -> Criterion:
    """A comparison with a margin in points: scores are shares, and a share of a share would read as points."""
    if not word.text.endswith("pp"):
        raise UnreadableNumber(
            f"expected a margin in percentage points such as 2pp, got {quoted(word.text)}", offset=word.offset
        )
    margin = gates.value_of(Word(word.text.removesuffix("pp") + "%", word.offset), "share")
    if not 0 < margin < 1:
        raise UnreadableNumber(
            f"a margin is more than 0pp and less than 100pp, got {quoted(word.text)}", offset=word.offset
        )
    shown = show(margin, "share").removesuffix("%") + "pp"
    text = f"{name} not worse than stable by {shown}"
    return Criterion(text=text, metric=name, comparison=comparison, margin=margin)


_CriterionLine = Annotated[
    str,
    BeforeValidator(gates.line_of),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\s*[A-Za-z][\s\S]*(?:[<>=≤≥]|stable)",
            "examples": ["first_turn_resolution >= 70%", "exact >= stable", "exact not worse than stable by 2pp"],
        }
    ),
]

if TYPE_CHECKING:
    CriterionField = Criterion
else:
    CriterionField = Annotated[
        Annotated[_CriterionLine, Tag("line")] | Annotated[SkipJsonSchema[InstanceOf[Criterion]], Tag("value")],
        Discriminator(lambda written: "value" if isinstance(written, Criterion) else "line"),
        AfterValidator(criterion),
        Field(
            description="A line such as `first_turn_resolution >= 70%`, `>= stable` or `not worse than stable by 2pp`."
        ),
    ]
