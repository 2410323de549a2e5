"""How many replicas carry a rate, which plan is cheapest, and whether a canary finds room beside stable.

A replica's limit is the largest rate at which its latencies still meet their objectives and its slots do not fill up,
found by bisection; replicas follow by division. Called by `serinus profile fit` and by the plan of a canary.yml.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from profiles.accelerator import Accelerator
from profiles.deployment import Deployment
from profiles.errors import Malformed, ProfileRefused
from profiles.load import Workload
from profiles.prediction import Prediction, predict

FULLEST = 0.9
"""Share of a replica's slots that may be in use; beyond it requests begin to wait for each other."""
TENSOR_PARALLEL = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class Objectives:
    """What callers are promised, in seconds; None promises nothing."""

    ttft: float | None = None
    itl: float | None = None
    e2e: float | None = None

    def met(self, prediction: Prediction) -> bool:
        """Whether the expected latencies are inside."""
        latency = prediction.latency
        pairs = ((self.ttft, latency.ttft), (self.itl, latency.itl), (self.e2e, latency.e2e))
        return all(limit is None or estimate.value <= limit for limit, estimate in pairs)


@dataclass(frozen=True, slots=True)
class Plan:
    """One way to serve the rate."""

    prediction: Prediction
    """One replica at the load that it is given."""
    replicas: int
    limit: float
    """Requests a second that one replica can take within the objectives."""

    @property
    def gpus(self) -> int:
        """GPUs of all replicas."""
        return self.replicas * self.prediction.deployment.gpus

    @property
    def dollars_an_hour(self) -> float | None:
        """What all replicas cost; None without a price."""
        return self.prediction.cost.hourly * self.replicas if self.prediction.cost else None

    @property
    def headroom(self) -> float:
        """Share of the rate that could come on top."""
        rate = self.prediction.latency.requests_per_second.value * self.replicas
        return self.limit * self.replicas / rate - 1 if rate else 0.0


@dataclass(frozen=True, slots=True)
class Misfit:
    """A combination that is no plan, and why."""

    deployment: Deployment
    reason: str


def limit(
    deployment: Deployment, workload: Workload, objectives: Objectives, allow_fallback: bool = False
) -> Prediction | None:
    """The most loaded replica that still meets the objectives; None when not even one request at a time does."""

    def at(concurrency: float) -> Prediction:
        return predict(deployment, workload, concurrency, allow_fallback=allow_fallback)

    def fine(prediction: Prediction) -> bool:
        return (
            prediction.fits
            and prediction.concurrency <= max(1.0, FULLEST * prediction.state.capacity)
            and objectives.met(prediction)
        )

    best = at(1)
    if not fine(best):
        return None
    low, high = 1.0, max(FULLEST * best.state.capacity, 1.0)
    if fine(top := at(high)):
        return top
    for _ in range(40):
        middle = (low + high) / 2
        if fine(found := at(middle)):
            low, best = middle, found
        else:
            high = middle
        if high - low < 0.01 * low:
            break
    return best


def plan(
    deployment: Deployment,
    workload: Workload,
    rate: float,
    objectives: Objectives,
    *,
    headroom: float = 0.0,
    price: float | None = None,
    allow_fallback: bool = False,
) -> Plan | Misfit:
    """Replicas of this deployment for `rate` requests a second with a share of `headroom` on top, or why there is no
    such plan.
    """
    if rate <= 0:
        raise Malformed(f"a rate of requests must be positive, got {rate}")
    try:
        most = limit(deployment, workload, objectives, allow_fallback)
    except ProfileRefused as reason:
        return Misfit(deployment, str(reason))
    if most is None:
        alone = predict(deployment, workload, 1, allow_fallback=allow_fallback)
        return Misfit(
            deployment, alone.shortage or f"even one request at a time misses the objectives ({speeds(alone)})"
        )
    most_rate = most.latency.requests_per_second.value
    replicas = math.ceil(rate * (1 + headroom) / most_rate - 1e-9)
    used = at_rate(deployment, workload, rate / replicas, price, allow_fallback)
    return Plan(used, replicas, most_rate)


def speeds(prediction: Prediction) -> str:
    """The three latencies in short."""
    latency = prediction.latency
    return f"TTFT {latency.ttft.value:.3g} s, ITL {latency.itl.value * 1e3:.3g} ms, E2E {latency.e2e.value:.3g} s"


