"""Which replica acts: leader election on a Lease, with a fencing number.

Used by the operator: `lead` runs its work on at most one replica at a time. A follower trusts only its own clock (how
long it has seen no renewal), a leader only its own (how long ago it began the last renewal that went through) and stops
its work before anybody may take over. Does not decide what may be written: work checks `certain` before it writes, and
hands on the fence where a late write of a predecessor must be told apart.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from canary.errors import Conflict, ExternalError
from controlplane.kubernetes.api import Exists, Kube, NotFound, Object
from controlplane.kubernetes.resources import LEASE
from controlplane.ports import Clock

Work = Callable[[int], Awaitable[None]]

DURATION_SECONDS = 6.0
"""A lease that was not renewed for so long is anybody's: a standby takes over within this and two polls. Shorter would
make more changes of hands out of a busy API server: a leader goes without a renewal for three quarters of it."""
RENEW_SECONDS = 1.0
POLL_SECONDS = 0.25
"""How often a follower looks; bounds how late it notices a renewal, and a release."""
GIVE_UP = 0.75
"""After this share of the duration without a renewal a leader stops, so that its work has the rest to end in."""
RETRY_SECONDS = 0.5
RELEASE_SECONDS = 2.0


class _Lost(Exception):  # noqa: N818 - what the lease is
    """The lease is no longer ours."""


@dataclass(slots=True)
class _Held:
    """Our lease. Times are the event loop's monotonic seconds."""

    fence: int
    version: str
    renewed_at: float
    """When the last renewal that went through was begun."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """Somebody's lease as a follower saw it."""

    holder: str
    renewal: tuple[Any, ...]
    duration: float
    since: float
    """When this renewal was first seen."""


