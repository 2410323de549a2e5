"""Which changes of a served model a plan declares, by saying so or by asking for them."""

from typing import Any, get_args

import pytest

from canary.spec.fingerprint import FIELDS, FLAGS, FingerprintField, declared
from canary.spec.models import CanarySpec
from profiles.fingerprint import FIELDS as TAKEN
from tests.canary.story import plan


def spec(stable: dict[str, Any], canary: dict[str, Any], **fields: Any) -> CanarySpec:
    return plan(stable={"name": "v1", **stable}, canary={"name": "v2", **canary}, **fields)


@pytest.mark.parametrize(
    ("stable", "canary", "field"),
    [
        ({}, {"quantization": "awq"}, "quantization_config"),
        ({"image": "vllm/vllm-openai:v0.24.0"}, {"image": "vllm/vllm-openai:v0.27.1"}, "engine_version"),
        ({}, {"runtime": "mine"}, "engine_version"),
        ({"command": ["/opt/a/vllm"]}, {"command": ["/opt/b/vllm"]}, "engine_version"),
        ({"engine": {"maxModelLen": 4096}}, {"engine": {"max-model-len": 8192}}, "context_length"),
        ({"command": ["vllm", "--port", "1"]}, {"command": ["vllm", "--max-model-len", "512"]}, "context_length"),
        ({"command": ["vllm", "--chat-template=a"]}, {"command": ["vllm", "--chat-template=b"]}, "chat_template"),
    ],
)
def test_what_the_plan_asks_for_is_no_silent_change(stable: Any, canary: Any, field: str) -> None:
    assert declared(spec(stable, canary)) == {field}


def test_the_same_flags_in_another_spelling_declare_nothing() -> None:
    assert declared(spec({"engine": {"maxModelLen": 4096}}, {"engine": {"max_model_len": 4096}})) == frozenset()


def test_allow_declares_by_name() -> None:
    assert declared(spec({}, {}, fingerprint={"allow": ["chat_template"]})) == {"chat_template"}


def test_the_fields_are_those_that_fingerprints_have() -> None:
    """The two pure packages do not know each other; here they are held together."""
    named, *taken = FIELDS
    assert get_args(FingerprintField) == FIELDS
    assert (named, tuple(taken)) == ("model_name", TAKEN)  # no fingerprint of its own: it is the plan's word
    assert set(FLAGS.values()) <= set(FIELDS)
