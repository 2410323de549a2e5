"""Money beside any source's numbers: what a replica has cost so far, and gates that are judged by it."""

from dataclasses import dataclass, field

import pytest

from canary import judge
from canary.snapshot import Counters, MetricsStatus, PodCounters
from canary.spec import parse
from canary.spec.models import CanarySpec, Variant
from canary.verdict import GateAnswer
from canary.weights import Arm, Weights
from controlplane.adapters.cost_source import CostedSource, dollars_an_hour, rates_of
from testing.memory_metrics import MemoryMetrics

HOUR = 3600.0


@dataclass
class World:
    """A source in memory, priced, with a clock that the test sets."""

    now: float = 1_000.0
    rates: dict[Arm, float] = field(default_factory=lambda: {"stable": 2.0, "canary": 1.0})

    def __post_init__(self) -> None:
        self.memory = MemoryMetrics(lambda: self.now)
        self.source = CostedSource(self.memory, self.rates)

    async def dollars(self, arm: Arm, replica: str) -> float | None:
        """The replica's running total now; None where there is none."""
        return (await self.source.read()).arms[arm][replica].totals.get("dollars")


async def test_each_replica_costs_its_arms_rate_from_its_own_start() -> None:
    """Whether it answers or not: an idle GPU is paid as well."""
    world = World()
    world.memory.put("stable", "stable-0", PodCounters(started_at=1_000.0 - HOUR))
    world.memory.put("canary", "canary-0", PodCounters(started_at=1_000.0))
    assert await world.dollars("stable", "stable-0") == 2.0
    assert await world.dollars("canary", "canary-0") == 0.0
    world.now += HOUR / 2
    assert await world.dollars("stable", "stable-0") == 3.0
    assert await world.dollars("canary", "canary-0") == 0.5


async def test_a_replica_that_does_not_say_when_it_started_costs_from_when_it_was_first_seen() -> None:
    world = World()
    world.memory.put("canary", "canary-0", PodCounters(requests=5))
    assert await world.dollars("canary", "canary-0") == 0.0
    world.now += HOUR
    assert await world.dollars("canary", "canary-0") == 1.0


async def test_an_arm_without_a_rate_has_no_dollars_rather_than_none_spent() -> None:
    """Zero would be the cheapest variant there is."""
    world = World(rates={"stable": 2.0})
    pod = PodCounters(requests=5, totals={"finished": 5.0})
    world.memory.put("canary", "canary-0", pod)
    assert (await world.source.read()).arms["canary"]["canary-0"] == pod


async def test_a_restart_begins_a_new_total_as_its_other_totals_do() -> None:
    world = World()
    world.memory.put("canary", "canary-0", PodCounters(started_at=1_000.0))
    world.now += HOUR
    assert await world.dollars("canary", "canary-0") == 1.0
    world.memory.put("canary", "canary-0", PodCounters(started_at=world.now))
    world.now += HOUR / 4
    assert await world.dollars("canary", "canary-0") == 0.25


async def test_a_clock_that_is_set_back_spends_nothing_twice() -> None:
    """A total that falls would be read as a reset, and all of it as new."""
    world = World()
    world.memory.put("canary", "canary-0", PodCounters(started_at=1_000.0))
    world.now += HOUR
    spent = await world.dollars("canary", "canary-0")
    world.now -= HOUR / 2
    assert await world.dollars("canary", "canary-0") == spent


class Remembering(MemoryMetrics):
    """A source that remembers two readings, an hour apart."""

    async def between(self, start: float, end: float, most: int) -> list[Counters]:
        """Both."""
        pods = {"canary": {"canary-0": PodCounters(started_at=1_000.0)}}
        return [Counters(at=at, arms=pods) for at in (1_000.0, 1_000.0 + HOUR)]  # type: ignore[arg-type]  # an arm


async def test_the_past_has_its_money_where_there_is_a_past() -> None:
    source = CostedSource(Remembering(lambda: 9e9), {"canary": 1.0})
    told = await source.between(0.0, 9e9, most=10)
    assert [counters.arms["canary"]["canary-0"].totals["dollars"] for counters in told] == [0.0, 1.0]
    assert await World().source.between(0.0, 9e9, most=10) == []


