"""One way to serve a model: model, GPU, how many, quantization, engine and its limits. The subject of every prediction.

A value without behaviour but the choice of kernel; `profiles.support` says whether it can run at all,
`profiles.memory` whether it fits, `profiles.step` how fast it is.
"""

from dataclasses import dataclass

from profiles.accelerator import Accelerator
from profiles.engine import Engine
from profiles.errors import Malformed
from profiles.model import ModelShape
from profiles.quantization import Quantization
from profiles.support import native

NEWEST_VLLM = Engine("vllm")


@dataclass(frozen=True, slots=True)
class Deployment:
    """One replica: `gpus` accelerators joined by tensor parallelism."""

    model: ModelShape
    gpu: Accelerator
    quantization: Quantization
    gpus: int = 1
    engine: Engine = NEWEST_VLLM
    kv_value_bytes: float = 2.0
    """Bytes of one key or value: 2, or 1 with an 8-bit cache."""
    memory_utilization: float | None = None
    """Share of the GPU's memory that the engine reserves; None takes the engine's default."""
    max_num_seqs: int | None = None
    """Sequences that run at once; None takes the engine's default."""
    max_num_batched_tokens: int | None = None
    max_model_len: int | None = None
    """Longest context that is admitted; None takes the model's."""

    def __post_init__(self) -> None:
        if self.gpus < 1:
            raise Malformed(f"a replica needs at least one GPU, got {self.gpus}")
        if self.memory_utilization is not None and not 0 < self.memory_utilization <= 1:
            raise Malformed(f"memory utilization is a share between 0 and 1, got {self.memory_utilization}")

    @property
    def kernel(self) -> str:
        """Name of the kernel that runs here: the method's own, or its fallback on a GPU without the units."""
        if self.quantization.fallback and not native(self.quantization, self.gpu):
            return self.quantization.fallback
        return self.quantization.kernel

    @property
    def utilization(self) -> float:
        """The reserved share in force."""
        return self.engine.memory_utilization if self.memory_utilization is None else self.memory_utilization

    @property
    def sequences(self) -> int:
        """The limit on running sequences in force."""
        return self.max_num_seqs or self.engine.defaults(self.gpu)[1]

    @property
    def batched_tokens(self) -> int:
        """The limit on prompt tokens in one step in force."""
        return self.max_num_batched_tokens or self.engine.defaults(self.gpu)[0]

    @property
    def context(self) -> int:
        """The longest admitted context in force."""
        return self.max_model_len or self.model.max_context
