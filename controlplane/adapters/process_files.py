"""Small JSON files that are whole or absent, never half: what the local platform's adapters need after a restart."""

import json
from pathlib import Path
from typing import Any


def write_json(file: Path, value: Any) -> None:
    """Replace the file at once: readers, and watchers of its folder, see the old text or the new one.

    Nothing is flushed to the disk here: that would cost a rollback milliseconds, and a file that a power cut left empty
    is treated as missing by everyone who reads it.
    """
    beside = file.with_name(f".{file.name}.new")
    beside.write_text(json.dumps(value, indent=1), encoding="utf-8")
    beside.replace(file)


def read_json(file: Path) -> Any:
    """What the file says, or None when it is missing or is not JSON."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
