"""What is no fault of a plan, but good to know wherever it runs: gates that promise less than they seem to.

Used by `canary_check.py`, whose warnings `validate`, `plan`, `run` and the operator say. What is only known of a place
stands in `local.py` and `cluster.py`, what a cohort takes from a gate in `cohort.py`. Refuses nothing.
"""

from collections.abc import Iterator

from canary.errors import Fault
from canary.spec.draft import Draft, draft
from canary.spec.faults import dotted
from canary.spec.models import CanarySpec
from canary.spec.parse import Document

UNTESTED = (
    "has no bound on false rollbacks: each answer beyond the limit counts, by chance or not. Give the counters that it "
    "divides, events: orders_total and of: sessions_total, to have them tested; or write test: threshold, with failures"
)


ALONE = (
    "the limit alone decides, so a service that is beyond it rolls every canary back, also one that is no worse than "
    "stable; falseRollback promises nothing then. Take it out to ask for a canary that is worse than stable too"
)
WANDERING = (
    "a replica that is slower than usual for some minutes looks like a slower build: replicas that wander by 5 % "
    "made twins be rolled back in a fifth to a half of simulated rollouts. Allow 10% or more{more}"
)
STICKY = (
    "clients stay on one variant, and requests of one client are not independent: where a few hundred clients differ "
    "much in size or length, falseRollback is not kept by gates with narrow margins to stable. Allow 10% or more, and "
    "give a small share time to meet many clients"
)
NARROW = 0.1
"""Margins below this are less than replicas of one build may differ by for minutes."""


def notes(document: Document) -> tuple[Fault, ...]:
    """What the shape of a plan does not promise, with what to change."""
    return tuple(_notes(draft(document.root), document.canary.spec))


def _notes(plan: Draft, spec: CanarySpec) -> Iterator[Fault]:
    narrow = False
    for each in (*plan.gates, *(gate for stage in plan.stages for gate in stage.gates)):
        gate, place = each.gate, plan.place(each.path)
        if gate.query is not None and gate.test != "threshold":
            key = plan.place((*each.path, "query"), key=True)
            yield key.fault(f"{dotted(each.path)}.query", UNTESTED)
        if gate.regardless_of_stable:
            key = plan.place((*each.path, "regardlessOfStable"), key=True)
            yield key.fault(f"{dotted(each.path)}.regardlessOfStable", ALONE)
        tested = gate.relative and gate.test == "sequential" and gate.margin == "relative" and not gate.asks
        narrow = narrow or (tested and gate.limit < NARROW)
        if tested and gate.quantile is not None and gate.limit < NARROW and (wanders := _unseen(spec)):
            yield place.fault(dotted(each.path), wanders)
    if spec.sticky is not None and narrow:
        yield plan.place(("spec", "sticky"), key=True).fault("spec.sticky", STICKY)


def _unseen(spec: CanarySpec) -> str:
    """Why replicas that wander cannot be seen to, so that their noise is taken for harm; empty where they can."""
    if spec.stable.replicas == 1:
        more = ", and give stable two replicas or more" if spec.platform.kserve is None else ""
        return WANDERING.format(more=more)
    if spec.platform.kserve is not None and spec.platform.kserve.metrics_profile in {None, "envoy-gateway"}:
        more = ", or judge what the servers count themselves (platform.kserve.metricsProfile)"
        return WANDERING.format(more=more)
    return ""
