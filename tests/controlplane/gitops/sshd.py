"""A real ssh server on loopback, for tests: OpenSSH itself, as the current user, with one key that may come in.

Used by the test that goes to git over ssh. It serves whatever the user may read, so it listens on loopback only and
lets nobody in but the key that it makes; it ends with the test.
"""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
SETTINGS = """\
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/client.pub
StrictModes no
UsePAM no
PidFile none
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
LogLevel VERBOSE
"""


@dataclass(frozen=True)
class Server:
    """Where it answers, and the keys."""

    port: int
    key: Path
    known_hosts: Path
    log: Path

    def url(self, folder: Path) -> str:
        """The address of a repository on this machine, as the current user."""
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{folder}"


@contextmanager
def ssh_server(folder: Path) -> Iterator[Server]:
    """Serve while the block runs."""
    assert SSHD is not None
    folder.mkdir()
    for name in ("host", "client"):
        make_key(folder / name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "settings").write_text(SETTINGS.format(port=port, folder=folder))
    public = (folder / "host.pub").read_text().rsplit(" ", 1)[0]
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}\n")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it locks itself up before it knows who is there
    log = folder / "log"
    with log.open("wb") as opened:
        command = [SSHD, "-D", "-e", "-f", str(folder / "settings")]
        process = subprocess.Popen(command, stderr=opened, stdin=subprocess.DEVNULL)
    try:
        _wait(port, process, log)
        yield Server(port, folder / "client", folder / "known_hosts", log)
    finally:
        process.terminate()
        process.wait()


def make_key(file: Path, words: str = "") -> Path:
    """A key pair; `words` protect the private one."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", words, "-C", file.name, "-f", str(file)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return file


def _wait(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Until it listens."""
    for _ in range(1200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(log.read_text())
