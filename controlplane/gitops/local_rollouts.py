"""The rollouts that run on this machine because git says so: one after the other for each name, any number of names.

Used by `controller.py`. Each is carried out by `controlplane.program.run_rollout` in a state folder of its own and goes
on whatever becomes of git. Decides nothing: it starts, replaces and withdraws what it is told to.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from canary.errors import SerinusError
from canary.rollout import Event, Phase, Rollout
from canary.snapshot import Snapshot
from canary.spec import revision
from canary.spec.models import ModelCanary
from canary.spec.stored import from_text
from controlplane.adapters.sqlite_store import SqliteStore
from controlplane.backoff import Backoff
from controlplane.gitops.desired import DesiredRollout
from controlplane.gitops.waiting import first_of
from controlplane.ports import Clock, Stored
from controlplane.program import Audience, Controls

FIRST_WAIT, LONGEST_WAIT = 2.0, 60.0
"""Seconds until a rollout that this machine cannot carry out now (a port in use, say) is tried again; they double."""


class CarryOut(Protocol):
    """`controlplane.program.run_rollout`, or what a test puts in its place."""

    async def __call__(
        self, plan: ModelCanary, *, state: Path, keep: bool, audience: Audience, controls: Controls
    ) -> Rollout:
        """Carry out one rollout to its end, or until `controls.leave`."""
        ...


@dataclass(slots=True)
class RunningRollout:
    """One name and what is being done for it."""

    plan: ModelCanary
    controls: Controls = field(default_factory=Controls)
    next: ModelCanary | None = None
    """What takes its place."""
    withdrawn_by: str = ""
    """Why git took it back; empty while it did not."""
    asked: bool = False
    """Whether the abort that follows from that has been asked for."""

    def update(self, rollout: Rollout, now: float) -> None:
        """After each pass: ask for the abort once there is a rollout that can hear it."""
        if self.withdrawn_by and not self.asked and not rollout.finished and rollout.phase is not Phase.ROLLING_BACK:
            self.asked = True
            self.controls.ask("abort", self.withdrawn_by, now)


class LocalRollouts:
    """Everything that runs here."""

    def __init__(
        self,
        folder: Callable[[str], Path],
        carry_out: CarryOut,
        *,
        clock: Clock,
        audience: Callable[[ModelCanary], Audience],
        ended: Callable[[str, Rollout, bool], Awaitable[None]],
        say: Callable[[str], None],
    ) -> None:
        """`ended` is awaited for each end, with whether git had withdrawn the plan; it may raise `ExternalError`."""
        self.folder = folder
        self._carry_out = carry_out
        self._clock = clock
        self._audience = audience
        self._ended = ended
        self._say = say
        self._running: dict[str, RunningRollout] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._left = asyncio.Event()

    def open(self, tasks: asyncio.TaskGroup) -> None:
        """Run what is started from now on in this group."""
        self._tasks = tasks

    def wants(self, name: str) -> str:
        """The revision that runs, or is about to, under this name; empty where nothing does."""
        running = self._running.get(name)
        if running is None or (running.withdrawn_by and running.next is None):
            return ""
        return revision(running.next or running.plan)

    def is_running(self, name: str) -> bool:
        """Whether anything is under way for it."""
        return name in self._running

    def start(self, plan: ModelCanary) -> None:
        """Carry this plan out, in place of the one that runs under its name if there is one."""
        name = plan.metadata.name
        running = self._running.get(name)
        if running is not None:
            running.next = plan
            if not running.withdrawn_by:
                running.controls.leave.set()
        elif self._tasks is not None and not self._left.is_set():
            self._running[name] = RunningRollout(plan)
            self._tasks.create_task(self._carry(name), name=f"rollout {name}")

    def take(self, wanted: DesiredRollout) -> None:
        """Carry out what a file wants."""
        if wanted.plan is not None:
            self.start(wanted.plan)

    def mirror(self, wanted: DesiredRollout) -> None:
        """Nothing to do: what a file says beside its plan is read when a rollout begins."""

    def forget(self, name: str) -> None:
        """Nothing to do: what serves goes on serving."""

    def withdraw(self, name: str, why: str) -> None:
        """End what runs under this name: everything goes back to stable."""
        running = self._running.get(name)
        if running is not None:
            running.next = None
            running.withdrawn_by = running.withdrawn_by or why

    def leave(self) -> None:
        """Stop watching; everything goes on serving, and the next start goes on from there."""
        self._left.set()
        for running in self._running.values():
            running.controls.leave.set()

    async def stored(self, name: str) -> Stored | None:
        """The newest rollout under this name as its store has it."""
        file = self.folder(name) / "serinus.db"
        if not await asyncio.to_thread(file.is_file):
            return None
        store = SqliteStore(file)
        try:
            return await store.load(name)
        finally:
            await store.close()

    async def history(self, name: str, rollout: Rollout) -> Sequence[Event]:
        """Everything that happened in it, in order: it is the newest, since the next begins after its end is told."""
        store = SqliteStore(self.folder(name) / "serinus.db")
        try:
            return await store.history(name)
        finally:
            await store.close()

    async def resume(self, name: str, *, withdrawn_by: str = "") -> None:
        """Go on with what an earlier process left unfinished, or deal with an end that nobody has dealt with."""
        stored = await self.stored(name)
        if stored is None:
            return
        if stored.rollout.finished:
            await self._ended(name, stored.rollout, bool(withdrawn_by))
            return
        self.start(from_text(stored.spec_text))
        if withdrawn_by:
            self.withdraw(name, withdrawn_by)

    async def _carry(self, name: str) -> None:
        """Everything that runs under one name, one after the other."""
        running, backoff = self._running[name], Backoff(FIRST_WAIT, LONGEST_WAIT)
        try:
            while not self._left.is_set():
                if running.next is not None:
                    running = RunningRollout(running.next)
                    backoff.reset()
                    self._running[name] = running
                rollout = await self._once(name, running)
                if self._left.is_set():
                    return
                over = rollout is not None and rollout.finished
                if rollout is not None and over:
                    await self._tell_end(name, rollout, running)
                over = over or await self._was_never_to_begin(name, running)
                if running.next is not None:
                    continue
                if over:
                    return
                await self._sleep(running, backoff.next())
                running = self._running[name] = replace(running, controls=Controls(), asked=False)
        finally:
            del self._running[name]

    async def _once(self, name: str, running: RunningRollout) -> Rollout | None:
        """One run; None where this machine could not do it, which is said."""
        given = self._audience(running.plan)

        def update(rollout: Rollout, seen: Snapshot) -> None:
            given.update(rollout, seen)
            running.update(rollout, self._clock.now())

        audience = replace(given, update=update)
        folder = self.folder(name)
        try:
            return await self._carry_out(
                running.plan, state=folder, keep=True, audience=audience, controls=running.controls
            )
        except* SerinusError as group:
            if not running.controls.leave.is_set():
                said = "; ".join(str(error) for error in _leaves(group))
                self._say(f"{name}: {said} It is tried again.")
        return None

    async def _tell_end(self, name: str, rollout: Rollout, running: RunningRollout) -> None:
        """Have git hear of it before anything takes its place, however long that takes."""
        backoff = Backoff(FIRST_WAIT, LONGEST_WAIT)
        while not self._left.is_set():
            try:
                await self._ended(name, rollout, bool(running.withdrawn_by))
            except SerinusError as error:
                self._say(f"{name}: its end could not be noted down: {error} That is tried again.")
            else:
                return
            await first_of(backoff.next(), self._left)

    async def _was_never_to_begin(self, name: str, running: RunningRollout) -> bool:
        """Whether git took it back before it could begin, so that there is nothing to give back."""
        if not running.withdrawn_by:
            return False
        stored = await self.stored(name)
        return stored is None or stored.rollout.finished

    async def _sleep(self, running: RunningRollout, seconds: float) -> None:
        """Wait, or until somebody wants something else."""
        try:
            async with asyncio.timeout(seconds):
                await running.controls.leave.wait()
        except TimeoutError:
            return


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]
