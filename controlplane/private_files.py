"""Files that Serinus keeps for itself on one machine: readable by their owner alone, replaced whole, read in bounds.

Used by everything that writes below a state folder or a cache, and by everything that reads such a file again. A state
holds commands, variables and prompts, so other users of the machine must not read it, and must not be able to put a
link where Serinus is about to write. Files that a person asks for by name (a report, a chart) are not written here.
"""

import json
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import suppress
from errno import EPERM
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any

from pydantic_core import from_json

from canary.errors import BadInput, Unavailable

OTHERS = 0o077
"""What other users may do with a file."""
WRITERS = 0o022
MOST_BYTES = 16 * 1024 * 1024
"""Of one file that is read again. The largest, a rollout's samples, has two after four weeks."""
ROOM = 16 * 1024
"""Bytes that are kept for a file that has to be replaced on a full disk too; twice its own where that is more."""
NAMES = (
    "lock",
    "serinus.db*",
    "evaluation.db*",
    "processes.json",
    "live.json",
    "serving.json",
    "samples-*.jsonl",
    "alerts.*",
    "operations.*",
    "ledger.*",
    "dashboard-token",
    "askpass",
    "logs",
    "envoy",
    "prometheus",
    "retry",
    "repository*",
    "rollouts",
    "controller",
    "world",
    "index-*",
    "sign-*",
    ".*.new",
    ".*.spare",
    "*.new",
)
"""What Serinus makes in a state folder. A folder with anything else in it is somebody's, and was only lent."""


