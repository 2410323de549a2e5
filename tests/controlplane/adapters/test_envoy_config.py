"""What Envoy is told: golden files for the whole of it, properties for the arithmetic."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.spec.models import Cohort, Sticky
from canary.weights import ALL_CANARY, ALL_STABLE, WHOLE, Arm, Weights
from controlplane.adapters import envoy_config
from controlplane.adapters.envoy_config import Address, Json

GOLDEN = Path(__file__).parents[2] / "golden"
REPLICAS = {"stable-0": Address("127.0.0.1", 9001), "canary-0": Address("::1", 9002)}
SPLIT = {"canary-0": 50_000, "stable-0": 950_000}


def golden(name: str, rendered: Json | list[Json]) -> None:
    """The rendering is the golden file; a difference that is meant is made there by hand and read in review."""
    assert rendered == json.loads((GOLDEN / name).read_text(encoding="utf-8"))


def test_the_bootstrap_is_the_golden_one() -> None:
    bootstrap = envoy_config.bootstrap(
        Address("127.0.0.1", 8080),
        Address("127.0.0.1", 9901),
        Path("/s/admin.sock"),
        [100.0, 200.0],
        Path("/s/c.json"),
        Path("/s/r.json"),
    )
    golden("envoy_bootstrap.json", bootstrap)


def test_the_clusters_are_the_golden_ones() -> None:
    golden("envoy_clusters.json", envoy_config.clusters(REPLICAS))


def test_those_outside_a_cohort_have_clusters_of_their_own_at_the_same_addresses() -> None:
    """What is counted of a replica is then the cohort's alone."""
    made = envoy_config.clusters(REPLICAS, apart=True)
    assert [each["name"] for each in made] == ["canary-0", "outside-canary-0", "outside-stable-0", "stable-0"]
    assert envoy_config.addresses_in({"resources": made}) == REPLICAS
    by_name = {
        each["name"]: {**each, "name": "", "load_assignment": each["load_assignment"]["endpoints"]} for each in made
    }
    assert all(by_name[f"outside-{name}"] == by_name[name] for name in REPLICAS)


def test_the_routes_are_the_golden_ones() -> None:
    golden("envoy_routes.json", envoy_config.routes(SPLIT, {"stable-0": WHOLE}, None, None))


def test_the_routes_with_cohort_and_stickiness_are_the_golden_ones() -> None:
    cohort, sticky = Cohort(header="x-group", values=("beta", "staff")), Sticky(header="x-user")
    golden("envoy_routes_cohort_sticky.json", envoy_config.routes(SPLIT, {"stable-0": WHOLE}, cohort, sticky))


def test_no_route_retries_and_none_has_a_time_limit() -> None:
    """A retry would hide the canary's failures from the judge and double its work; a limit would cut streams."""
    text = json.dumps(envoy_config.routes(SPLIT, {}, None, None))
    assert "retry" not in text
    action = envoy_config.routes(SPLIT, {}, None, None)[0]["virtual_hosts"][0]["routes"][0]["route"]
    assert (action["timeout"], action["idle_timeout"]) == ("0s", "0s")


names = st.lists(st.integers(0, 40), unique=True, min_size=1, max_size=12)


@given(canary=st.integers(0, WHOLE), canaries=names, stables=names)
def test_a_spread_is_exact_and_read_back_as_the_same_weights(
    canary: int, canaries: list[int], stables: list[int]
) -> None:
    """The parts sum to a million, differ by at most one within an arm, and never name an arm at zero."""
    weights = Weights(canary)
    serving: dict[Arm, list[str]] = {
        "canary": [f"canary-{number}" for number in canaries],
        "stable": [f"stable-{number}" for number in stables],
    }
    parts = envoy_config.spread(weights, serving)
    assert sum(parts.values()) == WHOLE
    assert min(parts.values()) > 0
    for arm, weight in (("canary", weights.canary), ("stable", weights.stable)):
        of_arm = [part for name, part in parts.items() if envoy_config.arm_of(name) == arm]
        assert sum(of_arm) == weight
        assert not of_arm or max(of_arm) - min(of_arm) <= 1
    assert envoy_config.weights_in(envoy_config.routes(parts, {}, None, None)[0]) == weights


def test_the_canary_s_clusters_stand_first() -> None:
    """A hash that is below a share stays below every larger one, so a rise takes no user back to stable."""
    parts = envoy_config.spread(Weights(1), {"canary": ["canary-0"], "stable": ["stable-0"]})
    assert list(parts) == ["canary-0", "stable-0"]


def test_routes_to_nowhere_say_so_and_carry_no_weights() -> None:
    nowhere = envoy_config.routes({}, {}, None, None)[0]
    assert envoy_config.weights_in(nowhere) is None
    answer = nowhere["virtual_hosts"][0]["routes"][0]["direct_response"]
    assert answer["status"] == 503
    assert "no variant is running" in answer["body"]["inline_string"]


@pytest.mark.parametrize("weights", [ALL_STABLE, ALL_CANARY, Weights(250_000)])
def test_weights_are_read_from_the_cohort_s_route(weights: Weights) -> None:
    """Not from the one for everybody else, which is always on stable."""
    parts = envoy_config.spread(weights, {"canary": ["canary-0"], "stable": ["stable-0"]})
    cohort = Cohort(header="x-group", values=("beta", "staff"))
    configuration = envoy_config.routes(parts, {"stable-0": WHOLE}, cohort, None)[0]
    assert envoy_config.weights_in(configuration) == weights
    assert envoy_config.cohort_in(configuration) == cohort


def test_addresses_are_read_back_from_a_cluster_file() -> None:
    assert envoy_config.addresses_in({"resources": envoy_config.clusters(REPLICAS)}) == REPLICAS


@pytest.mark.parametrize("text", ["127.0.0.1:80", "[::1]:8080", "localhost:0"])
def test_an_address_is_written_as_it_was_read(text: str) -> None:
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize("text", ["", ":80", "host", "host:", "host:x", "host:70000", "host:-1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected HOST:PORT"):
        Address.parse(text)


def test_a_replica_s_name_says_its_arm() -> None:
    assert (envoy_config.arm_of("canary-0"), envoy_config.arm_of("stable-12")) == ("canary", "stable")
    assert envoy_config.arm_of("outside-stable-0") == "stable"
    with pytest.raises(ValueError, match="named stable-… or canary-…"):
        envoy_config.arm_of("shadow-0")


def test_the_limits_of_gates_are_bounds() -> None:
    """Rising, without repetition, and fine enough that two neighbours differ by at most a seventh from 10 ms up."""
    bounds = envoy_config.bounds_with([210.0, 200.0, 2500.0, 0.0])
    assert {200.0, 210.0, 2500.0} <= set(bounds)
    assert list(bounds) == sorted(set(bounds))
    assert bounds[0] == 1.0
    from_ten = [bound for bound in bounds if 10 <= bound <= 100_000]
    assert max(after / before for before, after in pairwise(from_ten)) <= 8 / 7
