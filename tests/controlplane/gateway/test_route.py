"""The HTTPRoute as it is written, and what is read out of one, whoever wrote it."""

import copy
from typing import Any

import pytest

from canary.errors import BadInput
from canary.weights import WHOLE
from controlplane.gateway.route import (
    ANY_PATH,
    MOST_COHORT_VALUES,
    SLOTS_ANNOTATION,
    VARIANT_HEADER,
    WEIGHTED_RULE,
    backends_of,
    differences,
    gateway_of,
    http_route,
    read_route,
    under_gateway,
)
from controlplane.gateway.slots import Backend, Slot, Slots, all_on
from controlplane.kubernetes.api import Object
from tests.controlplane.gateway.world import GATEWAY, NAMESPACE, plan

STABLE, CANARY = Backend("v1", "chat-v1-predictor"), Backend("v2", "chat-v2-predictor")
EDGE = "gateway kserve/kserve-ingress-gateway (class nobody)"
HANDLED = "no running controller seems to handle that class"
SPLIT = (Slot(STABLE, 950_000, 10.0), Slot(CANARY, 50_000, 20.5))


def route(slots: Slots = SPLIT, **spec: Any) -> Object:
    return http_route(plan(**spec), NAMESPACE, slots)


def answered(
    made: Object, *conditions: dict[str, Any], gateway: tuple[str, str] = GATEWAY, generation: int = 3
) -> Object:
    """The route with its generation, and what the controller of a gateway says of it."""
    answer = copy.deepcopy(made)
    answer["metadata"]["generation"] = generation
    reference = {"namespace": gateway[0], "name": gateway[1]}
    answer["status"] = {"parents": [{"parentRef": reference, "conditions": list(conditions)}]}
    return answer


def condition(kind: str, status: str = "True", reason: str = "", message: str = "", seen: int = 3) -> dict[str, Any]:
    named = {"type": kind, "status": status, "reason": reason or kind, "message": message}
    return named | {"observedGeneration": seen}


