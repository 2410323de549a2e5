"""What a verdict says to a person at three in the morning: one sentence, both arms, numbers with units.

`why` is called by whoever shows a verdict, and by nobody else. Takes plain values and decides nothing.
"""

import math
from typing import TYPE_CHECKING

from canary import format as fmt
from canary.judge.portable_math import exp, log
from canary.spec.models import Gate
from canary.spec.units import Unit

if TYPE_CHECKING:
    from canary.judge.grounds import GateGrounds
    from canary.verdict import GateVerdict
    from canary.weights import Arm


def amount(unit: Unit, value: float | None) -> str:
    """A value with its unit, or that there is none."""
    return "no value" if value is None else fmt.measure(value, unit)


def odds(log_e: float) -> str:
    """Evidence as a bet: `340 to 1`."""
    if log_e <= 0:
        return "none"
    if log_e > log(999_999):
        return "more than a million to 1"
    return f"{fmt.count(exp(log_e))} to 1" if log_e > log(10) else f"{exp(log_e):.1f} to 1"


def name(gate: Gate) -> str:
    """The metric as a person says it: `latency p95`, `error rate`, `conversion`."""
    metric = gate.metric.removeprefix("kpi/").replace("_", " ").replace("/", " ")
    spoken = f"{metric} {gate.statistic}" if gate.statistic else metric
    # Until a source tells a label's values apart, what was asked for one by one is judged together, and says so.
    return f"{spoken} (of all together, not by {gate.by})" if gate.by else spoken


def allowance(gate: Gate, unit: Unit) -> str:
    """What the gate allows: `at most 5 %`, `not worse than stable by more than 10 %`."""
    if not gate.relative:
        return f"{'at most' if gate.better == 'lower' else 'at least'} {amount(unit, gate.limit)}"
    by = amount(unit, gate.limit) + " (absolute)" if gate.margin == "points" else fmt.share(gate.limit)
    return f"not worse than stable by more than {by}"


def why(verdict: "GateVerdict", grounds: "GateGrounds") -> str:
    """The sentence of one gate's verdict."""
    said = _SENTENCES[grounds.finding.name](verdict, grounds)
    if not grounds.label:
        return said
    if grounds.besides is None:
        return f"{said} That is the worst: all together and each of {grounds.segments} values of {grounds.label} pass."
    return f"{said} {grounds.besides} more of its segments wait too." if grounds.besides else said


def _value(verdict: "GateVerdict", unit: Unit, arm: "Arm") -> str:
    """What an arm shows: `84 ms`, `under 300 ms`."""
    return verdict.spoken(arm, amount(unit, verdict.canary if arm == "canary" else verdict.stable))


def _values(verdict: "GateVerdict", grounds: "GateGrounds") -> str:
    """Both arms' values with what is behind them."""
    gate, samples = grounds.gate, verdict.samples
    mine = f"{_value(verdict, gate.unit, 'canary')} on the canary ({fmt.count(samples['canary'])} {gate.counted})"
    if verdict.stable is None:
        return mine
    both = f"{mine}, {_value(verdict, gate.unit, 'stable')} on stable ({fmt.count(samples['stable'])})"
    if grounds.spent is None:
        return both
    mine, theirs = (amount(gate.unit, value) for value in grounds.spent)
    return f"{both}, both at the same utilisation; with the idle time of their GPUs {mine} and {theirs}"


def _reading(verdict: "GateVerdict", grounds: "GateGrounds") -> str:
    """Momentary values and their limit."""
    unit = grounds.gate.unit
    theirs = f", {amount(unit, verdict.stable)} on stable" if verdict.stable is not None else ""
    return f"{amount(unit, verdict.canary)} on the canary{theirs}, limit {amount(unit, verdict.limit)}"


