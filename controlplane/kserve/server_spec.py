"""Which server runs a variant, in which image, with which arguments and memory, each with its reason.

Called by `render.py` for a variant that names no runtime of its own. The arguments come from `profiles.arguments`,
which knows vLLM's versions; what the catalogue does not know is passed on as the plan says it. Pure: the catalogue
comes in.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

from canary.errors import BadInput
from canary.spec.models import CanarySpec, Variant
from profiles import arguments
from profiles.accelerator import GIB
from profiles.arguments import Flag, Launch
from profiles.catalogue import Catalogue
from profiles.deployment import Deployment
from profiles.described import described
from profiles.engine import Engine
from profiles.errors import ProfileRefused, Unknown
from profiles.memory import memory

Family = Literal["vllm", "huggingface"]
VLLM = "vllm/vllm-openai:v0.24.0"
VLLM_WITH_BITSANDBYTES = "kserve/huggingfaceserver:v0.20.0-gpu"
"""Has the same vLLM (0.24) inside, and the kernels of bitsandbytes, which left vLLM's own tree in 0.28."""
HUGGINGFACE = "kserve/huggingfaceserver:v0.20.0"
ENGINE = Engine("vllm", (0, 24, 0))
"""The vLLM of these images; both arms have the same, so that a rollout does not compare engines by accident."""
WEIGHTS = "/mnt/models"
"""Where KServe puts the weights."""
ADAPTERS = "/mnt/adapters"
CORES_EACH = 4
HOST_MEMORY_LEAST = 16
"""GiB; what loading needs beside the weights does not shrink with them."""
HOST_MEMORY_UNKNOWN = 32
"""GiB for each GPU where the model's size is not known."""


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """How a variant is served."""

    family: Family
    image: str
    flags: tuple[Flag, ...]
    environment: tuple[Flag, ...]
    requests: Mapping[str, str]
    """What each replica asks for, and may use at most."""
    notes: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        """The flags as arguments, one word each, so that a value is never taken for the next flag."""
        return [f"{flag.name}={flag.value}" if flag.value else flag.name for flag in self.flags]


def served(spec: CanarySpec, variant: Variant, known: Catalogue) -> ServerSpec:
    """The server of a variant without a runtime of its own. Raises `BadInput` where there can be none."""
    if variant.profile is None:
        return _on_cpu(spec, variant)
    deployment, unknown = _deployment(spec, variant, known)
    if deployment is None:
        found = Launch(WEIGHTS, tuple(_as_written(spec, variant)), (), (), (unknown,))
    else:
        found = _launch(spec, variant, deployment)
    needed = [f"{each.name}{each.value} has to be in {variant.image}: {each.why}." for each in found.image]
    return ServerSpec(
        "vllm",
        variant.image or (VLLM_WITH_BITSANDBYTES if _needs_bitsandbytes(variant, known) else VLLM),
        (*_own(variant, found.flags), *adapters(variant)),
        found.environment,
        _amounts(variant, deployment, known),
        (*found.notes, *(needed if variant.image else ())),
    )


def engine_flags(variant: Variant) -> Iterator[Flag]:
    """The flags of `engine` as the server's command line spells them: `maxNumSeqs: 64` is `--max-num-seqs=64`."""
    for name, value in variant.engine.items():
        spelled = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).replace("_", "-").lower()
        if value is True or value is None:
            yield Flag(f"--{spelled}", "", "asked for")
        elif value is not False:
            yield Flag(f"--{spelled}", str(value), "asked for")
        else:
            yield Flag(f"--no-{spelled}", "", "asked for")


def adapters(variant: Variant) -> Iterator[Flag]:
    """LoRA adapters by the names that clients ask for."""
    if variant.lora:
        yield Flag("--enable-lora", "", "the variant has adapters")
        for name in variant.lora:
            yield Flag("--lora-modules", f"{name}={ADAPTERS}/{name}", f"clients ask for {name}")


