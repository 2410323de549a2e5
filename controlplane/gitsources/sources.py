"""Every GitSource of a cluster: one follower each while this replica leads, and webhooks at every replica.

Opened by `serinus controller --cluster --git-sources`. Whatever goes wrong with one source is said in its status and
tried again; it never ends another one, let alone a rollout. A webhook is checked by whichever replica it reaches, and
noted on the resource, where the replica that leads hears of it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from canary.errors import BadInput, ExternalError, SerinusError
from controlplane.backoff import Backoff
from controlplane.gitops.listener import Hook
from controlplane.gitops.webhook import SignatureVerifier
from controlplane.gitsources.provenance import source_of
from controlplane.gitsources.resource import GitSource, read
from controlplane.gitsources.secret_files import secrets_of
from controlplane.gitsources.source_controller import (
    FIRST_WAIT,
    LONGEST_WAIT,
    SourceController,
    SourceServices,
    say_stopped,
)
from controlplane.gitsources.status import reason_of
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.cache import Cache, Key, key_of
from controlplane.kubernetes.reflector import Reflector, without_managed_fields
from controlplane.kubernetes.resources import GIT_SOURCE
from controlplane.ports import Clock

FETCH = "git.serinus.dev/fetch"
"""Annotation: whenever its value changes, the branch is looked at. Set by webhooks, and by people who cannot wait."""
AFTER_A_BUG = 30.0
SECRET_SECONDS = 30.0
"""How long the secret of a webhook is taken to be what it was."""


@dataclass(slots=True)
class WebhookEndpoint:
    """The hook of one source."""

    verifier: SignatureVerifier | None
    """None while its secret cannot be used."""
    why: str
    branch: str
    since: float


class GitSources:
    """All that this replica has to do with git."""

    def __init__(self, means: SourceServices, *, clock: Clock, namespace: str | None) -> None:
        """`namespace`: the only one that is followed; None: all of them."""
        self.cache = Cache(GIT_SOURCE)
        self.cache.complain = means.say
        self._means, self._clock = means, clock
        self._reflector = Reflector(
            means.kube, GIT_SOURCE, self.cache, clock=clock, namespace=namespace, slim=without_managed_fields
        )
        self._followers: dict[Key, SourceController] = {}
        self._doors: dict[Key, WebhookEndpoint] = {}
        self._stir = asyncio.Event()
        self.cache.on_change(self._on_source)
        means.canaries.on_change(self._on_canary)

    async def listen(self) -> None:
        """Know which sources there are, for ever; every replica does."""
        await self._reflector.run()

    async def lead(self) -> None:
        """Follow every repository until cancelled. Never raises anything else."""
        running: dict[Key, tuple[object, asyncio.Task[None]]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._stir.clear()
                objects = {key_of(object_): object_ for object_ in self.cache.items()}
                beyond = self._beyond(objects)
                for key, (known, task) in list(running.items()):
                    if key not in objects or (_asked(objects[key]), key in beyond) != known:
                        task.cancel()
                        await asyncio.wait([task])
                        del running[key]
                for key, object_ in objects.items():
                    if key not in running:
                        work = self._turn_away(object_) if key in beyond else self._attend(object_)
                        attending = tasks.create_task(work, name=f"GitSource {'/'.join(key)}")
                        running[key] = (_asked(object_), key in beyond), attending
                if self.cache.synced:
                    await self._means.room.clear(objects.keys() - beyond)
                await self._stir.wait()

    async def allow(self, object_: Object) -> bool:
        """Somebody wants to try again what git had rejected of this ModelCanary; answers whether it had."""
        follower = self._followers.get(source_of(object_))
        return follower is not None and await follower.allow(object_["metadata"]["name"])

    async def find(self, path: str) -> Hook | None:
        """The hook at `/NAMESPACE/NAME`. Raises `BadInput` for a source without a secret for webhooks."""
        namespace, _, name = path.strip("/").partition("/")
        object_ = self.cache.get(namespace, name)
        if object_ is None:
            return None
        door = await self._door(object_)
        if door.verifier is None:
            raise BadInput(door.why)

        async def fetch() -> None:
            patch = {"metadata": {"annotations": {FETCH: f"{self._clock.now():.3f}"}}}
            await self._means.kube.patch(GIT_SOURCE, namespace, name, patch)

        return Hook(door.verifier, fetch)

    async def _door(self, object_: Object) -> WebhookEndpoint:
        """The verifier of a source, which forgets no delivery when the secret is rotated."""
        key, now = key_of(object_), self._clock.now()
        known = self._doors.get(key)
        if known is not None and 0 <= now - known.since < SECRET_SECONDS:  # the clock may have been set back
            return known
        door = self._doors[key] = WebhookEndpoint(None, "", "", now)
        try:
            source = read(object_)
            secret = (
                (await secrets_of(self._means.secrets, source)).get("webhook", b"").decode("utf-8", "replace").strip()
            )
            if known is not None and known.verifier is not None and known.branch == source.branch:
                known.verifier.renew(secret)
                door.verifier = known.verifier
            else:
                door.verifier = SignatureVerifier("any", secret, source.branch)
            door.branch = source.branch
        except SerinusError as error:
            door.why = "No webhook is taken here now: the secret of this GitSource is missing or cannot be used."
            self._means.say(f"GitSource {'/'.join(key)}: no webhook is taken: {error}")
        return door

    def _beyond(self, objects: Mapping[Key, Object]) -> set[Key]:
        """Those that are more than a namespace may have; who was there first is followed."""
        by_age = sorted(objects, key=lambda key: (str(objects[key]["metadata"].get("creationTimestamp", "")), key))
        of_each: dict[str, list[Key]] = {}
        for key in by_age:
            of_each.setdefault(key[0], []).append(key)
        return {key for keys in of_each.values() for key in keys[self._means.room.quota.sources :]}

    async def _turn_away(self, object_: Object) -> None:
        """Say that its namespace has too many."""
        most = self._means.room.quota.sources
        sentence = (
            f"Namespace {key_of(object_)[0]} has more than {most} GitSources, and the oldest {most} are followed. "
            "Remove one; whoever runs the operator may allow more (git.sourcesPerNamespace in the chart)."
        )
        try:
            await say_stopped(self._means, object_, "TooMany", sentence)
        except ExternalError as error:
            self._means.say(f"GitSource {'/'.join(key_of(object_))}: {sentence} ({error})")

    async def _attend(self, object_: Object) -> None:
        """Follow one source for as long as it is what it is."""
        backoff = Backoff(FIRST_WAIT, LONGEST_WAIT)
        while True:
            began, least = self._clock.now(), 0.0
            try:
                if await self._tried(object_):
                    return
            except Exception as error:  # noqa: BLE001 - a bug met with one repository must not end anything else
                self._means.say(f"A bug of ours, please report it: {error!r}. The repository is looked at again.")
                least = AFTER_A_BUG
            if self._clock.now() - began > LONGEST_WAIT:  # it went well for a while, so this is a first failure
                backoff.reset()
            await self._clock.sleep(max(least, backoff.next()))

    async def _tried(self, object_: Object) -> bool:
        """Follow it until something is in the way, which is said; answers whether it is suspended."""
        try:
            source = read(object_)
            if source.suspended:
                await say_stopped(self._means, object_, "Suspended", "It is not followed while spec.suspend is true.")
                return True
            await self._follow(source, object_)
        except (BadInput, ExternalError) as error:
            await self._tell(object_, error)
        return False

    async def _follow(self, source: GitSource, object_: Object) -> None:
        follower = self._followers[source.key] = SourceController(source, object_, self._means)
        try:
            await follower.run()
        except BaseExceptionGroup as group:  # of its tasks; the first reason is reason enough
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError from None  # an error on the way out takes no word back
            raise _first(group) from None
        finally:
            self._followers.pop(source.key, None)

    async def _tell(self, object_: Object, error: BadInput | ExternalError) -> None:
        """Say in the log and in the status why a source is not followed now."""
        self._means.say(f"GitSource {'/'.join(key_of(object_))}: {error}")
        try:
            await say_stopped(self._means, object_, reason_of(error), str(error))
        except ExternalError:
            return  # the API server is away, or the source is gone: the next try says it

    def _on_source(self, before: Object | None, after: Object | None) -> None:
        object_ = after or before
        if object_ is None:
            return
        key = key_of(object_)
        if _asked(before) != _asked(after):
            self._doors.pop(key, None)
            self._stir.set()
        elif _fetch(before) != _fetch(after) and key in self._followers:
            self._followers[key].wake.set()

    def _on_canary(self, before: Object | None, after: Object | None) -> None:
        for follower in list(self._followers.values()):
            try:
                follower.changed(before, after)
            except Exception as error:  # noqa: BLE001 - one follower's trouble keeps no other from hearing of a change
                self._means.say(f"A bug of ours, please report it: {error!r}. The repository is looked at again.")
                follower.wake.set()


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _asked(object_: Object | None) -> object:
    """What tells one wish from another: which object it is, and the generation of its spec."""
    meta = (object_ or {}).get("metadata") or {}
    return meta.get("uid"), meta.get("generation")


def _fetch(object_: Object | None) -> object:
    return ((object_ or {}).get("metadata", {}).get("annotations") or {}).get(FETCH)
