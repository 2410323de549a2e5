"""How a model is quantized: the recipe, its digest, and what llm-compressor reads. Pure values;
`controlplane.profiles.quantizer` carries them out.

bitsandbytes needs no data. Of llm-compressor's schemes fp8 needs none, the others calibrate on a few hundred samples
of the user's own prompts.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from profiles.errors import Malformed


@dataclass(frozen=True, slots=True)
class Method:
    """One way to make a quantized checkpoint."""

    library: str
    """`bitsandbytes` or `llmcompressor`: what the image needs."""
    serves_as: str
    """Name in the catalogue of what comes out."""
    modifier: str = ""
    scheme: str = ""
    needs_data: bool = False


METHODS = {
    "nf4": Method("bitsandbytes", "bnb-nf4"),
    "nf4-dq": Method("bitsandbytes", "bnb-nf4-dq"),
    "int8": Method("bitsandbytes", "bnb-int8"),
    "fp8": Method("llmcompressor", "fp8", "QuantizationModifier", "FP8_DYNAMIC"),
    "gptq": Method("llmcompressor", "gptq", "GPTQModifier", "W4A16", needs_data=True),
    "awq": Method("llmcompressor", "awq", "QuantizationModifier", "W4A16_ASYM", needs_data=True),
    "w8a8": Method("llmcompressor", "int8-w8a8", "GPTQModifier", "W8A8", needs_data=True),
}
"""`--method` to what it is."""


@dataclass(frozen=True, slots=True)
class QuantizationRecipe:
    """Everything that decides what comes out."""

    model: str
    """Repository or path of the 16-bit checkpoint."""
    method: str
    revision: str = "main"
    dataset: str = ""
    """File of prompts, one a line, to calibrate on."""
    samples: int = 256
    ignore: tuple[str, ...] = ("lm_head",)
    """Layers that stay 16-bit."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise Malformed(f"unknown method {self.method!r}; expected one of {', '.join(METHODS)}")
        if METHODS[self.method].needs_data and not self.dataset:
            raise Malformed(f"{self.method} calibrates on data: give a file of your own prompts with --dataset")
        if self.samples < 1:
            raise Malformed(f"samples must be positive, got {self.samples}")

    @property
    def digest(self) -> str:
        """Identity of the recipe; travels with the artefact."""
        text = json.dumps(asdict(self), sort_keys=True)
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    def as_json(self) -> dict[str, Any]:
        """What the quantizer reads."""
        method = METHODS[self.method]
        found = {
            **asdict(self),
            "ignore": list(self.ignore),
            "library": method.library,
            "serves_as": method.serves_as,
            "digest": self.digest,
        }
        return found | ({"stages": self.stages()} if method.modifier else {})

    def stages(self) -> dict[str, Any]:
        """llm-compressor's recipe, as release 0.14 reads it; the modifiers work in this order."""
        method = METHODS[self.method]
        settings = {"targets": ["Linear"], "ignore": list(self.ignore), "scheme": method.scheme}
        modifiers: dict[str, Any] = {method.modifier: settings}
        if self.method == "w8a8":
            modifiers = {"SmoothQuantModifier": {"smoothing_strength": 0.8}, **modifiers}
        if self.method == "awq":  # only scales what another modifier quantizes afterwards
            modifiers = {"AWQModifier": {}, **modifiers}
        return {"quantization_stage": {"quantization_modifiers": modifiers}}
