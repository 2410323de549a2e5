"""Follows one repository for a cluster: what its files say becomes ModelCanaries, and how rollouts end becomes commits.

Run by `sources.py` on the replica that leads, each source in a task of its own. The comparing is done by the controller
of `controlplane.gitops`, as on one machine; here is when it looks, what it is told of the cluster, and that what it
remembers is saved in the source's status before anything is done. No rollout ever waits for any of this.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.request import getproxies_environment

from canary.errors import BadInput, Conflict, ExternalError, Unavailable
from canary.rollout import FINISHED
from controlplane.adapters.dial_policy import Address, NotDialled, Reach
from controlplane.backoff import Backoff
from controlplane.gitops.bare_repository import BareRepository
from controlplane.gitops.commit_outbox import CommitOutbox
from controlplane.gitops.commit_writer import parse_author
from controlplane.gitops.controller import GitController
from controlplane.gitops.desired import FileError
from controlplane.gitops.hosts.repo_location import host_for
from controlplane.gitops.waiting import first_of
from controlplane.gitsources.cluster_rollouts import ClusterRollouts
from controlplane.gitsources.drift_repair import DriftRepair
from controlplane.gitsources.machine_quota import MachineQuota
from controlplane.gitsources.plans import for_namespace
from controlplane.gitsources.provenance import source_of
from controlplane.gitsources.resource import GitSource
from controlplane.gitsources.secret_files import SecretFiles, secrets_of
from controlplane.gitsources.status import SourceDrift, SourceSnapshot, status_in, status_of, stopped
from controlplane.gitsources.status_git_state import StatusGitState
from controlplane.kubernetes.api import Kube, Object
from controlplane.kubernetes.cache import Cache, Key
from controlplane.kubernetes.consent import Consent
from controlplane.kubernetes.resources import GIT_SOURCE
from controlplane.operator.events import Events
from controlplane.operator.store import stored_in
from controlplane.ports import Stored

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds between two tries after one that failed; they double."""
NOWHERE = ip_address("192.0.2.1")
"""An address that no host ever has (RFC 5737)."""
_FINISHED = frozenset(phase.value for phase in FINISHED)


@dataclass(frozen=True, slots=True)
class SourceServices:
    """What every follower works with."""

    kube: Kube
    """A client of git's own: another field manager than the operator's, and other connections."""
    canaries: Cache
    events: Events
    room: MachineQuota
    """For bare copies of repositories, which may be gone at any start, and for calls of git."""
    reach: Reach
    """Which hosts may be dialled."""
    secrets: Consent
    """Which Secrets may be read."""
    now: Callable[[], float]
    certain: Callable[[], bool]
    """Whether nobody else can be leading; while it is not, nothing is written."""
    say: Callable[[str], None]
    dashboard: str = ""
    """Where the dashboard answers, for links; empty where there is none."""


class Attempt(NamedTuple):
    """One try of a rollout; a ModelCanary that was deleted and made again counts from one."""

    name: str
    number: int
    began: float


@dataclass(frozen=True, slots=True)
class RunningSource:
    """What a follower has while it runs."""

    controller: GitController
    fleet: ClusterRollouts
    guard: DriftRepair
    vault: SecretFiles


