"""Finds what a prediction needs: the catalogue with the user's additions, and the shape of a model by name, path or
repository.

Used by every `serinus profile` command. Reads files; asks the Hugging Face hub only for a repository that the
catalogue does not know and when `huggingface_hub` is installed.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from profiles.catalogue import Catalogue, Origin, builtin
from profiles.config import read_config
from profiles.errors import Malformed, ProfileError, Unknown
from profiles.model import ModelShape


def catalogue(additions: Sequence[Path] = ()) -> Catalogue:
    """The package's catalogue and the user's YAML files on top, later ones winning."""
    known = builtin()
    for path in additions:
        known = known.extended(read_yaml(path), Origin(str(path), lines_of(path)))
    return known


def read_yaml(path: Path) -> Mapping[str, Any]:
    """A YAML mapping; anything else is `Malformed`."""
    import yaml

    try:
        found = yaml.safe_load(read_text(path))
    except yaml.YAMLError as wrong:
        mark = getattr(wrong, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise Malformed(f"{where}: not YAML: {getattr(wrong, 'problem', None) or wrong}") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Malformed(f"{path} must hold a mapping with gpus, models or quantizations, got {type(found).__name__}")
    return found


def lines_of(path: Path) -> Mapping[tuple[str, ...], int]:
    """Where each key of a YAML file stands, down to the fields of its entries."""
    import yaml

    found: dict[tuple[str, ...], int] = {}

    def walk(node: Any, path: tuple[str, ...]) -> None:
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            here = (*path, str(key.value))
            found[here] = key.start_mark.line + 1
            if len(here) < 3:
                walk(value, here)

    walk(yaml.compose(read_text(path), Loader=yaml.SafeLoader), ())
    return found


def read_text(path: Path) -> str:
    """A text file; a missing or unreadable one is `Malformed`."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as wrong:
        reason = wrong.strerror if isinstance(wrong, OSError) else "it is not UTF-8 text"
        raise Malformed(f"{path} cannot be read: {reason}") from None


def model_shape(name: str, known: Catalogue) -> ModelShape:
    """The model by catalogue name, by the path of its config.json (or directory), or by repository on the hub."""
    path = Path(name)
    if path.suffix == ".json" or path.is_dir():
        return shape_on_disk(path)
    try:
        return known.model(name)
    except Unknown:
        repository = name.removeprefix("hf://")
        if repository.count("/") != 1:
            raise
        config = config_on_hub(repository)
        if config is None:
            raise
        return read_config(config, repository.rsplit("/", 1)[-1])


def shape_on_disk(path: Path) -> ModelShape:
    """The shape of a downloaded model."""
    file = path / "config.json" if path.is_dir() else path
    name = file.parent.name if file.name == "config.json" and file.parent.name else file.stem
    return read_config(read_json(file), name)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; anything else is `Malformed`."""
    try:
        found = from_json(read_text(path))
    except ValueError as wrong:
        raise Malformed(f"{path} is not JSON: {wrong}") from None
    if not isinstance(found, dict):
        raise Malformed(f"{path} must hold a JSON object, got {type(found).__name__}")
    return found


def config_on_hub(repository: str) -> dict[str, Any] | None:
    """config.json from the hub; None without `huggingface_hub`, without a network, or where there is none."""
    try:
        hub: Any = import_module("huggingface_hub")
    except ImportError:
        return None
    try:
        return read_json(Path(hub.hf_hub_download(repository, "config.json")))
    except ProfileError:
        raise
    except Exception:  # noqa: BLE001 - the hub's client raises its own, requests' and httpx' errors; all mean "not to be had"
        return None
