"""Finds the state folder that a command means: by the plan's file, by the rollout's name, or by `--state`.

Used by the commands that speak to a rollout on this machine. Opens nothing.
"""

from pathlib import Path

from canary.errors import BadInput
from controlplane.adapters.state_dir import default_state_folder


def place_of(target: str, state: Path | None, settings: Path | None = None) -> tuple[str, Path]:
    """The rollout's name and its state folder. `target` is a canary.yml, or the name that stands in one.

    Raises `SpecError` for a file with faults, and `BadInput` for a name without a state folder.
    """
    if target == "-" or "/" in target or Path(target).is_file():
        from controlplane import spec_files

        name = spec_files.load(target, settings=settings).canary.metadata.name
    else:
        name = target
    folder = state or default_state_folder(name)
    if not (folder / "serinus.db").is_file():
        raise BadInput(f"There is no rollout {name} with its state in {folder}; nothing was done.")
    return name, folder
