"""Names: every spelling that people and repositories use leads to one entry; the rest gets help."""

import pytest

from profiles.catalogue import Origin, builtin, distinct
from profiles.config import read_config
from profiles.engine import Engine
from profiles.errors import Malformed, Unknown

KNOWN = builtin()


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("hf://meta-llama/Llama-3.1-8B-Instruct", "Llama-3.1-8B"),
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", "Qwen2.5-7B"),
        ("neuralmagic/Meta-Llama-3.1-8B-Instruct-FP8", "Llama-3.1-8B"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "Mistral-7B"),
        ("gemma-2-9b-it", "Gemma-2-9B"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-14B", "Qwen2.5-14B"),
        ("phi-4", "Phi-4"),
    ],
)
def test_repositories_lead_to_their_model(spelling: str, name: str) -> None:
    assert KNOWN.model(spelling).name == name


@pytest.mark.parametrize(
    ("spelling", "name"), [("h100 sxm", "H100"), ("A100-80", "A100"), ("RTX 4090", "RTX-4090"), ("L40S-48GB", "L40S")]
)
def test_gpus_have_many_spellings(spelling: str, name: str) -> None:
    assert KNOWN.gpu(spelling).name == name


def test_quantizations_have_the_names_of_canary_files() -> None:
    assert KNOWN.quantization("bitsandbytes-nf4").name == "bnb-nf4"
    assert KNOWN.quantization("none").name == "bf16"


def test_no_name_means_two_things() -> None:
    """An alias of one entry is never the name of another."""
    assert all(KNOWN.gpu(gpu.name) is gpu for gpu in distinct(KNOWN.gpus))
    assert all(KNOWN.model(model.name) is model for model in distinct(KNOWN.models))
    assert all(KNOWN.quantization(one.name) is one for one in distinct(KNOWN.quantizations))


def test_every_section_says_where_it_is_from_and_when() -> None:
    for as_of, source in KNOWN.sources.values():
        assert as_of
        assert source
    assert all(gpu.price is None or gpu.price.as_of for gpu in distinct(KNOWN.gpus))


def test_the_users_entry_wins() -> None:
    mine = KNOWN.extended(
        {"gpus": {"L40S": {"memory_gib": 40, "bandwidth": 864, "fp16": 362, "capability": 8.9}}}, Origin("mine")
    )
    assert mine.gpu("L40S").memory_gib == 40
    assert KNOWN.gpu("L40S").memory_gib == 44.5


@pytest.mark.parametrize(
    ("additions", "words"),
    [
        ({"gpu": {}}, "unknown section 'gpu'"),
        ({"gpus": [1]}, "must be a mapping"),
        ({"gpus": {"X": {"memory_gib": -1}}}, "memory_gib must be a positive number"),
        ({"models": {"X": {"layers": 1}}}, "X"),
        ({"quantizations": {"X": {"bytes_per_parameter": 1, "colour": "red"}}}, "X"),
    ],
)
def test_a_broken_addition_names_file_entry_and_field(additions: dict[str, object], words: str) -> None:
    with pytest.raises(Malformed, match=words) as caught:
        KNOWN.extended(additions, Origin("mine.yaml"))
    assert str(caught.value).startswith("mine.yaml")


def test_a_fault_is_placed_on_the_line_of_its_field() -> None:
    lines = {("gpus",): 1, ("gpus", "X"): 2, ("gpus", "X", "memory_gib"): 3}
    with pytest.raises(Malformed, match=r"^mine\.yaml:3: X: memory_gib must be a positive number"):
        KNOWN.extended({"gpus": {"X": {"memory_gib": -1}}}, Origin("mine.yaml", lines))
    with pytest.raises(Malformed, match=r"^mine\.yaml:2: X: bandwidth is missing"):
        KNOWN.extended({"gpus": {"X": {"memory_gib": 1}}}, Origin("mine.yaml", lines))


def test_engines_are_read_with_their_version() -> None:
    assert Engine.named("vllm-0.7.3").family == "vllm-v0"
    assert Engine.named("vllm-0.33.0").version == (0, 33, 0)
    assert Engine.named("trtllm-0.5").family == "trtllm-old"
    with pytest.raises(Unknown, match="Nearest known: sglang"):
        Engine.named("sglan")


GPT_OSS = {
    "model_type": "gpt_oss", "hidden_size": 2880, "num_hidden_layers": 24, "num_attention_heads": 64,
    "num_key_value_heads": 8, "head_dim": 64, "intermediate_size": 2880, "vocab_size": 201088,
    "num_local_experts": 32, "num_experts_per_tok": 4,
    "sliding_window": 128, "max_position_embeddings": 131072, "tie_word_embeddings": False, "attention_bias": True,
}  # fmt: skip


def test_a_config_gives_the_same_shape_as_the_catalogue() -> None:
    assert read_config(GPT_OSS, "mine").parameters == KNOWN.model("gpt-oss-20b").parameters
    assert read_config(GPT_OSS, "mine").attended(8192) == KNOWN.model("gpt-oss-20b").attended(8192)


@pytest.mark.parametrize(
    ("key", "value"), [("kv_lora_rank", 512), ("linear_num_key_heads", 16), ("is_encoder_decoder", True)]
)
def test_architectures_that_are_not_understood_are_refused(key: str, value: object) -> None:
    with pytest.raises(Malformed, match="does not cover"):
        read_config(GPT_OSS | {key: value}, "deepseek")


def test_a_config_without_layers_names_the_field() -> None:
    with pytest.raises(Malformed, match="num_hidden_layers must be a whole number"):
        read_config({**GPT_OSS, "num_hidden_layers": None}, "mine")