class Election:
    """One candidate for one Lease."""

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        name: str,
        identity: str,
        *,
        clock: Clock,
        duration: float = DURATION_SECONDS,
        tell: Callable[[str], None] = lambda _sentence: None,
    ) -> None:
        """`identity` is this process's alone (a pod's name and something random); `tell` hears of every change."""
        self.identity = identity
        self.holder = ""
        """Who leads, as far as this candidate knows; empty where nobody does."""
        self.problem = ""
        """Why the lease cannot be read or renewed, for people; empty while all is well."""
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self._clock = clock
        self._duration = duration
        self._tell = tell
        self._held: _Held | None = None
        self._seen: _Seen | None = None
        self._highest = 0
        """The highest fence seen: the next is above it even if somebody deletes the Lease."""

    @property
    def leading(self) -> bool:
        """Whether work is running, or ending, here."""
        return self._held is not None

    @property
    def certain(self) -> bool:
        """Whether nobody else can be leading, by this process's own clock: ask right before a write."""
        return self._held is not None and _loop_time() < self._held.renewed_at + self._duration

    async def lead(self, work: Work) -> None:
        """Run `work(fence)` whenever this candidate leads, until cancelled or until work returns or raises by itself.

        Work is cancelled and has ended before the lease is reported lost or given back. Each time of leading has a
        higher fence than all before, on any replica.
        """
        while True:
            self._held = await self._acquire()
            self._tell(f"{self.identity} leads (fence {self._held.fence})")
            try:
                lost = await self._serve(self._held, work)
            except BaseException:
                await self._release()
                raise
            if not lost:
                await self._release()
                return
            self._held = None
            self._tell(f"{self.identity} no longer leads: {lost}")

    async def _serve(self, held: _Held, work: Work) -> str:
        """Work while the lease is kept; returns why it was lost, or nothing when the work is done."""
        try:
            async with asyncio.TaskGroup() as tasks:
                working = tasks.create_task(_awaited(work(held.fence)))
                keeping = tasks.create_task(self._keep(held))
                await asyncio.wait({working, keeping}, return_when=asyncio.FIRST_COMPLETED)
                working.cancel()
                keeping.cancel()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        return "" if keeping.cancelled() else keeping.result()

    async def _keep(self, held: _Held) -> str:
        """Renew again and again; returns why the lease was lost."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                async with asyncio.timeout_at(held.renewed_at + GIVE_UP * self._duration):
                    await self._renew(held)
            except TimeoutError:
                why = self.problem or "the API server does not answer"
                lost = f"the lease could not be renewed for {GIVE_UP * self._duration:g} s: {why}"
            except _Lost as error:
                lost = str(error)
            else:
                continue
            held.renewed_at = float("-inf")
            return lost

    async def _renew(self, held: _Held) -> None:
        """Try until one renewal has gone through; raises `_Lost` where the lease is another's."""
        while True:
            if await self._renewed(held):
                return
            await asyncio.sleep(RETRY_SECONDS)

    async def _renewed(self, held: _Held) -> bool:
        """Whether one attempt went through."""
        began = _loop_time()
        try:
            held.version = await self._write(held.version, {"renewTime": self._now()})
        except Conflict:
            await self._reread(held)
            return False
        except NotFound:
            raise _Lost("somebody deleted the lease") from None
        except ExternalError as error:
            self.problem = str(error)
            return False
        held.renewed_at, self.problem = began, ""
        return True

    async def _reread(self, held: _Held) -> None:
        """Somebody wrote: perhaps ourselves, when the answer to a renewal was lost; perhaps only an annotation."""
        try:
            lease = await self._kube.get(LEASE, self._namespace, self._name)
        except ExternalError as error:
            self.problem = str(error)
            return
        spec = lease.get("spec") or {}
        if spec.get("holderIdentity") != self.identity or spec.get("leaseTransitions") != held.fence:
            raise _Lost(f"{spec.get('holderIdentity') or 'nobody'} has it")
        held.version = lease["metadata"]["resourceVersion"]

    async def _acquire(self) -> _Held:
        """Wait until the lease is ours."""
        while True:
            held = None
            try:
                async with asyncio.timeout(GIVE_UP * self._duration):
                    held = await self._taken()
                self.problem = ""
            except TimeoutError:
                self.problem = "the API server does not answer"
            except ExternalError as error:
                self.problem = str(error)
            if held is not None:
                self.holder, self._highest = self.identity, held.fence
                return held
            await asyncio.sleep(max(0.0, min(POLL_SECONDS, self._expires_in() or POLL_SECONDS)))

    async def _taken(self) -> _Held | None:
        """The lease, if it is free and nobody was faster."""
        try:
            lease = await self._kube.get(LEASE, self._namespace, self._name)
        except NotFound:
            return await self._made() if self._expires_in() <= 0 else None
        self._observe(lease)
        if self.holder not in {"", self.identity} and self._expires_in() > 0:
            return None
        began, fence = _loop_time(), self._highest + 1
        try:
            version = await self._write(lease["metadata"]["resourceVersion"], self._claim(fence))
        except (Conflict, NotFound):
            return None
        return _Held(fence, version, began)

    async def _made(self) -> _Held | None:
        began, fence = _loop_time(), self._highest + 1
        meta = {"namespace": self._namespace, "name": self._name}
        lease = {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": meta, "spec": self._claim(fence)}
        try:
            created = await self._kube.create(LEASE, lease)
        except (Conflict, Exists):
            return None
        return _Held(fence, created["metadata"]["resourceVersion"], began)

    def _observe(self, lease: Object) -> None:
        spec = lease.get("spec") or {}
        self.holder = spec.get("holderIdentity") or ""
        self._highest = max(self._highest, int(spec.get("leaseTransitions") or 0))
        renewal = (self.holder, spec.get("renewTime"), spec.get("leaseTransitions"))
        if self._seen is None or self._seen.renewal != renewal:
            duration = float(spec.get("leaseDurationSeconds") or self._duration)
            self._seen = _Seen(self.holder, renewal, duration, _loop_time())

    def _expires_in(self) -> float:
        """Seconds until the lease that was last seen is anybody's; 0 where it already is."""
        if self._seen is None or self._seen.holder in {"", self.identity}:
            return 0.0
        return max(0.0, self._seen.since + self._seen.duration - _loop_time())

    async def _release(self) -> None:
        """Give the lease back, so that a standby need not wait; work has ended. Failing that it expires by itself."""
        held, self._held = self._held, None
        if held is None:
            return
        nobody = {"holderIdentity": "", "renewTime": self._now()}
        with suppress(ExternalError, TimeoutError, _Lost):
            async with asyncio.timeout(RELEASE_SECONDS):
                try:
                    await self._write(held.version, nobody)
                except Conflict:
                    # A renewal was under way when we were stopped, and it went through.
                    await self._reread(held)
                    await self._write(held.version, nobody)
        self.holder = ""
        self._tell(f"{self.identity} no longer leads: it stopped")

    def _claim(self, fence: int) -> dict[str, Any]:
        now = self._now()
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": round(self._duration),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": fence,
        }

    async def _write(self, version: str, spec: dict[str, Any]) -> str:
        """Change the lease if it is still at this version; returns the new one."""
        patch = {"metadata": {"resourceVersion": version}, "spec": spec}
        written = await self._kube.patch(LEASE, self._namespace, self._name, patch, urgent=True)
        return str(written["metadata"]["resourceVersion"])

    def _now(self) -> str:
        """For people who read the Lease: nothing here is decided by it."""
        return datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def _awaited(work: Awaitable[None]) -> None:
    await work


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
