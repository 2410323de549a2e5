"""Keeps a cache equal to what the API server has of one kind: list, then watch, for ever.

Run as a task by whoever owns the cache. Everything that can happen to a watch is survived here (it ends, breaks, falls
silent, expires; the server is away, busy, restored from a backup), so that readers of the cache never ask the server.
Decides nothing about the objects; what a change means is the listeners' business.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable

from canary.errors import ExternalError, Unavailable
from canary.format import duration
from controlplane.backoff import delay
from controlplane.kubernetes.allowance import outline
from controlplane.kubernetes.api import (
    SILENCE_SECONDS,
    Kube,
    NotFound,
    Object,
    Resource,
    ResourceExpired,
    Slim,
    TooManyRequests,
    WatchEvent,
)
from controlplane.kubernetes.cache import Cache, key_of
from controlplane.ports import Clock

BACKOFF_SECONDS = (0.8, 30.0)
"""The first and the longest wait after failures in a row; each is twice the one before, and up to half longer."""
MISSING_SECONDS = 30.0
"""A kind that is not installed is looked for this often."""
BRIEF_SECONDS = 1.0
"""A watch that ends sooner without a word has failed, whatever the server says."""
ROOM_SECONDS = 60.0
"""Between two looks whether there is room by now for objects of which only an outline is kept."""
LASTING_SECONDS = 10.0
"""A watch that lasted longer has worked, even in silence: what broke it is a first failure again."""


class Reflector:
    """One kind, followed into one cache."""

    def __init__(
        self,
        kube: Kube,
        resource: Resource,
        cache: Cache,
        *,
        clock: Clock,
        namespace: str | None = None,
        labels: str = "",
        slim: Slim | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """`slim` leaves of each object what is read: the cache's own from now on."""
        self.resource = resource
        self.cache = cache
        if slim is not None:
            cache.slim = slim
        self.synced = asyncio.Event()
        """Set once the cache holds everything (or the kind is known to be missing)."""
        self.problem = ""
        """Why the cache may be behind, as a clause for people; empty while all is well."""
        self._kube = kube
        self._clock = clock
        self._namespace = namespace
        self._labels = labels
        self._uniform = uniform
        self._version = ""
        """Where the next watch goes on; empty where everything has to be listed first."""
        self._failures = 0
        self._was_missing = False

    @property
    def heard_at(self) -> float:
        """When the server last said anything about this kind, in seconds of the clock."""
        return self.cache.heard_at

    async def run(self) -> None:
        """Follow for ever; ends only by being cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read_again(), name=f"{self.resource.plural} read again")
            await self._follow()

    async def _follow(self) -> None:
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                pause = 0.0
            except ResourceExpired:
                # Ordinary after a long absence: list at once. A server that says so again and again is waited for.
                self._version = ""
                self._failures += 1
                pause = self._backoff() if self._failures > 1 else 0.0
            except NotFound as error:
                pause = self._missing(error)
            except ExternalError as error:
                pause = max(self._failed(str(error)), error.after if isinstance(error, TooManyRequests) else 0.0)
            except Exception as error:  # noqa: BLE001 - nothing that the server holds may end whoever follows it
                self._version = ""
                pause = self._failed(f"a bug of ours, please report it: {error!r}")
            if pause:
                await self._clock.sleep(pause)

    async def _list(self) -> None:
        intake = self.cache.intake()
        listing = await self._kube.list(self.resource, self._namespace, labels=self._labels, slim=intake)
        self.cache.missing = self._was_missing = False
        self.cache.replace(listing.items, intake)
        self._version = listing.version
        # The server works again; but a list that is followed by no watch shall not become a fast loop of lists.
        self._failures = min(self._failures, 1)
        self._heard()
        self.synced.set()

    async def _read_again(self) -> None:
        """Of what had no room: the objects of a namespace, once there is some. No watch says what does not change."""
        while True:
            await self._clock.sleep(ROOM_SECONDS)
            for namespace in self.cache.with_room():
                try:
                    await self._kube.list(self.resource, namespace, labels=self._labels, slim=self._take_again)
                except ExternalError:
                    continue  # the watch says so, and it is tried again
                except Exception as error:  # noqa: BLE001 - nothing that the server holds may end whoever follows it
                    self.cache.complain(f"A bug of ours at {self.resource.plural} of {namespace}: {error!r}.")

    def _take_again(self, object_: Object) -> Object:
        self.cache.put_again(object_)
        return outline(object_)

    async def _watch(self) -> None:
        began, silent = asyncio.get_running_loop().time(), True
        events = self._kube.watch(self.resource, self._namespace, self._version, labels=self._labels)
        try:
            while True:
                async with asyncio.timeout(SILENCE_SECONDS):
                    event = await anext(events)
                self._take(event)
                self._heard()
                self._failures, silent = 0, False
        except StopAsyncIteration:
            if silent and asyncio.get_running_loop().time() - began < BRIEF_SECONDS:
                raise Unavailable("the server ends watches as soon as they are opened") from None
        except NotFound as error:
            raise ResourceExpired(str(error)) from error  # Only a list can say that a kind is not there.
        except TimeoutError:
            raise Unavailable(f"nothing was heard for {duration(SILENCE_SECONDS)}, not even a bookmark") from None
        finally:
            if asyncio.get_running_loop().time() - began > LASTING_SECONDS:
                self._failures = 0
            if isinstance(events, AsyncGenerator):
                await events.aclose()

    def _take(self, event: WatchEvent) -> None:
        version = event.object["metadata"]["resourceVersion"]
        if _number(version) < _number(self._version):
            raise ResourceExpired("versions have gone back: the server's store was restored from a backup")
        if event.type == "DELETED":
            self.cache.drop(key_of(event.object))
        elif event.type != "BOOKMARK":
            self.cache.put(event.object)
        self._version = version

    def _heard(self) -> None:
        self.cache.heard_at = self._clock.now()
        self.problem = ""

    def _missing(self, error: NotFound) -> float:
        """The kind is not installed, it seems; answers how long to wait before looking again.

        One answer does not empty a cache that held objects, because a proxy or a restarting server may say so by
        mistake and every reader would think them deleted. Two answers in a row do.
        """
        self._version = ""
        self.problem = f"{self.resource.plural} cannot be followed: {error}"
        if self._was_missing or not len(self.cache):
            self.cache.missing = True
            self.cache.replace([])
            self.synced.set()
        self._was_missing = True
        return MISSING_SECONDS

    def _failed(self, why: str) -> float:
        """Note a failure; answers how long to wait."""
        self._failures += 1
        self.problem = f"{self.resource.plural} cannot be followed: {why}"
        return self._backoff()

    def _backoff(self) -> float:
        wait = delay(self._failures, *BACKOFF_SECONDS)
        return min(BACKOFF_SECONDS[1], self._uniform(wait, 1.5 * wait))


def without_managed_fields(object_: Object) -> Object:
    """Slims kinds whose field managers nobody reads (pods, Deployments, Services): often half of the object."""
    meta = {name: value for name, value in object_["metadata"].items() if name != "managedFields"}
    return {**object_, "metadata": meta}


def _number(version: str) -> int:
    return int(version) if version.isdigit() else 0
