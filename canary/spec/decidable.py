"""Whether a gate can ever be decided: what no number of requests can show is refused before anything starts.

Used by `checks.py` for faults, and by `parse.py` to put a gate of the whole plan only into stages where it means
something.
"""

from canary.spec import metrics
from canary.spec.gates import Gate
from canary.spec.units import Unit, UnreadableNumber, show_seconds


def never_decided(gate: Gate) -> str | None:
    """Why no stage at all can decide this gate, as one clause; None where some can."""
    if gate.relative:
        if not gate.limit and gate.test == "sequential":
            return "a margin of 0 can never be shown; allow one, such as 1%, or set test: threshold"
        return None
    unit, counted = _unit(gate), gate.test == "threshold"
    if gate.comparison == "max":
        if not gate.limit and (not counted or unit == "seconds"):
            return "no number of requests shows that it is 0; give a limit above 0" + (
                "" if unit == "seconds" else ", or set test: threshold"
            )
        if unit == "share" and gate.limit >= 1:
            return "a share is never above 100%, so this can never fail"
    if gate.comparison == "min":
        if not gate.limit:
            return "nothing is below 0, so this can never fail"
        if unit == "share" and gate.limit >= 1 and not counted:
            return "no number of requests shows that it is 100%; give a limit below, or set test: threshold"
    return None


def not_here(gate: Gate, traffic: float | None, hold: float | None) -> str | None:
    """Why this stage cannot decide a gate that others can; None where it can. An unknown part is no reason."""
    if gate.relative and traffic == 1:
        return (
            "it compares with stable, which has no traffic at 100%; give a limit, or move the gate to an earlier stage"
        )
    if gate.window and hold and gate.window > hold:
        return f"one window of {show_seconds(gate.window)} does not fit into the stage's hold of {show_seconds(hold)}"
    if gate.delay and hold and gate.delay > hold:
        late, held = show_seconds(gate.delay), show_seconds(hold)
        return f"no request gets {late} old, as its delay asks, within the stage's hold of {held}"
    return None


def never_by_label(gate: Gate) -> str | None:
    """Why values of a label cannot be told apart for this gate, as one clause; None where they can."""
    if gate.query is not None:
        return "a query gives one number for each variant; ask for the worst value in the query itself"
    if gate.events is not None:
        return "its own counters are told apart by variant alone; give each value a gate with a matcher of its own"
    if gate.test == "threshold":
        return "with test: threshold readings are counted for all requests together"
    if gate.delay:
        return "events that come late are held against all requests together"
    metric = metrics.find(gate.metric)
    if metric.kind in {"gauge", "rate"}:
        return f"{metric.name} is read for whole replicas"
    if metric.counts and "dollars" in metric.counts:
        return "a replica costs the same for whomever it answers"
    return None


def _unit(gate: Gate) -> Unit | None:
    """The unit of the gate's value; for a figure of the user's own, what its limit says."""
    try:
        unit = metrics.find(gate.metric).unit
    except UnreadableNumber:  # a gate that a program made by hand may be about anything
        return None
    return unit or ("share" if "%" in gate.text else None)