def _on_cpu(spec: CanarySpec, variant: Variant) -> ServerSpec:
    """Without a GPU the Hugging Face server runs it with transformers; what that cannot do is refused."""
    cannot = [key for key, said in (("quantization", _quantized(variant)), ("lora", bool(variant.lora))) if said]
    if cannot:
        raise BadInput(
            f"{variant.name} says {' and '.join(cannot)} and no GPU, and no server does that on a CPU; "
            "write profile: {gpu: …}, or name a runtime of your own."
        )
    flags = [
        Flag("--model_name", spec.model.name, "both variants must answer to one name"),
        Flag("--model_dir", WEIGHTS, "where KServe puts the weights"),
        Flag("--backend", "huggingface", "vLLM wants a GPU; said openly, not chosen silently"),
    ]
    amounts = {"cpu": str(CORES_EACH), "memory": f"{HOST_MEMORY_LEAST}Gi", **variant.resources}
    image = variant.image or HUGGINGFACE
    return ServerSpec("huggingface", image, (*flags, *engine_flags(variant)), (), amounts, ())


def _deployment(spec: CanarySpec, variant: Variant, known: Catalogue) -> tuple[Deployment | None, str]:
    """What the variant is to the predictor; None, and what is not known, where the catalogue does not have it."""
    profile = variant.profile
    if profile is None:
        return None, ""
    try:
        found = described(
            known,
            model=variant.uri or spec.model.uri or spec.model.name,
            gpu=profile.gpu,
            gpus=profile.count,
            quantization=variant.quantization,
            flags=variant.engine,
            engine=_engine(variant),
        )
    except Unknown as wrong:
        return None, f"{wrong} Its arguments are those of the plan, and whether it fits was not checked."
    return found, ""


def _engine(variant: Variant) -> Engine:
    """The vLLM of the image, as its tag says; of an image without one the newest."""
    if not variant.image:
        return ENGINE
    tag = re.search(r"vllm[^@]*:v?(\d+(?:\.\d+)+)", variant.image)
    return Engine("vllm", tuple(int(part) for part in tag[1].split("."))) if tag else Engine("vllm")


def _launch(spec: CanarySpec, variant: Variant, deployment: Deployment) -> Launch:
    try:
        return arguments.launch(deployment, WEIGHTS, served_name=spec.model.name, allow_fallback=True)
    except ProfileRefused as wrong:
        raise BadInput(f"{variant.name} cannot run as the plan says: {wrong}") from wrong


def _as_written(spec: CanarySpec, variant: Variant) -> list[Flag]:
    """Arguments of a variant of which the catalogue does not know everything."""
    flags = [Flag("--served-model-name", spec.model.name, "both variants must answer to one name")]
    if _quantized(variant) and variant.quantization:
        method = "bitsandbytes" if _is_bitsandbytes(variant.quantization) else variant.quantization
        flags.append(Flag("--quantization", method, "asked for"))
    if variant.profile and variant.profile.count > 1:
        flags.append(Flag("--tensor-parallel-size", str(variant.profile.count), "one replica is that many GPUs"))
    return flags


def _own(variant: Variant, flags: Iterable[Flag]) -> Iterator[Flag]:
    """These flags, each replaced by what the plan says itself, and then the plan's others."""
    own = {flag.name: flag for flag in engine_flags(variant)}
    for flag in flags:
        yield own.pop(flag.name, flag)
    yield from own.values()


def _quantized(variant: Variant) -> bool:
    return (variant.quantization or "none").lower() not in {"none", "bf16", "bfloat16", "fp16", "float16", "half"}


def _is_bitsandbytes(quantization: str) -> bool:
    return quantization.lower().startswith(("bitsandbytes", "bnb"))


def _needs_bitsandbytes(variant: Variant, known: Catalogue) -> bool:
    try:
        return known.quantization(variant.quantization or "bf16").plugin == "vllm-bnb-plugin"
    except Unknown:
        return _is_bitsandbytes(variant.quantization or "")


def _amounts(variant: Variant, deployment: Deployment | None, known: Catalogue) -> Mapping[str, str]:
    """CPU, memory and GPUs of a replica. KServe's own default, 2 GiB, kills a language model while it loads.

    Memory is for the weights in 16 bits: some methods quantize only after they have read them.
    """
    if variant.profile is None:
        return variant.resources
    count, vendor = variant.profile.count, deployment.gpu.vendor if deployment else "nvidia"
    host = HOST_MEMORY_UNKNOWN * count
    if deployment is not None:
        plain_weights = replace(deployment, quantization=known.quantization("bf16"))
        weights = memory(plain_weights, tokens=1, concurrency=1).weights * count / GIB
        host = max(HOST_MEMORY_LEAST, 4 * ceil((weights + 8) / 4))
    plain = {"cpu": str(CORES_EACH * count), "memory": f"{host}Gi", f"{vendor}.com/gpu": str(count)}
    return {**plain, **variant.resources}
