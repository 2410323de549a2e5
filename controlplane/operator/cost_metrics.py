"""Adds money to the numbers of a rollout in a cluster: a running total of dollars for each pod that can serve.

Used by `cluster_environments.py` where a gate asks about cost. A gateway counts all pods of a variant together, and not
every server has counters of its own; so the dollars are counted from the pods: since when each is ready, and what a
replica costs. Knows no prices; these come from the plan or the catalogue (`controlplane.adapters.cost_source`).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from canary.snapshot import Counters, PodCounters
from canary.spec import metrics
from canary.spec.models import CanarySpec
from canary.weights import Arm
from controlplane.adapters.cost_source import DOLLARS, HOUR, UPTIME, CostSource
from controlplane.ports import MetricSource

Pods = Mapping[Arm, Mapping[str, float]]
"""By arm and pod, since when it can serve (seconds since the epoch)."""


def asks_about_money(spec: CanarySpec) -> bool:
    """Whether some gate is about dollars that no query brings."""
    gates = [gate for stage in spec.stages for gate in stage.gates if not gate.asks]
    return any(DOLLARS in (metrics.find(gate.metric).counts or ()) for gate in gates)


class PricedPods(CostSource):
    """Another source's numbers, and `dollars` for each pod of an arm that has a rate."""

    def __init__(self, source: MetricSource, rates: Mapping[Arm, float], pods: Callable[[], Pods]) -> None:
        """`rates` are dollars an hour for one replica of the arm; `pods` are those of now."""
        super().__init__(source, rates)
        self._pods = pods

    def _amended(self, counters: Counters) -> Counters:
        arms = {arm: dict(pods) for arm, pods in counters.arms.items()}
        for arm, pods in self._pods().items():
            if arm not in self._rates:
                continue
            for name, since in pods.items():
                if since > counters.at:
                    continue  # it was not ready yet when these numbers were true
                known = arms.setdefault(arm, {}).get(name) or PodCounters(started_at=since)
                uptime = counters.at - since
                charged = {DOLLARS: uptime * self._rates[arm] / HOUR, UPTIME: uptime}
                arms[arm][name] = replace(known, totals={**known.totals, **charged})
        return replace(counters, arms=arms)