class SourceController:
    """One GitSource while this replica leads."""

    def __init__(self, source: GitSource, object_: Object, means: SourceServices) -> None:
        self.source = source
        self.wake = asyncio.Event()
        """Set to look at the branch now."""
        self._object = object_
        self._means = means
        self._git_state = StatusGitState("", source.name)
        self._controller: GitController | None = None
        self._outbox: CommitOutbox | None = None
        self._fleet: ClusterRollouts | None = None
        self._writing = asyncio.Lock()
        self._addresses: list[Address] = []
        """Of the repository's host as they were checked last; git dials no other."""
        self._heard: dict[Attempt, Stored] = {}
        """Attempts that ended, or run although rejected, as heard last; what was not dealt with yet, in order.

        The rollouts themselves: the next one may have taken the place of one that ended before there is time to look.
        """
        self._waits = ""
        self._told: tuple[FileError, ...] = ()

    async def run(self) -> None:
        """Follow until cancelled. Raises `ExternalError` and `BadInput` where it cannot begin, or must not go on."""
        means, source = self._means, self.source
        self._object = await means.kube.get(GIT_SOURCE, *source.key)
        status = status_in(self._object)
        self._git_state = git_state = StatusGitState(str(status.get("state") or ""), source.name)
        vault = SecretFiles()
        try:
            await self._unlock(vault)
            remote = replace(source.remote(vault.files, vault.user), addresses=lambda: self._addresses)
            git_state.follows(remote.url)
            settings = source.settings(vault.files, means.dashboard)
            identity = parse_author(settings.author, settings.sign_key)
            # One folder, made by us: another user could replace one between, were it theirs. Namespaces have no dot.
            room = means.room
            store = BareRepository(room.folder(source.key), remote, identity=identity, share=room.share(source.key))
            host = host_for(remote.url, remote.token, settings, means.now, means.reach)
            self._outbox = outbox = CommitOutbox(store, git_state, self._say_written, host=host, settings=settings)
            guard = DriftRepair(
                means.kube,
                means.canaries,
                means.events,
                namespace=source.namespace,
                policy=source.on_drift,
                now=means.now,
                say=self._say,
            )
            fleet = self._fleet = ClusterRollouts(source, means.kube, means.canaries, git_state, guard, now=means.now)
            self._controller = controller = GitController(
                store,
                source.pattern,
                fleet,
                git_state,
                outbox,
                say=self._say,
                understand=for_namespace(source.namespace),
                retry=lambda name: f"kubectl canary retry {name} -n {source.namespace}",
            )
            await store.check()
            for object_ in fleet.objects():
                self._note_what_matters(object_)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(outbox.work(), name=f"writer of {source.name}")
                await self._follow(RunningSource(controller, fleet, guard, vault))
        finally:
            self._controller = self._outbox = self._fleet = None
            await asyncio.to_thread(vault.close)

    def changed(self, before: Object | None, after: Object | None) -> None:
        """A ModelCanary changed, of this source or not. One of another namespace never is, whatever its label says."""
        object_ = after or before
        if object_ is None or source_of(object_) != self.source.key:
            return
        name = object_["metadata"]["name"]
        status = (after or {}).get("status") or {}
        if after is not None and status.get("phase") != ((before or {}).get("status") or {}).get("phase"):
            self._hear(after)
            if status.get("phase") in _FINISHED and self._fleet is not None:
                self._fleet.is_over(name)
        if after is None:
            if self._controller is not None:
                self._controller.look_again()
                self.wake.set()
        elif self._note_what_matters(after) or self._has_drifted(after):
            self.wake.set()

    def _has_drifted(self, object_: Object) -> bool:
        return self._fleet is not None and self._fleet.has_drifted(object_)

    def _note_what_matters(self, object_: Object) -> bool:
        """Whether it ended, runs although it was rejected, or follows one whose end is not dealt with: it is next."""
        name, status = object_["metadata"]["name"], object_.get("status") or {}
        rejected = status.get("revision") in self._git_state.state.rejected.get(name, {})
        if not (rejected or status.get("phase") in _FINISHED or any(each.name == name for each in self._heard)):
            return False
        with suppress(ExternalError):  # somebody wrote to the status; the operator says so
            if (stored := stored_in(object_)) is not None:
                self._heard[Attempt(name, stored.rollout.attempt, stored.rollout.began)] = stored
        return True

    def _hear(self, object_: Object) -> None:
        """A rollout is in another phase: what the host shows of its commit follows."""
        with suppress(ExternalError):  # somebody wrote to the status; the operator says so
            stored, name = stored_in(object_), object_["metadata"]["name"]
            events = [each for each in stored.rollout.history if each.event == "phase"] if stored is not None else []
            if events and self._outbox is not None:
                self._outbox.hear(events[-1], self._git_state.state.origins.get(name))

    async def allow(self, name: str) -> bool:
        """Somebody wants a rejected revision to be tried again: remembered when this returns True."""
        if self._controller is None or not self._git_state.state.rejected.get(name):
            return False
        self._git_state.ask_again(name)
        self._git_state.allow(name)
        await self._save()
        self.wake.set()
        return True

    async def _follow(self, work: RunningSource) -> None:
        backoff = Backoff(FIRST_WAIT, LONGEST_WAIT)
        while True:
            self.wake.clear()  # before the look: what happens during it counts for the next one
            if went_well := await self._look(work):
                backoff.reset()
            await first_of(self.source.interval if went_well else backoff.next(), self.wake)

    async def _look(self, work: RunningSource) -> bool:
        """One look at the branch and at what came of it; answers whether all went well."""
        problem: ExternalError | BadInput | None = None
        try:
            await self._unlock(work.vault)
            await self._take_ends(work.controller)
            if not await work.controller.once():
                problem = work.controller.problem
            await self._save()
            await work.fleet.carry_out()
        except Conflict:
            raise
        except (ExternalError, BadInput) as error:
            problem = error
            self._say(str(error))
        await self._show(work, problem)
        return problem is None and not work.fleet.refused

    async def _unlock(self, vault: SecretFiles) -> None:
        """Have the credentials as they are now, and an address that may be dialled."""
        host, port = self.source.address
        try:
            self._addresses = await self._means.reach.addresses(host, port)
        except NotDialled as error:
            raise BadInput(f"{host} is not dialled: {error}.") from error
        except Unavailable as error:
            if "https" not in getproxies_environment():
                raise Unavailable(f"{host} is not dialled: {error}. Rollouts go on as they are.") from error
            self._addresses = [NOWHERE]  # the proxy may know its name
        secrets = await secrets_of(self._means.secrets, self.source)
        await asyncio.to_thread(vault.take, secrets)

    async def _take_ends(self, controller: GitController) -> None:
        """Deal with rollouts that have ended, and with rejected ones that somebody lets run again."""
        for attempt, stored in list(self._heard.items()):
            await self._take_end(attempt.name, stored, controller)
            if self._heard.get(attempt) is stored:
                del self._heard[attempt]  # only now: what could not be dealt with is tried again

    async def _take_end(self, name: str, stored: Stored, controller: GitController) -> None:
        rollout, state = stored.rollout, self._git_state.state
        if rollout.finished:
            await controller.ended(name, rollout, stored.spec_text, name in state.withdrawn)
        elif rollout.revision in state.rejected.get(name, {}):
            self._git_state.allow(name)
            for writing in [each for each in state.writings if each.name == name]:
                self._git_state.written(writing)  # it is tried again, so its file stays as it is

    async def _save(self) -> None:
        """Save what is remembered, if any of it is new."""
        async with self._writing:
            status = status_in(self._object)
            if (text := self._git_state.text()) != status.get("state"):
                await self._write({**status, "state": text})

    async def _show(self, work: RunningSource, problem: ExternalError | BadInput | None) -> None:
        """Write what people want to know, if any of it is new."""
        complaints = (*work.controller.complaints, *work.fleet.refused.values())
        if not self._git_state.state.writings:
            self._waits = ""
        drift = SourceDrift(tuple(work.guard.left.values()), work.guard.repaired)
        look = SourceSnapshot(self._git_state.state, len(work.fleet.objects()), complaints, problem, self._waits, drift)
        async with self._writing:
            status = status_in(self._object)
            generation = int(self._object["metadata"].get("generation") or 0)
            news = {**status_of(look, status, generation, self._means.now()), "state": self._git_state.text()}
            if {key: value for key, value in status.items() if key != "version"} != news:
                await self._write(news)
        self._tell(complaints)

    def _tell(self, complaints: tuple[FileError, ...]) -> None:
        """An Event for each file that is not used and was until now, or for another reason."""
        for each in complaints:
            if each not in self._told:
                self._means.events.tell(self._object, each.sentence, "Warning", "FileNotUsed", each.sentence)
        self._told = complaints

    async def _write(self, status: Mapping[str, Any]) -> None:
        """Replace the status if nobody else did. Raises `Conflict`: somebody else follows this source by now."""
        if not self._means.certain():
            raise Conflict("It is not certain that nobody else follows the repositories by now: nothing was written.")
        self._object = await written(self._means.kube, self._object, status)

    def _say_written(self, sentence: str) -> None:
        """Something was written to git, or has to wait: to be saved and shown."""
        self._say(sentence)
        self.wake.set()

    def _say(self, sentence: str) -> None:
        if " is waiting: " in sentence:
            self._waits = sentence
        self._means.say(f"GitSource {'/'.join(self.source.key)}: {sentence}")


async def written(kube: Kube, object_: Object, status: Mapping[str, Any]) -> Object:
    """Write a status over the one that is known, compare-and-swap on its version. Raises `Conflict`."""
    key: Key = object_["metadata"]["namespace"], object_["metadata"]["name"]
    before = status_in(object_)
    test: Mapping[str, Any]
    if before:
        test = {"op": "test", "path": "/status/version", "value": before.get("version")}
    else:
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": object_["metadata"]["resourceVersion"]}
    value = {**status, "version": int(before.get("version") or 0) + 1}
    patch: list[Mapping[str, Any]] = [test, {"op": "add", "path": "/status", "value": value}]
    return await kube.patch(GIT_SOURCE, *key, patch, subresource="status")


async def say_stopped(means: SourceServices, object_: Object, reason: str, sentence: str) -> None:
    """Write why a source is not followed, if that is news."""
    fresh = await means.kube.get(GIT_SOURCE, object_["metadata"]["namespace"], object_["metadata"]["name"])
    before = status_in(fresh)
    generation = int(fresh["metadata"].get("generation") or 0)
    status = stopped(reason, sentence, before, generation, means.now())
    if status != before and means.certain():
        await written(means.kube, fresh, status)
