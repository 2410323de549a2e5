"""Gates: from a line or a mapping in the file to one normalised value whose `text` says it all.

Used by `models.py` as the types of fields. `text` is canonical: two gates that ask the same have the same text, and
reading the text gives the same gate again, apart from what only a mapping can say (the query and how answers are
treated).
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    InstanceOf,
    PlainValidator,
    Tag,
    WithJsonSchema,
)
from pydantic.json_schema import SkipJsonSchema

from canary.spec import metrics
from canary.spec.base import Model
from canary.spec.counters import pair
from canary.spec.grammar import Line, Operator, Word, read_line
from canary.spec.metrics import Metric
from canary.spec.source import quoted
from canary.spec.units import (
    Count,
    Positive,
    Seconds,
    Switch,
    Text,
    Unit,
    UnreadableNumber,
    quantity,
    seconds,
    show,
    show_seconds,
    unit_of,
)
from canary.verdict import OnBreach

OnNoData = Literal["hold", "pause", "promote"]
Comparison = Literal["max", "min", "notWorseThan", "drift"]
LIMITS: dict[str, Operator] = {"max": "<=", "min": ">=", "notWorseThan": "not worse", "drift": "drift"}
"""The keys of a mapping, exactly one of which a gate has, and what they are in a line."""
BEYOND_A_LINE = {
    "query",
    "events",
    "of",
    "variant_label",
    "min_samples",
    "on_breach",
    "on_no_data",
    "test",
    "failures",
    "delay",
    "regardless_of_stable",
}
"""What only a mapping can say. A gate's `model_fields_set` tells which of them its owner did say."""


class Gate(Model):
    """One condition that the canary has to meet, in its normalised form. `text` identifies it."""

    text: str
    """The gate as a sentence: `latency p95 <= 200ms`. Unique within a stage; the key of all its evidence."""
    metric: str
    """Built-in metric (`latency`, `error_rate`, …) or `kpi/<name>`."""
    statistic: str | None = None
    """`p50` … `p99.9`; None where the metric is a ratio or a gauge."""
    comparison: Comparison
    """`max`, `min`: absolute. `notWorseThan`, `drift`: against stable over the same time, in the harmful direction."""
    limit: float
    """For `max` and `min` the value in base units; for the relative ones the margin as a fraction (0.1 is 10 %)."""
    margin: Literal["relative", "points"] = "relative"
    """For relative gates: whether `limit` is a share of stable's value, or points added to it (`by 0.1pp`)."""
    better: Literal["lower", "higher"]
    """Direction in which the metric improves."""
    query: str | None = None
    """PromQL that yields one value a variant; `$window` is filled in."""
    events: str | None = None
    """The counter of what is judged, a PromQL selector of running totals: orders, or their worth."""
    of: str | None = None
    """The counter of what they are counted among, such as sessions; there where `events` is."""
    variant_label: str = "variant"
    """Label that tells the variants' series apart, of `query` as well as of `events` and `of`."""
    window: Seconds | None = None
    min_samples: int | None = None
    """Canary requests (or events) before this gate may pass or fail; None leaves it to the test."""
    on_breach: OnBreach = "rollback"
    on_no_data: OnNoData | None = None
    """What the end of the hold means without enough evidence; None takes the spec's."""
    test: Literal["sequential", "threshold"] = "sequential"
    failures: int = 0
    """`test: threshold`: readings beyond the limit that are forgiven; one more decides."""
    by: str | None = None
    """Label whose worst value is judged, such as `tenant`."""
    delay: Seconds | None = None
    """For KPIs whose events come late: by how much. Events are held against the requests of that long ago."""
    regardless_of_stable: bool = False
    """For limits that are tested: whether the limit alone decides, also where stable is as far beyond it."""

    @property
    def asks(self) -> bool:
        """Whether it brings PromQL of its own, which only a Prometheus can answer."""
        return self.query is not None or self.events is not None

    @property
    def relative(self) -> bool:
        """Whether stable is the yardstick."""
        return self.comparison in {"notWorseThan", "drift"}

    @property
    def quantile(self) -> float | None:
        """0.95 for `p95`, None for anything that is not a quantile."""
        if self.statistic and self.statistic.startswith("p"):
            return float(self.statistic[1:]) / 100
        return None


