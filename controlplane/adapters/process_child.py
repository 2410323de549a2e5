"""A program that outlives us: started in its own session, recognised later by pid and creation time, signalled safely.

Used by `envoy_process.py` and `process_replica.py`. A pid alone proves nothing, because the system gives it away again;
so every question and every signal compares the creation time first, and a process that is not the one we started is
left alone. Keeps no files and makes no decisions.
"""

import asyncio
import contextlib
import math
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from controlplane.private_files import OTHERS, open_private

SAME_CREATION_S = 2.0
"""Creation times this close are the same. Not zero: Linux derives them from its idea of when it booted, which a clock
adjustment moves; a pid is never given away twice within two seconds."""

REAPED_S = 5.0
"""How long what was killed may take to be gone; what hangs in the kernel is not waited for."""


@dataclass(frozen=True, slots=True)
class Child:
    """One process that we or an earlier run of ours started. Leads its own session and process group."""

    pid: int
    created: float
    """Creation time in seconds since the epoch, as psutil says it."""

    @property
    def alive(self) -> bool:
        """Whether this very process still runs (one that has ended but was not yet waited for does not)."""
        return self.exit_status is None and self._found() is not None

    @property
    def exit_status(self) -> int | None:
        """What it ended with (negative: the signal), or None: still running, or started by an earlier run."""
        popen = _started.get(self)
        return popen.poll() if popen else None

    def terminate(self) -> None:
        """Ask it to end (SIGTERM). Only the leader is asked: it knows how to let its own children finish."""
        if process := self._found():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()

    def kill(self) -> None:
        """End it and all that it started at once (SIGKILL); when it may be used, see `signal_group`."""
        self.signal_group(signal.SIGKILL)

    def signal_group(self, number: signal.Signals) -> None:
        """Signal all that it started. Only while it runs, or right after its end: later the number may be another's."""
        if not self.is_another:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def has_group(self) -> bool:
        """Whether anything that it started (or it itself) still runs."""
        if self.is_another:
            return False
        return any(_runs_in(self.pid, pid) for pid in psutil.pids())

    def _found(self) -> psutil.Process | None:
        try:
            process = psutil.Process(self.pid)
            if self.is_another or _has_ended(process):
                return None
        except psutil.NoSuchProcess:
            return None
        return process

    @property
    def is_another(self) -> bool:
        """Whether the pid belongs to somebody else by now."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.created) > SAME_CREATION_S
        except psutil.NoSuchProcess:
            return False


def child_of(record: Any) -> Child | None:
    """The process that a record names by `pid` and `created`; None where the record names none."""
    try:
        child = Child(int(record["pid"]), float(record["created"]))
    except (TypeError, KeyError, ValueError, OverflowError):
        return None
    # Signals to the groups 0 and 1 would go to our own, and to everything.
    return child if 1 < child.pid < 2**31 and math.isfinite(child.created) else None


def port_of(record: Any) -> int | None:
    """The port that a record names; None where it names none."""
    port = record.get("port") if isinstance(record, Mapping) else None
    return port if isinstance(port, int) and 0 < port < 2**16 else None


_started: dict[Child, subprocess.Popen[bytes]] = {}
"""What this program itself started. Only a parent learns an exit status, whichever of its objects asks."""


def start(
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
    private: bool = False,
) -> Child:
    """Start a program in its own session, its output appended to `log`; raises OSError when it cannot be started.

    `private`: what it writes is for its owner alone.
    """
    with open_private(log, "ab") as output:
        popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=env,
            cwd=folder,
            start_new_session=True,
            umask=OTHERS if private else -1,
        )
    child = Child(popen.pid, psutil.Process(popen.pid).create_time())
    _started[child] = popen
    return child


async def end(child: Child, grace_s: float) -> None:
    """Ask it to end, let it finish what it does for up to `grace_s`, then kill what is left. May be repeated.

    A shell ends at once and leaves the server that it started; that one is then asked as well, and has the same time.
    """
    popen = _started.get(child)
    ended_unheard = popen is not None and popen.returncode is None
    if not child.alive and not ended_unheard:
        return
    child.terminate()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(grace_s):
            while child.alive:  # noqa: ASYNC110 - a process of an earlier run is not ours to wait for
                await asyncio.sleep(0.01)
            child.signal_group(signal.SIGTERM)
            while child.has_group():  # noqa: ASYNC110 - nor are its children
                await asyncio.sleep(0.02)
    child.kill()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(REAPED_S):
            while popen is not None and popen.poll() is None:  # noqa: ASYNC110 - or it stays in the process table
                await asyncio.sleep(0.01)


async def clear(child: Child) -> None:
    """Kill what a process that has just ended left behind, and wait until it is gone and its ports are free."""
    child.kill()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(REAPED_S):
            while child.has_group():  # noqa: ASYNC110 - they are not our children
                await asyncio.sleep(0.01)


def status_in_words(status: int | None) -> str:
    """`exit status 1`, `killed by SIGKILL`, or that it is not known."""
    if status is None:
        return "ended (started by an earlier run, so its exit status is not known)"
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"


def last_line(log: Path, since: int = 0, longest: int = 200) -> str:
    """The last line with something in it that a program wrote after byte `since`; empty when there is none."""
    lines = reversed(last_words(log, since).splitlines())
    return next((line.strip()[:longest] for line in lines if line.strip()), "")


def last_words(log: Path, since: int = 0) -> str:
    """What a program wrote last, after byte `since` and 8 KiB at the most."""
    try:
        with open_private(log, "rb") as file:
            file.seek(max(since, log.stat().st_size - 8192))
            return str(file.read().decode(errors="replace"))
    except OSError:
        return ""


def _runs_in(group: int, pid: int) -> bool:
    """Whether a process is of this process group and still runs."""
    try:
        return os.getpgid(pid) == group and not _has_ended(psutil.Process(pid))
    except (psutil.NoSuchProcess, ProcessLookupError):
        return False


def _has_ended(process: psutil.Process) -> bool:
    """Whether only its entry in the process table is left. While a thread of it still ends, its ports are not free."""
    return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
