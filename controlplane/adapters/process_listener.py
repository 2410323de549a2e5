"""Who listens on a port of this machine: a process of the program that was started for it, or somebody else.

Used by `process_replica.py` before what a port answers counts for anything: a port is a number that every user of a
machine can take. A program's own processes are those of its session and all that descend from them, so a server behind
a shell or with workers is known; one that daemonises leaves both, and is not. Linux tells the socket, its owner and who
has it open. Where that cannot be read (another system, a hardened kernel) the processes are asked one by one, and what
cannot be found out at all is answered with that.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from errno import ECONNREFUSED
from pathlib import Path
from typing import Literal

import psutil

from controlplane.adapters.process_child import Child
from controlplane.private_files import owner_of

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
LISTENS = "0A"
HOST = "127.0.0.1"
CONNECTS_S = 0.5
"""Seconds that a connection on this machine may take; a server that is slower than that listens, too."""
ROOT = 0
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "7F000001", "00000000000000000000FFFF7F000001"}
"""127.0.0.1 as the tables write it, in IPv4 and IPv6, on machines of either byte order."""
Kind = Literal["own", "other", "nobody", "unknown"]


@dataclass(frozen=True, slots=True)
class Held:
    """Who listens on a port."""

    kind: Kind
    """`own`: a process of the program. `unknown`: somebody does, and it cannot be found out who."""
    words: str = ""
    """For `other`: who, such as `process 4711 (python3) of nobody`."""
    uid: int | None = None
    """The user whose socket it is, where that is known."""
    socket: tuple[int, str, str] | None = None
    """For `own`: process, descriptor and socket, by which it is seen again that it still holds the port."""


@dataclass(frozen=True, slots=True)
class PortListener:
    """A socket that listens."""

    address: str
    """As the table writes it."""
    uid: int
    inode: str


def holder(child: Child, port: int) -> Held:
    """Who listens on 127.0.0.1 at this port, from the point of view of this program. Reads all of the machine's tables:
    not for the event loop.
    """
    try:
        listeners = _reached(list(_listeners(port)))
    except (OSError, ValueError):
        return _by_processes(child, port)
    if not listeners:
        return Held("nobody")
    return _by_sockets(child, listeners)


def still_holds(held: Held) -> bool:
    """Whether the process that had the port has it still; cheap. False where that is not known."""
    if held.socket is None:
        return False
    pid, descriptor, name = held.socket
    with suppress(OSError):
        return Path(f"/proc/{pid}/fd/{descriptor}").readlink() == Path(name)
    return False


def _listeners(port: int) -> Iterator[PortListener]:
    """All sockets that listen on this port, whoever's they are. Raises `OSError` where the kernel does not say."""
    for table in TABLES:
        try:
            lines = table.read_text(encoding="ascii").splitlines()[1:]
        except FileNotFoundError:
            if table is TABLES[0]:
                raise
            continue  # a machine without IPv6
        for line in lines:
            _, local, _, state, _, _, _, uid, _, inode, *_ = line.split()
            address, _, number = local.partition(":")
            if state == LISTENS and int(number, 16) == port:
                yield PortListener(address, int(uid), inode)


def _reached(listeners: list[PortListener]) -> list[PortListener]:
    """Those that a connection to 127.0.0.1 can come to: the most exact address goes first."""
    exact = [each for each in listeners if each.address in LOOPBACK]
    anywhere = [each for each in listeners if not each.address.strip("0")]
    return exact or [each for each in anywhere if len(each.address) == 8] or anywhere


def _by_sockets(child: Child, listeners: list[PortListener]) -> Held:
    """Own are sockets that a process of the program has open; all of them, where several share the port."""
    open_, closed = _open_sockets(child)
    for listener in listeners:
        if listener.inode in open_ or listener.uid in closed:
            continue
        return Held("other", _named(listener), listener.uid)
    pid, descriptor = open_.get(listeners[0].inode, (0, ""))
    held = (pid, descriptor, f"socket:[{listeners[0].inode}]") if pid and len(listeners) == 1 else None
    return Held("own", uid=listeners[0].uid, socket=held)


def _open_sockets(child: Child) -> tuple[dict[str, tuple[int, str]], set[int]]:
    """The sockets that the program's processes have open, by inode; and the users of those that may not be looked into,
    such as a server that `sudo` started.
    """
    found: dict[str, tuple[int, str]] = {}
    closed: set[int] = set()
    for process in _own(child):
        try:
            found |= {inode: (process.pid, descriptor) for descriptor, inode in _sockets_of(process.pid)}
        except PermissionError:
            with suppress(psutil.Error):
                closed.add(process.uids().effective)
        except OSError:
            continue
    return found, closed


def _sockets_of(pid: int) -> Iterator[tuple[str, str]]:
    """Descriptor and inode of each socket that a process has open. Raises `OSError` where one may not look."""
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            name = str(descriptor.readlink())
            if name.startswith("socket:["):
                yield descriptor.name, name[8:-1]


def _own(child: Child) -> Iterator[psutil.Process]:
    """The program's processes: those of its session, and all that descend from them."""
    if child.is_another:
        return
    parents: dict[int, int] = {}
    own = {child.pid}
    for pid in psutil.pids():
        with suppress(psutil.Error, OSError):
            if os.getsid(pid) == child.pid:
                own.add(pid)
        with suppress(psutil.Error):
            parents[pid] = psutil.Process(pid).ppid()
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in own} - own
        own, grown = own | more, bool(more)
    for pid in sorted(own):
        with suppress(psutil.Error):
            yield psutil.Process(pid)


def _by_processes(child: Child, port: int) -> Held:
    """Where there are no tables: the program's own processes are asked, and others cannot be named."""
    with socket.socket() as asked:
        asked.settimeout(CONNECTS_S)
        if asked.connect_ex((HOST, port)) == ECONNREFUSED:
            return Held("nobody")
    hidden = False
    for process in _own(child):
        try:
            connections = process.net_connections("tcp")
        except (psutil.Error, OSError, NotImplementedError):
            hidden = True
            continue
        if any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in connections):
            return Held("own")
    return Held("unknown") if hidden else Held("other", "a process that cannot be named here")


def _named(listener: PortListener) -> str:
    """The process and its user; of other users' processes usually only the user can be told."""
    user = owner_of(listener.uid)
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if any(inode == listener.inode for _, inode in _sockets_of(process.pid)):
                return f"process {process.pid} ({process.name()}) of user {user}"
    return f"a process of user {user}"
