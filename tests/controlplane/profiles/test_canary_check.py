"""Variants that cannot run or do not fit are found, by the path of their field."""

from typing import Any

import pytest

from canary.spec import Source, parse_document
from canary.spec.models import CanarySpec
from controlplane.profiles.canary_check import checked, findings, fit
from profiles.accelerator import GIB
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
        ({"quantization": "fp8", "profile": {"gpu": "A100"}}, "spec.canary.quantization", "compute capability"),
        ({"quantization": "nvfp4", "profile": {"gpu": "MI300X"}}, "spec.canary.quantization", "no kernel for AMD"),
        ({"profile": {"gpu": "H100", "count": 3}}, "spec.canary.profile.count", "does not divide"),
        (
            {"uri": "hf://meta-llama/Llama-3.1-70B", "profile": {"gpu": "H100"}},
            "spec.canary.profile",
            "GiB are missing on each. It fits with --tensor-parallel-size 2",
        ),
    ],
)
def test_what_cannot_run_is_found_with_its_field(canary: dict[str, Any], path: str, words: str) -> None:
    (found,) = findings(spec(**canary), builtin())
    assert (found.path, found.impossible) == (path, True)
    assert words in found.message
    assert "--allow-fallback" not in found.message, "no option of these commands"


def test_two_reasons_are_both_told() -> None:
    found = findings(spec(quantization="fp8", profile={"gpu": "A100", "count": 3}), builtin())
    assert [each.path for each in found] == ["spec.canary.profile.count", "spec.canary.quantization"]


@pytest.mark.parametrize(
    ("canary", "path", "words"),
    [
        ({"quantization": "awqq"}, "spec.canary.quantization", "Nearest known: awq"),
        ({"profile": {"gpu": "L40"}}, "spec.canary.profile.gpu", "L40S"),
        ({"uri": "hf://my-org/secret-model", "profile": {"gpu": "L40S"}}, "spec.canary.profile", "was not checked"),
    ],
)
def test_what_is_only_not_known_is_told_and_is_no_fault(canary: dict[str, Any], path: str, words: str) -> None:
    """A model or GPU that came out yesterday must not make a good plan invalid."""
    (found,) = findings(spec(**canary), builtin())
    assert (found.path, found.impossible) == (path, False)
    assert words in found.message


def test_what_fits_with_another_flag_is_a_warning_that_names_it() -> None:
    """The sampler's dummy run grows with the sequences, so the engine's own flags decide whether it starts."""
    tight: dict[str, Any] = {"uri": "gpt-oss-20b", "quantization": "bnb-nf4", "profile": {"gpu": "T4"}}
    (found,) = findings(spec(**tight), builtin())
    assert not found.impossible
    assert found.message.endswith("It fits with --max-num-seqs 128.")
    assert findings(spec(**tight, engine={"maxNumSeqs": 128}), builtin()) == []


def test_engine_flags_that_no_engine_would_take_are_left_to_the_engine() -> None:
    flags: dict[str, Any] = {"maxNumSeqs": 0, "gpuMemoryUtilization": 7, "maxModelLen": True, "other": "x"}
    assert findings(spec(profile={"gpu": "L40S"}, engine=flags), builtin()) == []


def test_a_variant_without_a_profile_is_not_judged() -> None:
    assert findings(spec(quantization="fp8"), builtin()) == []
    assert fit(spec(), spec().canary, builtin()) is None


def test_memory_is_told_for_a_variant_of_which_all_is_known() -> None:
    plan = spec(profile={"gpu": "L40S"})
    found = fit(plan, plan.canary, builtin())
    assert found is not None
    assert found.fits
    assert 15 * GIB < found.needed < found.reserved < 48 * GIB


TEXT = """\
metadata: {name: chat}
spec:
  model: {name: chat, uri: hf://meta-llama/Llama-3.1-8B}
  stable: {name: a, profile: {gpu: L999}}
  canary: {name: b, quantization: fp8, profile: {gpu: A100}}
  stages: [{traffic: 100%}]
"""


def test_each_finding_has_its_place_in_the_file() -> None:
    found = checked(parse_document(TEXT, "canary.yml"), builtin())
    (fault,), (warning,) = found.faults, found.warnings
    assert (fault.line, fault.column, fault.path) == (5, 35, "spec.canary.quantization")
    assert (warning.line, warning.column, warning.path) == (4, 36, "spec.stable.profile.gpu")


def test_what_is_not_written_is_placed_at_what_surrounds_it() -> None:
    """16 bit is what a missing quantization means; the variant itself is then the place."""
    text = TEXT.replace("L999", "H100").replace("quantization: fp8, ", "").replace("8B", "70B").replace("A100", "T4")
    found = checked(parse_document(text, "canary.yml"), builtin())
    assert [fault.line for fault in found.faults] == [4, 5]


def test_what_a_settings_file_says_is_placed_in_that_file() -> None:
    short = "model: Llama-3.1-8B\nvariants: [{name: a}, {name: b}]\ntraffic_split: 95/5\n"
    settings = Source("serinus.yml", "canary: {quantization: awqq}\n")
    (warning,) = checked(parse_document(short, "canary.yml", settings), builtin()).warnings
    assert (warning.file, warning.line, warning.path) == ("serinus.yml", 1, "spec.canary.quantization")
