"""Variants that cannot run or do not fit are found, by the path of their field."""

from typing import Any

import pytest

from canary.spec.models import CanarySpec
from controlplane.profiles.canary_check import findings
from profiles.catalogue import builtin


def spec(model: str = "hf://meta-llama/Llama-3.1-8B-Instruct", **canary: Any) -> CanarySpec:
    return CanarySpec.model_validate(
        {
            "model": {"name": "chat", "uri": model},
            "stable": {"name": "bf16", "quantization": "none", "profile": {"gpu": "L40S"}},
            "canary": {"name": "v2"} | canary,
            "stages": [{"traffic": 1.0}],
        }
    )


def test_a_plan_that_fits_has_no_findings() -> None:
    assert findings(spec(quantization="bitsandbytes-nf4", profile={"gpu": "L40S"}), builtin()) == []


@pytest.mark.parametrize(
    ("canary", "path", "words"),
    [
        ({"quantization": "awqq"}, "spec.canary.quantization", "Nearest known: awq"),
        ({"profile": {"gpu": "L40"}}, "spec.canary.profile.gpu", "L40S"),
        ({"quantization": "fp8", "profile": {"gpu": "A100"}}, "spec.canary.quantization", "compute capability"),
        ({"profile": {"gpu": "H100", "count": 3}}, "spec.canary.profile.count", "does not divide"),
        (
            {"uri": "hf://meta-llama/Llama-3.1-70B", "profile": {"gpu": "H100"}},
            "spec.canary.profile",
            "GiB are missing",
        ),
    ],
)
def test_what_cannot_run_is_found_with_its_field(canary: dict[str, Any], path: str, words: str) -> None:
    (found,) = findings(spec(**canary), builtin())
    assert found.path == path
    assert words in found.message


def test_what_is_not_known_is_no_fault() -> None:
    assert findings(spec(model="hf://my-org/secret-model", profile={"gpu": "L40S"}), builtin()) == []
