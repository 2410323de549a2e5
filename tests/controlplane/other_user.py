"""Another user of this machine, for tests: `nobody` where the tests run as root, and the permissions where not.

Only root can be somebody else. A test that runs as anybody else checks what the kernel would decide by: the modes of a
file and of the folders above it, or the owner of a file that is root's.
"""

import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

AS_ROOT = os.geteuid() == 0
NOBODY = 65534
BECOME = f"import os; os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
"""After the imports of a program of another user: the interpreter may lie where only we can read it."""
_READ = f"""
import json, sys
{BECOME}
found = []
for path in json.load(sys.stdin):
    try:
        os.listdir(path) if os.path.isdir(path) else open(path, "rb").close()
        found.append(path)
    except OSError:
        pass
print(json.dumps(found))
"""


@contextmanager
def open_to_all() -> Iterator[Path]:
    """A folder that every user can enter and read; pytest's own ones are closed, and would prove nothing."""
    folder = Path(tempfile.mkdtemp(prefix="serinus-test-")).resolve()
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)


def readable(folder: Path) -> list[str]:
    """What another user can list or read of a folder and of all that is in it, relative to it."""
    everything = [folder, *sorted(folder.rglob("*"))]
    if AS_ROOT:
        done = subprocess.run(
            [sys.executable, "-c", _READ],
            input=json.dumps([str(path) for path in everything]),
            capture_output=True,
            text=True,
            check=True,
        )
        return [str(Path(path).relative_to(folder)) for path in json.loads(done.stdout)]
    return [str(path.relative_to(folder)) for path in everything if _readable(path, folder)]


def exposed(folder: Path) -> list[str]:
    """What in this folder, itself included, has permissions for anybody but its owner; with its mode."""
    return [
        f"{stat.S_IMODE(path.lstat().st_mode):04o} {path.relative_to(folder)}"
        for path in (folder, *sorted(folder.rglob("*")))
        if path.lstat().st_mode & 0o077 and not path.is_symlink()
    ]


def _readable(path: Path, folder: Path) -> bool:
    """By the modes: all folders above can be entered, and this can be read."""
    above = [each for each in path.parents if each == folder or folder in each.parents]
    return all(each.stat().st_mode & 0o001 for each in above) and bool(path.lstat().st_mode & 0o004)
