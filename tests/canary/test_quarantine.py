"""What the evidence condemns: the digest of what an arm runs, and which ends are a verdict on it."""

from dataclasses import replace
from typing import Any

import pytest

from canary.judge import compile_gates
from canary.machine import begin
from canary.quarantine import BY_EVIDENCE, NOT_WHAT_RUNS, cause, condemned, objection, variant_digest
from canary.rollout import Phase, Reason, Result, Rollout
from canary.spec.models import CanarySpec, Profile, Stage, SystemPrompt, Variant
from canary.spec.parse import parse
from tests.controlplane.gitops.town import file

SPEC: CanarySpec = parse(file("chat", "v2"), "canary.yml").spec
OTHER: dict[str, Any] = {
    "uri": "hf://example/other",
    "quantization": "awq",
    "profile": Profile(gpu="L4"),
    "system_prompt": SystemPrompt(text="Be brief."),
    "engine": {"maxNumSeqs": "64"},
    "command": ("serve", "other"),
    "env": {"MODE": "fast"},
    "replicas": 3,
    "inference_service": "chat-v2",
    "runtime": "vllm",
    "image": "example/server:2",
    "resources": {"cpu": "4"},
    "node_selector": {"pool": "l4"},
    "lora": {"adapter": "hf://example/adapter"},
}


def trying(**changes: Any) -> CanarySpec:
    """The plan with another canary."""
    return SPEC.model_copy(update={"canary": SPEC.canary.model_copy(update=changes)})


def ended(reason: Reason, result: Result = "rolled_back", attempt: int = 3) -> Rollout:
    """A rollout that ended for this reason."""
    rollout = begin(compile_gates(SPEC), name="chat", revision="r", attempt=attempt, now=0.0)
    why = replace(
        rollout.history[0], phase=Phase.ROLLING_BACK, event="phase", reason=reason, message="errors are 30 %."
    )
    after = replace(why, phase=Phase.ROLLED_BACK, reason=Reason.TRAFFIC_BACK, message="All traffic is back.")
    return replace(rollout, phase=Phase.ROLLED_BACK, result=result, history=(*rollout.history, why, after))


@pytest.mark.parametrize("field", sorted(Variant.model_fields))
def test_every_field_of_a_variant_is_part_of_what_runs_or_known_not_to_be(field: str) -> None:
    """So nobody adds a field without deciding it."""
    if field in NOT_WHAT_RUNS:
        assert field not in OTHER
        return
    assert variant_digest(trying(**{field: OTHER[field]})) != variant_digest(SPEC)


def test_names_gates_and_stages_are_not_what_runs() -> None:
    edited = trying(name="v9", labels={"team": "search"}, ready="/ready")
    edited = edited.model_copy(update={"stages": (Stage(traffic=0.5, hold=9.0), *SPEC.stages)})
    assert variant_digest(edited) == variant_digest(SPEC)


def test_weights_named_for_both_arms_and_for_one_are_the_same_weights() -> None:
    model = SPEC.model.model_copy(update={"uri": "hf://example/chat"})
    common = SPEC.model_copy(update={"model": model})
    assert variant_digest(common) == variant_digest(trying(uri="hf://example/chat"))
    assert variant_digest(common) != variant_digest(SPEC)


@pytest.mark.parametrize("reason", list(Reason))
def test_only_evidence_condemns_what_ran(reason: Reason) -> None:
    """Nobody's abort, no silent Prometheus and no full node says anything about the weights."""
    rollout = ended(reason)
    assert condemned(rollout, cause(rollout, rollout.history)) == (reason in BY_EVIDENCE)
    assert not condemned(replace(rollout, result="aborted"), cause(rollout, rollout.history))


def test_an_edited_gate_is_not_a_reason_to_try_the_same_again_and_another_flag_is() -> None:
    rollout = ended(Reason.GATE_FAILED)
    edited = SPEC.model_copy(update={"stages": SPEC.stages[1:]})
    assert objection(rollout, SPEC, edited, "retry chat") == (
        "v2 runs what was rolled back in attempt 3: errors are 30 %. It is not started again by itself. "
        "Change what v2 runs, or allow it with `retry chat`."
    )
    assert not objection(rollout, SPEC, trying(command=("serve", "v2", "--fixed")), "retry chat")
    assert not objection(ended(Reason.METRICS_SILENT), SPEC, edited, "retry chat")


def test_the_cause_is_the_last_way_back_or_the_promotion() -> None:
    rollout = ended(Reason.GATE_FAILED)
    why = rollout.history[-2]
    assert cause(rollout, rollout.history) == why
    promoted = replace(why, phase=Phase.SUCCEEDED, message="v2 is promoted.")
    assert cause(replace(rollout, result="promoted"), [*rollout.history, promoted]) == promoted
    assert cause(rollout, []) is None
