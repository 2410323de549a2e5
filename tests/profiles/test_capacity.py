"""Replicas for a rate, the cheapest plan, and room for a canary beside stable."""

import pytest

from profiles.capacity import Misfit, Objectives, Plan, at_rate, limit, neutral, plan, plans
from profiles.catalogue import builtin
from profiles.deployment import Deployment
from profiles.errors import Malformed, ProfileRefused
from profiles.load import Workload

KNOWN = builtin()
WORK = Workload(512, 128)
PROMISE = Objectives(ttft=0.3, itl=0.05)


def deployment(quantization: str = "fp8", gpu: str = "L40S", model: str = "Mistral-7B", gpus: int = 1) -> Deployment:
    return Deployment(KNOWN.model(model), KNOWN.gpu(gpu), KNOWN.quantization(quantization), gpus=gpus)


def test_the_documented_example_needs_three_replicas() -> None:
    """Mistral-7B in fp8 on L40S, 50 requests a second, TTFT 300 ms, ITL 50 ms: three replicas."""
    found = plan(deployment(), WORK, 50, PROMISE)
    assert isinstance(found, Plan)
    assert found.replicas == 3
    assert found.prediction.latency.ttft.value <= 0.3
    assert found.headroom >= 0


def test_a_replica_at_its_limit_meets_its_objectives_and_a_little_more_load_does_not() -> None:
    top = limit(deployment(), WORK, Objectives(itl=0.03))
    assert top is not None
    assert top.latency.itl.value <= 0.03
    assert at_rate(deployment(), WORK, 1.05 * top.latency.requests_per_second.value).latency.itl.value > 0.03


def test_more_requests_never_need_fewer_replicas() -> None:
    counts = [
        found.replicas
        for rate in (1, 10, 20, 50, 100, 200)
        if isinstance(found := plan(deployment(), WORK, rate, PROMISE), Plan)
    ]
    assert counts == sorted(counts)
    assert len(counts) == 6


def test_plans_are_sorted_by_price_and_misfits_say_why() -> None:
    gpus = {name: (KNOWN.gpu(name), 2) for name in ("L40S", "H100", "A100")}
    found, misfits = plans(deployment(), gpus, WORK, 20, PROMISE)
    prices = [one.dollars_an_hour or 0 for one in found]
    assert prices == sorted(prices)
    reasons = [miss.reason for miss in misfits if miss.deployment.gpu.name == "A100"]
    assert len(reasons) == 2
    assert all("8.9" in reason for reason in reasons)


def test_objectives_that_no_load_meets_are_said() -> None:
    found = plan(deployment(), WORK, 1, Objectives(itl=0.0001))
    assert isinstance(found, Misfit)
    assert "misses the objectives" in found.reason


def test_a_canary_gets_room_within_stables_gpus() -> None:
    found = neutral(deployment("bf16"), deployment("bnb-nf4"), 4, WORK, 20, 0.05, Objectives())
    assert (found.stable_before, found.stable_after, found.canary) == (4, 3, 1)
    assert found.headroom > 0
    assert str(found).startswith("stable 4 → 3, canary 0 → 1, headroom ")


def test_a_stable_that_cannot_spare_a_replica_is_left_alone() -> None:
    with pytest.raises(ProfileRefused, match=r"Missing: \d+ x 1 L40S"):
        neutral(deployment("bf16"), deployment("bnb-nf4"), 1, WORK, 20, 0.05, Objectives())


def test_another_type_of_gpu_makes_no_room() -> None:
    with pytest.raises(ProfileRefused, match="cannot make room"):
        neutral(deployment(), deployment(gpu="H100"), 4, WORK, 20, 0.05, Objectives())


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(Malformed, match="positive"):
        plan(deployment(), WORK, 0, PROMISE)
