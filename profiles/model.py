"""The shape of a model: what its config.json says, and the parameter and byte counts that follow from it.

Made by `profiles.catalogue` (known models) and `profiles.config` (any config.json). Counts are exact: the totals
equal the published ones to the last parameter for the catalogue's models, which the tests check. Knows no
quantization and no GPU.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property


@dataclass(frozen=True)
class ModelShape:
    """A decoder-only transformer with grouped-query attention and gated MLPs, dense or a mixture of experts."""

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    """Width of the MLP; of one expert where there are experts."""
    vocabulary: int
    tied_embeddings: bool
    max_context: int
    experts: int = 1
    experts_per_token: int = 1
    window: int = 0
    """Tokens that a windowed layer's attention sees; 0 where there is no sliding window."""
    windowed: Fraction = Fraction(0)
    """Share of the layers with a sliding window."""
    qkv_bias: bool = False
    qk_norm: bool = False
    all_biases: bool = False
    """Every linear layer has a bias and attention has sinks, as in gpt-oss."""
    norms: int = 2
    """Norm vectors of a layer."""
    aliases: tuple[str, ...] = ()

    @cached_property
    def attention_parameters(self) -> int:
        """Matrices of attention, all layers."""
        return self.layers * self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)

    @cached_property
    def expert_parameters(self) -> int:
        """Matrices of one expert (or of the only MLP), all layers: gate, up and down."""
        return self.layers * 3 * self.hidden * self.intermediate

    @cached_property
    def embedding_parameters(self) -> int:
        """One embedding table; the output head has as many."""
        return self.vocabulary * self.hidden

    @cached_property
    def linear_parameters(self) -> int:
        """Matrices that a quantizer of linear layers touches: attention and all experts, without the output head."""
        return self.attention_parameters + self.experts * self.expert_parameters

    @cached_property
    def small_parameters(self) -> int:
        """Norms, biases and routers, which no quantizer touches."""
        qkv_width = (self.heads + 2 * self.kv_heads) * self.head_dim
        layer = self.norms * self.hidden
        layer += qkv_width if self.qkv_bias or self.all_biases else 0
        layer += 2 * self.head_dim if self.qk_norm else 0
        if self.experts > 1:
            layer += self.hidden * self.experts
        if self.all_biases:
            layer += self.hidden + self.heads + self.experts * (2 * self.intermediate + self.hidden + 1)
        return self.layers * layer + self.hidden

    @cached_property
    def parameters(self) -> int:
        """All parameters; a tied head counts once."""
        tables = 1 if self.tied_embeddings else 2
        return self.linear_parameters + self.small_parameters + tables * self.embedding_parameters

    @cached_property
    def active_parameters(self) -> int:
        """Matrices that one token passes through: attention, its experts and the output head."""
        return self.body_parameters + self.embedding_parameters

    @cached_property
    def body_parameters(self) -> int:
        """Like `active_parameters`, without the output head: what every prompt token passes through."""
        return self.attention_parameters + self.experts_per_token * self.expert_parameters

    def kv_bytes_per_token(self, bytes_per_value: float = 2.0) -> float:
        """Key and value bytes of one token in all layers, before any sliding window."""
        return 2 * self.layers * self.kv_heads * self.head_dim * bytes_per_value

    def kv_bytes(self, tokens: float, bytes_per_value: float = 2.0) -> float:
        """Key and value bytes of one sequence of so many tokens; windowed layers hold at most their window."""
        return self.kv_bytes_per_token(bytes_per_value) * self.attended(tokens)

    def attended(self, tokens: float) -> float:
        """Tokens that attention reads at this context length, averaged over layers."""
        if not self.window or tokens <= self.window:
            return tokens
        share = float(self.windowed)
        return share * self.window + (1 - share) * tokens

    def attention_pairs(self, tokens: float) -> float:
        """Query-key pairs of a causal prompt of so many tokens, averaged over layers."""
        full = tokens * tokens / 2
        if not self.window or tokens <= self.window:
            return full
        share = float(self.windowed)
        windowed = self.window * (tokens - self.window / 2)
        return share * windowed + (1 - share) * full
