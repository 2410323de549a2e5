"""What a plan says of its variants' fingerprints: which fields of a served model are compared, which changes are meant.

Read by `canary/fingerprint.py`, which decides, and by the shell, which takes the fingerprints. A change that the plan
itself asks for (another `quantization`, another `image`, `--max-model-len`) is declared by that and needs no word here.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from canary.spec.base import Model, length

if TYPE_CHECKING:
    from canary.spec.models import CanarySpec, Variant

FingerprintField = Literal[
    "model_name",
    "tokenizer",
    "chat_template",
    "generation_config",
    "stop_tokens",
    "quantization_config",
    "engine_version",
    "context_length",
]
"""What identifies a served model besides its weights."""
FIELDS: tuple[str, ...] = get_args(FingerprintField)

FLAGS: Mapping[str, str] = {
    "maxmodellen": "context_length",
    "chattemplate": "chat_template",
    "tokenizer": "tokenizer",
    "tokenizermode": "tokenizer",
    "tokenizerrevision": "tokenizer",
    "generationconfig": "generation_config",
    "overridegenerationconfig": "generation_config",
    "quantization": "quantization_config",
}
"""Flags of the servers, without case and separators, to the field that they change."""


class FingerprintSettings(Model):
    """Whether the canary has to be the model that was meant before it is asked anything."""

    policy: Literal["block", "warn", "ignore"] = "warn"
    """What a change does that the plan does not declare: end the rollout before any traffic, be told, or nothing."""
    allow: Annotated[tuple[FingerprintField, ...], *length()] = ()
    """Fields whose change is meant, such as `chat_template`."""


def declared(spec: "CanarySpec") -> frozenset[str]:
    """Fields that the plan says are different: in `fingerprint.allow`, or by what it asks of its two variants."""
    stable, canary = spec.stable, spec.canary
    found: set[str] = set(spec.fingerprint.allow)
    if stable.quantization != canary.quantization:
        found.add("quantization_config")
    if any(getattr(stable, name) != getattr(canary, name) for name in ("image", "runtime")):
        found.add("engine_version")
    if stable.command[:1] != canary.command[:1]:
        found.add("engine_version")  # another program
    before, after = dict(_flags(stable)), dict(_flags(canary))
    found |= {field for flag, field in FLAGS.items() if before.get(flag) != after.get(flag)}
    return frozenset(found)


def _flags(variant: "Variant") -> Iterator[tuple[str, str]]:
    """Flag, without case and separators, and value: of `engine`, and of the command line."""
    for name, value in variant.engine.items():
        yield _plain(name), str(value)
    words = variant.command
    for word, following in zip(words, (*words[1:], ""), strict=False):
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            yield _plain(name), value if equals else following


def _plain(flag: str) -> str:
    return flag.lower().replace("-", "").replace("_", "")