def _failed(verdict: "GateVerdict", grounds: "GateGrounds") -> str:
    """The sequential test convicted: what was harmful first, then what is allowed and how sure that is."""
    gate, log_e = grounds.gate, grounds.log_e
    evidence = f"evidence {odds(log_e)} against the canary"
    # One gate may be blamed for what several have shown together.
    needed = odds(grounds.needed)
    evidence += f" ({needed} is enough)" if log_e >= grounds.needed else f" (with the other gates' over {needed})"
    limit = f"limit: {gate.allowed}" if gate.relative else f"limit {amount(gate.unit, gate.gate.limit)}"
    if grounds.since is None:
        return f"{gate.spoken}: {_values(verdict, grounds)}; {limit}; {evidence}."
    xv, nv, xc, nc = grounds.since
    of = {"histogram": f"took longer than {fmt.seconds(grounds.bound)}", "errors": "failed"}.get(
        gate.series, "were bad"
    )
    if gate.gate.metric == "refused_rate":
        of = f"were {gate.spoken}"
    mine = f"{fmt.share(xv / nv)} of the canary's {gate.counted} {of} in the last {fmt.duration(grounds.seconds)}"
    said = f"{gate.spoken}: {mine} ({fmt.count(xv)} of {fmt.count(nv)})"
    if nc > 0:
        buckets = grounds.buckets if gate.relative else None  # stable is counted at the lower bound
        beyond = "" if buckets is None else f" longer than {fmt.seconds(buckets[0])}"
        said += f", {fmt.share(xc / nc)} of stable's{beyond} ({fmt.count(xc)} of {fmt.count(nc)})"
    if gate.series == "histogram":
        limit = f"{limit}, {_value(verdict, gate.unit, 'canary')} on the canary"
        limit += f" and {_value(verdict, gate.unit, 'stable')} on stable" if verdict.stable is not None else ""
    return f"{said}; {limit}; {evidence}."


def _passed(verdict: "GateVerdict", grounds: "GateGrounds") -> str:
    """The case for the canary is made."""
    gate, values = grounds.gate, _values(verdict, grounds)
    return f"{gate.spoken}: {values}; shown to be {gate.allowed} with {fmt.share(grounds.confidence)} confidence."


def _waiting(verdict: "GateVerdict", grounds: "GateGrounds") -> str:
    """Not decided yet: what is missing and how long it should take."""
    gate, values, buckets = grounds.gate, _values(verdict, grounds), ""
    if grounds.buckets is not None:
        low, high = grounds.buckets
        if low <= 0:
            first = f"the first bucket ends at {fmt.seconds(high)}"
            return f"{gate.spoken}: {values}; {gate.allowed} cannot be shown, since {first}."
        top = fmt.seconds(high) if high < math.inf else "none"
        buckets = f" (the buckets around that limit are {fmt.seconds(low)} and {top})"
        if gate.relative:
            fails = f"it fails only beyond {top}" if high < math.inf else "it cannot fail"
            buckets = f" (its buckets around {fmt.seconds(low)} are too coarse for this margin: {fails})"
    sure = f"with {fmt.share(grounds.confidence)} confidence"
    if grounds.beyond:
        return f"{gate.spoken}: {values}; beyond the limit ({gate.allowed}){buckets}, but not yet with enough evidence."
    if grounds.more is None:
        return f"{gate.spoken}: {values}; within the limit, but not yet shown to be {gate.allowed} {sure}{buckets}."
    when = ", and it gets none now," if grounds.idle else ""
    if verdict.eta is not None:
        when = f", about {fmt.duration(verdict.eta)} at the present traffic,"
    needed = f"about {fmt.count(math.ceil(grounds.more))} more canary {gate.counted}"
    return f"{gate.spoken}: {values}; {needed}{when} to show {gate.allowed} {sure}{buckets}."


def _would_do(grounds: "GateGrounds") -> str:
    """The end of a sentence about missing data: how much of it would be enough."""
    if grounds.more is None:
        return "."
    return f"; about {fmt.count(math.ceil(grounds.more))} canary {grounds.gate.counted} without trouble would do."


def _because(grounds: "GateGrounds") -> str:
    """Why there may be no data."""
    return f" ({'; '.join(grounds.problems)})" if grounds.problems else ""


