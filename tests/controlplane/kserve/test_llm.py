"""Two LLMInferenceServices of one group: what is asked for, and in which order their weights are written."""

import copy
from itertools import pairwise
from typing import Any

import pytest

from canary.errors import BadInput, ExternalError
from canary.weights import ALL_CANARY, ALL_STABLE, WHOLE, Arm, Weights
from controlplane.kserve.llm_drain import LEAVING, leaves
from controlplane.kserve.llm_router import FOLLOWS_S, SETTLED_S
from controlplane.kserve.llm_service import llm_service, weighed
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.resources import LLM_INFERENCE_SERVICE
from profiles.catalogue import builtin
from tests.controlplane.kserve.worlds import GPU, NAMESPACE, LlmWorld, plan

FIVE = Weights(50_000)
STEPS = 12
"""Calls in which every departure comes to its end."""


async def promoted() -> LlmWorld:
    """The canary has everything but a millionth, and the gateway has taken it."""
    world = LlmWorld()
    await world.both_run()
    await world.router.set_weights(ALL_CANARY)
    world.settle()
    return world


async def stop_once(world: LlmWorld, arm: Arm, seconds: float = 1.0) -> None:
    """What the loop does after the end, once."""
    await world.platform.stop(arm)
    world.settle(seconds)


def steps_aside(world: LlmWorld, member: str) -> bool:
    return leaves(world.kube.objects(LLM_INFERENCE_SERVICE)[NAMESPACE, member])


async def leave(world: LlmWorld, arm: Arm) -> None:
    """What the loop does after the end, until there is nothing more to do."""
    for _ in range(STEPS):
        await stop_once(world, arm)
    assert world.platform.gone(arm)


def weights(world: LlmWorld) -> dict[str, int]:
    return {
        name: each["spec"]["router"]["route"]["weight"]
        for (_, name), each in world.kube.objects(LLM_INFERENCE_SERVICE).items()
    }


def canary(text: str) -> Object:
    whole = plan(f"{{name: v1, {GPU}}}", f"{{name: v2, {text}}}", mode="llm")
    return llm_service(whole, whole.spec.canary, 0, namespace=NAMESPACE, known=builtin())


def test_a_member_says_its_model_its_group_and_its_weight() -> None:
    made = canary(f"uri: 'hf://meta-llama/Llama-3.1-8B-Instruct', {GPU}, quantization: fp8")
    assert made["spec"]["model"] == {"name": "chat", "uri": "hf://meta-llama/Llama-3.1-8B-Instruct"}
    assert made["spec"]["router"]["route"] == {"group": "chat", "weight": 0}
    (container,) = made["spec"]["template"]["containers"]
    assert "--quantization=fp8_per_tensor" in container["args"]
    assert not any(word.startswith("--served-model-name") for word in container["args"]), "KServe passes two of them"


def test_adapters_are_kserves_business() -> None:
    made = canary(f"{GPU}, lora: {{legal: 'hf://a/legal'}}")
    assert made["spec"]["model"]["lora"] == {"adapters": [{"name": "legal", "uri": "hf://a/legal"}]}
    assert not any("lora" in word for word in made["spec"]["template"]["containers"][0]["args"])