def at_rate(
    deployment: Deployment, workload: Workload, rate: float, price: float | None = None, allow_fallback: bool = False
) -> Prediction:
    """One replica that is sent `rate` requests a second: the concurrency at which it answers that many (Little's
    law).
    """

    def at(concurrency: float) -> Prediction:
        return predict(deployment, workload, concurrency, price=price, allow_fallback=allow_fallback)

    low, high = 1e-3, 1.0
    while at(high).latency.requests_per_second.value < rate and high < 1e5:
        low, high = high, 2 * high
    for _ in range(50):
        middle = (low + high) / 2
        if at(middle).latency.requests_per_second.value < rate:
            low = middle
        else:
            high = middle
        if high - low < 1e-3 * high:
            break
    return at(high)


def plans(
    base: Deployment,
    gpus: Mapping[str, tuple[Accelerator, int]],
    workload: Workload,
    rate: float,
    objectives: Objectives,
    *,
    headroom: float = 0.0,
    allow_fallback: bool = False,
    price: float | None = None,
) -> tuple[list[Plan], list[Misfit]]:
    """`(plans, cheapest first; what does not work and why)` over GPU types (name to GPU and how many there are) and
    parallelism.
    """
    found: list[Plan] = []
    misfits: list[Misfit] = []
    for gpu, available in gpus.values():
        for size in TENSOR_PARALLEL:
            if size > available or base.model.heads % size:
                continue
            one = replace(base, gpu=gpu, gpus=size)
            result = plan(
                one, workload, rate, objectives, headroom=headroom, allow_fallback=allow_fallback, price=price
            )
            if isinstance(result, Plan) and result.gpus > available:
                missing = result.gpus - available
                reason = f"{result.replicas} replicas need {result.gpus} GPUs, {available} are there, {missing} missing"
                result = Misfit(one, reason)
            if isinstance(result, Plan):
                found.append(result)
            else:
                misfits.append(result)
    return sorted(found, key=lambda one: (one.dollars_an_hour or math.inf, one.gpus)), misfits


@dataclass(frozen=True, slots=True)
class Neutral:
    """A canary within the GPUs that stable has: `stable 4 → 3, canary 0 → 1, headroom 11 %`."""

    stable_before: int
    stable_after: int
    canary: int
    headroom: float
    """What the smaller stable could take beyond its share of the traffic, as a share."""

    def __str__(self) -> str:
        """The line that people read."""
        stable = f"stable {self.stable_before} → {self.stable_after}"
        return f"{stable}, canary 0 → {self.canary}, headroom {100 * self.headroom:.0f} %"


def neutral(
    stable: Deployment,
    canary: Deployment,
    replicas: int,
    workload: Workload,
    rate: float,
    share: float,
    objectives: Objectives,
) -> Neutral:
    """The canary's first stage within stable's GPUs, at `share` of the traffic; the canary's replicas come out of
    stable's.

    Raises `ProfileRefused` with what is missing, when stable cannot spare them. Assumes that both run on the same type
    of GPU.
    """
    if stable.gpu.name != canary.gpu.name:
        raise ProfileRefused(
            f"stable runs on {stable.gpu.name} and the canary on {canary.gpu.name}: one cannot make room for the other"
        )
    top, small = limit(stable, workload, objectives), limit(canary, workload, objectives)
    for name, found, deployment in (("stable", top, stable), ("canary", small, canary)):
        if found is None:
            alone = predict(deployment, workload, 1)
            raise ProfileRefused(
                f"{name}: {alone.shortage or f'misses the objectives even when idle ({speeds(alone)})'}"
            )
    if top is None or small is None:
        raise ProfileRefused("neither variant meets the objectives")
    stable_limit, canary_limit = (one.latency.requests_per_second.value for one in (top, small))
    wanted = max(1, math.ceil(rate * share / canary_limit))
    freed = math.ceil(wanted * canary.gpus / stable.gpus)
    left = replicas - freed
    needed = rate * (1 - share)
    if left < 1 or left * stable_limit < needed:
        short = math.ceil((needed - max(left, 0) * stable_limit) / stable_limit) if left >= 0 else freed - replicas
        raise ProfileRefused(
            f"no capacity-neutral plan: a canary of {wanted} needs {freed} of {replicas} stable replicas, and the "
            f"{max(left, 0)} that are left carry {max(left, 0) * stable_limit:.3g} of {needed:.3g} requests a second. "
            f"Missing: {max(short, 1)} x {stable.gpus} {stable.gpu.name}."
        )
    return Neutral(replicas, left, wanted, left * stable_limit / needed - 1)


def cheapest(found: Iterable[Plan]) -> Plan | None:
    """The first plan with a price, in the order of `plans`; None without any."""
    return next((one for one in found if one.dollars_an_hour is not None), None)
