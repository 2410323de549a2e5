"""Runs variants as processes on this machine. Implements `controlplane.ports.Platform` for the local platform.

Built by `controlplane.program`. Every replica has its own port, its own session and its own log, outlives a killed
Serinus, and is taken over by the next run on the same state folder. A process that is not on record there is never
touched. Sends no traffic anywhere: `on_change` tells whoever does (`envoy.py`) that addresses or readiness are others.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Self

from canary.snapshot import VariantStatus
from canary.spec.models import Variant
from canary.weights import ARMS, Arm
from controlplane.adapters.process_child import end
from controlplane.adapters.process_http import loopback_client
from controlplane.adapters.process_readiness import Answered
from controlplane.adapters.process_record import ProcessRecords, digest_of
from controlplane.adapters.process_replica import ProcessReplica, StartPace, uncounted
from controlplane.private_files import private_folder

RECORDS_FILE = "processes.json"
LOGS_FOLDER = "logs"
LONGEST_PROBE_S = 300.0


class ProcessPlatform:
    """Both arms' processes. Leaving its `async with` ends the supervision only; `close` ends the processes."""

    def __init__(
        self,
        folder: Path,
        *,
        now: Callable[[], float],
        work_folder: Path | None = None,
        on_change: Callable[[], None] = lambda: None,
        pace: StartPace | None = None,
        foreign_ok: bool = False,
        answered: Callable[[str], Awaitable[Answered | None]] = uncounted,
    ) -> None:
        """`folder` keeps records and logs; commands run in `work_folder` (None: the current one).

        `foreign_ok`: servers may listen by way of other processes of this user or of root (`listeners: user`).
        `answered`: what the proxy has received from the replica of this name so far, None where that is not known.
        """
        self._folder = folder
        self._now = now
        self._work_folder = (work_folder or Path.cwd()).resolve()
        self._on_change = on_change
        self._pace = pace or StartPace()
        self._foreign_ok = foreign_ok
        self._answered = answered
        self._records = ProcessRecords(folder / RECORDS_FILE)
        self._replicas: dict[Arm, list[tuple[ProcessReplica, asyncio.Task[None]]]] = {arm: [] for arm in ARMS}
        self._supervisors = asyncio.TaskGroup()
        # A kept connection would outlive its server and fail the first probe of the next one. Each probe has a time
        # limit of its own.
        self._client = loopback_client(LONGEST_PROBE_S, keep_connections=False)

    async def __aenter__(self) -> Self:
        """Nothing is started before `run`."""
        private_folder(self._folder / LOGS_FOLDER, ours=True)
        await self._supervisors.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        """End the supervision; the processes stay as they are."""
        for arm in ARMS:
            await self._leave_alone(arm)
        await self._supervisors.__aexit__(None, None, None)
        await self._client.aclose()

    async def run(self, arm: Arm, variant: Variant) -> None:
        """Bring the variant up with all its replicas and keep it so. Another variant of this arm is ended first."""
        running = [replica.variant for replica, _ in self._replicas[arm]]
        if running == [variant] * variant.replicas:
            return
        await self._leave_alone(arm)
        names = [f"{arm}-{place}" for place in range(variant.replicas)]
        self._inherit(arm, names, variant)
        for place, name in enumerate(names):
            replica = ProcessReplica(
                name,
                variant,
                records=self._records,
                log=self._folder / LOGS_FOLDER / f"{variant.name}-{place}.log",
                folder=self._work_folder,
                pace=self._pace,
                client=self._client,
                now=self._now,
                changed=self._on_change,
                foreign_ok=self._foreign_ok,
                answered=self._answered,
                others_on_time=partial(self._on_time, _other(arm)),
            )
            self._replicas[arm].append((replica, self._supervisors.create_task(replica.keep_running(), name=name)))
        surplus = [name for name in self._records.of_arm(arm) if name not in names]
        if surplus:
            self._supervisors.create_task(self._end(surplus), name=f"ending surplus replicas of {arm}")

    async def stop(self, arm: Arm) -> None:
        """End the arm's processes, of this run and of earlier ones; open requests have the grace period."""
        had_clients = bool(self.endpoints()[arm])
        await self._leave_alone(arm)
        await self._end(self._records.of_arm(arm), after_s=self._pace.notice_s if had_clients else 0.0)

    async def seen(self) -> Mapping[Arm, VariantStatus]:
        """Readiness of both arms now. An arm that is not to run wants no replica."""
        return {arm: self._seen(arm) for arm in ARMS}

    def endpoints(self) -> Mapping[Arm, Mapping[str, str]]:
        """Replica name to `host:port` of every ready replica, by arm."""
        return self._addresses(lambda replica: replica.ready)

    def addresses(self) -> Mapping[Arm, Mapping[str, str]]:
        """Replica name to `host:port` of every replica that was ever started, ready or not, by arm."""
        return self._addresses(lambda _replica: True)

    def ready_since(self) -> Mapping[str, float]:
        """Replica name to the time (seconds since the epoch) when it became ready; warm-up is counted from there."""
        replicas = (replica for arm in ARMS for replica, _ in self._replicas[arm])
        return {replica.name: replica.ready_since for replica in replicas if replica.ready_since is not None}

    async def close(self) -> None:
        """End every process on record, of this run and of earlier ones. Without it they serve on, for the next run."""
        for arm in ARMS:
            await self._leave_alone(arm)
        await self._end([name for arm in ARMS for name in self._records.of_arm(arm)])

    def _inherit(self, arm: Arm, names: list[str], variant: Variant) -> None:
        """Give this arm the other arm's processes of an earlier run if they are this very variant.

        Who won as the canary is the next plan's stable variant; its processes serve on, under their new name.
        """
        other = _other(arm)
        if self._replicas[other]:
            return
        digest = digest_of(variant, self._work_folder)
        heirs = [name for name in self._records.of_arm(other) if self._records.serves(name, digest)]
        for name, heir in zip(names, heirs, strict=False):
            if not self._records.serves(name, digest):
                self._records.rename(heir, name)

    def _on_time(self, arm: Arm, since: float) -> bool:
        """Whether probes of this arm have been answered since then; also where there is nothing to compare with."""
        ready = [replica for replica, _ in self._replicas[arm] if replica.ready]
        return not ready or any(replica.probes.on_time(since) for replica in ready)

    def _seen(self, arm: Arm) -> VariantStatus:
        replicas = [replica for replica, _ in self._replicas[arm]]
        if not replicas:
            return VariantStatus(self._now(), wanted=0, ready=0, problem="not running")
        unready = next((replica for replica in replicas if not replica.ready), None)
        problem = "" if unready is None else unready.problem
        if unready and len(replicas) > 1:
            problem = f"{unready.name}: {problem}"
        ready = sum(replica.ready for replica in replicas)
        return VariantStatus(self._now(), len(replicas), ready, problem, any(replica.hopeless for replica in replicas))

    def _addresses(self, which: Callable[[ProcessReplica], bool]) -> Mapping[Arm, Mapping[str, str]]:
        return {
            arm: {replica.name: replica.address for replica, _ in replicas if replica.address and which(replica)}
            for arm, replicas in self._replicas.items()
        }

    async def _leave_alone(self, arm: Arm) -> None:
        """End the supervision of this arm, so that nobody starts again what is about to be ended."""
        supervisors = [task for _, task in self._replicas[arm]]
        self._replicas[arm] = []
        for task in supervisors:
            task.cancel()
        if supervisors:
            await asyncio.wait(supervisors)
            self._on_change()

    async def _end(self, names: list[str], after_s: float = 0.0) -> None:
        """End these replicas side by side and strike them out. Whoever runs under their names by then is left alone."""
        doomed = {name: record.child for name in names if (record := self._records.get(name))}
        for name in doomed:
            self._records.note_stopping(name)
        await asyncio.sleep(after_s)
        await asyncio.gather(*(end(child, self._pace.grace_s) for child in doomed.values()))
        for name, child in doomed.items():
            self._records.forget(name, child)


def _other(arm: Arm) -> Arm:
    return "canary" if arm == "stable" else "stable"