def test_a_long_name_leaves_room_for_what_kserve_adds() -> None:
    whole = plan(f"{{name: v1, {GPU}}}", f"{{name: {'x' * 60}, {GPU}, quantization: fp8}}", mode="llm")
    made = llm_service(whole, whole.spec.canary, 0, namespace=NAMESPACE, known=builtin())
    assert len(made["metadata"]["name"] + "-kserve-workload-svc") <= 63


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("runtime: mine", "of its own"),
        ("inferenceService: theirs", "of its own"),
        ("env: {A: b}", "no profile"),
        (f"{GPU}, systemPrompt: {{text: x}}", "system prompt"),
    ],
)
def test_what_the_mode_cannot_do_is_refused(text: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        canary(text)


async def test_a_canary_begins_without_traffic() -> None:
    world = LlmWorld()
    await world.both_run()
    assert weights(world) == {"chat-v1": WHOLE, "chat-v2": 0}
    assert (await world.router.seen()).weights == ALL_STABLE
    assert all(each.complete for each in (await world.platform.seen()).values())


async def test_the_weights_that_were_set_are_the_ones_seen() -> None:
    world = LlmWorld()
    await world.both_run()
    for millionths in (50_000, 250_000, 1_234, 750_000, WHOLE, 999_000, 0):
        await world.router.set_weights(Weights(millionths))
        seen = await world.router.seen()
        assert (seen.weights, seen.problem) == (Weights(millionths), "")


@pytest.mark.parametrize("before", [50_000, 250_000, 750_000, WHOLE])
@pytest.mark.parametrize("after", [0, 50_000, 250_000, 750_000, WHOLE])
async def test_between_two_writes_the_share_is_never_beyond_both_ends(
    before: int, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor are all weights ever zero: the fake asserts that at every step. Two members cannot be written at once."""
    world = LlmWorld()
    await world.both_run()
    await world.router.set_weights(Weights(before))
    world.llm.shares.clear()
    original = world.kube.patch

    async def patch_and_look(*words: Any, **named: Any) -> Object:
        answer = await original(*words, **named)
        world.settle()
        return answer

    monkeypatch.setattr(world.kube, "patch", patch_and_look)
    await world.router.set_weights(Weights(after))
    low, high = sorted((before / WHOLE, after / WHOLE))
    assert all(low - 2e-6 <= share <= high + 2e-6 for share in world.llm.shares)
    falling = all(first >= second for first, second in pairwise(world.llm.shares))
    rising = all(first <= second for first, second in pairwise(world.llm.shares))
    assert falling or rising


async def test_a_rollback_is_in_force_with_its_first_write() -> None:
    world = LlmWorld()
    await world.both_run()
    await world.router.set_weights(Weights(750_000))
    before = world.kube.counts.total()
    world.kube.fail_next(ExternalError("the second write fails"), verb="patch", times=1, after=True)
    with pytest.raises(ExternalError, match="the second write"):
        await world.router.set_weights(ALL_STABLE)
    assert world.kube.counts.total() == before + 1
    world.settle()
    seen = await world.router.seen()
    assert seen.weights is not None
    assert seen.weights.canary < 10


async def test_a_canary_with_nothing_begins_with_one_in_a_million() -> None:
    """Some gateways lose requests when a backend comes from nothing to a large share."""
    world = LlmWorld()
    await world.both_run()
    await world.router.set_weights(FIVE)
    assert world.llm.shares[1] == pytest.approx(1e-6, rel=0.01)


async def test_setting_the_same_weights_again_writes_nothing() -> None:
    world = LlmWorld()
    await world.both_run()
    await world.router.set_weights(FIVE)
    before = world.kube.counts.total()
    await world.router.set_weights(FIVE)
    await world.both_run()
    assert world.kube.counts.total() == before


async def test_what_is_written_and_not_in_force_is_an_error() -> None:
    world = LlmWorld()
    await world.both_run()
    world.llm.asleep = True
    await world.router.set_weights(FIVE)
    assert (await world.router.seen()).weights == ALL_STABLE, "the controller may take its time, and nobody says it has"
    world.settle(FOLLOWS_S)
    with pytest.raises(ExternalError, match="is written and not in force"):
        await world.router.set_weights(FIVE)


async def test_a_slow_controller_holds_nobody_up_who_wants_to_look_at_numbers() -> None:
    """A pass that waits looks at none: the weights are asked for again at the next, and nothing is written twice."""
    world = LlmWorld()
    await world.both_run()
    world.llm.asleep = True
    await world.router.set_weights(FIVE)
    begun, writes = world.clock.now(), world.kube.counts.total()
    for _ in range(4):
        await world.router.set_weights(FIVE)
    assert world.clock.now() - begun < 1.0
    assert world.kube.counts.total() == writes


async def test_what_somebody_takes_away_is_seen_before_kserve_has_carried_it_out() -> None:
    """Or the share that is recorded would be written over it while the members do not agree."""
    world = LlmWorld()
    await world.both_run()
    await world.router.set_weights(Weights(500_000))
    world.settle()
    somebody = world.kube.acting_as("kubectl-edit")
    await somebody.patch(LLM_INFERENCE_SERVICE, NAMESPACE, "chat-v2", weighed(20_000))
    await somebody.patch(LLM_INFERENCE_SERVICE, NAMESPACE, "chat-v1", weighed(980_000))
    found = world.kube.objects(LLM_INFERENCE_SERVICE)[NAMESPACE, "chat-v2"]
    members = [{"name": "chat-v1", "weight": 500_000}, {"name": "chat-v2", "weight": 20_000}]
    world.kube.seed(LLM_INFERENCE_SERVICE, {**found, "status": {"router": {"group": {"members": members}}}})
    world.llm.feed(world.caches)
    seen = await world.router.seen()
    assert (seen.weights, seen.asked) == (None, Weights(20_000))


async def test_a_member_with_traffic_is_not_stopped() -> None:
    world = LlmWorld()
    await world.both_run()
    await world.router.set_weights(FIVE)
    await world.platform.stop("canary")
    assert "chat-v2" in weights(world)
    await world.router.set_weights(ALL_STABLE)
    await leave(world, "canary")
    assert weights(world) == {"chat-v1": WHOLE}, "what is left is the whole"
    assert world.llm.served[-1] == {"chat-v1": WHOLE}


async def test_a_promoted_member_serves_alone_and_no_step_on_the_way_costs_a_request() -> None:
    """The fake says so at each step: whoever's route answers gives somebody something, and is never taken away."""
    world = await promoted()
    world.llm.served.clear()
    await leave(world, "stable")
    assert weights(world) == {"chat-v2": WHOLE}
    assert world.llm.served[-1] == {"chat-v2": WHOLE}
    assert all(given.get("chat-v1", 0) <= 1 for given in world.llm.served)


async def test_a_loser_whose_route_answers_steps_aside_before_its_weight_goes() -> None:
    """Its route alone is another by that: with anything else of it, its pods would be replaced before they go."""
    world = await promoted()
    before = world.kube.objects(LLM_INFERENCE_SERVICE)[NAMESPACE, "chat-v1"]["spec"]
    for _ in range(2):  # the winner's own route stands, and has for a moment
        await stop_once(world, "stable", seconds=SETTLED_S)
    after = copy.deepcopy(world.kube.objects(LLM_INFERENCE_SERVICE)[NAMESPACE, "chat-v1"]["spec"])
    rules = after["router"]["route"].pop("http")["spec"]["rules"]
    assert all(each["headers"][-1]["name"] == LEAVING for rule in rules for each in rule["matches"])
    assert after == before
    assert weights(world)["chat-v1"] == 1
    assert (await world.platform.seen())["stable"].problem == "not running"
    assert world.platform.drift() == ()


async def test_a_canary_that_leaves_need_not_step_aside_because_stables_route_answers() -> None:
    world = LlmWorld()
    await world.both_run()
    await world.router.set_weights(FIVE)
    await world.router.set_weights(ALL_STABLE)
    aside = set()
    for _ in range(STEPS):
        await stop_once(world, "canary")
        found = world.kube.objects(LLM_INFERENCE_SERVICE).get((NAMESPACE, "chat-v2"))
        aside |= {"http" in found["spec"]["router"]["route"]} if found else set()
    assert aside == {False}


async def test_nothing_goes_while_the_gateway_has_not_taken_the_step_before() -> None:
    world = await promoted()
    world.llm.deaf = True
    for _ in range(3 * STEPS):
        await stop_once(world, "stable")
    assert weights(world)["chat-v1"] == 1, "it stepped aside, and its route still answers"
    world.llm.deaf = False
    await leave(world, "stable")


async def test_a_departure_that_was_broken_off_goes_on_where_it_was() -> None:
    """A process that is killed at any step is followed by one that knows only what the cluster says."""
    world = await promoted()
    for _ in range(4 * STEPS):
        world.restart()
        await stop_once(world, "stable", seconds=SETTLED_S)
        await stop_once(world, "stable", seconds=0.0)
        if world.platform.gone("stable"):
            break
    assert weights(world) == {"chat-v2": WHOLE}


async def test_a_loser_that_is_a_canary_again_leaves_first_and_is_made_anew() -> None:
    world = await promoted()
    for _ in range(2):
        await stop_once(world, "stable")
    assert steps_aside(world, "chat-v1")
    old = world.kube.objects(LLM_INFERENCE_SERVICE)[NAMESPACE, "chat-v1"]["metadata"]["uid"]
    world.plan = plan(f"{{name: v2, {GPU}, quantization: fp8}}", f"{{name: v1, {GPU}}}", mode="llm")
    world.restart()
    await world.platform.run("canary", world.plan.spec.canary)
    assert (await world.platform.seen())["canary"].problem == "an earlier one is still leaving the group"
    for _ in range(STEPS):
        await world.both_run()
    assert world.kube.objects(LLM_INFERENCE_SERVICE)[NAMESPACE, "chat-v1"]["metadata"]["uid"] != old
    assert (steps_aside(world, "chat-v1"), weights(world)) == (False, {"chat-v1": 0, "chat-v2": WHOLE})


async def test_one_that_is_missing_gets_no_traffic() -> None:
    world = LlmWorld()
    await world.router.set_weights(ALL_STABLE)
    with pytest.raises(ExternalError, match="not there yet"):
        await world.router.set_weights(FIVE)


async def test_a_member_that_somebody_changed_is_named_and_left() -> None:
    world = LlmWorld()
    await world.both_run()
    await world.router.set_weights(FIVE)
    assert world.platform.drift() == ()
    patch = {"spec": {"replicas": 2}}
    await world.kube.acting_as("argocd-controller").patch(LLM_INFERENCE_SERVICE, NAMESPACE, "chat-v1", patch)
    world.llm.feed(world.caches)
    (drift,) = world.platform.drift()
    assert (drift.arm, drift.manager, drift.repairable) == ("stable", "argocd-controller", False)
    assert drift.fields == ("spec.replicas",)


async def test_a_canary_waits_until_stable_has_its_nodes() -> None:
    world = LlmWorld()
    await world.platform.run("stable", world.plan.spec.stable)
    await world.platform.run("canary", world.plan.spec.canary)
    assert set(weights(world)) == {"chat-v1"}
    assert (await world.platform.seen())["canary"].problem == "waits until v1 has its nodes: 0 of 1 pods are on one"
    await world.both_run()
    assert set(weights(world)) == {"chat-v1", "chat-v2"}


async def test_a_member_that_cannot_be_waited_for_is_deleted_in_the_middle_of_its_departure() -> None:
    """Its ModelCanary is deleted, and the gateway never takes a step: what nobody would look after may not stay."""
    world = await promoted()
    world.llm.deaf = True
    await stop_once(world, "stable")
    assert not world.platform.gone("stable")
    await world.platform.drop("stable")
    assert world.platform.gone("stable")
    assert list(world.kube.objects(LLM_INFERENCE_SERVICE)) == [(NAMESPACE, "chat-v2")]
