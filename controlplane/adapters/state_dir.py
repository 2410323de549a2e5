"""The folder where one rollout on this machine keeps its state and logs, held by one controller at a time.

Opened by `controlplane.program`. The lock is the kernel's (it goes with the process, however that ends), so a killed
run never leaves a lock behind. What an older Serinus left open to other users is closed first.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from canary.errors import BadInput
from canary.spec.source import quoted
from controlplane.private_files import open_private, private_folder, repair


def default_state_folder(name: str, environment: dict[str, str] | None = None) -> Path:
    """The user's state directory for this rollout: `$XDG_STATE_HOME/serinus/<name>`, else under `~/.local/state`.

    Raises `BadInput` for a name that would be another folder.
    """
    variables = os.environ if environment is None else environment
    base = variables.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return folder_of(Path(base) / "serinus", name)


def folder_of(root: Path, name: str) -> Path:
    """The folder of a rollout below `root`. Raises `BadInput` for a name that would be another one."""
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise BadInput(f"{quoted(name)} cannot be the name of a rollout; nothing was read or written.")
    return root / name


def default_cache_folder(name: str, environment: Mapping[str, str] | None = None) -> Path:
    """The user's own folder for what can be had again: `$XDG_CACHE_HOME/serinus/<name>`, else under `~/.cache`."""
    variables = os.environ if environment is None else environment
    base = variables.get("XDG_CACHE_HOME") or Path(variables.get("HOME") or Path.home()) / ".cache"
    return Path(base) / "serinus" / name


@contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Hold the folder while the block runs, closed to other users.

    Raises `BadInput` when another process holds it, when it cannot be written, and when it cannot be made private.
    """
    home = default_state_folder("any").parent
    try:
        if folder.parent == home:
            private_folder(home, ours=True)
        private_folder(folder)
        lock = open_private(folder / "lock", "a+")
    except OSError as error:
        raise BadInput(
            f"The state folder {folder} cannot be used: {error.strerror}. "
            f"Choose another with --state; nothing was started."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            raise BadInput(
                f"{holder} already carries out a rollout with its state in {folder}. "
                f"Let it finish or choose another folder with --state; nothing was started."
            ) from error
        with suppress(OSError):  # on a full disk the lock holds all the same, and a rollout under way goes on
            lock.truncate(0)
            os.write(lock.fileno(), f"Process {os.getpid()}".encode())
        try:
            repair(folder)
        except OSError as error:
            raise BadInput(
                f"What is in {folder} cannot be closed to other users of this machine: {error}. Nothing was started."
            ) from error
        yield folder
