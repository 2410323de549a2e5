"""PromQL that people write into gates: what is asked, and what an answer means for each arm.

Used by every source that has a Prometheus. A gate's own `query` has to give one value for each variant, told apart by
the label `variant` (or its `variantLabel`), whose value is the variant's name or its arm (`stable`, `canary`). Only
`$window` is filled in, nothing else, so no name can change what a query means. A gate's own counters (`events`, `of`)
are asked for together, as one instant shows them: any number of series a variant, each a running total for the judge to
difference. Asks nothing itself.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import NamedTuple

from canary.errors import ExternalError
from canary.spec.models import Gate
from canary.weights import ARMS, Arm
from controlplane.adapters.prometheus_series import PrometheusSeries

DEFAULT_WINDOW_S = 60.0
"""What `$window` is for a gate that names no window."""


PART = "serinus_counter"
"""Label by which an answer tells the counters of a gate apart: `events` or `of`."""
MOST_SERIES = 64
"""Series of each counter that a variant may have."""


class GateReading(NamedTuple):
    """What a gate's query says of each arm, and the clause about what is missing in it."""

    values: Mapping[Arm, float]
    problem: str = ""


class CountedTotals(NamedTuple):
    """Running totals of a gate's own counters by arm and series, and the clause about what is missing in them."""

    totals: Mapping[Arm, Mapping[str, float]]
    problem: str = ""


class OwnNumbers(NamedTuple):
    """What the gates' own PromQL says: the fields of `Counters` that it fills, and a clause for each gate."""

    readings: Mapping[str, Mapping[Arm, float]]
    counted: Mapping[str, Mapping[Arm, Mapping[str, float]]]
    problems: list[str]


def query_of(gate: Gate) -> str:
    """The query as it is asked."""
    if gate.events is not None:
        pair = (("events", gate.events), ("of", gate.of))
        return " or ".join(f'label_replace({selector}, "{PART}", "{part}", "", "")' for part, selector in pair)
    return (gate.query or "").replace("$window", duration(gate.window or DEFAULT_WINDOW_S))


def arms_by_name(names: Mapping[Arm, str]) -> dict[str, Arm]:
    """What the label `variant` may say, and whom it means."""
    return {name: arm for arm in ARMS for name in (names[arm], arm)}


def own_numbers(
    answers: Iterable[tuple[Gate, Iterable[PrometheusSeries] | ExternalError]], variants: Mapping[str, Arm]
) -> OwnNumbers:
    """What the answers to gates' own PromQL say; `variants` as `arms_by_name` gives them."""
    own = OwnNumbers({}, {}, [])
    readings, totals = dict(own.readings), dict(own.counted)
    for gate, answer in answers:
        if isinstance(answer, ExternalError):
            own.problems.append(f"{gate.text}: {answer}")
        elif gate.events is not None:
            told = counted(gate, answer, variants)
            own.problems.append(told.problem)
            if told.totals:
                totals[gate.text] = told.totals
        else:
            values, problem = reading(gate, answer, variants)
            own.problems.append(problem)
            if values:
                readings[gate.text] = values
    return OwnNumbers(readings, totals, own.problems)


def counted(gate: Gate, series: Iterable[PrometheusSeries], variants: Mapping[str, Arm]) -> CountedTotals:
    """Every series' running total by arm; none at all where some of it is no use, since a part would mislead."""
    totals: dict[Arm, dict[str, float]] = {}
    found: Counter[tuple[Arm, str]] = Counter()
    for each in series:
        arm, part = variants.get(each.metric.get(gate.variant_label, "")), each.metric.get(PART, "")
        if arm is None or not each.points:
            continue
        value = each.points[-1][1]
        if not math.isfinite(value) or value < 0:
            return CountedTotals({}, f"{gate.text}: a series of {part} is no counter, it reads {value:g}")
        found[arm, part] += 1
        labels = repr(sorted(each.metric.items())).encode()
        totals.setdefault(arm, {})[f"{part} {blake2b(labels, digest_size=6).hexdigest()}"] = value
    if not totals:
        return CountedTotals({}, f"{gate.text}: its counters have {_no_series(gate, variants)}")
    if crowded := [
        f"{count} series of {part} for {arm}" for (arm, part), count in found.items() if count > MOST_SERIES
    ]:
        return CountedTotals(
            {}, f"{gate.text}: {crowded[0]}, at most {MOST_SERIES} are read; write a narrower selector"
        )
    lacking = [f"of for {arm}" for arm in ARMS if arm in totals and not found[arm, "of"]]
    return CountedTotals(totals, f"{gate.text}: no series of {lacking[0]}" if lacking else "")


def _no_series(gate: Gate, variants: Mapping[str, Arm]) -> str:
    return f"no series with the label {gate.variant_label}={' or '.join(sorted(variants))}"


def reading(gate: Gate, series: Iterable[PrometheusSeries], variants: Mapping[str, Arm]) -> GateReading:
    """One number for each arm from the series of an answer; what is no number or not one is left out and said."""
    values: dict[Arm, list[float]] = {}
    for each in series:
        arm = variants.get(each.metric.get(gate.variant_label, ""))
        if arm and each.points:
            values.setdefault(arm, []).append(each.points[-1][1])
    if not values:
        return GateReading({}, f"{gate.text}: its query gives {_no_series(gate, variants)}")
    several = [arm for arm, found in values.items() if len(found) > 1]
    numbers = {arm: found[0] for arm, found in values.items() if len(found) == 1 and math.isfinite(found[0])}
    if several:
        return GateReading(numbers, f"{gate.text}: its query gives more than one series for {' and '.join(several)}")
    if len(numbers) < len(values):
        without = [arm for arm in values if arm not in numbers]
        return GateReading(
            numbers, f"{gate.text}: its query gives no number for {' and '.join(without)} (NaN or infinite)"
        )
    return GateReading(numbers)


def duration(seconds: float) -> str:
    """As PromQL writes it, in whole milliseconds."""
    return f"{max(round(seconds * 1000), 1)}ms"