def test_the_route_has_the_rollouts_name_and_hangs_on_the_gateway() -> None:
    made = route()
    assert (made["metadata"]["name"], made["metadata"]["namespace"]) == ("chat", NAMESPACE)
    assert made["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "serinus", "serinus.dev/rollout": "chat"}
    assert made["spec"]["parentRefs"] == [
        {
            "group": "gateway.networking.k8s.io",
            "kind": "Gateway",
            "namespace": "kserve",
            "name": "kserve-ingress-gateway",
        }
    ]
    assert made["spec"]["hostnames"] == ["chat.example.com"]


def test_there_are_two_slots_each_with_a_filter_and_no_limit_on_time() -> None:
    """A filter makes a slot a cluster of its own; Envoy would end a stream after 15 seconds."""
    [rule] = route()["spec"]["rules"]
    assert rule["timeouts"] == {"request": "0s"}
    assert [(each["name"], each["port"], each["weight"]) for each in rule["backendRefs"]] == [
        ("chat-v1-predictor", 80, 950_000),
        ("chat-v2-predictor", 80, 50_000),
    ]
    assert [each["filters"][0]["requestHeaderModifier"]["set"] for each in rule["backendRefs"]] == [
        [{"name": VARIANT_HEADER, "value": "v1"}],
        [{"name": VARIANT_HEADER, "value": "v2"}],
    ]


def test_a_slot_at_rest_names_the_service_that_serves() -> None:
    """A Service that is not there yet, or any more, would be an error of the route."""
    references = route(all_on(STABLE))["spec"]["rules"][0]["backendRefs"]
    assert [(each["name"], each["weight"]) for each in references] == [
        ("chat-v1-predictor", WHOLE),
        ("chat-v1-predictor", 0),
    ]


def test_a_variant_that_runs_already_is_routed_to_by_its_own_name() -> None:
    backends = backends_of(plan(canary={"name": "v2", "inferenceService": "old-one"}))
    assert backends["canary"] == Backend("v2", "old-one-predictor")


@pytest.mark.parametrize(
    ("named", "found"),
    [
        (None, ("kserve", "kserve-ingress-gateway")),
        ("edge/public", ("edge", "public")),
        ("public", (NAMESPACE, "public")),
    ],
)
def test_a_gateway_without_a_namespace_is_in_the_rollouts_own(named: str | None, found: tuple[str, str]) -> None:
    assert gateway_of(plan(kserve={"gateway": named}), NAMESPACE) == found


def test_only_a_cohort_takes_part_and_everybody_else_is_served_by_stable() -> None:
    rules = route(cohort={"header": "x-team", "in": ["blue", "green"]})["spec"]["rules"]
    assert rules[WEIGHTED_RULE]["matches"] == [
        {**ANY_PATH, "headers": [{"type": "Exact", "name": "x-team", "value": "blue"}]},
        {**ANY_PATH, "headers": [{"type": "Exact", "name": "x-team", "value": "green"}]},
    ]
    assert rules[1]["matches"] == [ANY_PATH]
    assert [each["name"] for each in rules[1]["backendRefs"]] == ["chat-v1-predictor"]
    assert rules[1]["timeouts"] == {"request": "0s"}


def test_once_stable_goes_away_the_winner_serves_everybody() -> None:
    rules = route(all_on(CANARY, 1), cohort={"header": "x-team", "in": ["blue"]})["spec"]["rules"]
    assert [each["name"] for each in rules[1]["backendRefs"]] == ["chat-v2-predictor"]


def test_a_cohort_that_no_rule_can_hold_is_refused() -> None:
    values = [f"team-{number}" for number in range(MOST_COHORT_VALUES + 1)]
    with pytest.raises(BadInput, match="The cohort has 65 values, and a rule of an HTTPRoute can hold 64"):
        route(cohort={"header": "x-team", "in": values})


def test_what_was_written_can_be_read_back() -> None:
    state = read_route(route(), GATEWAY)
    assert state.slots == SPLIT
    assert state.written == SPLIT
    assert state.ours


def test_the_gateways_word_counts_only_for_the_newest_change() -> None:
    fresh = read_route(answered(route(), condition("Accepted"), condition("ResolvedRefs")), GATEWAY)
    stale = read_route(answered(route(), condition("Accepted", seen=2)), GATEWAY)
    assert (fresh.in_force, fresh.problem) == (True, "")
    assert not stale.in_force
    assert stale.problem == "gateway kserve/kserve-ingress-gateway has not taken the last change yet (generation 3)"


def test_a_route_that_is_not_accepted_says_why_in_the_gateways_words() -> None:
    refused = condition("Accepted", "False", "NoMatchingListenerHostname", "No listener matches.")
    state = read_route(answered(route(), refused), GATEWAY)
    assert not state.in_force
    assert state.problem == (
        "gateway kserve/kserve-ingress-gateway does not accept it: NoMatchingListenerHostname (No listener matches)"
    )


def test_a_service_that_is_missing_leaves_the_rest_in_force() -> None:
    missing = condition("ResolvedRefs", "False", "BackendNotFound", "Service models/chat-v2-predictor not found")
    state = read_route(answered(route(), condition("Accepted"), missing), GATEWAY)
    assert state.in_force
    assert "cannot reach all of it: BackendNotFound (Service models/chat-v2-predictor not found)" in state.problem


def test_the_word_of_another_gateway_is_not_asked_for() -> None:
    state = read_route(answered(route(), condition("Accepted"), gateway=("edge", "public")), GATEWAY)
    assert not state.in_force
    assert state.unanswered
    assert state.problem.startswith("no controller has accepted it yet: gateway kserve/kserve-ingress-gateway may be")


@pytest.mark.parametrize(
    ("said", "then"),
    [
        ([condition("Accepted", "Unknown", "Pending")], f"nor its {EDGE}: {HANDLED}"),
        ([], f"nor its {EDGE}: {HANDLED}"),
        ([condition("Accepted", "False", "Invalid", "No such address.")], f"nor its {EDGE}: Invalid (No such address)"),
        ([condition("Accepted")], f"though one did accept {EDGE}: it seems not to be running"),
    ],
)
def test_a_route_that_nobody_answered_for_is_told_with_what_its_gateway_says(said: list[Object], then: str) -> None:
    gateway = {"spec": {"gatewayClassName": "nobody"}, "status": {"conditions": said}}
    state = under_gateway(read_route(route(), GATEWAY), GATEWAY, gateway)
    assert (state.in_force, state.refused, state.problem) == (
        False,
        False,
        f"no controller has accepted it yet, {then}",
    )


def test_one_listener_that_serves_is_enough() -> None:
    object_ = answered(route(), condition("Accepted", "False", "NoMatchingListenerHostname"))
    object_["status"]["parents"].append({**object_["status"]["parents"][0], "conditions": [condition("Accepted")]})
    assert read_route(object_, GATEWAY).in_force


def test_a_gateway_without_an_address_is_a_problem_of_its_routes() -> None:
    state = read_route(answered(route(), condition("Accepted")), GATEWAY)
    programmed = {"status": {"conditions": [condition("Programmed", "False", "AddressNotAssigned")]}}
    assert under_gateway(state, GATEWAY, programmed).problem == (
        "gateway kserve/kserve-ingress-gateway is not programmed: AddressNotAssigned"
    )
    assert under_gateway(state, GATEWAY, {"status": {}}) == state


@pytest.mark.parametrize(
    ("references", "found"),
    [
        ([], [("", 0), ("", 0)]),
        ([{"name": "chat-v1-predictor"}], [("chat-v1-predictor", 1), ("chat-v1-predictor", 0)]),
        ([{"name": "x", "weight": 3}, {"name": "y", "weight": 0}], [("x", 3), ("y", 0)]),
    ],
)
def test_what_somebody_left_of_a_route_can_be_read(
    references: list[dict[str, Any]], found: list[tuple[str, int]]
) -> None:
    """Without our annotation too: whoever removes a backendRef takes its traffic away."""
    object_ = route()
    object_["spec"]["rules"][0]["backendRefs"] = references
    del object_["metadata"]["annotations"]
    state = read_route(object_, GATEWAY)
    assert [(slot.service, slot.weight) for slot in state.slots] == found
    assert state.written is None


@pytest.mark.parametrize("text", ["", "{", "[]", "[1, 2]", '[{"variant": "a"}, {"variant": "b"}]', '{"a": 1, "b": 2}'])
def test_an_annotation_that_cannot_be_read_is_none(text: str) -> None:
    object_ = route()
    object_["metadata"]["annotations"][SLOTS_ANNOTATION] = text
    assert read_route(object_, GATEWAY).written is None


def test_a_route_without_our_label_and_our_annotation_is_not_ours() -> None:
    object_ = route()
    object_["metadata"]["labels"] = {}
    assert read_route(object_, GATEWAY).ours
    del object_["metadata"]["annotations"]
    assert not read_route(object_, GATEWAY).ours


def test_only_what_we_speak_of_can_differ() -> None:
    """The API server and others add fields; they are welcome to."""
    wanted, found = {"a": [{"b": 1}], "c": "x"}, {"a": [{"b": 1, "added": True}], "c": "x", "more": 1}
    assert list(differences(wanted, found, "spec")) == []
    assert list(differences(wanted, found, "spec", strict=True)) == [
        ("spec.a[0].added", None, True),
        ("spec.more", None, 1),
    ]
    found["a"] = [{"b": 2}]
    assert list(differences(wanted, found, "spec")) == [("spec.a[0].b", 1, 2)]
