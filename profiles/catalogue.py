"""The catalogue: GPUs, models and quantizations by any of their names, the package's own and the user's.

`builtin()` reads the TOML files beside this module (the only disk this package touches: its own data).
`Catalogue.extended` adds entries that the shell has read from a user's YAML, in the same shape. Lookups raise
`Unknown` with the nearest names.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from profiles.accelerator import GIB, Accelerator, Price
from profiles.errors import Malformed, Unknown, plain_name
from profiles.model import ModelShape
from profiles.quantization import Quantization

DATA = Path(__file__).parent / "data"
ENDING = re.compile(
    r"-(?:instruct|it|chat|hf|base|awq|gptq(?:-int[48])?|int[48]|fp8(?:-dynamic|-kv)?|nvfp4|bnb-4bit|gguf"
    r"|quantized\.w\d+a\d+|v\d+(?:\.\d+)*)$",
    re.IGNORECASE,
)
"""Endings of repository names that do not change the shape of a model."""
HOW_TO_ADD = "Add it to a YAML file under {section!r} and pass --catalogue FILE (see docs/profiles.md)."

Entry = TypeVar("Entry", Accelerator, ModelShape, Quantization)


@dataclass(frozen=True, slots=True)
class Origin:
    """A file of entries, and where in it each key stands."""

    file: str
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    """Path of keys to line, from 1; empty where nobody knows."""
    path: tuple[str, ...] = ()

    def under(self, *keys: str) -> "Origin":
        """The same file, further down."""
        return Origin(self.file, self.lines, (*self.path, *keys))

    def place(self, *keys: str) -> str:
        """`file:line` of the deepest of these keys that stands in the file."""
        whole = (*self.path, *keys)
        for length in range(len(whole), 0, -1):
            if (line := self.lines.get(whole[:length])) is not None:
                return f"{self.file}:{line}"
        return self.file


@dataclass(frozen=True)
class Catalogue:
    """Everything that can be named. Keys are plain names: lower case, no separators."""

    gpus: Mapping[str, Accelerator]
    models: Mapping[str, ModelShape]
    quantizations: Mapping[str, Quantization]
    sources: Mapping[str, tuple[str, str]]
    """Section to `(as_of, source)`."""

    def gpu(self, name: str) -> Accelerator:
        """The GPU of this name or alias."""
        return look_up("GPU", name, self.gpus, HOW_TO_ADD.format(section="gpus"))

    def quantization(self, name: str) -> Quantization:
        """The quantization of this name or alias."""
        return look_up("quantization", name, self.quantizations, HOW_TO_ADD.format(section="quantizations"))

    def model(self, name: str) -> ModelShape:
        """The model of this name, alias or repository (`hf://meta-llama/Llama-3.1-8B-Instruct`)."""
        plain = name.removeprefix("hf://").rsplit("/", 1)[-1]
        for candidate in (name.removeprefix("hf://"), *shorter(plain)):
            if (found := self.models.get(plain_name(candidate))) is not None:
                return found
        how = HOW_TO_ADD.format(section="models")
        return look_up("model", name, self.models, f"{how} Or give the path of its config.json.")

    def extended(self, additions: Mapping[str, Any], origin: "Origin") -> "Catalogue":
        """This catalogue and the user's entries, which win over entries of the same name.

        `additions` has the sections `gpus`, `models`, `quantizations`, each like the file in `profiles/data`. Raises
        `Malformed`, naming file and line, the entry and the field.
        """
        unknown = [name for name in additions if name not in {"gpus", "models", "quantizations"}]
        if unknown:
            where = origin.place(str(unknown[0]))
            raise Malformed(f"{where}: unknown section {unknown[0]!r}; expected gpus, models or quantizations")
        return Catalogue(
            gpus={**self.gpus, **indexed(section(additions, "gpus", origin), read_gpu, origin.under("gpus"))},
            models={**self.models, **indexed(section(additions, "models", origin), read_model, origin.under("models"))},
            quantizations={
                **self.quantizations,
                **indexed(
                    section(additions, "quantizations", origin), read_quantization, origin.under("quantizations")
                ),
            },
            sources=self.sources,
        )


@cache
def builtin() -> Catalogue:
    """The catalogue that comes with the package."""
    tables = {
        name: tomllib.loads((DATA / f"{name}.toml").read_text("utf-8")) for name in ("gpus", "models", "quantizations")
    }
    sources = {name: (str(table.pop("as_of")), str(table.pop("source"))) for name, table in tables.items()}
    return Catalogue(
        gpus=indexed(tables["gpus"], read_gpu, Origin("gpus.toml")),
        models=indexed(tables["models"], read_model, Origin("models.toml")),
        quantizations=indexed(tables["quantizations"], read_quantization, Origin("quantizations.toml")),
        sources=sources,
    )


def distinct(entries: Mapping[str, Entry]) -> list[Entry]:
    """Every entry once, in the order of the file."""
    return list({entry.name: entry for entry in entries.values()}.values())


def look_up(kind: str, name: str, entries: Mapping[str, Entry], how: str) -> Entry:
    """The entry of this name; raises `Unknown` with the nearest ones."""
    found = entries.get(plain_name(name))
    if found is None:
        raise Unknown(kind, name, (entry.name for entry in distinct(entries)), how)
    return found


def shorter(name: str) -> list[str]:
    """A repository's name, then without one more of the endings that only say how it was tuned or stored."""
    names = [name]
    while (cut := ENDING.sub("", names[-1])) != names[-1]:
        names.append(cut)
    return names