def _learning(_: "GateVerdict", grounds: "GateGrounds") -> str:
    gate = grounds.gate
    learnt = f"learning what is usual for stable, {fmt.count(grounds.learnt)} {gate.counted} so far"
    return f"{gate.spoken}: {learnt}{_would_do(grounds)}"


def _too_young(_: "GateVerdict", grounds: "GateGrounds") -> str:
    """Events come late, and no request of these weights is old enough."""
    age, left = fmt.duration(grounds.gate.gate.delay or 0.0), fmt.duration(grounds.seconds)
    said = f"requests count when they are {age} old, the first at these weights in {left}"
    return f"{grounds.gate.spoken}: {said}{_would_do(grounds)}"


def _silent(_: "GateVerdict", grounds: "GateGrounds") -> str:
    waited = " yet" if math.isinf(grounds.seconds) else f" for {fmt.duration(grounds.seconds)}"
    return f"{grounds.gate.spoken}: no data from the canary{waited}{_because(grounds)}{_would_do(grounds)}"


def _stale(_: "GateVerdict", grounds: "GateGrounds") -> str:
    said = f"nothing new for {fmt.duration(grounds.seconds)}{_because(grounds)}; the last numbers are too old"
    return f"{grounds.gate.spoken}: {said}{_would_do(grounds)}"


def _unserved(_: "GateVerdict", grounds: "GateGrounds") -> str:
    said = f"no requests at this stage's weights yet{_because(grounds)}"
    return f"{grounds.gate.spoken}: {said}{_would_do(grounds)}"


def _unread(_: "GateVerdict", grounds: "GateGrounds") -> str:
    said = f"no reading at this stage's weights yet{_because(grounds)}"
    return f"{grounds.gate.spoken}: {said}{_would_do(grounds)}"


def _too_few(verdict: "GateVerdict", grounds: "GateGrounds") -> str:
    """The owner asked for more samples before the gate may speak."""
    gate, values = grounds.gate, _reading if grounds.gate.kind == "readings" else _values
    lacking = f"{fmt.count(grounds.more or 0.0)} more canary {gate.counted}"
    asked = f"{lacking} before this gate may speak (minSamples {gate.gate.min_samples})"
    return f"{gate.spoken}: {values(verdict, grounds)}; {asked}."


def _not_in_force(_: "GateVerdict", grounds: "GateGrounds") -> str:
    return f"{grounds.gate.spoken}: waiting for this stage's weights to be in force."


def _stable_beyond(verdict: "GateVerdict", grounds: "GateGrounds") -> str:
    """Stable breaks the limit as well, or the canary is beyond it and not clearly worse than stable."""
    gate, limit, theirs = grounds.gate, verdict.limit, verdict.stable
    lower = gate.gate.better == "lower"
    within = limit is not None and theirs is not None and (theirs <= limit if lower else theirs >= limit)
    blame = "the canary is not clearly worse than stable" if within else "stable itself is beyond the limit"
    held = "this is not held against the canary unless it is clearly worse than stable, nor does it pass"
    return f"{gate.spoken}: {_values(verdict, grounds)}; {gate.allowed} was asked for, but {blame}, so {held}."


def _too_many_breaches(verdict: "GateVerdict", grounds: "GateGrounds") -> str:
    """The counted threshold spoke."""
    gate, beyond, count = grounds.gate, grounds.breaches, grounds.readings
    counted = f"{beyond} of {count} readings were beyond it and {gate.gate.failures} are forgiven"
    return f"{gate.spoken}: {_reading(verdict, grounds)}; {counted}."


def _forgiven(verdict: "GateVerdict", grounds: "GateGrounds") -> str:
    """The last reading was beyond the limit, but may be."""
    gate = grounds.gate
    used = f"{grounds.breaches} of {gate.gate.failures} forgiven readings are used up"
    return f"{gate.spoken}: {_reading(verdict, grounds)}; {used}."


def _readings_fine(verdict: "GateVerdict", grounds: "GateGrounds") -> str:
    """The counted threshold is content."""
    gate, count = grounds.gate, f"{grounds.readings} readings, {grounds.breaches} of them beyond it"
    return f"{gate.spoken}: {_reading(verdict, grounds)}; {count}."


