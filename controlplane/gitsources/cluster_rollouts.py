"""The ModelCanaries of one source: told apart from all others, written by server-side apply, ended by deletion.

The cluster's `Rollouts` for the controller of a branch. What it is told is only noted down; `carry_out` does it, after
what the controller remembers has been saved, and lets the guard compare. Carries out no rollout itself: that is the
operator's business.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from canary.errors import ExternalError
from canary.rollout import FINISHED, Event, Rollout
from canary.snapshot import OperatorRequest
from canary.spec.source import quoted
from controlplane.gitops.desired import DesiredRollout, FileError
from controlplane.gitops.git_state import GitStateStore, PlanOrigin
from controlplane.gitsources.drift_repair import DriftRepair
from controlplane.gitsources.plans import Manifest
from controlplane.gitsources.provenance import ANNOTATION, SOURCE, annotations, source_of
from controlplane.gitsources.resource import GitSource
from controlplane.kubernetes.api import Conflict, Kube, NotFound, Object, Rejected
from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.resources import MODEL_CANARY
from controlplane.operator.event_log import EventLog
from controlplane.operator.finalizer import is_leaving
from controlplane.operator.request_annotations import annotation_of
from controlplane.operator.spec_reader import held_back
from controlplane.operator.store import stored_in
from controlplane.ports import Stored

LONGEST_SUBJECT = 200
_FINISHED = frozenset(phase.value for phase in FINISHED)
_AGAIN = frozenset({"rolled_back", "failed", "aborted"})


class ClusterRollouts:
    """Implements `controlplane.gitops.rollout_runner.RolloutRunner`."""

    def __init__(
        self,
        source: GitSource,
        kube: Kube,
        canaries: Cache,
        git_state: GitStateStore,
        guard: DriftRepair,
        *,
        now: Callable[[], float],
    ) -> None:
        """`kube`: a client whose field manager is `MANAGER`; `canaries`: every ModelCanary, as last heard."""
        self._source, self._kube, self._canaries, self._git_state, self._now = source, kube, canaries, git_state, now
        self._guard = guard
        self._wanted: dict[str, Manifest] = {}
        """By rollout what git wants its resource to be: nothing for one that was rejected, or has just ended."""
        self._pending: dict[str, Manifest | None] = {}
        """By rollout what its resource is to be; None: gone."""
        self.refused: dict[str, FileError] = {}
        """Files whose resource the cluster does not take, by rollout."""

    def open(self, tasks: asyncio.TaskGroup) -> None:
        """Nothing runs here."""

    def leave(self) -> None:
        """Nothing runs here."""

    async def resume(self, name: str, *, withdrawn_by: str = "") -> None:
        """The operator goes on by itself."""

    def wants(self, name: str) -> str:
        """The revision that is carried out, or is about to be; empty where nothing is."""
        if name in self._pending:
            pending = self._pending[name]
            return pending.revision if pending is not None else ""
        object_ = self._ours(name)
        if object_ is None or is_leaving(object_):
            return ""
        asked = annotations(object_).get("revision", "")
        status: Mapping[str, object] = object_.get("status") or {}
        over = status.get("phase") in _FINISHED and status.get("revision") == asked
        return "" if over and status.get("result") != "superseded" else asked

    def is_running(self, name: str) -> bool:
        """Whether anything is under way for it, be it that it is being taken back."""
        object_ = self._ours(name)
        if object_ is None:
            return False
        status = object_.get("status") or {}
        under_way = bool(status.get("phase")) and status["phase"] not in _FINISHED
        return under_way or is_leaving(object_) or name in self._pending

    def take(self, wanted: DesiredRollout) -> None:
        """Apply the resource; the operator begins."""
        if isinstance(wanted, Manifest):
            self._pending[wanted.name] = self._wanted[wanted.name] = wanted

    def mirror(self, wanted: DesiredRollout) -> None:
        """Apply the resource where it says anything new; nothing begins by it."""
        if not isinstance(wanted, Manifest):
            return
        self._wanted[wanted.name] = wanted
        object_ = self._ours(wanted.name)
        known = annotations(object_).get("digest", "") if object_ is not None else ""
        if known != wanted.digest or wanted.name in self._pending:
            self._pending[wanted.name] = wanted

    def withdraw(self, name: str, why: str) -> None:
        """Delete the resource, unless its file is still there and only names nothing to try (`mirror`)."""
        self._pending[name] = None
        self.is_over(name)

    def forget(self, name: str) -> None:
        """Delete the resource of a file that is gone."""
        self._pending[name] = None
        self.is_over(name)

    def is_over(self, name: str) -> None:
        """Its rollout has ended: until the branch is compared again, nobody knows what its resource is to be."""
        self._wanted.pop(name, None)

    async def stored(self, name: str) -> Stored | None:
        """The newest rollout, as the status has it."""
        return stored_in(self._ours(name) or {})

    async def history(self, name: str, rollout: Rollout) -> Sequence[Event]:
        """What happened in it: all that is kept, and what its state itself still has."""
        books = EventLog(self._kube, self._source.namespace)
        books.note(name, rollout.attempt, rollout.history)
        events = await books.read(name, rollout.attempt)
        return sorted(events, key=lambda event: event.seq)

    async def carry_out(self) -> None:
        """Do everything that was noted down; what is refused is noted and tried again. Raises `ExternalError`."""
        for name, manifest in list(self._pending.items()):
            if manifest is None:
                await self._delete(name)
            elif not await self._applied(manifest):
                continue
            self.refused.pop(name, None)
            if self._pending.get(name) is manifest:
                del self._pending[name]
        await self._guard.look(
            {name: each for name, each in self._wanted.items() if self._is_settled(name)}, self._apply
        )

    def has_drifted(self, object_: Object) -> bool:
        """Whether a resource of ours may say something else than its file."""
        manifest = self._wanted.get(object_["metadata"]["name"])
        return manifest is not None and self._is_settled(manifest.name) and self._guard.suspects(object_, manifest)

    def objects(self) -> list[Object]:
        """Every ModelCanary of this source."""
        return [each for each in self._canaries.items(self._source.namespace) if self._is_ours(each)]

    async def _delete(self, name: str) -> None:
        object_ = self._ours(name)
        if object_ is not None and not is_leaving(object_):
            namespace = self._source.namespace
            try:
                await self._kube.delete(MODEL_CANARY, namespace, name, uid=object_["metadata"]["uid"])
            except Conflict:
                return  # another one of this name by now: it is not ours to delete

    async def _applied(self, manifest: Manifest) -> bool:
        """Whether the cluster took it; why not is noted."""
        name, origin = manifest.name, self._git_state.state.origins.get(manifest.name)
        there = self._canaries.get(self._source.namespace, name)
        if there is not None and not self._is_ours(there):
            self._refuse(manifest, f"is in the cluster already and comes from {_owner(there)}. {_HAND_OVER}")
            return False
        if there is not None and is_leaving(there):
            return False  # its traffic goes back first; after that it is made anew
        return await self._written(manifest, self._object(manifest, origin, there)) is not None

    async def _apply(self, manifest: Manifest) -> Object | None:
        """The file's word once more, if it still is what git wants; and no leave to try anything again."""
        if self._wanted.get(manifest.name) is not manifest or not self._is_settled(manifest.name):
            return None
        return await self._written(
            manifest, self._object(manifest, self._git_state.state.origins.get(manifest.name), None)
        )

    async def _written(self, manifest: Manifest, object_: Object) -> Object | None:
        try:
            after = await self._kube.apply(MODEL_CANARY, object_)
        except (Rejected, NotFound) as error:
            self._refuse(manifest, f"is not taken by the API server: {error}")
            return None
        self._canaries.put(after)
        return after

    def _is_settled(self, name: str) -> bool:
        """Whether its resource is ours, and nothing of it is on its way: no apply, no rejection, no commit of ours."""
        state = self._git_state.state
        if name in self._pending or name in state.frozen or self._ours(name) is None:
            return False
        writings = (*state.writings, *(each.writing for each in state.proposals))
        wanted = self._wanted[name]
        rejected = self._git_state.rejection(name, wanted.revision, wanted.variant)
        return rejected is None and all(each.name != name for each in writings)

    def _object(self, manifest: Manifest, origin: PlanOrigin | None, there: Object | None) -> Object:
        """The resource with where it comes from, and with leave to try again what was tried before."""
        meta = manifest.object["metadata"]
        told = {f"{ANNOTATION}{key}": value for key, value in _told(self._source, manifest, origin).items()}
        status = (there or {}).get("status") or {}
        if manifest.revision and status.get("result") in _AGAIN and _was_tried(manifest, there or {}):
            by = f"git ({origin.commit[:7]} by {origin.author})" if origin is not None else "git"
            id_ = f"git-{status.get('state', {}).get('attempt', 0)}-{manifest.revision}"
            key, value = annotation_of(OperatorRequest(id_, "retry", by, self._now()))
            told[key] = value
        labels = {**(meta.get("labels") or {}), SOURCE: self._source.name}
        return {**manifest.object, "metadata": {**meta, "labels": labels, "annotations": told}}

    def _refuse(self, manifest: Manifest, why: str) -> None:
        where = f"{manifest.path}:{manifest.line}"
        sentence = f"{where}: {quoted(manifest.name)} {why}"
        self.refused[manifest.name] = FileError(manifest.path, manifest.line, sentence)

    def _ours(self, name: str) -> Object | None:
        object_ = self._canaries.get(self._source.namespace, name)
        return object_ if object_ is not None and self._is_ours(object_) else None

    def _is_ours(self, object_: Object) -> bool:
        return source_of(object_) == self._source.key


_HAND_OVER = f"To hand it over, label it {SOURCE} with the name of this GitSource; until then it stays as it is."


def _was_tried(manifest: Manifest, there: Object) -> bool:
    """Whether the operator holds this plan back since it, or what its canary runs, was tried and did not pass."""
    if (there.get("status") or {}).get("revision") == manifest.revision:
        return True
    with suppress(ExternalError):  # somebody wrote to the status; the operator says so
        return manifest.plan is not None and bool(held_back(stored_in(there), manifest.plan, ""))
    return False


def _told(source: GitSource, manifest: Manifest, origin: PlanOrigin | None) -> Mapping[str, str]:
    told = {"repository": source.url, "path": manifest.path, "line": str(manifest.line)}
    if origin is not None:
        told |= {"commit": origin.commit, "author": origin.author, "subject": origin.subject[:LONGEST_SUBJECT]}
    return told | {"revision": manifest.revision, "digest": manifest.digest}


def _owner(object_: Object) -> str:
    _, source = source_of(object_)
    return f"the GitSource {source}" if source else "elsewhere"
