"""What is no fault of a plan, but good to know wherever it runs: gates that promise less than they seem to.

Used by `canary_check.py`, whose warnings `validate`, `plan`, `run` and the operator say. What is only known of a place
stands in `local.py` and `cluster.py`, what a cohort takes from a gate in `cohort.py`. Refuses nothing.
"""

from canary.errors import Fault
from canary.spec.draft import draft
from canary.spec.faults import dotted
from canary.spec.parse import Document

UNTESTED = (
    "has no bound on false rollbacks: each answer beyond the limit counts, by chance or not. Give the counters that it "
    "divides, events: orders_total and of: sessions_total, to have them tested; or write test: threshold, with failures"
)


def notes(document: Document) -> tuple[Fault, ...]:
    """Gates with a query whose owner does not say that its answers are only counted."""
    plan = draft(document.root)
    gates = (*plan.gates, *(gate for stage in plan.stages for gate in stage.gates))
    return tuple(
        plan.place((*each.path, "query"), key=True).fault(f"{dotted(each.path)}.query", UNTESTED)
        for each in gates
        if each.gate.query is not None and each.gate.test != "threshold"
    )
