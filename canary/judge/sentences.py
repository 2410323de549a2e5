"""What a verdict says to a person at three in the morning: one sentence, both arms, numbers with units.

Called by `verdicts.py`. Takes plain values and decides nothing.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from canary.judge.portable_math import exp, log
from canary.spec.models import Gate
from canary.wording import duration

if TYPE_CHECKING:
    from canary.judge.config import GateConfig


def amount(unit: str, value: float | None) -> str:
    """A value with its unit."""
    if value is None:
        return "no value"
    if unit == "seconds":
        return seconds(value)
    if unit == "share":
        return percent(value)
    return f"${value:,.4g}" if unit == "dollars" else f"{value:.4g}"


def seconds(value: float) -> str:
    """A latency: `4.2 ms`, `180 ms`, `2.50 s`."""
    return f"{value * 1000:.3g} ms" if value < 0.9995 else f"{value:.3g} s"


def percent(value: float) -> str:
    """A share: `0.12 %`, `4.1 %`, `30 %`."""
    return f"{value * 100:.2g} %" if value < 0.0995 else f"{value * 100:.3g} %"


def many(value: float) -> str:
    """A count with thousands set apart: `1,812`."""
    return f"{value:,.0f}"


def odds(log_e: float) -> str:
    """Evidence as a bet: `340 to 1`."""
    if log_e <= 0:
        return "none"
    if log_e > log(999_999):
        return "more than a million to 1"
    return f"{many(exp(log_e))} to 1" if log_e > log(10) else f"{exp(log_e):.1f} to 1"


def name(gate: Gate) -> str:
    """The metric as a person says it: `latency p95`, `error rate`, `conversion`."""
    metric = gate.metric.removeprefix("kpi/").replace("_", " ").replace("/", " ")
    spoken = f"{metric} {gate.statistic}" if gate.statistic else metric
    # Until a source tells a label's values apart, what was asked for one by one is judged together, and says so.
    return f"{spoken} (of all together, not by {gate.by})" if gate.by else spoken


def allowance(gate: Gate, unit: str) -> str:
    """What the gate allows: `at most 5 %`, `not worse than stable by more than 10 %`."""
    if not gate.relative:
        return f"{'at most' if gate.better == 'lower' else 'at least'} {amount(unit, gate.limit)}"
    by = amount(unit, gate.limit) + " (absolute)" if gate.margin == "points" else percent(gate.limit)
    return f"not worse than stable by more than {by}"


def both(case: "GateConfig", canary: float | None, stable: float | None, n_canary: float, n_stable: float) -> str:
    """Both arms' values with what is behind them."""
    mine = f"{amount(case.unit, canary)} on the canary ({many(n_canary)} {case.counted})"
    return mine if stable is None else f"{mine}, {amount(case.unit, stable)} on stable ({many(n_stable)})"


def failed(case: "GateConfig", values: str, log_e: float, needed: float, since: str) -> str:
    """The sequential test convicted."""
    evidence = f"evidence {odds(log_e)} against the canary"
    # One gate may be blamed for what several have shown together.
    evidence += (
        f", where {odds(needed)} is enough" if log_e >= needed else f", with the other gates' over {odds(needed)}"
    )
    return f"{case.spoken}: {values}{since}; allowed is {case.allowed}; {evidence}."


def passed(case: "GateConfig", values: str, confidence: float) -> str:
    """The case for the canary is made."""
    return f"{case.spoken}: {values}; shown to be {case.allowed} with {percent(confidence)} confidence."


def waiting(
    case: "GateConfig",
    values: str,
    more: float | None,
    eta: float | None,
    confidence: float,
    *,
    beyond: bool,
    buckets: str,
) -> str:
    """Not decided yet: what is missing and how long it should take."""
    goal = f"show {case.allowed} with {percent(confidence)} confidence"
    if beyond:
        return f"{case.spoken}: {values}; beyond what is allowed ({case.allowed}){buckets}, but not clearly enough yet."
    if more is None:
        return f"{case.spoken}: {values}; within what is allowed, but too near to {goal}{buckets} yet."
    when = f", about {duration(eta)} at the present traffic," if eta is not None else ""
    needed = f"about {many(math.ceil(more))} more canary {case.counted}"
    return f"{case.spoken}: {values}; {needed}{when} to {goal}{buckets}."


