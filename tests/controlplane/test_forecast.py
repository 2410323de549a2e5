"""A forecast is what the real judge does in a virtual world, read off."""

import pytest

from canary.spec import parse
from controlplane.forecast import Forecast, forecast
from tests.canary.judge.test_baseline import past

PLAN = """
metadata: {name: chat}
spec:
  model: {name: chat}
  stable: {name: a, profile: {gpu: L40S, count: 2}}
  canary: {name: b, profile: {gpu: nobody-knows-it, count: 1}}
  stages:
    - {traffic: 10%, hold: 10m, gates: [error_rate <= 1%]}
    - {traffic: 100%, hold: 10m}
"""


@pytest.fixture(scope="module")
def quick() -> Forecast:
    """The plan at 200 requests a second."""
    return forecast(parse(PLAN, "canary.yml"), rps=200)


def test_each_gate_says_when_it_passes_and_on_how_many_requests(quick: Forecast) -> None:
    """Read from the verdict that let the stage end."""
    gate = quick.stages[0].gates[0]
    assert gate.gate == "error_rate <= 1%"
    assert gate.passes_after is not None
    assert 0 < gate.passes_after <= 600
    assert (gate.samples or 0) >= 300
    assert quick.decidable


def test_what_few_users_rate_is_decided_on_what_they_rated() -> None:
    """A tenth of the traffic is the canary's, and a third of that is rated."""
    plan = parse(PLAN.replace("error_rate <= 1%", "conversion drop <= 20%, error_rate <= 1%"), "canary.yml")
    gate = forecast(plan, rps=400, noise="iid", rated=0.33).stages[0].gates[0]
    assert gate.passes_after is not None
    assert gate.samples == pytest.approx(400 * 0.1 * 0.33 * gate.passes_after, rel=0.15)
    assert gate.counted == "samples"


def test_harm_is_found_sooner_the_plainer_it_is(quick: Forecast) -> None:
    """Twenty times the errors within moments."""
    plain = quick.found_after["errors ×20"]
    assert plain is not None
    assert plain <= 300


def test_gpus_carry_the_price_that_the_catalogue_knows(quick: Forecast) -> None:
    """And say so where nobody knows it."""
    known, unknown = quick.gpus
    assert (known.gpus, known.dollars_an_hour is not None, known.price_date != "") == (2, True, True)
    assert unknown.dollars_an_hour is None


def test_a_price_in_the_plan_wins_and_memory_is_told_where_all_is_known() -> None:
    """Both come from the plan and the catalogue; no request needs to be played for them."""
    text = PLAN.replace("{name: chat}\n  stable", "{name: Llama-3.1-8B}\n  stable").replace("count: 2", "price: $2.50")
    known, unknown = forecast(parse(text, "canary.yml"), rps=200).gpus
    assert (known.dollars_an_hour, known.price_date, known.fits) == (2.5, "", True)
    assert known.needed_gib is not None
    assert 15 < known.needed_gib < (known.reserved_gib or 0) < 48
    assert (unknown.fits, unknown.needed_gib) == (None, None)


def test_what_cannot_be_decided_with_this_traffic_is_named() -> None:
    """One request in ten seconds shows nothing in ten minutes."""
    slow = forecast(parse(PLAN, "canary.yml"), rps=0.1)
    assert not slow.decidable
    assert slow.stages[0].undecided == ["error_rate <= 1%"]
    assert slow.stages[0].lasts is None


def test_stables_own_past_decides_what_a_margin_can_be() -> None:
    """A forecast with it says where its noise is from; one with a handful of readings simulates, as without."""
    text = PLAN.replace("error_rate <= 1%", "error_rate not worse than stable by 2%")
    plan = parse(text, "canary.yml")
    learnt = forecast(plan, rps=200, past=past())
    [gate] = learnt.stages[0].gates
    assert learnt.learnt_from == 5 * 119
    assert gate.noise_floor == pytest.approx(0.09, abs=0.02), "two standard deviations of 20 errors a second in 10 min"
    assert gate.below_noise
    few, without = forecast(plan, rps=200, past=past(5)), forecast(plan, rps=200)
    assert few == without
    assert few.learnt_from is None
