"""Serving engines by family: what a request and a step cost beyond the GPU's work, and the defaults of their flags.

`Engine.named("vllm-0.8.5")` reads a name with a version. A family is a row of constants in `profiles.constants`.
"""

import re
from dataclasses import dataclass

from profiles.accelerator import GIB, Accelerator
from profiles.errors import Unknown

FAMILIES = {"vllm", "trtllm", "sglang", "llama.cpp", "transformers"}
ALIASES = {"nim": "trtllm", "tensorrt-llm": "trtllm", "llamacpp": "llama.cpp", "ollama": "llama.cpp"}
FIRST_OF_TODAY = {"vllm": ((0, 8), "vllm-v0"), "trtllm": ((1,), "trtllm-old")}
"""First version with today's engine loop, and the family of the releases before it."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine release."""

    family: str
    version: tuple[int, ...] = ()
    """Empty: the newest that this catalogue knows."""

    @classmethod
    def named(cls, text: str) -> "Engine":
        """Read `vllm`, `vllm-0.33.0`, `trtllm-1.0`, `llama.cpp-2024-05`.

        Raises `Unknown` for an engine that has no constants.
        """
        name, _, rest = text.strip().lower().partition("-")
        name = ALIASES.get(name, name)
        if name not in FAMILIES:
            how = "Known engines have measured constants; for another one measure it and calibrate with the result."
            raise Unknown("engine", text, sorted(FAMILIES), how)
        version = read_version(rest)
        first, before = FIRST_OF_TODAY.get(name, ((), name))
        old = rest == "ci" or (version and version < first)
        return cls(before if old else name, version)

    def defaults(self, gpu: Accelerator) -> tuple[int, int]:
        """`(max_num_batched_tokens, max_num_seqs)` that the engine picks for this GPU when nobody sets them.

        vLLM's rule for its OpenAI server; A100 counts as a small card there. Others: the values of their public runs.
        """
        if self.family == "vllm-v0":
            return 2048, 256
        if self.family.startswith("trtllm"):
            return 8192, 2048
        if self.family in {"llama.cpp", "transformers"}:
            return 2048, 256
        if gpu.memory_bytes >= 160 * GIB:
            return 16384, 1024
        if gpu.memory_bytes >= 70 * GIB and gpu.capability != 8.0:
            return 8192, 1024
        return 2048, 256

    @property
    def memory_utilization(self) -> float:
        """Share of the GPU's memory that the engine reserves by default."""
        if self.family == "vllm" and (not self.version or self.version >= (0, 20)):
            return 0.92
        return 0.90


def read_version(text: str) -> tuple[int, ...]:
    """`0.18.0` → `(0, 18, 0)`; anything without leading digits → `()`."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in match.group(1).split(".")) if match else ()