def would_do(case: "GateConfig", more: float | None) -> str:
    """The end of a sentence about missing data: how much of it would be enough."""
    return "." if more is None else f"; about {many(math.ceil(more))} canary {case.counted} without trouble would do."


def too_young(case: "GateConfig", left: float) -> str:
    """Events come late, and no request of these weights is old enough."""
    age = duration(case.gate.delay or 0.0)
    return f"{case.spoken}: requests count when they are {age} old, the first at these weights in {duration(left)}"


def not_in_force(case: "GateConfig") -> str:
    """The route is still moving."""
    return f"{case.spoken}: waiting for this stage's weights to be in force."


def stable_beyond(case: "GateConfig", values: str) -> str:
    """Stable breaks the limit as well."""
    blame = "stable itself is beyond the limit, so this is not held against the canary unless it is clearly worse"
    return f"{case.spoken}: {values}; {case.allowed} was asked for, but {blame}."


def shared_cause(case: "GateConfig", canary: float, stable: float, usual: float) -> str:
    """Both arms suffer."""
    return (
        f"Both arms are worse than stable's own history: {case.spoken} counts {percent(canary)} bad on the canary and "
        f"{percent(stable)} on stable, usually {percent(usual)}. A shared cause: the canary is neither blamed nor "
        "passed."
    )


def of_segments(label: str, count: int) -> str:
    """After a gate with `by` has passed everywhere: the sentence before is about the worst place."""
    return f"That is the worst: all together and each of {count} values of {label} pass."


def open_too(others: int) -> str:
    """After the worst that a gate with `by` waits for."""
    return f" {others} more of its segments wait too." if others else ""


def reading(case: "GateConfig", canary: float | None, stable: float | None, limit: float | None) -> str:
    """Momentary values and their limit."""
    theirs = f", {amount(case.unit, stable)} on stable" if stable is not None else ""
    return f"{amount(case.unit, canary)} on the canary{theirs}, limit {amount(case.unit, limit)}"


def too_many_breaches(case: "GateConfig", values: str, looks: Mapping[str, Any]) -> str:
    """The counted threshold spoke."""
    count = f"{looks['breaches']} of {looks['looks']} readings were beyond it and {case.gate.failures} are forgiven"
    return f"{case.spoken}: {values}; {count}."


def forgiven(case: "GateConfig", values: str, looks: Mapping[str, Any]) -> str:
    """The last reading was beyond the limit, but may be."""
    return f"{case.spoken}: {values}; {looks['breaches']} of {case.gate.failures} forgiven readings are used up."


def readings_fine(case: "GateConfig", values: str, looks: Mapping[str, Any]) -> str:
    """The counted threshold is content."""
    return f"{case.spoken}: {values}; {looks['looks']} readings, {looks['breaches']} of them beyond it."


def filling_window(case: "GateConfig", left: float) -> str:
    """No whole window has passed."""
    return f"{case.spoken}: the first window of {duration(case.gate.window or 0.0)} is full in {duration(left)}."


def too_few(case: "GateConfig", values: str, more: float) -> str:
    """The owner asked for more samples before the gate may speak."""
    asked = f"{many(more)} more canary {case.counted} before this gate may speak (minSamples {case.gate.min_samples})"
    return f"{case.spoken}: {values}; {asked}."


def stopped(errors: float, requests: float, scrapes: int, stable: str, what: str = "failed") -> str:
    """The hard stop spoke."""
    share = f"{many(errors)} of {many(requests)} canary requests {what}"
    return f"{share} in the last of {scrapes} scrapes running, while stable {stable}: a plain outage."
