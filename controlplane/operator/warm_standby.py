"""What a replica that does not lead keeps ready, so that becoming the leader costs a claim a rollout and no more.

Run by `operator.py`. For every unfinished rollout the plan is read, the state parsed, the site open, the past asked
for; the numbers are read at the leader's own pace, and the newest are kept for the judge. Nothing is written and
nothing decided: what is kept counts only if the claim shows that it is still the newest (`controller.py`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from canary.errors import BadInput, ExternalError
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.cache import Cache, Key, key_of
from controlplane.operator.finalizer import is_leaving
from controlplane.operator.operator_rollout import OperatorRollout
from controlplane.operator.spec_reader import ParsedSpec, is_at_rest
from controlplane.operator.store import stored_in

PASTS_AT_ONCE = 4
"""As many as a fleet lets ask at a time, so that none waits for its turn while its patience runs."""


@dataclass(slots=True)
class PreparedRollout:
    """One rollout as it could be taken up."""

    charge: OperatorRollout
    reading: ParsedSpec
    uid: str
    version: int
    """Of the state in the status."""
    caught_up: bool = False
    """Whether its judge knows what was counted until this replica began to listen."""

    def fits(self, object_: Object) -> bool:
        """Whether this is what a ModelCanary says by now."""
        status, meta = object_.get("status") or {}, object_["metadata"]
        same = (meta.get("uid"), meta.get("generation", 0)) == (self.uid, self.reading.generation)
        return same and status.get("version") == self.version

    def is_claimed_by(self, object_: Object) -> bool:
        """Whether a claim found this very state, and has given it its next version."""
        status, meta = object_.get("status") or {}, object_["metadata"]
        same = (meta.get("uid"), meta.get("generation", 0)) == (self.uid, self.reading.generation)
        return same and not is_leaving(object_) and status.get("version") == self.version + 1


Prepare = Callable[[Key, Object], tuple[OperatorRollout, ParsedSpec] | None]
"""Opens an unfinished rollout without a write; None where there is nothing to carry on. May raise `ExternalError`."""


class Standby:
    """Everything that is kept ready."""

    def __init__(
        self,
        canaries: Cache,
        prepare: Prepare,
        read: Callable[[], Awaitable[None]],
        *,
        period: float,
        say: Callable[[str], None],
    ) -> None:
        """`read` reads the numbers of all open sites; `period`: seconds between two readings."""
        self._canaries, self._prepare, self._read = canaries, prepare, read
        self._period, self._say = period, say
        self._ready: dict[Key, PreparedRollout] = {}
        self._refused: dict[Key, str] = {}
        """Those that could not be made ready, by the resource version of which that is known."""
        self._on_duty = asyncio.Event()
        self._on_duty.set()
        self._keeping: asyncio.Task[None] | None = None
        self._complaint = ""

    @property
    def ready(self) -> int:
        """How many rollouts could be taken over at once."""
        return sum(each.caught_up for each in self._ready.values())

    def __len__(self) -> int:
        """How many are ready, or about to be."""
        return len(self._ready)

    async def run(self) -> None:
        """Keep everything ready while somebody else leads; for ever."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._on_duty.wait()
                self._keeping = tasks.create_task(self._keep())
                await asyncio.wait({self._keeping})

    async def relieve(self) -> None:
        """This replica leads: nothing is read or made ready any more. What is ready waits to be taken."""
        self._on_duty.clear()
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait({self._keeping})

    def resume(self) -> None:
        """It leads no longer."""
        self.clear()
        self._on_duty.set()

    def take(self, key: Key) -> PreparedRollout | None:
        """What is ready of this rollout; it is the caller's then, to be used or closed."""
        ready = self._ready.pop(key, None)
        if ready is None or ready.caught_up:
            return ready
        ready.charge.close()
        return None

    def clear(self) -> None:
        """Keep nothing."""
        for key in list(self._ready):
            self._drop(key)
        self._refused.clear()

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            try:
                await self._make_ready()
                await self._catch_up()
                await self._listen()
            except Exception as error:  # noqa: BLE001 - a standby that meets a bug of ours must still be able to lead
                self._complain(error)
            due = max(due + self._period, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _make_ready(self) -> None:
        """Those that are new or have changed; the event loop has its turn after each."""
        here: set[Key] = set()
        for object_ in list(self._canaries.items()):
            key = key_of(object_)
            if self._refused.get(key) == object_["metadata"].get("resourceVersion"):
                here.add(key)
            elif self._is_wanted(key, object_):
                here.add(key)
                if (ready := self._ready.get(key)) is None or not ready.fits(object_):
                    await self._open(key, object_)
                    await asyncio.sleep(0)
        for key in [key for key in self._ready if key not in here]:
            self._drop(key)
        for key in [key for key in self._refused if key not in here]:
            del self._refused[key]

    def _is_wanted(self, key: Key, object_: Object) -> bool:
        """Whether a rollout is under way; one that nobody can tell costs its own readiness."""
        try:
            return not is_at_rest(object_) and not is_leaving(object_)
        except Exception as error:  # noqa: BLE001 - see `_open`
            self._complain(error)
            self._refuse(key)
            return False

    async def _open(self, key: Key, object_: Object) -> None:
        try:
            ready = await self._again(key, object_) or await self._anew(key, object_)
        except (ExternalError, BadInput):  # the leader says so, and a take-over meets it again
            ready = None
        except Exception as error:  # noqa: BLE001 - a bug met by one rollout must not keep the others from being ready
            self._complain(error)
            ready = None
        if ready is None:
            self._refuse(key)
        else:
            self._ready[key] = ready

    async def _catch_up(self) -> None:
        """Ask for the past of those that are new or whose leader has saved, a few at a time."""
        behind = [(key, ready) for key, ready in self._ready.items() if not ready.caught_up]
        for first in range(0, len(behind), PASTS_AT_ONCE):
            few = behind[first : first + PASTS_AT_ONCE]
            await asyncio.gather(*(self._tried(key, ready.charge.catch_up) for key, ready in few))
            for _, ready in few:
                ready.caught_up = True

    async def _again(self, key: Key, object_: Object) -> PreparedRollout | None:
        """The same rollout, whose leader has saved meanwhile: everything but its state stays."""
        ready, stored = self._ready.get(key), stored_in(object_)
        if ready is None or stored is None or stored.rollout.finished:
            return None
        before, meta = ready.charge.rollout, object_["metadata"]
        if before is None or (before.revision, before.attempt) != (stored.rollout.revision, stored.rollout.attempt):
            return None
        if (ready.uid, ready.reading.generation) != (meta.get("uid"), meta.get("generation", 0)):
            return None
        await ready.charge.resume(stored)
        ready.version, ready.caught_up = stored.version, False
        return ready

    async def _anew(self, key: Key, object_: Object) -> PreparedRollout | None:
        self._drop(key)
        stored = stored_in(object_)
        found = self._prepare(key, object_) if stored is not None else None
        if stored is None or found is None:
            return None
        charge, reading = found
        await charge.resume(stored)
        return PreparedRollout(charge, reading, object_["metadata"].get("uid", ""), stored.version)

    async def _listen(self) -> None:
        """Read the numbers, and let each rollout keep its own."""
        if not self._ready:
            return
        await self._read()
        for key, ready in list(self._ready.items()):
            await self._tried(key, ready.charge.overhear)
            await asyncio.sleep(0)

    async def _tried(self, key: Key, work: Callable[[], Awaitable[None]]) -> None:
        """A bug met by one rollout costs its own readiness and nobody else's."""
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - see above
            self._complain(error)
            self._refuse(key)

    def _refuse(self, key: Key) -> None:
        """Leave it alone until it changes."""
        self._drop(key)
        object_ = self._canaries.get(*key)
        if object_ is not None:
            self._refused[key] = object_["metadata"].get("resourceVersion", "")

    def _complain(self, error: Exception) -> None:
        if repr(error) != self._complaint:
            self._complaint = repr(error)
            self._say(f"A bug of ours on standby, please report it: {error!r}. Taking over will be slower.")

    def _drop(self, key: Key) -> None:
        ready = self._ready.pop(key, None)
        if ready is not None:
            ready.charge.close()