def section(additions: Mapping[str, Any], name: str, origin: Origin) -> Mapping[str, Any]:
    """One section of a user's file; missing is empty."""
    found = additions.get(name) or {}
    if not isinstance(found, Mapping):
        raise Malformed(
            f"{origin.place(name)}: {name} must be a mapping of names to entries, got {type(found).__name__}"
        )
    return found


def indexed(
    table: Mapping[str, Any], read: Callable[[str, Mapping[str, Any]], Entry], origin: Origin
) -> dict[str, Entry]:
    """Entries by every plain name they have."""
    index: dict[str, Entry] = {}
    for name, raw in table.items():
        if not isinstance(raw, Mapping):
            kind = type(raw).__name__
            raise Malformed(f"{origin.place(str(name))}: {name} must be a mapping of fields to values, got {kind}")
        try:
            entry: Entry = read(str(name), raw)
        except KeyError as missing:
            raise Malformed(f"{origin.place(str(name))}: {name}: {missing.args[0]} is missing") from None
        except (TypeError, ValueError, ZeroDivisionError) as wrong:
            key = next((key for key in raw if re.search(rf"\b{re.escape(str(key))}\b", str(wrong))), "")
            raise Malformed(f"{origin.place(str(name), str(key))}: {name}: {plain_words(str(wrong))}") from None
        for known in (str(name), *entry.aliases, *repositories(entry.aliases)):
            index[plain_name(known)] = entry
    return index


def plain_words(wrong: str) -> str:
    """What Python says of an argument that a record does not have, as a person would."""
    said = re.search(r"unexpected keyword argument '(\w+)'", wrong)
    return f"{said[1]} is no field of it" if said else wrong


def repositories(aliases: Iterable[str]) -> list[str]:
    """`meta-llama/Llama-3.1-8B-Instruct` is also known by its last part, with and without the ending."""
    last = [alias.rsplit("/", 1)[-1] for alias in aliases]
    return last + [name.rsplit("-", 1)[0] for name in last if ENDING.search(name)]


def read_gpu(name: str, raw: Mapping[str, Any]) -> Accelerator:
    """One entry of gpus.toml; a price may be a plain number of dollars an hour."""
    tera = {key: float(raw[key]) * 1e12 if key in raw else None for key in ("fp8", "int8", "fp4")}
    return Accelerator(
        name=name,
        memory_bytes=positive(raw, "memory_gib") * GIB,
        bandwidth=positive(raw, "bandwidth") * 1e9,
        fp16=positive(raw, "fp16") * 1e12,
        capability=positive(raw, "capability"),
        link=str(raw.get("link", "pcie")),
        link_rate=float(raw.get("link_gbps", 25)) * 1e9,
        vendor=str(raw.get("vendor", "nvidia")),
        desktop=bool(raw.get("desktop", False)),
        price=read_price(raw.get("price")),
        aliases=tuple(raw.get("aliases", ())),
        **tera,
    )


def read_price(raw: Any) -> Price | None:
    """A range with its date, a plain number, or None."""
    if raw is None:
        return None
    if isinstance(raw, int | float):
        return Price(float(raw), float(raw), float(raw), as_of="", source="user")
    return Price(
        positive(raw, "low"), positive(raw, "typical"), positive(raw, "high"), str(raw["as_of"]), str(raw["source"])
    )


def read_model(name: str, raw: Mapping[str, Any]) -> ModelShape:
    """One entry of models.toml."""
    values = dict(raw)
    values["aliases"] = tuple(values.get("aliases", ()))
    values["windowed"] = Fraction(str(values.get("windowed", 0)))
    values.setdefault("experts", 1)
    for key in (
        "layers",
        "hidden",
        "heads",
        "kv_heads",
        "head_dim",
        "intermediate",
        "vocabulary",
        "max_context",
        "experts",
    ):
        if int(values[key]) != values[key] or values[key] < 1:
            raise ValueError(f"{key} must be a whole number from 1, got {values[key]!r}")
    return ModelShape(name=name, **values)


def read_quantization(name: str, raw: Mapping[str, Any]) -> Quantization:
    """One entry of quantizations.toml."""
    positive(raw, "bytes_per_parameter")
    return Quantization(name=name, **{**raw, "aliases": tuple(raw.get("aliases", ()))})


def positive(raw: Mapping[str, Any], key: str) -> float:
    """A number above zero."""
    value = raw[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise ValueError(f"{key} must be a positive number, got {value!r}")
    return float(value)
