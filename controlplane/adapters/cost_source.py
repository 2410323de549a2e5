"""Adds money to the numbers of a rollout on this machine: a running total of dollars for each replica.

Wraps any metric source, so that gates on `cost_per_1m_tokens` and `cost_per_1k_requests` are what they are elsewhere,
one running total over another. Put together by `controlplane.adapters.local_metrics`. A replica costs its GPUs' price
for as long as it is up, whether it answers or not; a price comes from the plan or from the catalogue, never from here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from canary.snapshot import Counters, PodCounters
from canary.spec.models import CanarySpec, Variant
from canary.weights import ARMS, Arm
from controlplane.adapters.augmented_source import AugmentedSource
from controlplane.ports import MetricSource
from profiles.catalogue import Catalogue, builtin
from profiles.errors import Unknown

DOLLARS = "dollars"
"""Name of the running total, as `canary.spec.metrics` has it."""
UPTIME = "replica_seconds"
"""The total of seconds that were charged, by which `canary.judge.cost` tells work from idle time."""
HOUR = 3600.0


def dollars_an_hour(variant: Variant, known: Catalogue | None = None) -> float | None:
    """What one replica costs: its profile's price, or else the catalogue's, for all its GPUs; None if nobody knows.

    `known` is the package's own catalogue when left out.
    """
    profile = variant.profile
    if profile is None:
        return None
    if profile.price is not None:
        return profile.price * profile.count
    try:
        price = (known or builtin()).gpu(profile.gpu).price
    except Unknown:
        return None
    return price.typical * profile.count if price else None


def rates_of(spec: CanarySpec, known: Catalogue | None = None) -> Mapping[Arm, float]:
    """Dollars an hour for one replica, for each arm whose price is known."""
    variants = zip(ARMS, (spec.stable, spec.canary), strict=True)
    priced = {arm: dollars_an_hour(variant, known) for arm, variant in variants}
    return {arm: rate for arm, rate in priced.items() if rate is not None}


@dataclass(slots=True)
class CostMeter:
    """One replica's bill."""

    since: float
    """When it began to cost, in seconds."""
    dollars: float = 0.0


class CostSource(AugmentedSource):
    """A source whose numbers have money added, those of the past as those of now."""

    def __init__(self, source: MetricSource, rates: Mapping[Arm, float]) -> None:
        """`rates` are dollars an hour for one replica of the arm."""
        super().__init__(source)
        self._rates = rates


class CostedSource(CostSource):
    """Another source's numbers, and `dollars` for each replica of an arm that has a rate.

    A replica costs from its start where it says when that was, otherwise from the first reading that had it. Like every
    running total this one falls only when the replica was started anew: a clock that is set back, or a page that did
    not answer once, must not look like money spent twice.
    """

    def __init__(self, source: MetricSource, rates: Mapping[Arm, float]) -> None:
        """`rates` are dollars an hour for one replica of the arm."""
        super().__init__(source, rates)
        self._meters: dict[tuple[Arm, str], CostMeter] = {}

    def _amended(self, counters: Counters) -> Counters:
        arms = {
            arm: {name: self._priced(arm, name, pod, counters.at) for name, pod in pods.items()}
            for arm, pods in counters.arms.items()
        }
        return replace(counters, arms=arms)

    def _priced(self, arm: Arm, name: str, pod: PodCounters, at: float) -> PodCounters:
        if arm not in self._rates:
            return pod
        meter = self._meter(arm, name, pod.started_at, at)
        meter.dollars = max(meter.dollars, (at - meter.since) * self._rates[arm] / HOUR)
        uptime = meter.dollars / self._rates[arm] * HOUR if self._rates[arm] else at - meter.since
        return replace(pod, totals={**pod.totals, DOLLARS: meter.dollars, UPTIME: max(uptime, 0.0)})

    def _meter(self, arm: Arm, name: str, started_at: float | None, at: float) -> CostMeter:
        """The replica's meter; a new one for a replica that was not seen before or has been started since."""
        meter = self._meters.get((arm, name))
        if meter is None or (started_at is not None and started_at > meter.since):
            meter = CostMeter(at if started_at is None else started_at)
            self._meters[arm, name] = meter
        return meter