def private_folder(folder: Path, *, ours: bool = False) -> None:
    """Make the folder, and what is missing above it, for its owner alone; close one of ours that is open to others.

    A folder that holds other things keeps its permissions unless it is `ours`; it must not be writable by others.
    Raises `BadInput` for a link, for a folder of another user and for one that all users share, `OSError` otherwise.
    """
    for missing in reversed([parent for parent in folder.parents if not parent.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if folder.is_symlink():
            raise _refused(folder, "is a link, and what it leads to may change") from None
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        about = os.fstat(descriptor)
        _refuse_foreign(folder, about)
        if not about.st_mode & OTHERS:
            return
        if about.st_mode & stat.S_ISVTX:
            raise _refused(folder, "is shared by all users of this machine")
        if ours or _holds_nothing_else(folder):
            os.fchmod(descriptor, 0o700)
            about = os.fstat(descriptor)
            if about.st_mode & OTHERS:
                raise _refused(folder, "cannot be closed to other users: its file system keeps no permissions")
        elif about.st_mode & WRITERS:
            raise _refused(folder, f"can be written by other users (mode {stat.S_IMODE(about.st_mode):04o})")
    finally:
        os.close(descriptor)


def repair(folder: Path) -> None:
    """Close to others what Serinus has in this folder: an older one left it open.

    Raises `BadInput` for a link or another user's file among it, `OSError` for what cannot be closed.
    """
    for path in _ours_in(folder):
        with suppress(FileNotFoundError):  # a program that still serves may have replaced it just now
            about = path.lstat()
            if stat.S_ISLNK(about.st_mode):
                raise _refused(path, "is a link, and Serinus made none")
            _refuse_foreign(path, about)
            if about.st_mode & OTHERS:
                path.chmod(stat.S_IMODE(about.st_mode) & ~OTHERS)


def open_private(file: Path, mode: str = "r") -> IO[Any]:
    """Open a file of ours; one that is made is for its owner alone. `mode`: as for `open`; text is UTF-8.

    Raises `OSError`: also where a link, or a file of another user, stands there.
    """
    flags = {"r": os.O_RDONLY, "w": os.O_WRONLY | os.O_CREAT, "a": os.O_WRONLY | os.O_CREAT | os.O_APPEND}[mode[0]]
    if "+" in mode:
        flags = flags & ~os.O_WRONLY | os.O_RDWR
    descriptor = os.open(file, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if flags != os.O_RDONLY:
            _close_to_others(descriptor, file)
        if mode[0] == "w":
            os.ftruncate(descriptor, 0)  # only now that it is known to be ours
        opened: IO[Any] = os.fdopen(descriptor, mode, encoding=None if "b" in mode else "utf-8")
    except BaseException:
        os.close(descriptor)
        raise
    return opened


def replace_file(file: Path, content: str | bytes, *, durable: bool = False, spare: bool = False) -> None:
    """Replace a file of ours at once: readers, and watchers of its folder, see the old content or the new one.

    `durable`: it has reached the disk on return. Otherwise nothing is flushed: that would cost a rollback milliseconds,
    and a file that a power cut left empty is treated as missing by everyone who reads it. `spare`: room for the next
    content is kept on the disk, so that it can be replaced when the disk is full; content may then end in spaces.
    Raises `OSError`, and the old content stays.
    """
    data = content.encode() if isinstance(content, str) else content
    beside, room = file.with_name(f".{file.name}.new"), file.with_name(f".{file.name}.spare")
    try:
        _write(beside, data, durable=durable)
    except OSError:
        with suppress(OSError):
            beside.unlink()
        if not (spare and _write_into(room, data)):
            raise
        beside = room
    beside.replace(file)
    if spare:
        with suppress(OSError):
            _keep_room(room, max(ROOM, 2 * len(data)))


def read_file(file: Path, most: int = MOST_BYTES) -> bytes | None:
    """What the file holds; None where there is none. Raises `Unavailable` where it cannot be read or is too large."""
    try:
        with open_private(file, "rb") as opened:
            content: bytes = opened.read(most + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Unavailable(f"{file} cannot be read: {error.strerror or error}.") from error
    if len(content) > most:
        raise Unavailable(f"{file} cannot be read: it has more than {most} bytes, and Serinus wrote less.")
    return content


def read_json(file: Path) -> Any:
    """What the file says, or None where it is missing or damaged. Raises `Unavailable` where it cannot be read."""
    content = read_file(file)
    try:
        return None if content is None else from_json(content)
    except ValueError:  # no JSON, or nested deeper than anything that is written
        return None


def write_json(file: Path, value: Any, *, spare: bool = False) -> None:
    """Replace the file by this value; see `replace_file`. Raises `OSError`."""
    replace_file(file, json.dumps(value, indent=1), spare=spare)


def owner_of(uid: int) -> str:
    """A user as people know them: the name, or the number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _close_to_others(descriptor: int, file: Path) -> None:
    """Have an open file be ours alone."""
    about = os.fstat(descriptor)
    if about.st_uid != os.geteuid():
        raise PermissionError(EPERM, f"it belongs to {owner_of(about.st_uid)}", str(file))
    if about.st_mode & OTHERS:
        os.fchmod(descriptor, stat.S_IMODE(about.st_mode) & ~OTHERS)


def _write(file: Path, data: bytes, *, durable: bool) -> None:
    with open_private(file, "wb") as opened:
        opened.write(data)
        if durable:
            opened.flush()
            os.fsync(opened.fileno())


def _write_into(room: Path, data: bytes) -> bool:
    """Write over the room that is kept, which takes no further block of the disk; whether there is enough of it."""
    with suppress(OSError), open_private(room, "r+b") as opened:
        size = os.fstat(opened.fileno()).st_size
        if size >= len(data):
            opened.write(data.ljust(size))
            return True
    return False


def _keep_room(room: Path, size: int) -> None:
    if not room.exists() or room.stat().st_size < size:
        _write(room, b" " * size, durable=False)


def _holds_nothing_else(folder: Path) -> bool:
    return all(_is_ours(child.name) for child in folder.iterdir())


def _is_ours(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in NAMES)


def _ours_in(folder: Path) -> Iterator[Path]:
    """Everything of ours in a state folder, a folder before what is in it; links are not followed."""
    for child in sorted(folder.iterdir()):
        if _is_ours(child.name):
            yield child
            if child.is_dir() and not child.is_symlink():
                for place, folders, files in os.walk(child):
                    yield from (Path(place) / name for name in (*folders, *files))


def _refuse_foreign(path: Path, about: os.stat_result) -> None:
    if about.st_uid != os.geteuid():
        raise _refused(path, f"belongs to {owner_of(about.st_uid)}")


def _refused(path: Path, why: str) -> BadInput:
    return BadInput(
        f"{path} {why}. State holds commands and variables, and others must neither read nor replace it: give a folder "
        f"of its own with --state, or take this away. Nothing was started."
    )
