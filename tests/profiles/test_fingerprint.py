"""Silent changes block or warn by policy; declared ones pass; what is unknown is never called equal."""

from dataclasses import replace
from typing import Any

import pytest

from profiles.errors import Malformed
from profiles.fingerprint import FIELDS, POLICY, WHY, Fingerprint, compare, sentences

STABLE = Fingerprint("file:aa", "file:bb", '{"temperature":0.6}', "[128009]", "{}", "0.33.0", 8192)


def test_equal_fingerprints_pass() -> None:
    found = compare(STABLE, STABLE)
    assert found.verdict == "pass"
    assert found.unknown == ()


@pytest.mark.parametrize(
    "field", [name for name, action in POLICY.items() if action == "block" and name != "context_length"]
)
def test_a_silent_change_blocks(field: str) -> None:
    before = str(getattr(STABLE, field))
    values: dict[str, Any] = {field: "file:cc" if before.startswith("file:") else "other"}
    found = compare(STABLE, replace(STABLE, **values))
    assert found.verdict == "block"


def test_a_declared_change_is_allowed() -> None:
    canary = replace(STABLE, quantization_config='{"quant_method":"awq"}')
    assert compare(STABLE, canary).verdict == "block"
    assert compare(STABLE, canary, declared=frozenset({"quantization_config"})).verdict == "pass"


def test_sampling_defaults_and_engines_warn() -> None:
    assert compare(STABLE, replace(STABLE, generation_config="{}", engine_version="0.32.0")).verdict == "warn"


def test_a_shorter_context_blocks_and_a_longer_one_warns() -> None:
    assert compare(STABLE, replace(STABLE, context_length=4096)).verdict == "block"
    assert compare(STABLE, replace(STABLE, context_length=16384)).verdict == "warn"


def test_the_users_policy_wins() -> None:
    canary = replace(STABLE, chat_template="file:dd")
    assert compare(STABLE, canary, {"chat_template": "warn"}).verdict == "warn"


def test_unknown_and_differently_taken_values_are_not_compared() -> None:
    found = compare(STABLE, replace(STABLE, tokenizer="probe:aa", stop_tokens=None))
    assert found.unknown == ("tokenizer", "stop_tokens")
    assert found.verdict == "pass"
    assert sentences(found)[0].startswith("unknown: tokenizer")


def test_a_field_that_does_not_exist_is_refused() -> None:
    with pytest.raises(Malformed, match="no field"):
        compare(STABLE, STABLE, declared=frozenset({"weights"}))


def test_every_field_has_a_policy_and_a_reason() -> None:
    assert set(FIELDS) == set(POLICY) == set(WHY)