async def test_a_page_that_does_not_answer_once_changes_nothing() -> None:
    """Neither the replica's start nor the replica itself is forgotten."""
    world = World()
    world.memory.put("canary", "canary-0", PodCounters(started_at=1_000.0))
    await world.source.read()
    world.memory.put("canary", "canary-0", PodCounters(requests=1))
    world.now += HOUR / 2
    assert await world.dollars("canary", "canary-0") == 0.5
    world.memory.forget("canary", "canary-0")
    assert not (await world.source.read()).arms.get("canary")
    world.memory.put("canary", "canary-0", PodCounters(requests=2))
    world.now += HOUR / 2
    assert await world.dollars("canary", "canary-0") == 1.0


@pytest.mark.parametrize(
    ("profile", "dollars"),
    [
        (None, None),
        ({"gpu": "L999", "count": 2}, None),
        ({"gpu": "L999", "count": 2, "price": "$1.50"}, 3.0),
        ({"gpu": "L40S", "price": "$0.50"}, 0.5),
    ],
)
def test_a_price_is_the_plans_own_or_the_catalogues(profile: dict[str, object] | None, dollars: float | None) -> None:
    assert dollars_an_hour(Variant.model_validate({"name": "v", "profile": profile})) == dollars


def test_the_catalogues_price_is_for_one_gpu() -> None:
    one, two = (
        dollars_an_hour(Variant.model_validate({"name": "v", "profile": {"gpu": "L40S", "count": n}})) for n in (1, 2)
    )
    assert one is not None
    assert one > 0
    assert two == 2 * one


PLAN = """\
metadata: {name: chat}
spec:
  model: {name: chat}
  stable: {name: old, profile: {gpu: L40S, price: $1.80}}
  canary: {name: new, quantization: fp8, profile: {gpu: L40S, price: $1.80}}
  stages:
    - {traffic: 50%, hold: 60s, gates: [GATE]}
    - {traffic: 100%}
"""


async def judged(gate: str, *, stable: float, canary: float) -> GateAnswer:
    """The judge's last word on a gate when replicas answer 10 requests of so many tokens in all a second."""
    spec: CanarySpec = parse(PLAN.replace("GATE", gate), "canary.yml").spec
    world = World(rates=dict(rates_of(spec)))
    speeds: dict[Arm, float] = {"stable": stable, "canary": canary}
    config = judge.compile_gates(spec)
    state, answer = judge.begin(config), GateAnswer.WAIT
    for second in range(600):
        world.now = 1_000.0 + second
        for arm, tokens in speeds.items():
            totals = {"generation_tokens": second * tokens}
            world.memory.put(arm, f"{arm}-0", PodCounters(second * 10.0, 0.0, totals=totals, started_at=990.0))
        evidence = MetricsStatus(world.now, await world.source.read())
        weights = Weights.of_share(0.5)
        analysis = judge.watch(
            config, state, stage=0, weights=weights, evidence=evidence, now=world.now, stage_since=1_000.0
        )
        state = analysis.state
        answer = next((each.verdict for each in analysis.judgement.gates if each.gate == gate), GateAnswer.WAIT)
        if answer is not GateAnswer.WAIT:
            break
    return answer


@pytest.mark.parametrize(
    ("gate", "tokens", "answer"),
    [
        # 1.80 dollars an hour are 0.0005 a second, half of it for each arm's half of the requests: with 5000 tokens a
        # second 0.05 a million, with 500 half a dollar.
        ("cost_per_1m_tokens <= $0.40", 5_000, GateAnswer.PASS),
        ("cost_per_1m_tokens <= $0.40", 500, GateAnswer.FAIL),
        # With 20 requests a second in all 0.025 a thousand.
        ("cost_per_1k_requests <= $0.03", 500, GateAnswer.PASS),
        # Both arms are beyond this limit alike, which is not held against the canary and is no pass either.
        ("cost_per_1k_requests <= $0.02", 500, GateAnswer.WAIT),
    ],
)
async def test_a_gate_on_money_is_judged(gate: str, tokens: float, answer: GateAnswer) -> None:
    """The judge's ratio of totals, on totals that this source adds."""
    assert await judged(gate, stable=5_000, canary=tokens) is answer
