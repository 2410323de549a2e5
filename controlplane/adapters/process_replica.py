"""Keeps one replica of a variant running: starts it, asks whether it can serve, starts it again when it ends.

Made by `processes.py`, which runs `keep_running` in the background. A process of an earlier run is taken over when it
is the same command; otherwise it is ended first. Does not know what the replica is for, nor who sends it requests.
"""

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx2

from canary.spec.models import Variant
from controlplane.adapters.process_child import Child, clear, end, last_line, last_words, start, status_in_words
from controlplane.adapters.process_environment import for_server, hint
from controlplane.adapters.process_listener import ROOT, Held, holder, still_holds
from controlplane.adapters.process_ports import kept_port
from controlplane.adapters.process_readiness import Answered, Failure, Probes
from controlplane.adapters.process_record import ProcessRecord, ProcessRecords, digest_of
from controlplane.backoff import Backoff
from controlplane.observability.redact import secrets_of, without

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class StartPace:
    """How often and how long, all in seconds."""

    look_every_s: float = 0.05
    """How soon the end of a process is noticed."""
    probe_every_s: float = 0.25
    """How often a replica is asked that is not ready yet; the plan says how often one that is."""
    pause_s: float = 1.0
    """Before the first restart; doubled for each further one."""
    longest_pause_s: float = 30.0
    settled_s: float = 10.0
    """A replica that was ready for so long has started well: what happens later is counted anew."""
    crashes: int = 4
    """So many ends in a row without having settled, and waiting longer cannot help."""
    notice_s: float = 0.5
    """Before a replica that was ready is asked to end: whoever routes to it has seen by then that it goes."""
    grace_s: float = 10.0
    """How long open requests may take when a replica is stopped."""


async def uncounted(_replica: str) -> Answered | None:
    """Where no proxy counts what a replica answers."""
    return None