def _limit(value: object) -> str | float:
    """A limit as it stands in the file; its unit is the metric's, so it is read together with it."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return value
    raise UnreadableNumber(f"expected a limit such as 200ms, 0.1% or 40, got {quoted(value)}")


Limit = Annotated[str | float, PlainValidator(_limit), WithJsonSchema({"type": ["string", "number"]})]


class GateMapping(Model):
    """A gate written as a mapping; it can say more than a line. Exactly one of max, min, notWorseThan and drift."""

    metric: Text
    """`latency p95`, `error_rate`, `kpi/conversion`."""
    query: Text | None = None
    """PromQL that yields one value for each variant (label `variant`); `$window` is filled in."""
    events: Text | None = None
    """The counter of a KPI's events, or of what they sum up to, from any job: `orders_total{shop="eu"}`."""
    of: Text | None = None
    """The counter of what `events` are counted among: `sessions_total{shop="eu"}`."""
    variant_label: Text = "variant"
    """Label whose value names the variant (or says `stable`, `canary`) on the series of `events`, `of` and `query`."""
    max: Limit | None = None
    """The value must stay at or below this: `200ms`, `0.1%`."""
    min: Limit | None = None
    """The value must stay at or above this."""
    not_worse_than: Limit | None = None
    """How much worse than stable it may be: `10%` of stable's value, or points as in `0.1pp` or `20ms`."""
    drift: Limit | None = None
    """How far it may move from stable in the harmful direction: `5%`."""
    better: Literal["lower", "higher"] | None = None
    """Direction in which a KPI of your own improves; known for all others."""
    window: Annotated[Seconds, Field(gt=0)] | None = None
    """Time over which the value is taken; everything since the stage began when left out."""
    min_samples: Positive | None = None
    """Canary requests (or events) before this gate may pass or fail."""
    on_breach: OnBreach = "rollback"
    """What a failure does: take the traffic back, pause, or only hold the stage. The spec's when left out."""
    on_no_data: OnNoData | None = None
    """What the end of the hold means without enough evidence; the spec's `onNoData` when left out."""
    test: Literal["sequential", "threshold"] = "sequential"
    """`sequential` keeps false alarms below `judge.falseRollback`; `threshold` counts readings beyond the limit."""
    failures: Count = 0
    """With `test: threshold`: readings beyond the limit that are forgiven; one more decides."""
    by: Text | None = None
    """Label whose worst value is judged, such as `tenant`."""
    delay: Annotated[Seconds, Field(gt=0)] | None = None
    """For a KPI whose events come late, how late: `1h`. They are held against the requests of that long ago."""
    regardless_of_stable: Switch = False
    """For `max` and `min`: the limit alone decides. Without it a canary fails if it is beyond the limit and worse than
    stable, so that trouble of the whole service is not blamed on it."""


def gate(written: "str | GateMapping | Gate") -> Gate:
    """The gate that a line or mapping means. Raises `UnreadableNumber`."""
    if isinstance(written, Gate):
        return written
    if isinstance(written, GateMapping):
        return _of_mapping(written)
    line = read_line(written)
    window = _window(line.window) if line.window else None
    return _normalised(line, better=None, window=window, by=line.label.text if line.label else None)


@lru_cache(maxsize=1024)
def unit_of_values(text: str) -> Unit:
    """The unit of what a gate measures, by the gate's text: its metric's, or for an owner's own figure the limit's.

    A margin of 3 % says nothing about the figure itself, which may be a share or a mark from one to five: a number.
    What is no gate, such as the hard stop's count of failures, is a share.
    """
    try:
        line = read_line(text)
        unit = metrics.find(line.metric.text).unit
    except UnreadableNumber:
        return "share"
    relative = line.operator not in {"<=", ">="} and line.value.text.endswith("%")
    return unit or ("number" if relative else unit_of(line.value.text))


