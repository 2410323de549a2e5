"""Limits that lie below the first bucket of what is counted: such a gate can neither pass nor fail.

Used by `canary_check.py`, whose warnings `validate`, `plan`, `run` and the operator say. Known are the buckets of vLLM,
whose names these metrics have everywhere; a server of one's own may count finer ones, so nothing is refused.
"""

from collections.abc import Iterator, Mapping

from canary.errors import Fault
from canary.spec.draft import draft
from canary.spec.faults import dotted
from canary.spec.parse import Document
from canary.spec.units import show_seconds

FIRST_BUCKET: Mapping[str, float] = {"e2e": 0.3, "queue_time": 0.3}
"""Upper bound in seconds of the first bucket of vLLM, where it is above what people put limits on."""


def coarse_notes(document: Document) -> tuple[Fault, ...]:
    """A warning for each limit that no bucket can tell from a larger one."""
    return tuple(_notes(document))


def _notes(document: Document) -> Iterator[Fault]:
    plan = draft(document.root)
    for each in (*plan.gates, *(gate for stage in plan.stages for gate in stage.gates)):
        gate, first = each.gate, FIRST_BUCKET.get(each.gate.metric)
        if first is None or gate.asks or gate.relative or gate.limit >= first:
            continue
        edge = show_seconds(first)
        message = (
            f"vLLM counts {gate.metric} in buckets from {edge} up, so a gate with the limit {show_seconds(gate.limit)} "
            f"neither passes nor fails; write {edge} or more, or ask for latency"
        )
        yield plan.place(each.path).fault(dotted(each.path), message)