class ProcessReplica:
    """One process with a name, a port and a state."""

    def __init__(
        self,
        name: str,
        variant: Variant,
        *,
        records: ProcessRecords,
        log: Path,
        folder: Path,
        pace: StartPace,
        client: httpx2.AsyncClient,
        now: Callable[[], float],
        changed: Callable[[], None],
        foreign_ok: bool = False,
        answered: Callable[[str], Awaitable[Answered | None]] = uncounted,
        others_on_time: Callable[[float], bool] = lambda _since: True,
    ) -> None:
        """`folder` is where the command runs; `changed` is called whenever address or readiness is another.

        `foreign_ok`: any process of this user or of root may listen for it, such as a container engine's.
        `answered`: what the proxy has received from a replica; `others_on_time`: see `Probes.lost`.
        """
        self.name = name
        self.variant = variant
        self.ready_since: float | None = None
        self.problem = "not started yet"
        self.hopeless = False
        self._ready = False
        self._records = records
        self._log = log
        self._log_before = 0
        self._folder = folder
        self._pace = pace
        self._client = client
        self._now = now
        self._changed = changed
        self._digest = digest_of(variant, folder)
        self._child: Child | None = None
        self._last_end = ""
        self._was_started = False
        self._starts = 0
        self._secrets = secrets_of(variant.command, {**for_server(_ours(), variant.pass_env), **variant.env})
        """What may stand in its log, and in no sentence of ours."""
        self._port: int | None = None
        self._kept: socket.socket | None = None
        """Keeps the port for the next start while no process of ours has it."""
        self._foreign_ok = foreign_ok
        self._answered = answered
        self._others_on_time = others_on_time
        self.probes = Probes(variant.ready.failures)
        self._held = Held("nobody")
        self._taken = ""
        """Who has the port in place of the server, as a clause; empty where nobody has."""
        self._take_over()

    @property
    def ready(self) -> bool:
        """Whether it can serve."""
        return self._ready

    @property
    def address(self) -> str | None:
        """`host:port`, or None before its first start. Stays through restarts, so that its proxy keeps counting."""
        return f"{HOST}:{self._port}" if self._was_started else None

    async def keep_running(self) -> None:
        """For ever. Never gives up: a command that crashes again and again is called hopeless and still retried."""
        try:
            await self._keep_running()
        finally:
            self._let_go_of_the_port()

    async def _keep_running(self) -> None:
        await self._end_former()
        crashes = Backoff(self._pace.pause_s, self._pace.longest_pause_s)
        while True:
            if self._child is None:
                self._start()
            child = self._child
            if child and await self._watch(child):
                crashes.reset()
            pause = crashes.next()
            self.hopeless = self.hopeless or crashes.failures >= self._pace.crashes
            self._changed()
            if child:
                # What a dead shell left behind would hold the port and the memory that the next start needs.
                await clear(child)
            # Until the next start nobody else can listen there, and what is sent there is refused.
            self._kept = self._kept or kept_port(HOST, self._port or 0)
            await asyncio.sleep(pause)

    def _take_over(self) -> None:
        """Go on with the process of an earlier run if it is the same command.

        Who was ready then counts as ready until probes say otherwise: if one arm's first probe came in before the
        other's, the other would look lost for a moment, and a healthy rollout would be given back.
        """
        record = self._records.get(self.name)
        if record is None:
            return
        self._port = record.port
        if self._records.serves(self.name, self._digest):
            self._child, self._was_started, self.ready_since = record.child, True, record.ready_since
            self._starts = record.starts
            self._log_before = self._log_size()
            # Read in place: until it is known who listens there nothing may be sent there.
            self._held = holder(record.child, record.port)
            self._taken = self._who_took_it()
            self._ready = record.ready_since is not None and self._held.kind != "nobody" and not self._taken
            self.problem = "" if self._ready else self._taken or "taken over from an earlier run, not ready yet"

    async def _end_former(self) -> None:
        """End the process that is on record under this name if it is another one."""
        record = self._records.get(self.name)
        if record and record.child != self._child and record.child.alive:
            self.problem = "waiting for the former process to end"
            await end(record.child, self._pace.grace_s)

    def _start(self) -> None:
        """Start the process, or say in `problem` why that cannot be."""
        ours = _ours()
        env = for_server(ours, self.variant.pass_env)
        # A port that somebody else took in the meantime is theirs.
        self._kept = self._kept or kept_port(HOST, self._port or 0) or kept_port(HOST)
        if self._kept is None:
            self.problem = "could not be started: this machine has no free port"
            return
        self._port = self._kept.getsockname()[1]
        filled = [self._fill(part) for part in self.variant.command]
        env |= {key: self._fill(value) for key, value in self.variant.env.items()}
        if fault := _fault_of(filled, env["PATH"], self._folder):
            self.problem, self.hopeless = fault, True
            return
        try:
            self._log_before = self._log_size()
            self._let_go_of_the_port()
            self._child = start(filled, log=self._log, env=env, folder=self._folder)
        except OSError as error:
            self.problem = f"could not be started: {error}"
            return
        try:
            self._starts += 1
            self._records.put(self.name, ProcessRecord(self._child, self._port, self._digest, starts=self._starts))
        except OSError as error:
            # Nobody would find it again after a crash of ours.
            self._child.kill()
            self.problem = f"was started and ended again, because its record could not be written: {error}"
            self._child = None
            return
        self._was_started, self.ready_since = True, None
        self.problem = "started, not ready yet"
        self._changed()

    async def _watch(self, child: Child) -> bool:
        """Ask for readiness until the process ends or somebody else has its port; returns whether it had settled."""
        async with asyncio.TaskGroup() as both:
            probing = both.create_task(self._probe_again_and_again())
            while child.alive and not self._taken:  # noqa: ASYNC110 - a process taken over is not ours to wait for
                await asyncio.sleep(self._pace.look_every_s)
            probing.cancel()
        if taken := self._taken:
            # It cannot get that port any more: sooner than it finds out, it is started on another one.
            self._ready = False
            self._changed()
            await end(child, 0.0)
            self._take_another_port()
        settled = self.ready_since is not None and self._now() - self.ready_since >= self._pace.settled_s
        words = without(last_line(self._log, self._log_before), self._secrets)
        lack = hint(last_words(self._log, self._log_before), _ours(), self.variant.env, self.variant.pass_env)
        ended = f"{status_in_words(child.exit_status)}{f': {words}' if words else ''}"
        self.problem = self._last_end = taken or (f"{ended} ({lack})" if lack else ended)
        self._child, self._ready, self.ready_since, self._held = None, False, None, Held("nobody")
        return settled

    async def _probe_again_and_again(self) -> None:
        self.probes, clock = Probes(self.variant.ready.failures), asyncio.get_running_loop().time
        while True:
            before = await self._answered(self.name) if self._ready else None
            began = clock()
            problem, late = await self._probe()
            if not problem:
                self.probes.passed(clock())
                if not self._ready:
                    self._becomes_ready()
            elif not self._ready or self.probes.lost(
                Failure(began, late, before), await self._answered(self.name), self._others_on_time
            ):
                self.problem = f"{problem} (started again after {self._last_end})" if self._last_end else problem
                if self._ready:
                    self._ready = False
                    self._changed()
            rest = self.variant.ready.period - (clock() - began)
            await asyncio.sleep(max(rest, 0.0) if self._ready else self._pace.probe_every_s)

    def _becomes_ready(self) -> None:
        self._ready, self.problem, self.hopeless, self._last_end = True, "", False, ""
        if self.ready_since is None:
            self.ready_since = self._now()
            self._records.note_ready(self.name, self.ready_since)
        self._changed()

    async def _probe(self) -> tuple[str, bool]:
        """Why it cannot serve, or nothing, and whether it was just late.

        An answer counts only once it is known to be the server's own.
        """
        heard, problem, late = await self._ask()
        if not heard or self._child is None or self._port is None or still_holds(self._held):
            return problem, late
        self._held = await asyncio.to_thread(holder, self._child, self._port)
        if self._held.kind == "nobody":
            return problem or f"port {self._port} is not held by {self.variant.name} any more", late
        self._taken = self._who_took_it()
        return (self._taken, False) if self._taken else (await self._ask())[1:]

    def _who_took_it(self) -> str:
        """Who has the port in place of the server, as a clause; empty where the server has it, or nobody."""
        if self._held.kind != "other":
            return ""
        near = self._held.uid in {ROOT, os.geteuid()}
        if near and self._foreign_ok:
            return ""
        clause = f"port {self._port} is held by {self._held.words}, not by {self.variant.name}"
        elsewhere = "its server has to stay a child of its command, or the plan says platform.local.listeners: user"
        return f"{clause}; {elsewhere}" if near else clause

    def _take_another_port(self) -> None:
        """At once, so that nothing more is sent to whoever has the former one; it is kept until the next start."""
        self._let_go_of_the_port()
        self._kept, self._taken = kept_port(HOST), ""
        if self._kept is not None:
            self._port = self._kept.getsockname()[1]

    def _let_go_of_the_port(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    async def _ask(self) -> tuple[bool, str, bool]:
        """Whether anybody listens there, why the server cannot serve (or nothing), and whether it was just late."""
        path, patience = self.variant.ready.path, self.variant.ready.timeout
        question = f"GET {path}"
        try:
            async with asyncio.timeout(patience):
                answer = await self._client.get(f"http://{HOST}:{self._port}{path}", timeout=patience)
        except (httpx2.TimeoutException, TimeoutError):
            return True, f"{question} has no answer within {patience:g} s", True
        except httpx2.ConnectError:
            return False, f"{question}: nothing listens on port {self._port} yet", False
        except httpx2.HTTPError as error:
            return True, f"{question} failed: {str(error) or type(error).__name__}", False
        return (
            True,
            "" if answer.status_code == 200 else f"{question} answers {answer.status_code}, expected 200",
            False,
        )

    def _fill(self, text: str) -> str:
        """`{port}`, `{name}`, `{address}` and `{systemPrompt}`; every other brace stays, as in JSON."""
        prompt = self.variant.system_prompt
        for field, value in (
            ("{port}", str(self._port)),
            ("{name}", self.variant.name),
            ("{address}", f"{HOST}:{self._port}"),
            ("{systemPrompt}", (prompt.text or prompt.file or "") if prompt else ""),
        ):
            text = text.replace(field, value)
        return text

    def _log_size(self) -> int:
        return self._log.stat().st_size if self._log.exists() else 0


def _ours() -> dict[str, str]:
    """Our own environment. `python` is found even where only the one that runs Serinus exists."""
    path = os.environ.get("PATH", os.defpath)
    return {**os.environ, "PATH": f"{path}{os.pathsep}{Path(sys.executable).parent}"}


def _fault_of(command: list[str], path: str, folder: Path) -> str:
    """Why this command can never be started, one clause; empty when it can."""
    if not command:
        return "the variant has no command"
    if not folder.is_dir():
        return f"the folder to run in does not exist: {folder}"
    program = command[0]
    if os.sep not in program:
        return "" if shutil.which(program, path=path) else f"command not found: {program}"
    file = folder / program
    if not file.is_file():
        return f"command not found: {program}"
    return "" if os.access(file, os.X_OK) else f"not executable: {program}"
