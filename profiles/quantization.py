"""A way to store weights in fewer bits, and the bytes that a model then takes.

Values come from `data/quantizations.toml`, through `profiles.catalogue`. Which GPU can run it is in `profiles.support`.
"""

from dataclasses import dataclass
from typing import Literal

from profiles.model import ModelShape

SIXTEEN_BIT = 2.0
"""Bytes of a bf16 or fp16 value."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """Bytes a parameter, where they apply, and which kernels compute with them."""

    name: str
    bytes_per_parameter: float
    """With scales and zero points."""
    scope: Literal["linears", "experts", "all"]
    kernel: str
    """Row of `profiles.constants.KERNELS` that prices the arithmetic."""
    bits: int
    fallback: str | None = None
    """Kernel on GPUs without native units: weights stay small, arithmetic is 16-bit."""
    plugin: str | None = None
    """Python package that vLLM needs in its image since the method left its tree."""
    embedding_bytes: float = SIXTEEN_BIT
    """Bytes of an embedding parameter (only GGUF shrinks them)."""
    aliases: tuple[str, ...] = ()

    def attention_bytes(self, model: ModelShape) -> float:
        """Bytes of all attention matrices, with the small parameters that always stay 16-bit."""
        per_parameter = SIXTEEN_BIT if self.scope == "experts" else self.bytes_per_parameter
        return model.attention_parameters * per_parameter + model.small_parameters * SIXTEEN_BIT

    def expert_bytes(self, model: ModelShape) -> float:
        """Bytes of one expert (or the only MLP) in all layers."""
        return model.expert_parameters * self.bytes_per_parameter

    def head_bytes(self, model: ModelShape) -> float:
        """Bytes of the output head, which every decode step reads."""
        return model.embedding_parameters * self.embedding_bytes

    def weight_bytes(self, model: ModelShape) -> float:
        """Bytes of the whole model. Source: section "Memory" of docs/profiles.md; within 1 % of checkpoints."""
        tables = 1 if model.tied_embeddings else 2
        linears = self.attention_bytes(model) + model.experts * self.expert_bytes(model)
        return linears + tables * self.head_bytes(model)