def _of_mapping(written: GateMapping) -> Gate:
    """A mapping is its line, plus what it adds."""
    limits = {"max": written.max, "min": written.min, "notWorseThan": written.not_worse_than, "drift": written.drift}
    given = {key: limit for key, limit in limits.items() if limit is not None}
    if len(given) != 1:
        found = " and ".join(given) if given else "none"
        raise UnreadableNumber(f"a gate has exactly one of max, min, notWorseThan and drift; found {found}")
    [(key, limit)] = given.items()
    name, _, statistic = " ".join(written.metric.split()).partition(" ")
    try:
        line = Line(Word(name), Word(statistic) if statistic else None, LIMITS[key], Word(_as_text(key, limit, name)))
        normal = _normalised(line, better=written.better, window=written.window, by=written.by)
    except UnreadableNumber as error:
        raise UnreadableNumber(str(error), key=key if error.key == "limit" else "metric", offset=error.offset) from None
    if written.failures and written.test != "threshold":
        raise UnreadableNumber(
            "only counts with test: threshold; the sequential test forgives nothing by number", key="failures"
        )
    if written.regardless_of_stable and (key not in {"max", "min"} or written.test == "threshold" or written.query):
        raise UnreadableNumber(
            "only counts with max and min, and not with test: threshold or a query, which look at the canary alone",
            key="regardlessOfStable",
        )
    label = written.variant_label if "variant_label" in written.model_fields_set else None
    counters = pair(written.events, written.of, written.query, label, normal.metric)
    if written.delay and (not normal.metric.startswith("kpi/") or written.test == "threshold" or written.query):
        raise UnreadableNumber("only KPIs that are counted and tested in sequence can come late", key="delay")
    added = written.model_dump(include=BEYOND_A_LINE, exclude_unset=True)
    return normal.model_copy(update={**added, **counters})


def _as_text(key: str, limit: str | float, metric: str) -> str:
    """A limit as it would stand in a line. Native numbers are base units; for margins, shares of the stable value."""
    if isinstance(limit, str):
        return limit.strip()
    relative = key in {"notWorseThan", "drift"}
    return show(float(limit), "share" if relative else metrics.find(metric).unit or "number")


def _normalised(line: Line, *, better: Literal["lower", "higher"] | None, window: float | None, by: str | None) -> Gate:
    """The gate of these words, its text rebuilt from what was understood."""
    metric = _metric(line.metric)
    statistic = _statistic(metric, line.statistic)
    direction = _direction(metric, line, better)
    tail = (f" over {show_seconds(window)}" if window else "") + (f" per {by}" if by else "")
    head = f"{_shown_name(metric)} {statistic}" if statistic else _shown_name(metric)
    margin: Literal["relative", "points"] = "relative"
    comparison: Comparison
    if line.operator in {"<=", ">="}:
        comparison = "max" if line.operator == "<=" else "min"
        unit = metric.unit or unit_of(line.value.text)
        limit = value_of(line.value, unit)
        clause = f"{line.operator} {show(limit, unit)}"
    else:
        comparison = "notWorseThan" if line.operator == "not worse" else "drift"
        limit, margin, shown = _margin(metric, line.value)
        change = "drop" if direction == "higher" else "rise"
        clause = f"not worse than stable by {shown}" if comparison == "notWorseThan" else f"{change} <= {shown}"
    return Gate(
        text=f"{head} {clause}{tail}",
        metric=metric.name,
        statistic=statistic,
        comparison=comparison,
        limit=limit,
        margin=margin,
        better=direction,
        window=window,
        by=by,
    )


def _metric(word: Word) -> Metric:
    try:
        return metrics.find(word.text)
    except UnreadableNumber as error:
        raise UnreadableNumber(str(error), offset=word.offset) from None


def _shown_name(metric: Metric) -> str:
    """Known KPIs go without their prefix, as people write them."""
    bare = metric.name.removeprefix("kpi/")
    return bare if bare in metrics.KNOWN_KPIS else metric.name


def _statistic(metric: Metric, word: Word | None) -> str | None:
    """The statistic asked for, or the metric's own."""
    if word is None:
        return metric.default_statistic
    if metric.allows(word.text):
        digits, point, fraction = word.text.partition(".")
        return f"{digits}{point}{fraction}".rstrip("0").rstrip(".") if point else digits
    if metric.quantiles:
        message = f"{metric.name} is judged by a quantile such as p50, p95 or p99.9, not by {quoted(word.text)}"
    else:
        message = (
            f"{metric.name} has no {word.text}: it is one {metric.kind}, not a histogram; leave {quoted(word.text)} out"
        )
    raise UnreadableNumber(message, offset=word.offset)


