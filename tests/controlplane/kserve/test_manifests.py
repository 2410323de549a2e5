"""A whole plan's objects."""

import pytest

from canary.errors import BadInput
from canary.spec.models import LocalPlatform, Platform
from canary.weights import Weights
from controlplane.kserve.manifests import Manifests, variants
from profiles.catalogue import builtin
from tests.controlplane.kserve.worlds import GPU, NAMESPACE, plan


def made(stable: str, canary: str) -> Manifests:
    return variants(plan(stable, canary), Weights.of_share(0.05), namespace=NAMESPACE, known=builtin())


def test_a_runtime_comes_before_the_service_that_needs_it() -> None:
    gpu = "uri: 'hf://meta-llama/Llama-3.1-8B-Instruct', profile: {gpu: L40S}"
    objects = made(f"{{name: v1, {gpu}}}", f"{{name: v2, {gpu}, quantization: fp8}}").objects
    assert [(each["kind"], each["metadata"]["name"]) for each in objects] == [
        ("ServingRuntime", "chat-v1"),
        ("InferenceService", "chat-v1"),
        ("ServingRuntime", "chat-v2"),
        ("InferenceService", "chat-v2"),
    ]


def test_a_service_that_is_there_already_is_only_named() -> None:
    found = made("{name: v1, inferenceService: theirs}", "{name: v2, runtime: serinus-sim}")
    assert [each["metadata"]["name"] for each in found.objects] == ["chat-v2"]
    assert found.notes == ("v1 is InferenceService theirs, which is there already.",)
    assert found.needs_route


def test_knative_has_one_service_whose_template_is_the_canarys() -> None:
    whole = plan(mode="knative")
    before, during = (
        variants(whole, Weights.of_share(share), namespace=NAMESPACE, known=builtin()) for share in (0.0, 0.25)
    )
    assert not during.needs_route
    ((first,), (then,)) = before.objects, during.objects
    assert first["metadata"]["name"] == then["metadata"]["name"] == "chat"
    assert "canaryTrafficPercent" not in first["spec"]["predictor"]
    assert then["spec"]["predictor"]["canaryTrafficPercent"] == 25
    assert then["spec"]["predictor"]["labels"]["serinus.dev/variant"] == "v2"


def test_a_group_has_two_members_with_weights() -> None:
    whole = plan(f"{{name: v1, {GPU}}}", f"{{name: v2, {GPU}, quantization: fp8}}", mode="llm")
    found = variants(whole, Weights.of_share(0.25), namespace=NAMESPACE, known=builtin())
    weights = {each["metadata"]["name"]: each["spec"]["router"]["route"]["weight"] for each in found.objects}
    assert weights == {"chat-v1": 750_000, "chat-v2": 250_000}


def test_native_has_the_canary_inside_and_says_what_kserve_makes_of_it() -> None:
    whole = plan(mode="native")
    found = variants(whole, Weights.of_share(0.25), namespace=NAMESPACE, known=builtin())
    (service,) = found.objects
    assert service["spec"]["canary"][0]["trafficPercent"] == 25
    assert "moves nothing" in found.notes[0]


def test_a_plan_for_one_machine_has_no_objects() -> None:
    whole = plan()
    here = whole.spec.model_copy(update={"platform": Platform(local=LocalPlatform())})
    with pytest.raises(BadInput, match="not kserve"):
        variants(whole.model_copy(update={"spec": here}), Weights(0), namespace=NAMESPACE, known=builtin())