def _filling_window(_: "GateVerdict", grounds: "GateGrounds") -> str:
    """No whole window has passed."""
    window, left = fmt.duration(grounds.gate.gate.window or 0.0), fmt.duration(grounds.seconds)
    return f"{grounds.gate.spoken}: the first window of {window} is full in {left}."


_SENTENCES = {
    "LEARNING": _learning,
    "TOO_YOUNG": _too_young,
    "SILENT": _silent,
    "STALE": _stale,
    "UNSERVED": _unserved,
    "UNREAD": _unread,
    "TOO_FEW": _too_few,
    "FILLING": _filling_window,
    "MOVING": _not_in_force,
    "FORGIVEN": _forgiven,
    "SHARED": _stable_beyond,
    "OPEN": _waiting,
    "CONVICTED": _failed,
    "BREACHED": _too_many_breaches,
    "CLEARED": _passed,
    "FINE": _readings_fine,
}
"""By what is the case with the gate."""


def shared_cause(spoken: str, canary: float, stable: float, usual: float) -> str:
    """Both arms suffer."""
    return (
        f"Both arms are worse than stable's own history: {spoken} counts {fmt.share(canary)} bad on the canary and "
        f"{fmt.share(stable)} on stable, usually {fmt.share(usual)}. A shared cause: the canary is neither blamed nor "
        "passed."
    )


def stopped(errors: float, requests: float, scrapes: int, bad: float, well: float, what: str) -> str:
    """The hard stop spoke: `what` became of so many canary requests, and of `bad` of stable's `well`."""
    had = "failed" if what == "failed" else "had"
    stable = f"{had} {fmt.count(bad)} of {fmt.count(well)}" if well else "had no traffic to compare"
    share = f"{fmt.count(errors)} of {fmt.count(requests)} canary requests {what}"
    return f"{share} in the last of {scrapes} scrapes running, while stable {stable}: a plain outage."


def unfinished(begun: float, finished: float, lasted: float, stable_begun: float, stable_finished: float) -> str:
    """The canary begins requests and does not finish them."""
    share = f"{fmt.count(min(stable_finished, stable_begun))} of {fmt.count(stable_begun)}"
    stable = f"stable finished {share} in that time" if stable_begun else "stable got none"
    return f"{_begun(begun, finished, lasted)} finished, while {stable}: a hang."


def doubtful(begun: float, finished: float, lasted: float) -> str:
    """It may be a hang."""
    return f"{_begun(begun, finished, lasted)} finished so far; nothing passes until more do."


def _begun(begun: float, finished: float, lasted: float) -> str:
    """`0 of 41 requests that the canary began in the last 14 s`."""
    return (
        f"{fmt.count(finished)} of {fmt.count(begun)} requests that the canary began in the last {fmt.duration(lasted)}"
    )


def stood_still(open_: float, lasted: float, stable_wrote: float, wrote: float) -> str:
    """The canary's engines have requests and write nothing."""
    other = f"stable wrote {fmt.count(stable_wrote)}" if stable_wrote else f"it had written {fmt.count(wrote)} before"
    running = f"{fmt.count(open_)} requests running on the canary"
    return f"0 tokens in {fmt.duration(lasted)} with {running}, while {other}: a hang."


def split(served: float, total: float, asked: float) -> str:
    """The canary's share is not the one asked for."""
    share = served / total if total else 0.0
    return (
        f"traffic: the canary served {fmt.share(share)} of {fmt.count(total)} requests where {fmt.share(asked)} was "
        "asked for; until the split is right, no comparison can be trusted."
    )


def spread(replica: str, arm: str, share: float, total: float, replicas: int) -> str:
    """A replica gets far less or far more than its part."""
    return (
        f"traffic: replica {replica} served {fmt.share(share)} of the {fmt.count(total)} requests of the {arm} arm, "
        f"where {fmt.share(1 / replicas)} would be an even part; until its {replicas} replicas share the traffic, "
        "nobody can say what the arm as a whole would do."
    )
