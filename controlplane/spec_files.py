"""Reads canary.yml files from disk, with the settings file beside a short form.

Called by the commands. Everything about the meaning of the text is `canary.spec`; here is only what a file system can
do wrong: a path that is a folder, a file that is missing, unreadable, endless or not a file at all.
"""

import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from canary.errors import BadInput
from canary.spec import Document, Source, parse_document
from canary.spec.reader import SIZE_LIMIT

SETTINGS_NAMES = ("serinus.yml", ".serinus.yml")
"""Looked for in the folder of the canary.yml, in this order; the first one found is used alone."""
STANDARD_INPUT = "-"


def load(path: str | Path, *, settings: Path | None = None, options: Mapping[str, Any] | None = None) -> Document:
    """The plan in this file (`-` reads standard input).

    A short form is completed by `settings`, or else by the settings file beside it. Raises `SpecError` with every fault
    of the file, and `BadInput` where there is no file to read.
    """
    source = read_source(path)
    beside = read_source(settings) if settings is not None else settings_beside(path)
    return parse_document(source.text, source.file, beside, options)


def read_source(path: str | Path) -> Source:
    """The bytes of a file under the name that its faults will carry; never more than a canary.yml may have, and one."""
    if str(path) == STANDARD_INPUT:
        return Source("<stdin>", sys.stdin.buffer.read(SIZE_LIMIT + 1))
    try:
        # A pipe or device could block or never end, so only files are opened; a symbolic link to a file is one.
        mode = Path(path).stat().st_mode
        if stat.S_ISDIR(mode):
            raise BadInput(f"{path} is a folder; name the canary.yml in it")
        if not stat.S_ISREG(mode):
            raise BadInput(f"{path} is not a regular file; use - to read standard input")
        with Path(path).open("rb") as opened:
            return Source(str(path), opened.read(SIZE_LIMIT + 1))
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInput(f"{path} cannot be read: {reason}") from None


def settings_beside(path: str | Path) -> Source | None:
    """The settings file in the folder of a canary.yml, or None. Standard input has no folder."""
    if str(path) == STANDARD_INPUT:
        return None
    for name in SETTINGS_NAMES:
        candidate = Path(path).parent / name
        if candidate.is_file():
            return read_source(candidate)
    return None
