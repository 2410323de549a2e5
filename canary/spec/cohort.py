"""What a cohort takes from the judge: gates whose numbers of stable cannot be told apart by who asked.

Used by `canary_check.py`, whose warnings `validate`, `plan`, `run` and the operator say. A proxy that routes the
cohort counts it apart, for both arms. A server counts everybody whom it answers: the canary only the cohort, stable all
of its users. A gate with a limit of its own asks the canary alone; one that holds the canary against stable compares
two kinds of users. Refuses nothing: they may be alike, and only their owner knows.
"""

from collections.abc import Iterator

from canary.errors import Fault
from canary.spec import metrics
from canary.spec.draft import Draft, draft
from canary.spec.faults import dotted
from canary.spec.gates import Gate
from canary.spec.parse import Document
from canary.spec.sources import ENVOY, told_by

_INSTEAD = "give it a limit of its own (<= or >=)"


def cohort_notes(document: Document) -> tuple[Fault, ...]:
    """A warning for each gate that compares a cohort with all of stable's users."""
    plan = draft(document.root)
    if document.canary.spec.cohort is None:
        return ()
    return tuple(_notes(plan, _proxied(plan)))


def _notes(plan: Draft, proxied: bool) -> Iterator[Fault]:
    for each in (*plan.gates, *(gate for stage in plan.stages for gate in stage.gates)):
        if not each.gate.relative:
            continue
        if each.gate.asks:
            message = f"its PromQL has to select the cohort's requests to stable by itself; if it cannot, {_INSTEAD}"
        elif not proxied:
            message = (
                "with this metricsProfile stable's number is of all its users and the canary's of the cohort; "
                f"leave the profile to envoy-gateway, or {_INSTEAD}"
            )
        elif not _counted_apart(each.gate):
            message = (
                f"{each.gate.metric} is counted by the servers, so stable's number is of all its users and the "
                f"canary's of the cohort; {_INSTEAD}"
            )
        else:
            continue
        yield plan.place(each.path).fault(dotted(each.path), message)


def _proxied(plan: Draft) -> bool:
    """Whether the proxy that routes the cohort is what counts the requests."""
    kserve = plan.platform.kserve if plan.platform is not None else None
    return kserve is None or kserve.metrics_profile in {None, "envoy-gateway"}


def _counted_apart(gate: Gate) -> bool:
    """Whether the metric is made of what the proxy counts, and of nothing else."""
    metric = metrics.find(gate.metric)
    made_of = ("requests",) if metric.kind == "rate" else metric.counts or (metric.name,)
    return not metric.is_kpi and set(made_of) <= told_by(ENVOY)
