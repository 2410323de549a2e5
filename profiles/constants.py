"""The constants of the speed model, in one table, each with what it means.

Fitted by `benchmarks/profile_fit.py` to the public measurements in `tests/profiles/data/profile_points.csv`; run it
to get this table back. They trade off against each other (two sets that differ by a third can have the same error),
so a single one is no statement about physics. Units are seconds unless a name says otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Kernel:
    """How one way of storing weights uses the GPU, relative to plain 16-bit kernels."""

    peak: str
    """Which peak rate of the GPU the arithmetic runs at: `fp16`, `fp8`, `int8` or `fp4`."""
    bandwidth: float = 1.0
    """Share of `bandwidth_efficiency` that its weight reads reach."""
    compute: float = 1.0
    """Share of the efficiency of that peak rate which its arithmetic reaches."""
    overlap: float = 1.0
    """Exponent p that joins reading and computing, (t_w^p + t_c^p)^(1/p): 1 adds them, larger values hide the shorter
    one.
    """
    layer: float = 0.0
    """Seconds that a desktop host needs in every layer of every step to drive its kernels without CUDA graphs."""
    graphed: float = 1.0
    """Share of that which remains under CUDA graphs."""
    unpack_bytes: float = 0.0
    """Bytes written and read per parameter to unpack weights before a dense product, once the batch is larger than
    one.
    """


@dataclass(frozen=True, slots=True)
class EngineCosts:
    """What an engine adds to the GPU's own time."""

    step: float
    """Seconds of every decode step: scheduling, sampling, launching."""
    first_token: float
    """Seconds of every request: HTTP, tokenizing, admission."""
    sequence: float = 15e-6
    """Seconds of every running sequence in every step: sampling, detokenizing, block tables."""
    bandwidth: float = 1.0
    """Share of `bandwidth_efficiency` that its kernels reach."""
    host_layer: float = 0.0
    """Seconds a layer that a desktop host needs to launch kernels without CUDA graphs; 0 for engines that use
    graphs.
    """
    reduce: float = 1.0
    """Its all-reduces' start-up time, relative to the table's."""


@dataclass(frozen=True, slots=True)
class Constants:
    """All of it. Times in seconds, efficiencies as shares of the data sheet's peak."""

    bandwidth_efficiency: float = 0.938
    """Share of peak memory bandwidth that reading 16-bit weights reaches."""
    kv_efficiency: float = 0.928
    """Share of peak memory bandwidth that reading the KV cache reaches."""
    fp16_efficiency: float = 0.85
    """Share of peak 16-bit arithmetic that large matrix products reach."""
    fp8_efficiency: float = 0.602
    int8_efficiency: float = 0.447
    fp4_efficiency: float = 0.309
    moe_compute: float = 0.36
    """Share of that which mixtures of experts reach: their products are many and small."""
    step_layer: float = 3.03e-05
    """Each layer of each decode step: norms, rotary embedding, kernel gaps."""
    prompt_layer: float = 9.8e-05
    """Each layer of each prompt chunk, which runs without CUDA graphs."""
    attention_efficiency: float = 0.632
    """Share of `fp16_efficiency` that prompt attention reaches."""
    alpha_nvlink: float = 5.12e-06
    """Start-up time of one all-reduce among two GPUs over NVLink."""
    alpha_pcie: float = 1.84e-05
    """The same over PCIe."""
    link_efficiency: float = 0.388
    """Share of the link's rate that an all-reduce reaches."""
    prompt_reduce: float = 0.938
    """Share of a prompt's all-reduces that is not hidden behind arithmetic."""
    prompt_token: float = 1.65e-05
    """Each prompt token on the host, before the GPU sees it: HTTP, tokenizing."""
    server_host: float = 4.02
    """How much slower servers' CPUs drive kernels than the desktops that consumer GPUs sit in."""
    queue: float = 0.138
    """Weight of the queueing term rho/(1-rho) x prefill that a prompt waits for other prompts."""
    kernels: Mapping[str, Kernel] = field(
        default_factory=lambda: {
            "dense16": Kernel("fp16"),
            "fp8": Kernel("fp8", bandwidth=0.914),
            "int8": Kernel("int8", bandwidth=0.951),
            "w8a16": Kernel("fp16", bandwidth=0.92, compute=0.673, overlap=1.5),
            "w4a16": Kernel("fp16", bandwidth=0.90, compute=0.31, overlap=1.5),
            "nvfp4": Kernel("fp4", bandwidth=0.654),
            "mxfp4": Kernel("fp16", bandwidth=0.95, compute=0.95),
            "gguf": Kernel("fp16", bandwidth=0.897, compute=0.25, overlap=1.5),
            "bnb-nf4": Kernel("fp16", bandwidth=0.669, layer=0.000145, graphed=0.3, unpack_bytes=4.0),
            "bnb-int8": Kernel("int8", bandwidth=0.413, layer=0.000654),
        }
    )
    engines: Mapping[str, EngineCosts] = field(
        default_factory=lambda: {
            "vllm": EngineCosts(step=0.00141, first_token=0.00318, sequence=1.97e-05),
            "vllm-v0": EngineCosts(step=0.00299, first_token=0.0233, sequence=3.57e-05),
            "trtllm": EngineCosts(step=0.000675, first_token=0.0246, sequence=6.61e-06),
            "trtllm-old": EngineCosts(step=0.000436, first_token=0.005, sequence=1.39e-05, reduce=3.45),
            "sglang": EngineCosts(step=0.000708, first_token=0.0255, sequence=2.63e-05),
            "llama.cpp": EngineCosts(step=0.000888, first_token=13e-3, bandwidth=0.836),
            "transformers": EngineCosts(step=0.000888, first_token=13e-3, sequence=9.76e-05, host_layer=0.000117),
        }
    )
    waves: Mapping[str, float] = field(
        default_factory=lambda: {"none": 0.0, "random": 0.0825, "fixed": 0.167, "batch": 1.03}
    )
    """Share of callers whose prompts collide because a benchmark starts them together, by its kind: answers of random
    length drift apart, of fixed length stay in step, `batch` sends all at once. Forecasts for production use 0."""


FITTED = Constants()


def flat(constants: Constants) -> dict[str, float]:
    """All numbers by dotted name, as the fit sees them: `kernels.fp8.bandwidth`."""
    numbers: dict[str, float] = {}
    for item in fields(constants):
        value = getattr(constants, item.name)
        if item.name == "waves":
            numbers |= {f"waves.{key}": share for key, share in value.items()}
        elif isinstance(value, Mapping):
            for key, row in value.items():
                numbers |= {
                    f"{item.name}.{key}/{part.name}": getattr(row, part.name)
                    for part in fields(row)
                    if isinstance(getattr(row, part.name), float)
                }
        else:
            numbers[item.name] = value
    return numbers


def changed(constants: Constants, numbers: Mapping[str, float]) -> Constants:
    """The constants with these numbers (names as in `flat`) in place of their own."""
    kernels, engines, waves = dict(constants.kernels), dict(constants.engines), dict(constants.waves)
    plain = {}
    for name, value in numbers.items():
        if name.startswith("kernels."):
            key, part = name.removeprefix("kernels.").split("/")
            number: dict[str, Any] = {part: value}
            kernels[key] = replace(kernels[key], **number)
        elif name.startswith("engines."):
            key, part = name.removeprefix("engines.").split("/")
            number = {part: value}
            engines[key] = replace(engines[key], **number)
        elif name.startswith("waves."):
            waves[name.removeprefix("waves.")] = value
        else:
            plain[name] = value
    return replace(constants, kernels=kernels, engines=engines, waves=waves, **plain)
