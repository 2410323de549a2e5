"""A cluster in memory, a git host on loopback, and between them the real sources; only rollouts are quick ones.

The clerk stands where the operator stands and keeps the same status, through the operator's own store. How a rollout
ends is in its canary's name: `good…` is promoted, `bad…` rolled back, `slow…` goes on until it is taken back.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from canary.errors import ExternalError
from canary.judge import compile_gates
from canary.machine import begin
from canary.rollout import Phase, Reason
from canary.spec.stored import to_text
from controlplane.adapters.dial_policy import Reach
from controlplane.adapters.system_clock import SystemClock
from controlplane.gitsources.machine_quota import MachineQuota, Quota
from controlplane.gitsources.provenance import MANAGER
from controlplane.gitsources.source_controller import SourceServices
from controlplane.gitsources.sources import GitSources
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.consent import ALLOW, Consent
from controlplane.kubernetes.reflector import Reflector
from controlplane.kubernetes.resources import GIT_SOURCE, MODEL_CANARY, SECRET
from controlplane.operator.events import Events
from controlplane.operator.request_annotations import requests_in
from controlplane.operator.spec_reader import held_back, read
from controlplane.operator.store import StatusStore, stored_in
from testing.fake_apiserver.kube import MemoryKube
from tests.controlplane.gitops.host import Host, hosted
from tests.controlplane.gitops.machine import WHY, ended_as
from tests.controlplane.gitops.origin import Origin

NAMESPACE, SOURCE = "models", "apps"
TOKEN = "a-token-that-nobody-may-see"
HOOK = "0123456789abcdef-secret"
FILE = """\
# {name}: ask Ann
apiVersion: serinus.dev/v1alpha1
kind: ModelCanary
metadata: {{name: {name}}}
spec:
  model: {{name: m, uri: "hf://example/m"}}
  platform: {{kserve: {{gateway: kserve/gateway, hostname: m.example.com}}}}
  stable:
    name: v1       # in service
    uri: "hf://example/v1"
    engine: {{seed: 1}}
  canary:
    name: {canary}   # tried
    uri: "hf://example/{weights}"
    engine: {{seed: 2}}
  stages: [{{traffic: 25%}}, {{traffic: 100%}}]   # two
