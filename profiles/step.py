"""How long one decode step and one prompt take: a roofline with efficiencies and overheads.

    step(B, S)  = join(weights read, arithmetic) + KV read + all-reduces + engine + layers + sequences
    prompt(n)   = arithmetic + attention + all-reduces + a charge per chunk

B is sequences in the batch, S tokens of context each, n prompt tokens. Reading and arithmetic add up (measured: p =
1), except in kernels that unpack weights while they multiply. `profiles.load` puts steps and prompts together under
load. Formulas and their derivation from public measurements: docs/profiles.md.
"""

import math
from dataclasses import dataclass

from profiles.constants import FITTED, Constants
from profiles.deployment import Deployment


@dataclass(frozen=True, slots=True)
class StepTime:
    """One decode step by its terms, in seconds."""

    weights: float
    """Reading weights, as far as arithmetic does not hide it."""
    compute: float
    """Arithmetic, as far as reading does not hide it."""
    kv_cache: float
    communication: float
    overhead: float
    """Engine, layers and sequences."""

    @property
    def total(self) -> float:
        """The step."""
        return self.weights + self.compute + self.kv_cache + self.communication + self.overhead


class StepModel:
    """The formulas for one deployment, with everything that does not depend on the load worked out beforehand."""

    def __init__(self, deployment: Deployment, constants: Constants = FITTED) -> None:
        model, gpu, quantization, gpus = deployment.model, deployment.gpu, deployment.quantization, deployment.gpus
        kernel = constants.kernels[deployment.kernel]
        costs = constants.engines[deployment.engine.family]
        peak, efficiency = peak_rate(deployment, constants)
        rate = gpus * peak * efficiency * (constants.moe_compute if model.experts > 1 else 1.0)
        read = gpus * gpu.bandwidth * constants.bandwidth_efficiency * costs.bandwidth
        linear_parameters = model.attention_parameters + model.expert_parameters
        self.deployment = deployment
        self.costs = costs
        self._model = model
        self._gpus = gpus
        self._overlap = kernel.overlap
        self._attention_read = quantization.attention_bytes(model) / (read * kernel.bandwidth)
        self._expert_read = quantization.expert_bytes(model) / (read * kernel.bandwidth)
        self._head_read = quantization.head_bytes(model) / read
        self._unpack = kernel.unpack_bytes * linear_parameters / read
        self._token_compute = 2 * model.active_parameters / rate
        self._prompt_compute = 2 * model.body_parameters / rate
        self._kv_token = model.kv_bytes_per_token(deployment.kv_value_bytes) / (
            min(gpus, model.kv_heads) * gpu.bandwidth * constants.kv_efficiency
        )
        attention_rate = gpus * gpu.fp16 * constants.fp16_efficiency * constants.attention_efficiency
        self._pair = 4 * model.heads * model.head_dim * model.layers / attention_rate
        alpha = constants.alpha_nvlink if gpu.link == "nvlink" else constants.alpha_pcie
        start = 2 * model.layers * alpha * costs.reduce * (1 + 0.25 * math.log2(gpus))
        self._reduce_start = start if gpus > 1 else 0.0
        traffic = 2 * (gpus - 1) / gpus * model.hidden * 2
        self._reduce_token = 2 * model.layers * traffic / (gpu.link_rate * constants.link_efficiency)
        host = 1.0 if gpu.desktop else constants.server_host
        launch = costs.host_layer + kernel.layer * (1.0 if costs.host_layer else kernel.graphed)
        self._fixed = costs.step + model.layers * (constants.step_layer + host * launch)
        self._sequence = costs.sequence * (host if costs.host_layer else 1.0)
        self._chunk = model.layers * constants.prompt_layer
        self._prompt_reduce = constants.prompt_reduce

    def experts_touched(self, tokens: float) -> float:
        """Experts of a layer that so many tokens wake, on average, when they choose independently."""
        experts = self._model.experts
        if experts == 1:
            return 1.0
        missed: float = (1 - self._model.experts_per_token / experts) ** tokens
        return experts * (1 - missed)

    def terms(self, batch: float, context: float) -> StepTime:
        """One decode step of `batch` sequences with `context` tokens each, by its terms."""
        read = self._read_together(batch)
        # Unpacking pays from the batch at which it beats one sequence after the other, each with experts of its own.
        read += min(self._unpack, max(batch * self._read_together(1.0) - read, 0.0))
        compute = batch * self._token_compute
        joined = read + compute
        if self._overlap != 1.0:
            joined = (read**self._overlap + compute**self._overlap) ** (1 / self._overlap)
        share = joined / (read + compute)
        kv_cache = batch * self._model.attended(context) * self._kv_token
        communication = self._reduce_start + batch * self._reduce_token
        overhead = self._fixed + batch * self._sequence
        return StepTime(read * share, compute * share, kv_cache, communication, overhead)

    def _read_together(self, tokens: float) -> float:
        """Seconds to read the weights that so many tokens need, each of them once."""
        return self._attention_read + self.experts_touched(tokens) * self._expert_read + self._head_read

    def step(self, batch: float, context: float) -> float:
        """Seconds of one decode step."""
        return self.terms(batch, context).total

    def prompt(self, tokens: float, batch: float = 1.0) -> float:
        """Seconds of GPU work for `batch` prompts of so many tokens each, without the charge per chunk."""
        compute = batch * tokens * self._prompt_compute
        attention = batch * self._model.attention_pairs(tokens) * self._pair
        communication = self._reduce_start + batch * tokens * self._reduce_token
        return compute + attention + self._prompt_reduce * communication

    def chunks(self, tokens: float) -> int:
        """Steps over which a prompt is spread."""
        return max(1, math.ceil(tokens / self.deployment.batched_tokens))

    @property
    def chunk_overhead(self) -> float:
        """Seconds that every chunk of a prompt costs beyond its arithmetic."""
        return self._chunk


def peak_rate(deployment: Deployment, constants: Constants) -> tuple[float, float]:
    """`(peak FLOP/s of one GPU, efficiency)` of the kernel that runs here; a missing unit falls back to 16 bit."""
    kernel = constants.kernels[deployment.kernel]
    gpu = deployment.gpu
    peaks = {
        "fp16": (gpu.fp16, constants.fp16_efficiency),
        "fp8": (gpu.fp8, constants.fp8_efficiency),
        "int8": (gpu.int8, constants.int8_efficiency),
        "fp4": (gpu.fp4, constants.fp4_efficiency),
    }
    peak, efficiency = peaks[kernel.peak]
    if peak is None:
        peak, efficiency = peaks["fp16"]
    return float(peak or gpu.fp16), efficiency * kernel.compute
