"""What variants cost in a cluster: dollars by pod, from the time that it can serve."""

from canary.snapshot import Counters, PodCounters
from canary.spec.models import CanarySpec
from canary.weights import Arm
from controlplane.adapters.cost_source import rates_of
from controlplane.operator.cost_metrics import Pods, PricedPods, asks_about_money
from controlplane.operator.spec_reader import read
from tests.controlplane.operator.town import a_canary, a_spec

HOUR = 3600.0
STABLE = {"name": "v1", "profile": {"gpu": "L40S", "count": 2, "price": "$1.50"}}
CANARY = {"name": "v2", "profile": {"gpu": "L4", "price": "$0.60"}}


class Gateway:
    """A proxy that counts each arm as one, whatever pods it has."""

    def __init__(self, at: float) -> None:
        self.at = at

    async def read(self) -> Counters:
        """Totals of both arms."""
        return Counters(self.at, {"stable": {"proxy/0": PodCounters(requests=900.0)}})

    async def between(self, start: float, end: float, most: int) -> list[Counters]:
        """The same at the beginning and the end."""
        return [await Gateway(at).read() for at in (start, end)]


def spec(gate: str) -> CanarySpec:
    stages = [{"traffic": "100%", "hold": "1h", "gates": [gate]}]
    plan = read(a_canary(spec={**a_spec(stages=stages), "stable": STABLE, "canary": CANARY})).plan
    assert plan is not None
    return plan.spec


async def test_each_pod_costs_its_gpus_from_the_time_it_is_ready() -> None:
    """Beside the proxy's own counters, which know nothing of pods; stable's replica has two GPUs."""
    pods: Pods = {"stable": {"a": 0.0, "b": HOUR}, "canary": {"c": 1.5 * HOUR}}
    source = PricedPods(Gateway(2 * HOUR), rates_of(spec("cost_per_1k_requests <= $5")), lambda: pods)
    arms = (await source.read()).arms
    assert {name: pod.totals.get("dollars") for name, pod in arms["stable"].items()} == {
        "proxy/0": None,
        "a": 6.0,
        "b": 3.0,
    }
    assert arms["canary"]["c"] == PodCounters(
        totals={"dollars": 0.3, "replica_seconds": 0.5 * HOUR}, started_at=1.5 * HOUR
    )


async def test_what_a_pods_own_page_says_stays_beside_its_dollars() -> None:
    class Pages(Gateway):
        async def read(self) -> Counters:
            return Counters(self.at, {"canary": {"c": PodCounters(totals={"generation_tokens": 7.0})}})

    source = PricedPods(Pages(HOUR), {"canary": 1.0}, lambda: {"canary": {"c": 0.0}})
    totals = (await source.read()).arms["canary"]["c"].totals
    assert totals == {"generation_tokens": 7.0, "dollars": 1.0, "replica_seconds": HOUR}


async def test_the_past_has_the_money_of_its_own_time() -> None:
    """A pod that was not ready then cost nothing then."""
    arm: Arm = "canary"
    source = PricedPods(Gateway(0.0), {arm: 2.0}, lambda: {arm: {"c": HOUR}})
    first, second = await source.between(0.5 * HOUR, 3 * HOUR, 2)
    assert arm not in first.arms or not first.arms[arm]
    assert second.arms[arm]["c"].totals == {"dollars": 4.0, "replica_seconds": 2 * HOUR}


def test_only_plans_with_gates_about_money_are_priced() -> None:
    assert asks_about_money(spec("cost_per_1m_tokens <= $1"))
    assert not asks_about_money(spec("error_rate <= 1%"))
