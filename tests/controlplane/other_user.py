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

from controlplane.private_files import owner_of

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


_SERVE = f"""
import encodings.idna, http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"not the server")
    def log_message(self, *words):
        pass
{BECOME if AS_ROOT else ""}
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print("listens", flush=True)
server.serve_forever()
"""
THEIRS = "nobody" if AS_ROOT else owner_of(os.geteuid())
"""Whose `listening` is."""


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


@contextmanager
def listening(port: int) -> Iterator[int]:
    """A server that answers 200 to everything on a port of 127.0.0.1; its process.

    As root it is another user's. As anybody else it is one of our own that no variant has started: that is no variant's
    either, and only its name in the sentence is another.
    """
    process = subprocess.Popen([sys.executable, "-c", _SERVE, str(port)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "listens\n"
        yield process.pid
    finally:
        process.kill()
        process.communicate()


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
