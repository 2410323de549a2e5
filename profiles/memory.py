"""Where a GPU's memory goes: weights, KV cache, activations, the rest; what is needed against what is reserved.

All figures are for one GPU of the replica, in bytes. The engine reserves a share of the GPU, whatever the workload;
what is left after weights, activations and overheads holds the KV cache. Sources of the formulas: docs/profiles.md,
"Memory".
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

from profiles.accelerator import GIB
from profiles.deployment import Deployment

SAMPLER_BYTES = 14.4
"""Bytes per sequence and vocabulary entry that the sampler's dummy run needs (logits in fp32, sorted copies, masks)."""
ACTIVATION_BASE = 0.15 * GIB
CONTEXT = 0.27 * GIB
"""CUDA context and allocator of a process on one GPU."""
CONTEXT_PARALLEL = 2.1 * GIB
"""The same with NCCL's buffers, where several GPUs form a replica."""
GRAPHS = 0.4 * GIB
"""CUDA graphs."""


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """One GPU's memory in bytes."""

    weights: float
    activation: float
    """Peak beyond weights: the larger of the forward pass and the sampler."""
    other: float
    """CUDA context, communication buffers, CUDA graphs."""
    kv_cache: float
    """What the workload fills: its running sequences at their longest."""
    reserved: float
    """What the engine takes, whatever the workload."""
    visible: float
    kv_room: float
    """What is left of the reservation for the KV cache; negative when not even the weights fit."""
    kv_tokens: float
    """Tokens that fit in that room (in windowed layers, at the workload's context)."""
    max_concurrency: float
    """Requests of the workload's size that run at once."""
    context_fits: int
    """The longest context, one sequence of which fits; the engine does not start with a longer limit."""

    @property
    def needed(self) -> float:
        """What the workload uses: weights, activations, overheads and its own KV cache."""
        return self.weights + self.activation + self.other + self.kv_cache

    @property
    def fits(self) -> bool:
        """Whether all of the workload's sequences have room at once."""
        return self.needed <= self.reserved

    @property
    def missing(self) -> float:
        """Bytes that are missing for the workload; 0 when it fits."""
        return max(self.needed - self.reserved, 0.0)


def memory(deployment: Deployment, tokens: float, concurrency: float) -> MemoryEstimate:
    """The plan for `concurrency` requests of `tokens` (prompt and answer) each."""
    gpus, model = deployment.gpus, deployment.model
    weights = deployment.quantization.weight_bytes(model) / gpus
    shards = min(gpus, model.kv_heads)
    sequence = model.kv_bytes(tokens, deployment.kv_value_bytes) / shards
    reserved = deployment.utilization * deployment.gpu.memory_bytes
    peak = activation(deployment)
    other = GRAPHS + (CONTEXT if gpus == 1 else CONTEXT_PARALLEL)
    room = reserved - weights - peak - other
    fitting = max(room, 0.0) / sequence if sequence else 0.0
    running = min(concurrency, deployment.sequences)
    return MemoryEstimate(
        weights=weights,
        activation=peak,
        other=other,
        kv_cache=running * sequence,
        reserved=reserved,
        visible=deployment.gpu.memory_bytes,
        kv_room=room,
        kv_tokens=fitting * tokens,
        max_concurrency=min(fitting, deployment.sequences),
        context_fits=min(
            int(max(room, 0.0) * shards / model.kv_bytes_per_token(deployment.kv_value_bytes)), deployment.context
        ),
    )


def activation(deployment: Deployment) -> float:
    """Peak activation bytes of one GPU. Within 0.5 GiB of what vLLM 0.19 reports on an H100 for eight model
    families.
    """
    model = deployment.model
    width = 4 * model.hidden + 3 * model.intermediate / deployment.gpus
    forward = deployment.batched_tokens * width * 2
    sampler = SAMPLER_BYTES * deployment.sequences * model.vocabulary
    return max(forward, sampler) + ACTIVATION_BASE


class Change(NamedTuple):
    """One change of flags that makes a deployment fit."""

    deployment: Deployment
    flag: str
    """What to set: `--max-num-seqs 256`."""


def smallest_change(deployment: Deployment, tokens: float, concurrency: float) -> Change | None:
    """The first change that makes it fit, from the cheapest to the dearest; None when only another quantization or
    GPU helps.

    Tried in order: a lower limit of sequences, an 8-bit KV cache, more GPUs; each alone, then together.
    """
    for change in _changes(deployment, concurrency):
        if memory(change.deployment, tokens, concurrency).fits:
            return change
    return None


def _changes(start: Deployment, concurrency: float) -> list[Change]:
    """Single changes and the ones that build on those before."""
    sequences = [count for count in (512, 256, 128, 64, 32) if max(concurrency, 1) <= count < start.sequences]
    changes = [Change(replace(start, max_num_seqs=count), f"--max-num-seqs {count}") for count in sequences]
    base = changes[-1] if changes else Change(start, "")
    if start.kv_value_bytes > 1 and start.gpu.capability >= 8.9:
        alone = replace(start, kv_value_bytes=1.0)
        base = Change(replace(base.deployment, kv_value_bytes=1.0), f"{base.flag} --kv-cache-dtype fp8".strip())
        changes += [Change(alone, "--kv-cache-dtype fp8"), base]
    for gpus in (2, 4, 8):
        if gpus > start.gpus and start.model.heads % gpus == 0:
            flag = f"--tensor-parallel-size {gpus}"
            changes.append(Change(replace(start, gpus=gpus), flag))
            changes.append(Change(replace(base.deployment, gpus=gpus), f"{base.flag} {flag}".strip()))
    return changes