"""


def file(name: str, canary: str) -> str:
    """A canary.yml that tries this canary."""
    return FILE.format(name=name, canary=canary, weights=canary.split(maxsplit=1)[0])


def path_of(name: str) -> str:
    """Where its file is."""
    return f"apps/{name}/canary.yml"


class Clerk:
    """Carries out whatever ModelCanaries ask for."""

    def __init__(self, kube: MemoryKube, canaries: Cache, sources: GitSources) -> None:
        self._canaries, self._sources = canaries, sources
        self._store = StatusStore(kube, canaries, NAMESPACE, now=SystemClock().now)
        self.began: list[str] = []
        """Rollout and canary of everything that was begun, in order."""
        self.granted: list[str] = []
        """Rollouts whose retry git granted."""

    async def run(self) -> None:
        """For ever."""
        while True:
            for object_ in list(self._canaries.items()):
                try:
                    await self._tend(object_)
                except ExternalError:
                    continue  # somebody wrote meanwhile: look again
            await asyncio.sleep(0.01)

    async def roll_back(self, name: str) -> None:
        """End what is under way."""
        stored = stored_in(self._canaries.get(NAMESPACE, name) or {})
        assert stored is not None
        over = ended_as(stored.rollout, Phase.ROLLING_BACK, Reason.GATE_FAILED, WHY, "rolled_back")
        await self._store.save(over, stored.spec_text, stored.version)

    async def _tend(self, object_: Object) -> None:
        name, reading, stored = object_["metadata"]["name"], read(object_), stored_in(object_)
        asked = [each for each in requests_in(object_).values() if each]
        rollout = stored.rollout if stored else None
        if rollout is not None and not rollout.finished:
            if reading.resting or reading.revision != rollout.revision:
                over = replace(rollout, phase=Phase.SUPERSEDED, result="superseded")
                await self._store.save(over, stored.spec_text if stored else "", stored.version if stored else 0)
                await self._tend(self._canaries.get(NAMESPACE, name) or object_)  # the next one begins at once
            return
        same = rollout is not None and rollout.result != "superseded" and rollout.revision == reading.revision
        held = reading.plan is not None and held_back(stored, reading.plan, "")
        if reading.plan is not None and (asked or not (same or held)):
            attempt = rollout.attempt + 1 if rollout else 1
            canary = reading.plan.spec.canary.name
            self.began.append(f"{name} {canary}")
            new = begin(
                compile_gates(reading.plan.spec),
                name=name,
                revision=reading.revision,
                attempt=attempt,
                now=SystemClock().now(),
            )
            version = await self._store.save(new, to_text(reading.plan), stored.version if stored else 0)
            if canary.startswith("good"):
                new = ended_as(new, Phase.SUCCEEDED, Reason.PROMOTED, f"{canary} is promoted.", "promoted")
            elif canary.startswith("bad"):
                new = ended_as(new, Phase.ROLLING_BACK, Reason.GATE_FAILED, WHY, "rolled_back")
            if new.finished:
                await self._store.save(new, to_text(reading.plan), version)
        elif asked and await self._sources.allow(object_):
            self.granted.append(name)
        if asked:
            await self._store.put_away(name, also=[each.id for each in asked])


class Estate:
    """Everything, and what tests want to know of it."""

    def __init__(self, folder: Path, host: Host, origin: Origin | None = None) -> None:
        self.folder, self.host = folder, host
        self.origin = origin or Origin(folder / "origin.git")
        self.kube = MemoryKube(SystemClock())
        self.gits = self.kube.acting_as(MANAGER)
        """The client with which the sources write."""
        self.said: list[str] = []
        self.certain = True
        self.quota = Quota()
        self.reach = Reach()
        self.clerk: Clerk
        self.sources: GitSources
        data = {"token": TOKEN, "username": "bot", "webhook": HOOK}
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        meta = {"name": "git", "namespace": NAMESPACE, "annotations": {ALLOW: "git"}}
        self.kube.seed(SECRET, {"metadata": meta, "data": encoded})

    async def follow(self, name: str = SOURCE, **spec: Any) -> None:
        """What a person does with kubectl."""
        wanted = {
            "url": self.host.url("origin.git"),
            "paths": ["apps/*/canary.yml"],
            "interval": "1s",
            "secretRef": {"name": "git"},
        }
        meta = {"name": name, "namespace": NAMESPACE}
        object_ = {"metadata": meta, "spec": {**wanted, **spec}}
        await self.kube.acting_as("kubectl").apply(GIT_SOURCE, object_)

    @asynccontextmanager
    async def operator(self, cache: str = "cache") -> AsyncIterator[None]:
        """A replica that leads, for the time of the block."""
        clock, canaries = SystemClock(), Cache(MODEL_CANARY)
        events = Events(self.kube, instance="operator-1", now=clock.now, say=self.said.append)
        means = SourceServices(
            kube=self.gits,
            canaries=canaries,
            events=events,
            room=MachineQuota(self.folder / cache, self.quota),
            reach=self.reach,
            secrets=Consent(self.gits, "git"),
            now=clock.now,
            certain=lambda: self.certain,
            say=self.said.append,
        )
        self.sources = GitSources(means, clock=clock, namespace=None)
        self.clerk = Clerk(self.kube, canaries, self.sources)
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(each)
                for each in (
                    Reflector(self.kube, MODEL_CANARY, canaries, clock=clock).run(),
                    events.run(),
                    self.sources.listen(),
                    self.sources.lead(),
                    self.clerk.run(),
                )
            ]
            try:
                yield
            finally:
                for each in running:
                    each.cancel()

    def commit(self, message: str = "Change something", **canaries: str | None) -> str:
        """Push a commit that makes rollouts try these canaries; None removes a file."""
        files = {path_of(name): None if canary is None else file(name, canary) for name, canary in canaries.items()}
        return self.origin.commit(files, message)

    def canary(self, name: str) -> Object:
        """A ModelCanary as it is; empty where there is none."""
        return self.kube.objects(MODEL_CANARY).get((NAMESPACE, name)) or {}

    def source(self, name: str = SOURCE) -> Object:
        """The GitSource as it is."""
        return self.kube.objects(GIT_SOURCE)[NAMESPACE, name]

    def condition(self, kind: str, name: str = SOURCE) -> tuple[str, str, str]:
        """Truth, reason and message of a condition; empty where it is not there."""
        status = self.source(name).get("status") or {}
        found = [each for each in status.get("conditions", ()) if each["type"] == kind]
        return (found[0]["status"], found[0]["reason"], found[0]["message"]) if found else ("", "", "")

    def log(self) -> list[str]:
        """Subjects of the branch, newest first."""
        return self.origin.git("log", "--format=%s", "main").splitlines()

    async def until(self, what: Callable[[], object], seconds: float = 60.0) -> None:
        """Wait until this is so."""
        try:
            async with asyncio.timeout(seconds):
                while not what():  # noqa: ASYNC110 - what is waited for happens in git, which tells nobody
                    await asyncio.sleep(0.02)
        except TimeoutError:
            conditions = [self.source(key[1]).get("status") for key in self.kube.objects(GIT_SOURCE)]
            raise AssertionError("\n".join([*self.said, *map(str, conditions)])) from None


@asynccontextmanager
async def estate(folder: Path, address: str = "127.0.0.1") -> AsyncIterator[Estate]:
    """A host at this address and a cluster, nobody leading yet."""
    with hosted(folder, TOKEN, address) as host:
        yield Estate(folder, host)
