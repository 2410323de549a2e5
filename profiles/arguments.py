"""The command line that starts a variant under vLLM: arguments, what the image must hold, environment, and a reason
for each.

What a method needs changed between versions, so everything hangs on the version in one table (`CHANGES`).
Combinations that cannot run are refused, not warned about. Sources: docs/profiles.md, "Arguments". Renders values;
starting anything is the platform's business.
"""

from dataclasses import dataclass

from profiles.deployment import Deployment
from profiles.engine import Engine
from profiles.errors import ProfileRefused
from profiles.prediction import Prediction
from profiles.support import native, refusal

CHANGES = {
    "loader by itself": (0, 9),
    "online fp8 schemes": (0, 20),
    "gguf is a plugin": (0, 24),
    "bitsandbytes is a plugin": (0, 28),
}
"""What changed, and the first vLLM release that has it."""
OLDEST = (0, 8)
"""Oldest release whose flags this table knows."""
ONLINE = {"fp8", "bnb-nf4", "bnb-nf4-dq"}
"""Methods that vLLM applies while it loads a 16-bit checkpoint; all others need a quantized checkpoint."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One argument or environment variable, and why it is there."""

    name: str
    value: str
    why: str

    @property
    def words(self) -> list[str]:
        """As it stands on a command line."""
        return [self.name, self.value] if self.value else [self.name]


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything that a pod or process needs to serve the variant."""

    model: str
    flags: tuple[Flag, ...]
    image: tuple[Flag, ...]
    """Python packages that the image needs beyond vLLM, as `name`, version constraint, reason."""
    environment: tuple[Flag, ...]
    notes: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        """The arguments after `vllm serve`."""
        return [self.model, *(word for flag in self.flags for word in flag.words)]


def launch(
    deployment: Deployment,
    source: str,
    *,
    served_name: str = "",
    quantized_checkpoint: bool | None = None,
    tokenizer: str = "",
    prediction: Prediction | None = None,
    allow_fallback: bool = False,
    image_has: frozenset[str] | None = None,
) -> Launch:
    """The launch of `source` (repository or path). `quantized_checkpoint`: whether its weights are quantized already
    (None: unless the method works online). `image_has`: Python packages of the image beyond vLLM, None when nobody
    said. `prediction` gives the limits of context, if it found that the default has no room.

    Raises `ProfileRefused` where GPU, method, version and checkpoint do not go together.
    """
    if reason := refusal(deployment.model, deployment.gpu, deployment.quantization, deployment.gpus, allow_fallback):
        raise ProfileRefused(reason)
    version = deployment.engine.version
    if deployment.engine.family not in {"vllm", "vllm-v0"}:
        raise ProfileRefused(f"arguments are known for vLLM only, not for {deployment.engine.family}")
    if version and version < OLDEST:
        raise ProfileRefused(
            f"vLLM {dotted(version)} is older than {dotted(OLDEST)}, the oldest whose flags are known here"
        )
    method = deployment.quantization.name
    ready = method not in ONLINE if quantized_checkpoint is None else quantized_checkpoint
    if not ready and method not in ONLINE | {"bf16"}:
        raise ProfileRefused(
            f"{method} needs a checkpoint that is quantized already: vLLM cannot quantize to it while it loads. "
            "Make one (llm-compressor, or bitsandbytes) or choose fp8 or bnb-nf4."
        )
    if method == "gguf-q4_k_m" and not tokenizer:
        raise ProfileRefused(
            "a gguf checkpoint needs --tokenizer with the repository of the original model: its own is not reliable"
        )
    needed = packages(deployment)
    if image_has is not None and (lacking := [package for package in needed if package.name not in image_has]):
        wanted = ", ".join(package.name for package in lacking)
        raise ProfileRefused(f"{method} needs {wanted} in the image, and it is not there: {lacking[0].why}")
    flags = [*naming(served_name), *precision(deployment), *method_flags(deployment, ready, tokenizer)]
    flags += limits(deployment, prediction)
    notes = [note for note in (fallback_note(deployment), *(prediction.notes if prediction else ())) if note]
    return Launch(source, tuple(flags), tuple(needed), tuple(environment(deployment)), tuple(notes))


def has(engine: Engine, change: str) -> bool:
    """Whether this vLLM has the change; a version that is not named is the newest."""
    return not engine.version or engine.version >= CHANGES[change]


def naming(served_name: str) -> list[Flag]:
    """The name that requests carry."""
    if not served_name:
        return []
    why = "both variants must answer to one name, or a shift of traffic changes the API"
    return [Flag("--served-model-name", served_name, why)]


def precision(deployment: Deployment) -> list[Flag]:
    """The type that arithmetic runs in."""
    if deployment.gpu.vendor == "nvidia" and deployment.gpu.capability < 8.0:
        why = f"{deployment.gpu.name} (compute capability {deployment.gpu.capability}) has no bfloat16"
        return [Flag("--dtype", "half", why)]
    if deployment.quantization.name == "bf16":
        return [Flag("--dtype", "bfloat16", "says what is measured, whatever the checkpoint's default")]
    return []


def method_flags(deployment: Deployment, ready: bool, tokenizer: str) -> list[Flag]:
    """What the quantization asks for; a quantized checkpoint brings its method along in config.json."""
    method, engine = deployment.quantization.name, deployment.engine
    if method == "gguf-q4_k_m":
        return [Flag("--tokenizer", tokenizer, "a gguf file's own tokenizer is converted, slow and not always right")]
    if method.startswith("bnb-"):
        return bitsandbytes(deployment, ready)
    if method == "fp8" and not ready:
        scheme = "fp8_per_tensor" if has(engine, "online fp8 schemes") else "fp8"
        return [Flag("--quantization", scheme, "quantizes the 16-bit checkpoint while it loads")]
    return []


def bitsandbytes(deployment: Deployment, ready: bool) -> list[Flag]:
    """bitsandbytes: online for 4 bits, from a checkpoint for 4 and 8."""
    flags = []
    if not ready:
        flags.append(Flag("--quantization", "bitsandbytes", "quantizes the 16-bit checkpoint to nf4 while it loads"))
    if not has(deployment.engine, "loader by itself"):
        flags.append(
            Flag(
                "--load-format", "bitsandbytes", f"vLLM before {dotted(CHANGES['loader by itself'])} does not infer it"
            )
        )
    if deployment.quantization.kernel == "bnb-int8":
        flags.append(
            Flag("--enforce-eager", "", "its int8 kernels cannot be captured in CUDA graphs; said openly, not silently")
        )
    return flags


def limits(deployment: Deployment, prediction: Prediction | None) -> list[Flag]:
    """Memory, context, batch and parallelism."""
    flags = []
    if deployment.gpus > 1:
        why = f"one replica is {deployment.gpus} GPUs"
        flags.append(Flag("--tensor-parallel-size", str(deployment.gpus), why))
    share = f"{deployment.utilization:g}"
    flags.append(Flag("--gpu-memory-utilization", share, "the default changed between versions (0.90, 0.92): pinned"))
    length = deployment.max_model_len
    if length:
        flags.append(Flag("--max-model-len", str(length), "asked for"))
    elif prediction and prediction.memory.context_fits < deployment.context:
        room = prediction.memory.context_fits
        why = f"a context of {deployment.context} has no room in the KV cache and the engine would not start"
        flags.append(Flag("--max-model-len", str(room), why))
    if deployment.max_num_seqs:
        why = "sequences that run at once; also bounds the sampler's memory"
        flags.append(Flag("--max-num-seqs", str(deployment.max_num_seqs), why))
    if deployment.max_num_batched_tokens:
        why = "prompt tokens of one step: smaller is smoother for running answers, larger is faster for first tokens"
        flags.append(Flag("--max-num-batched-tokens", str(deployment.max_num_batched_tokens), why))
    if deployment.kv_value_bytes < 2:
        if deployment.gpu.capability < 8.9:
            raise ProfileRefused(f"{deployment.gpu.name} has no FP8 KV cache; it needs compute capability 8.9")
        flags.append(Flag("--kv-cache-dtype", "fp8", "halves the KV cache"))
    return flags


def packages(deployment: Deployment) -> list[Flag]:
    """What the image needs beyond vLLM."""
    engine, method = deployment.engine, deployment.quantization
    if method.plugin == "vllm-bnb-plugin":
        if has(engine, "bitsandbytes is a plugin"):
            why = "bitsandbytes left vLLM's tree in 0.28; without the plugin the engine refuses the checkpoint"
            return [Flag("vllm-bnb-plugin", "", why), Flag("bitsandbytes", ">=0.48.1", "the kernels behind the plugin")]
        why = (
            "in vLLM's tree until 0.27, without its kernels; do not install vllm-bnb-plugin beside it: "
            "both register the same operators"
        )
        return [Flag("bitsandbytes", ">=0.45.0", why)]
    if method.plugin == "vllm-gguf-plugin" and has(engine, "gguf is a plugin"):
        return [Flag("vllm-gguf-plugin", "", "gguf left vLLM's tree in 0.24")]
    return []


def environment(deployment: Deployment) -> list[Flag]:
    """Environment variables."""
    if deployment.gpus > 1 and deployment.gpu.link == "pcie":
        why = f"{deployment.gpu.name}s of one server talk over PCIe, where peer-to-peer copies often hang"
        return [Flag("NCCL_P2P_DISABLE", "1", why + "; remove it where `nvidia-smi topo -p2p r` says OK")]
    return []


def fallback_note(deployment: Deployment) -> str:
    """What an accepted fallback means."""
    if native(deployment.quantization, deployment.gpu):
        return ""
    return (
        f"{deployment.gpu.name} has no {deployment.quantization.name} units: weights stay small, arithmetic is 16-bit "
        f"({deployment.quantization.fallback})"
    )


def dotted(version: tuple[int, ...]) -> str:
    """`(0, 28)` → `0.28`."""
    return ".".join(str(part) for part in version)
