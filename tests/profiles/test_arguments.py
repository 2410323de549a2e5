"""The vLLM command line of a variant: what changes with version, method and GPU, and what is refused."""

import pytest

from profiles.arguments import Launch, launch
from profiles.catalogue import builtin
from profiles.deployment import Deployment
from profiles.engine import Engine
from profiles.errors import ProfileRefused
from profiles.load import Workload
from profiles.prediction import predict

KNOWN = builtin()


def rendered(quantization: str, gpu: str = "L40S", version: str = "0.33.0", **options: object) -> Launch:
    deployment = Deployment(
        KNOWN.model("Llama-3.1-8B"),
        KNOWN.gpu(gpu),
        KNOWN.quantization(quantization),
        engine=Engine.named(f"vllm-{version}"),
    )
    return launch(deployment, "org/model", **options)  # type: ignore[arg-type]


def names(found: Launch) -> list[str]:
    return [flag.name for flag in found.flags]


def test_every_flag_says_why() -> None:
    found = rendered("bnb-nf4", served_name="chat")
    assert all(flag.why for flag in (*found.flags, *found.image, *found.environment))


def test_bitsandbytes_is_a_plugin_since_it_left_the_tree() -> None:
    assert [package.name for package in rendered("bnb-nf4", version="0.28.0").image] == [
        "vllm-bnb-plugin",
        "bitsandbytes",
    ]
    assert [package.name for package in rendered("bnb-nf4", version="0.27.1").image] == ["bitsandbytes"]


def test_gguf_is_a_plugin_since_it_left_the_tree() -> None:
    assert [package.name for package in rendered("gguf", version="0.24.0", tokenizer="org/base").image] == [
        "vllm-gguf-plugin"
    ]
    assert rendered("gguf", version="0.23.0", tokenizer="org/base").image == ()


def test_online_fp8_has_the_name_of_its_time() -> None:
    assert "fp8_per_tensor" in rendered("fp8", version="0.33.0").words
    assert rendered("fp8", version="0.19.0").words[1:3] == ["--quantization", "fp8"]


def test_a_quantized_checkpoint_brings_its_method_along() -> None:
    assert "--quantization" not in names(rendered("awq"))
    assert "--quantization" not in names(rendered("fp8", quantized_checkpoint=True))


def test_int8_of_bitsandbytes_runs_without_graphs() -> None:
    assert "--enforce-eager" in names(rendered("bnb-int8"))


def test_an_old_card_computes_in_half_precision() -> None:
    assert rendered("awq", gpu="T4").words[1:3] == ["--dtype", "half"]


def test_a_context_without_room_is_shortened_and_says_so() -> None:
    deployment = Deployment(KNOWN.model("Llama-3.1-8B"), KNOWN.gpu("L4"), KNOWN.quantization("bf16"))
    found = launch(deployment, "org/model", prediction=predict(deployment, Workload(1, 1), 1))
    flag = next(flag for flag in found.flags if flag.name == "--max-model-len")
    assert 1000 < int(flag.value) < 131072
    assert "would not start" in flag.why


@pytest.mark.parametrize(
    ("quantization", "gpu", "options", "reason"),
    [
        ("fp8", "A100", {}, "compute capability 8.9"),
        ("int8-w8a8", "B200", {}, "no INT8 W8A8 kernel"),
        ("awq", "L40S", {"quantized_checkpoint": False}, "quantized already"),
        ("bnb-int8", "L40S", {"quantized_checkpoint": False}, "quantized already"),
        ("gguf", "L40S", {}, "--tokenizer"),
        ("bnb-nf4", "L40S", {"image_has": frozenset()}, "needs vllm-bnb-plugin, bitsandbytes in the image"),
        ("bnb-nf4", "L40S", {"image_has": frozenset({"bitsandbytes"})}, "needs vllm-bnb-plugin in the image"),
        ("bf16", "L40S", {"version": "0.5.0"}, "older than"),
    ],
)
def test_what_cannot_run_is_refused(quantization: str, gpu: str, options: dict[str, object], reason: str) -> None:
    with pytest.raises(ProfileRefused, match=reason):
        rendered(quantization, gpu, **options)  # type: ignore[arg-type]


def test_an_accepted_fallback_is_noted() -> None:
    found = rendered("fp8", gpu="A100", allow_fallback=True)
    assert any("16-bit" in note for note in found.notes)
