"""Which quantization runs on which GPU, and which sizes of replica a model allows: the reasons for a refusal.

One function a question, each returns the reason or None. Facts: vLLM 0.33's hardware table and sources
(docs/profiles.md, "What runs where"). Used by prediction, arguments, fit and the checks of canary.yml.
"""

from profiles.accelerator import Accelerator
from profiles.model import ModelShape
from profiles.quantization import Quantization

NEEDS = {"fp8": 8.9, "nvfp4": 10.0}
"""Kernel to the compute capability with native units; below it vLLM falls back to a weight-only kernel."""
NOT_WITHOUT = {"mxfp4": 8.0, "bnb-nf4": 7.0, "bnb-int8": 7.0}
"""Kernel to the compute capability below which nothing runs at all."""


def native(quantization: Quantization, gpu: Accelerator) -> bool:
    """Whether the GPU has the units that the method computes with; if not, weights stay small and arithmetic is
    16-bit.
    """
    if quantization.kernel == "fp8":
        return gpu.fp8 is not None
    if quantization.kernel == "nvfp4":
        return gpu.fp4 is not None
    return True


def refusal(
    model: ModelShape, gpu: Accelerator, quantization: Quantization, gpus: int = 1, allow_fallback: bool = False
) -> str | None:
    """Why this combination cannot run, or None. `allow_fallback` accepts weight-only kernels where units are
    missing.
    """
    return (
        too_old(quantization, gpu)
        or wrong_vendor(quantization, gpu)
        or int8_on_blackwell(quantization, gpu)
        or (None if allow_fallback else unaccepted(falls_back(quantization, gpu)))
        or no_experts(quantization, model)
        or uneven_split(model, gpus)
    )


def too_old(quantization: Quantization, gpu: Accelerator) -> str | None:
    """The GPU is older than anything that runs this method."""
    least = NOT_WITHOUT.get(quantization.kernel)
    if gpu.vendor == "nvidia" and least and gpu.capability < least:
        return (
            f"{quantization.name} needs compute capability {least} and {gpu.name} has {gpu.capability}: "
            "no kernel runs it there. Choose awq or gptq, or a newer GPU."
        )
    return None


def wrong_vendor(quantization: Quantization, gpu: Accelerator) -> str | None:
    """The method has kernels for NVIDIA only."""
    if gpu.vendor == "amd" and quantization.kernel in {"int8", "nvfp4"}:
        return f"{quantization.name} has no kernel for AMD GPUs such as {gpu.name}. Choose fp8, awq or bf16."
    return None


def int8_on_blackwell(quantization: Quantization, gpu: Accelerator) -> str | None:
    """VLLM's INT8 W8A8 kernels end with compute capability 9."""
    if quantization.kernel == "int8" and gpu.vendor == "nvidia" and gpu.capability >= 10:
        return (
            f"{quantization.name} does not run on {gpu.name}: vLLM has no INT8 W8A8 kernel from compute capability 10 "
            "on (and the GPU no INT8 rate to speak of). Choose fp8 or nvfp4."
        )
    return None


def falls_back(quantization: Quantization, gpu: Accelerator) -> str | None:
    """The engine would start, but silently on another kernel than the one that was asked for."""
    if native(quantization, gpu):
        return None
    least = NEEDS.get(quantization.kernel)
    return (
        f"{quantization.name} needs compute capability {least} and {gpu.name} has {gpu.capability}: vLLM would "
        f"silently fall back to a weight-only kernel ({quantization.fallback}), which saves memory but computes in "
        "16 bit. Choose int8-w8a8, awq or gptq, or a GPU that has the units."
    )


def unaccepted(reason: str | None) -> str | None:
    """The same for a command that could accept it."""
    return f"{reason} --allow-fallback accepts the slower kernel." if reason else None


def no_experts(quantization: Quantization, model: ModelShape) -> str | None:
    """A method for experts on a model that has none, or bitsandbytes' int8 on one that has."""
    if quantization.scope == "experts" and model.experts == 1:
        return f"{quantization.name} quantizes experts only and {model.name} has none. Choose awq, gptq or nvfp4."
    if quantization.kernel == "bnb-int8" and model.experts > 1:
        return (
            f"{quantization.name} cannot hold a mixture of experts such as {model.name} (vllm-bnb-plugin). "
            "Choose bnb-nf4 or fp8."
        )
    return None


def uneven_split(model: ModelShape, gpus: int) -> str | None:
    """Tensor parallelism that does not divide the attention heads."""
    if model.heads % gpus:
        sizes = ", ".join(str(size) for size in (1, 2, 4, 8, 16) if model.heads % size == 0)
        return (
            f"tensor parallelism {gpus} does not divide the {model.heads} attention heads of {model.name}. "
            f"Possible: {sizes}."
        )
    return None