def _direction(metric: Metric, line: Line, better: Literal["lower", "higher"] | None) -> Literal["lower", "higher"]:
    """Which way the metric improves, and whether the gate asks for that."""
    if better and metric.better not in {"either", better}:
        raise UnreadableNumber(
            f"{metric.name} is better when {metric.better}; leave better out", offset=line.metric.offset
        )
    known = better or metric.better
    refuse_wrong_way(_shown_name(metric), known, line.operator, line.metric)
    if line.operator not in {"<=", ">="} and not metric.comparable:
        message = (
            f"{metric.name} follows the share of traffic, so the arms cannot be compared; give a limit with >= instead"
        )
        raise UnreadableNumber(message, offset=line.metric.offset)
    if known != "either":
        return known
    implied: dict[Operator, Literal["lower", "higher"]] = {
        "<=": "lower",
        ">=": "higher",
        "drop": "higher",
        "rise": "lower",
    }
    if line.operator in implied:
        return implied[line.operator]
    message = (
        f"which way does {metric.name} improve? Write drop <= or rise <=, or a mapping with better: higher or lower"
    )
    raise UnreadableNumber(message, offset=line.metric.offset)


def refuse_wrong_way(name: str, better: str, operator: Operator, word: Word) -> None:
    """A limit on the harmless side would never fail, or fail for an improvement."""
    wrong = {("lower", ">="): "<=", ("lower", "drop"): "rise", ("higher", "<="): ">=", ("higher", "rise"): "drop"}
    instead = wrong.get((better, operator))
    if instead:
        raise UnreadableNumber(
            f"{name} is better when {better}, so its gate needs {instead}, not {operator}", offset=word.offset
        )


def value_of(word: Word, unit: Unit) -> float:
    """A limit or margin in base units. Raises `UnreadableNumber` at the word."""
    try:
        return quantity(word.text, unit)
    except UnreadableNumber as error:
        raise UnreadableNumber(str(error), offset=word.offset, key="limit") from None


def _margin(metric: Metric, word: Word) -> tuple[float, Literal["relative", "points"], str]:
    """A share of stable's value (`10%`), or points in the metric's own unit (`0.1pp`, `20ms`)."""
    if word.text.endswith("pp"):
        if metric.unit not in {"share", None}:
            raise UnreadableNumber(
                f"{metric.name} is no share, so it has no percentage points", offset=word.offset, key="limit"
            )
        points = value_of(Word(word.text.removesuffix("pp") + "%", word.offset), "share")
        return points, "points", show(points, "share").removesuffix("%") + "pp"
    if word.text.endswith("%"):
        fraction = value_of(word, "share")
        return fraction, "relative", show(fraction, "share")
    unit = metric.unit or unit_of(word.text)
    if unit == "share":
        message = f"{quoted(word.text)} has no unit; write {word.text}% of stable's value or {word.text}pp in points"
        raise UnreadableNumber(message, offset=word.offset, key="limit")
    points = value_of(word, unit)
    return points, "points", show(points, unit)


def _window(word: Word) -> float:
    try:
        return seconds(word.text)
    except UnreadableNumber as error:
        raise UnreadableNumber(str(error), offset=word.offset) from None


def _form(written: Any) -> str:
    """Which form a gate has; anything else is treated as a line, whose error says what a gate looks like."""
    if isinstance(written, Gate):
        return "value"
    return "mapping" if isinstance(written, dict | GateMapping) else "line"


def line_of(written: Any) -> str:
    """A line's text. Raises `UnreadableNumber` for anything that is no text."""
    if isinstance(written, str):
        return str(written)
    raise UnreadableNumber(f"expected a line such as latency p95 <= 200ms, got {quoted(written)}")


_GateLine = Annotated[
    str,
    BeforeValidator(line_of),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\s*[A-Za-z][\s\S]*[0-9]",
            "examples": ["latency p95 <= 200ms", "error_rate <= 0.1%", "ttft p95 not worse than stable by 10%"],
        }
    ),
]
if TYPE_CHECKING:
    GateField = Gate
else:
    GateField = Annotated[
        Annotated[_GateLine, Tag("line")]
        | Annotated[GateMapping, Tag("mapping")]
        | Annotated[SkipJsonSchema[InstanceOf[Gate]], Tag("value")],
        Discriminator(_form),
        AfterValidator(gate),
        Field(description="A line such as `latency p95 <= 200ms`, or a mapping."),
    ]
