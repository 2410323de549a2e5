"""Reads a model's config.json (a mapping; the shell finds the file) into a `ModelShape`.

Plain transformers with grouped-query attention are understood, dense or with experts. Anything else (latent
attention, state-space layers, hybrids, encoders) is refused: a wrong size is worse than none.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from profiles.errors import Malformed
from profiles.model import ModelShape

NOT_MODELLED = {
    "kv_lora_rank": "multi-head latent attention",
    "ssm_cfg": "a state-space model",
    "state_size": "a state-space model",
    "linear_num_key_heads": "a hybrid with linear attention",
    "mamba_d_state": "a hybrid with state-space layers",
    "hybrid_override_pattern": "a hybrid with state-space layers",
}
"""Keys that give away an architecture whose memory and speed these formulas do not describe."""
QKV_BIAS = {"qwen2", "qwen2_moe"}
QK_NORM = {"qwen3", "qwen3_moe", "gemma3", "gemma3_text"}
FOUR_NORMS = {"gemma2", "gemma3", "gemma3_text"}
WINDOWED = {
    "gemma2": Fraction(1, 2),
    "gemma3": Fraction(5, 6),
    "gemma3_text": Fraction(5, 6),
    "gpt_oss": Fraction(1, 2),
}
TIED_BY_DEFAULT = {"gemma", "gemma2", "gemma3", "gemma3_text"}


def read_config(config: Mapping[str, Any], name: str) -> ModelShape:
    """The shape that this config.json describes. Raises `Malformed`, naming the field."""
    outer = config
    config = config.get("text_config") or config
    kind = str(config.get("model_type") or outer.get("model_type") or "")
    for key, what in NOT_MODELLED.items():
        if config.get(key):
            raise Malformed(
                f"{name}: config.json has {key}: {what}, which this model of memory and speed does not cover"
            )
    if config.get("is_encoder_decoder"):
        raise Malformed(f"{name}: an encoder-decoder, which this model of memory and speed does not cover")
    heads = count(config, "num_attention_heads", name)
    hidden = count(config, "hidden_size", name)
    experts = int(config.get("num_local_experts") or config.get("num_experts") or 1)
    width = "moe_intermediate_size" if experts > 1 and config.get("moe_intermediate_size") else "intermediate_size"
    window, share = sliding(config, kind)
    return ModelShape(
        name=name,
        layers=count(config, "num_hidden_layers", name),
        hidden=hidden,
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_dim=int(config.get("head_dim") or hidden // heads),
        intermediate=count(config, width, name),
        vocabulary=count(config, "vocab_size", name),
        tied_embeddings=bool(
            config.get("tie_word_embeddings", outer.get("tie_word_embeddings", kind in TIED_BY_DEFAULT))
        ),
        max_context=count(config, "max_position_embeddings", name),
        experts=experts,
        experts_per_token=int(config.get("num_experts_per_tok") or config.get("experts_per_token") or 1),
        window=window,
        windowed=share,
        qkv_bias=kind in QKV_BIAS or bool(config.get("attention_bias") and kind != "gpt_oss"),
        qk_norm=kind in QK_NORM,
        all_biases=kind == "gpt_oss",
        norms=4 if kind in FOUR_NORMS else 2,
    )


def sliding(config: Mapping[str, Any], kind: str) -> tuple[int, Fraction]:
    """`(window, share of layers that have it)`; `layer_types` wins over what is known of the family."""
    window = int(config.get("sliding_window") or 0)
    if not window or config.get("use_sliding_window") is False:
        return 0, Fraction(0)
    kinds = config.get("layer_types")
    if isinstance(kinds, list) and kinds:
        return window, Fraction(sum(each == "sliding_attention" for each in kinds), len(kinds))
    return window, WINDOWED.get(kind, Fraction(1))


def count(config: Mapping[str, Any], key: str, name: str) -> int:
    """A whole number from 1 that must be there."""
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Malformed(f"{name}: config.json: {key} must be a whole number from 1, got {value!r}")
    return value
