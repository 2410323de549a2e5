"""The real server over an API server in memory, with people, tokens and rights, for as long as a block lasts.

`tests/cluster/test_dashboard.py` has the same people on a real API server.
"""

import asyncio
import json
import threading
from base64 import urlsafe_b64encode
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx2

from controlplane.adapters.http_listener import listen
from controlplane.adapters.system_clock import SystemClock
from controlplane.api.cluster import Cluster
from controlplane.api.door import Door, KeyDoor
from controlplane.api.guard import Rules
from controlplane.api.keys import Keys
from controlplane.api.reviews import ReviewDoor
from controlplane.api.rights import Rights
from controlplane.api.server import server_of
from controlplane.kubernetes.api import Object, Resource
from controlplane.kubernetes.resources import LEASE
from testing.fake_apiserver.kube import MemoryKube
from tests.controlplane.adapters.waiting import PATIENCE_S
from tests.controlplane.kubectl.desk import KINDS, left_by
from tests.controlplane.operator.town import PLACE, Town

T = TypeVar("T")
OWNER = "dashboard-token-of-its-owner"


def jwt(name: str) -> str:
    """A token as a cluster gives it, but for what it says and its signature."""
    parts = (json.dumps({"alg": "RS256", "typ": "JWT"}), json.dumps({"sub": name}), f"signature of {name}")
    return ".".join(urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)


VIEWER, EDITOR, PAUSER, STRANGER = map(jwt, ("viewer", "editor", "pauser", "stranger"))
FOREIGN, EXPIRED = jwt("wrong-audience"), jwt("expired")
READS = ("get", "list", "watch")
ELSEWHERE = "elsewhere"


@dataclass
class People:
    """Tokens and rights, as TokenReview and SubjectAccessReview tell them."""

    tokens: dict[str, tuple[str, str]] = field(
        default_factory=lambda: {
            VIEWER: ("vera", "serinus"),
            EDITOR: ("ed", "serinus"),
            PAUSER: ("paul", "serinus"),
            STRANGER: ("otto", "serinus"),
            FOREIGN: ("ed", "https://kubernetes.default.svc"),
        }
    )
    """Token to name and audience; one that has expired is not among them."""
    rights: set[tuple[str, str, str, str]] = field(
        default_factory=lambda: {
            *((name, verb, "", PLACE) for name in ("vera", "ed", "paul") for verb in READS),
            *(("otto", verb, "", ELSEWHERE) for verb in (*READS, "patch")),
            ("ed", "patch", "", PLACE),
            ("paul", "create", "pause", PLACE),
        }
    )
    """Name, verb, subresource, namespace."""
    pods: set[tuple[str, str, str]] = field(default_factory=lambda: {("vera", "list", PLACE), ("ed", "list", PLACE)})
    """Name, verb, namespace."""
    asked: list[str] = field(default_factory=list)
    """Kinds of the reviews that were asked for."""


class ReviewingKube(MemoryKube):
    """Answers reviews besides."""

    people: People

    async def create(self, resource: Resource, object_: Object) -> Object:
        """Keeps everything but reviews, which are answered and gone."""
        if not resource.kind.endswith("Review"):
            return await super().create(resource, object_)
        async with self._request("create", resource):
            self.people.asked.append(resource.kind)
            spec = object_.get("spec") or {}
            match resource.kind:
                case "TokenReview":
                    name, audience = self.people.tokens.get(spec["token"], ("", ""))
                    good = bool(name) and audience in spec["audiences"]
                    told: Object = {"authenticated": good, "error": "" if good else "token is not accepted"}
                    told |= {"user": {"username": name, "groups": ["system:authenticated"]}} if good else {}
                    return {**object_, "status": told | ({"audiences": [audience]} if good else {})}
                case "SubjectAccessReview":
                    said = spec["resourceAttributes"]
                    if said["resource"] == "pods":
                        allowed = (spec["user"], said["verb"], said["namespace"]) in self.people.pods
                        return {**object_, "status": {"allowed": allowed}}
                    assert (said["group"], said["resource"]) == ("serinus.dev", "modelcanaries")
                    right = (spec["user"], said["verb"], said.get("subresource", ""), said.get("namespace", ""))
                    return {**object_, "status": {"allowed": right in self.people.rights}}
                case _:
                    return {**object_, "status": {"userInfo": {"username": "ada@example.com"}}}


@dataclass(frozen=True)
class Shown:
    """A dashboard of a cluster that is being served."""

    url: str
    kube: ReviewingKube
    people: People
    loop: asyncio.AbstractEventLoop
    cluster: Cluster

    def client(self, token: str = OWNER) -> httpx2.Client:
        """Somebody with this token; nobody with an empty one."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=PATIENCE_S, verify=False)

    def within(self, work: Callable[[], T]) -> T:
        """Do this where the server in memory lives."""

        async def done() -> T:
            return work()

        return self.run(done())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for this where the server in memory lives."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)


Tale = Callable[[Town], Coroutine[Any, Any, None]]


def lease(renewed: str = "2999-01-01T00:00:00.000000Z", holder: str = "serinus-0") -> Object:
    """The operator's, renewed in a far future unless said otherwise."""
    return {
        "apiVersion": LEASE.api_version,
        "kind": LEASE.kind,
        "metadata": {"name": "serinus-controller", "namespace": "serinus-system"},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed},
    }


@contextmanager
def showing(
    *tales: Tale,
    sign_in: bool = False,
    read_only: bool = False,
    namespace: str | None = None,
    objects: Sequence[Any] = (),
) -> Iterator[Shown]:
    """Serve what these tales left in a cluster; `objects` are pairs of a kind and an object besides."""
    bound, ready, made = listen("127.0.0.1:0"), threading.Event(), list[Shown]()
    host, port = bound.getsockname()[:2]
    stop: list[Callable[[], None]] = []
    told = [left_by(tale) for tale in tales]

    async def serve() -> None:
        clock = SystemClock()
        kube = ReviewingKube(clock)
        kube.people = people = People()
        for objects_left in told:
            for kind, left in zip(KINDS, objects_left, strict=True):
                kube.seed(kind, *left)
        for kind, object_ in objects:
            kube.seed(kind, object_)
        cluster = Cluster(
            kube, clock, where="kind-test", namespace=namespace, rights=Rights(kube, clock.now) if sign_in else None
        )
        door: Door = ReviewDoor(kube, clock.now) if sign_in else KeyDoor(Keys(OWNER), "ada@example.com")
        app = server_of(cluster, Rules(door, read_only), now=clock.now)
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(cluster.run())
            await cluster.synced()
            await cluster.office.look()
            made.append(Shown(f"http://{host}:{port}", kube, people, asyncio.get_running_loop(), cluster))
            stop.append(lambda: setattr(app, "should_exit", True))
            ready.set()
            await app.serve(sockets=[bound])
            following.cancel()

    def live() -> None:
        with suppress(asyncio.CancelledError):
            asyncio.run(serve())

    thread = threading.Thread(target=live, name="dashboard of a cluster under test")
    thread.start()
    try:
        assert ready.wait(20)
        yield made[0]
    finally:
        for each in stop:
            each()
        thread.join(20)
        bound.close()
        assert not thread.is_alive()
