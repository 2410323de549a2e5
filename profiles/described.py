"""A deployment as a plan describes it: names from the catalogue, and the engine's flags as the engine spells them.

Used by the checks of a canary.yml (`controlplane.profiles.canary_check`) and by the rendering of a cluster's servers
(`controlplane.kserve.server_spec`), which neither may import from the other.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from profiles.catalogue import Catalogue
from profiles.deployment import NEWEST_VLLM, Deployment
from profiles.engine import Engine

FLAGS: Mapping[str, tuple[str, type]] = {
    "maxnumseqs": ("max_num_seqs", int),
    "maxnumbatchedtokens": ("max_num_batched_tokens", int),
    "maxmodellen": ("max_model_len", int),
    "gpumemoryutilization": ("memory_utilization", float),
}
"""Engine flags that memory and speed depend on, without case and separators, and what a deployment calls them."""


def described(
    known: Catalogue,
    *,
    model: str,
    gpu: str,
    gpus: int,
    quantization: str | None,
    flags: Mapping[str, Any],
    engine: Engine = NEWEST_VLLM,
) -> Deployment:
    """The deployment of these names; no quantization is 16 bit. Raises `Unknown` for what the catalogue lacks."""
    return Deployment(
        known.model(model),
        known.gpu(gpu),
        known.quantization(quantization or "bf16"),
        gpus=gpus,
        engine=engine,
        **dict(limits(flags)),
    )


def limits(flags: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The limits that these flags set; a value that no engine takes, or that means automatic, is the engine's."""
    for name, value in flags.items():
        field, kind = FLAGS.get(name.lower().replace("-", "").replace("_", ""), ("", float))
        usable = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        if field and usable and (field != "memory_utilization" or value <= 1):
            yield field, kind(value)
