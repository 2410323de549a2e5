"""Keeps ModelCanaries as their files say: what somebody changes by hand is named, and put back or left and shown.

Asked by `cluster_rollouts.py` after each look at the branch and whenever such a resource has changed. It compares with
what git wants now, and with nothing else: while a rejected version or a commit of ours waits, there is nothing to put
back, so no bad version is ever started again by this. Decides about no rollout; the operator sees one more change of a
plan.
"""

from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from controlplane.gitsources.drift import changes, handed_over, says_the_same
from controlplane.gitsources.plans import Manifest
from controlplane.gitsources.resource import OnDrift
from controlplane.kserve.drift import sentence
from controlplane.kubernetes.api import Conflict, Kube, NotFound, Object
from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.resources import MODEL_CANARY
from controlplane.operator.events import Events
from controlplane.operator.finalizer import is_leaving

MOST_REPAIRS = 3
INSISTS_WITHIN = 3600.0
"""Seconds in which that many repairs mean that somebody, or something, insists."""

Apply = Callable[[Manifest], Awaitable[Object | None]]
"""Writes the resource of a file; None where the cluster does not take it, which is told elsewhere."""


@dataclass(frozen=True, slots=True)
class ComparedObject:
    """One state of a resource beside one of its file: what has been looked at needs no second look."""

    uid: str
    generation: int
    digest: str


class DriftRepair:
    """The resources of one source."""

    def __init__(
        self,
        kube: Kube,
        canaries: Cache,
        events: Events,
        *,
        namespace: str,
        policy: OnDrift,
        now: Callable[[], float],
        say: Callable[[str], None],
    ) -> None:
        self._kube, self._canaries, self._events, self._now, self._say = kube, canaries, events, now, say
        self._namespace, self._policy = namespace, policy
        self._seen: dict[str, ComparedObject] = {}
        self._repairs: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=MOST_REPAIRS))
        self.left: dict[str, str] = {}
        """What is not as git says and stays so, a sentence by rollout."""
        self.repaired = ""
        """What was put back last, as a sentence; empty where nothing was."""

    def suspects(self, object_: Object, manifest: Manifest) -> bool:
        """Whether a resource may say something else than its file: cheap, and may be wrong about one that does not."""
        seen = ComparedObject(object_["metadata"]["uid"], object_["metadata"].get("generation", 0), manifest.digest)
        if self._seen.get(manifest.name) == seen:
            return False
        return not says_the_same(object_, manifest.object)

    async def look(self, wanted: Mapping[str, Manifest], apply: Apply) -> None:
        """Compare everything that git wants with what is there, and do as the source says. Raises `ExternalError`."""
        for name in self.left.keys() - wanted.keys():
            del self.left[name]
        for name, manifest in wanted.items():
            object_ = self._canaries.get(self._namespace, name)
            if object_ is None or is_leaving(object_):
                continue
            if self.suspects(object_, manifest):
                await self._tend(name, manifest, apply)
            elif says_the_same(object_, manifest.object):
                self.left.pop(name, None)

    async def _tend(self, name: str, manifest: Manifest, apply: Apply) -> None:
        """One resource that is suspected; it is read again, with the names of who wrote what."""
        try:
            live = await self._kube.get(MODEL_CANARY, self._namespace, name)
        except NotFound:
            return
        self.left.pop(name, None)
        if changed := changes(live, manifest.object):
            if why := self._leaves(name):
                self.left[name] = sentence(MODEL_CANARY.kind, name, changed, f"it is left as it is, since {why}")
                self._tell(live, self.left[name])
            else:
                after = await self._put_back(live, manifest, apply)
                if after is None:
                    return  # somebody wrote meanwhile, or it is refused: the next look deals with it
                if _generation(after) != _generation(live):  # otherwise the server keeps our own text differently
                    self._repairs[name].append(self._now())
                    where = f"{manifest.path}:{manifest.line}"
                    self.repaired = sentence(MODEL_CANARY.kind, name, changed, f"it is as {where} says again")
                    self._tell(live, self.repaired)
                live = after
        self._seen[name] = ComparedObject(live["metadata"]["uid"], _generation(live), manifest.digest)

    def _leaves(self, name: str) -> str:
        """Why it is not put back; empty where it is."""
        if self._policy == "report":
            return "spec.onDrift of its GitSource is report"
        repairs = self._repairs[name]
        if len(repairs) == MOST_REPAIRS and self._now() - repairs[0] < INSISTS_WITHIN:
            return f"it was put back {MOST_REPAIRS} times within an hour and somebody insists"
        return ""

    async def _put_back(self, live: Object, manifest: Manifest, apply: Apply) -> Object | None:
        """The file's word in one write, so that nothing between the two is ever carried out."""
        if (fields := handed_over(live)) is not None:
            patch = [
                {"op": "test", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
                {"op": "replace", "path": "/metadata/managedFields", "value": fields},
            ]
            try:
                await self._kube.patch(MODEL_CANARY, self._namespace, manifest.name, patch)
            except (Conflict, NotFound):
                return None
        return await apply(manifest)

    def _tell(self, about: Object, words: str) -> None:
        self._say(words)
        self._events.tell(about, f"drift-{_generation(about)}-{words}", "Warning", "Drift", words)


def _generation(object_: Object) -> int:
    return int(object_["metadata"].get("generation", 0))
