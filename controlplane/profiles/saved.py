"""Measured profiles on disk: written by `serinus profile measure`, read to calibrate predictions."""

import json
from collections.abc import Sequence
from pathlib import Path

from controlplane.profiles.sources import read_json
from profiles.deployment import Deployment
from profiles.errors import Malformed
from profiles.imported import is_vllm_bench, read_vllm_bench
from profiles.measured import Level, Measured, as_json, mismatch, read


def load(path: Path) -> Measured:
    """One saved profile, ours or a result of `vllm bench serve`; raises `Malformed` when it is neither."""
    raw = read_json(path)
    if is_vllm_bench(raw):
        return read_vllm_bench(raw, str(path))
    return read(raw, str(path))


def save(measured: Measured, path: Path) -> None:
    """Write beside and rename, so that a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(json.dumps(as_json(measured), indent=2) + "\n", "utf-8")
    beside.replace(path)


def levels_for(deployment: Deployment, paths: Sequence[Path]) -> tuple[Level, ...]:
    """The measurements of this deployment in these files. Raises `Malformed` when one of them measured something
    else.
    """
    levels: list[Level] = []
    for path in paths:
        measured = load(path)
        if reason := mismatch(measured, deployment):
            raise Malformed(f"{path} cannot calibrate this prediction: {reason}")
        levels += measured.levels
    return tuple(levels)
