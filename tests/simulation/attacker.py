"""What the owner of one namespace can do to a cluster that is shared: single acts, the worst of them, and random ones.

Used by the tests of tenancy, in memory and on a real API server. An act writes to the API server within the namespace,
or decides what a server of the attacker's own answers, or what a pod of the attacker's shows Prometheus. Metadata is of
the types that every API server insists on; specs, statuses and answers are of any.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from canary.errors import WorldError
from controlplane.kubernetes.api import Object, Resource
from controlplane.kubernetes.resources import (
    GIT_SOURCE,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    MODEL_CANARY,
    POD,
    ROLLOUT_HISTORY,
    SERVING_RUNTIME,
)
from tests.canary.spec.crd_samples import SENSIBLE, changed
from tests.simulation.outside import METADATA, Reply, Sent
from tests.simulation.shared_cluster import HOSTILE, PLACE, SharedCluster, a_plan

HOOK = "hooks.attacker.example.com"
MODELS = [f"10.0.1.{number}" for number in range(1, 20)]
"""Addresses of the attacker's servers."""
MIB = 1024 * 1024
SHOWN = 150
"""Letters of an act that a failing example shows: some of the values are of many thousand."""
NONSENSE = (RecursionError, TypeError, AttributeError, ValueError, KeyError)
"""How the server in memory refuses what no schema refused before."""
GATES = ["error_rate <= 5%", "ttft p95 <= 1s"]


class _Short:
    """Shows itself in a failing example within bounds."""

    def __repr__(self) -> str:
        """The fields, cut off."""
        try:
            words = ", ".join(repr(value)[:SHOWN] for value in vars(self).values())
        except RecursionError:
            words = "of too many levels to be shown"
        return f"{type(self).__name__}({words})"[: 2 * SHOWN]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


@dataclass(frozen=True, repr=False)
class Write(_Short):
    """Make an object be like this."""

    resource: Resource
    object: Object

    async def do(self, cluster: SharedCluster) -> None:
        """Write it."""
        with suppress(WorldError, *NONSENSE):
            try:
                await cluster.kube.acting_as("kubectl").apply(self.resource, self.object)
            except (
                RecursionError
            ):  # who owns which field is a matter of the server in memory alone: real ones count to it
                cluster.kube.seed(self.resource, self.object)


@dataclass(frozen=True, repr=False)
class Patch(_Short):
    """Merge this into an object, or into its status."""

    resource: Resource
    name: str
    patch: Object
    subresource: str = ""

    async def do(self, cluster: SharedCluster) -> None:
        """Patch it."""
        kube = cluster.kube.acting_as("kubectl")
        with suppress(WorldError, *NONSENSE):
            await kube.patch(self.resource, HOSTILE, self.name, self.patch, subresource=self.subresource)


@dataclass(frozen=True, repr=False)
class Delete(_Short):
    """Delete an object."""

    resource: Resource
    name: str

    async def do(self, cluster: SharedCluster) -> None:
        """Delete it."""
        with suppress(WorldError):
            await cluster.kube.acting_as("kubectl").delete(self.resource, HOSTILE, self.name)


@dataclass(frozen=True, repr=False)
class Plant(_Short):
    """Let a pod of the attacker's show these series from now on. Prometheus says which pod it was."""

    series: Sequence[Object]
    rollout: str = "evil"

    async def do(self, cluster: SharedCluster) -> None:
        """Show them."""
        pod = f"{self.rollout}-v2-predictor-x-1"
        target = {"namespace": HOSTILE, "pod": pod, "job": "pods"}
        cluster.scraped.planted[pod] = [{**each, "metric": {**each["metric"], **target}} for each in self.series]


@dataclass(frozen=True, repr=False)
class Serve(_Short):
    """Let a server of the attacker's answer so from now on."""

    host: str
    reply: Reply

    async def do(self, cluster: SharedCluster) -> None:
        """Answer so."""

        def answer(_sent: Sent) -> Reply:
            return self.reply

        cluster.outside.servers |= dict.fromkeys(MODELS if self.host == "models" else [self.host], answer)


@dataclass(frozen=True, repr=False)
class Slow(_Short):
    """Let queries that are written into gates take so long (seconds) in the shared Prometheus."""

    seconds: float

    async def do(self, cluster: SharedCluster) -> None:
        """Take so long."""
        cluster.scraped.slow = self.seconds


Act = Write | Patch | Delete | Plant | Serve | Slow


async def act(cluster: SharedCluster, acts: Sequence[Act], *, every: float = 0.25, after: float = 2.0) -> None:
    """One act after the other, from so many seconds on: what the others have by then is theirs."""
    await asyncio.sleep(after)
    for each in acts:
        await each.do(cluster)
        await asyncio.sleep(every)


def named(resource: Resource, name: str, **more: Any) -> Object:
    """An object of the attacker's."""
    meta = {"name": name, "namespace": HOSTILE, **more.pop("metadata", {})}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta, **more}


def evil(name: str = "evil", *, kserve: Object | None = None, **spec: Any) -> Object:
    """A plan of the attacker's that can be carried out, with some fields as wanted."""
    plan = a_plan(name, GATES, **{"alerts": [], **spec})["spec"]
    plan["platform"]["kserve"] |= {"hostname": f"{name}.attacker.example.com", **(kserve or {})}
    return named(MODEL_CANARY, name, spec=plan)


def asks(query: str) -> Object:
    """A gate with a query of its own."""
    return {"metric": "kpi/x", "better": "lower", "query": query, "window": "5s", "max": 1}


def hook(secret: str) -> Object:
    """A web hook of the attacker's that is to be sent what is in this Secret."""
    return {
        "webhook": {
            "urlFrom": {"secret": "own", "key": "url"},
            "tokenFrom": {"secret": secret, "key": "password"},
        }
    }


def nested(depth: int, *, lists: bool = False) -> Any:
    """A value of so many levels."""
    value: Any = 1
    for _ in range(depth):
        value = [value] if lists else {"a": value}
    return value


def prometheus_of(name: str) -> str:
    """The host of a rollout's own Prometheus."""
    return f"{name}.prometheus.attacker.example.com"


def with_own(name: str, reply: Reply) -> list[Act]:
    """A rollout whose numbers come from a Prometheus of the attacker's."""
    host = prometheus_of(name)
    return [Serve(host, reply), Write(MODEL_CANARY, evil(name, kserve={"prometheus": f"http://{host}:9090"}))]


def scraped(name: str, *series: Object) -> list[Act]:
    """A rollout whose pods show this."""
    at = [{"values": [[NOW + second, str(second)] for second in range(20)], **each} for each in series]
    return [Write(MODEL_CANARY, evil(name)), Plant(at, name)]


def matrix(*metrics: str) -> str:
    """An answer of Prometheus with these labels, as text."""
    series = ",".join(f'{{"metric":{each},"values":[[{NOW},"1"]]}}' for each in metrics)
    return f'{{"status":"success","data":{{"resultType":"matrix","result":[{series}]}}}}'


def annotated(name: str, key: str, value: str) -> Act:
    """An annotation on a plan."""
    return Patch(MODEL_CANARY, name, {"metadata": {"annotations": {key: value}}})


def source(name: str, secret: str, **spec: Any) -> Act:
    """A repository to be followed, with this Secret."""
    wanted = {"url": "https://git.attacker.example.com/x.git", "secretRef": {"name": secret}, **spec}
    return Write(GIT_SOURCE, named(GIT_SOURCE, name, spec=wanted))


NOW = 1767225610
"""Ten seconds after a run has begun (seconds since the epoch)."""
BUCKET, FORGED = "vllm:time_to_first_token_seconds_bucket", "envoy_cluster_upstream_rq_xx"
ODD = [[0, "-1", "5", "1"], [3, "NaN", "-Inf", "2"], [0, "2", "1", "-1"]]
ADDRESSES = [
    f"http://{METADATA}",
    "http://2852039166",
    "http://[::ffff:169.254.169.254]",
    "http://metadata.attacker.example.com",
    "http://localhost:6443",
    "http://private.attacker.example.com/admin/delete?x=",
    f"http://user:word@{HOOK}/",
    f"http://{METADATA}/latest/meta-data?",
    f"http://{METADATA}/latest#",
]
WORST: dict[str, Callable[[str], Sequence[Act]]] = {
    "a request of brackets": lambda me: [
        Write(MODEL_CANARY, evil(me)),
        annotated(me, "requests.serinus.dev/1", "[" * 20_000),
    ],
    "a request of braces on an object at rest": lambda me: [
        Write(MODEL_CANARY, named(MODEL_CANARY, me, spec={})),
        annotated(me, "requests.serinus.dev/1", '{"a":' * 20_000),
    ],
    "a plan of many levels": lambda me: [Write(MODEL_CANARY, evil(me, stable={"name": "v1", "engine": nested(250)}))],
    "a plan of many lists": lambda me: [Write(MODEL_CANARY, evil(me, gates=nested(250, lists=True)))],
    "a bound that is no number": lambda me: scraped(
        me, *({"metric": {"__name__": BUCKET, "le": each}} for each in ("abc", "", "0x1", "1e999"))
    ),
    "sums beyond all floats": lambda me: scraped(
        me,
        *(
            {"metric": {"__name__": BUCKET, "le": "1", "x": each}, "values": [[NOW + s, "1.7e308"] for s in range(20)]}
            for each in "abc"
        ),
    ),
    "an odd native histogram": lambda me: scraped(
        me,
        {
            "metric": {"__name__": BUCKET.removesuffix("_bucket")},
            "values": [],
            "histograms": [[NOW + second, {"count": "3", "sum": "-1", "buckets": ODD}] for second in range(20)],
        },
    ),
    "an answer with a brace in a label": lambda me: with_own(me, Reply(matrix("{foo}"))),
    "an answer whose label is a number": lambda me: with_own(me, Reply(matrix('{"__name__":"x","pod":1}'))),
    "a Prometheus that hangs": lambda me: with_own(me, Reply(after=10_000.0)),
    "a Prometheus that drips": lambda me: with_own(me, Reply(" ", pause=0.5, pieces=100_000)),
    "a Prometheus that sends without end": lambda me: with_own(me, Reply("[" * MIB, pieces=80)),
    "a Prometheus with more series than there are rollouts": lambda me: with_own(
        me, Reply(matrix(*(f'{{"a":"{each}"}}' for each in range(200_000))))
    ),
    "addresses of others": lambda me: [
        Write(MODEL_CANARY, evil(f"{me}-{number}", kserve={"prometheus": each}))
        for number, each in enumerate(ADDRESSES)
    ],
    "a path in the name of a Secret": lambda me: [
        source(f"{me}-{name}", f"../../{PLACE}/secrets/{name}") for name in ("git", "db")
    ],
    "a path in the Secret of an alert": lambda me: [
        Serve(HOOK, Reply(status=204)),
        Write(MODEL_CANARY, evil(me, alerts=[hook(f"../../{PLACE}/secrets/db")])),
        annotated(me, "requests.serinus.dev/9", "abort"),
    ],
    "a path in the name of an InferenceService": lambda me: [
        Write(
            MODEL_CANARY,
            evil(
                me,
                stable={"name": "v1", "inferenceService": f"../../{PLACE}/inferenceservices/good-v1"},
                canary={"name": "v2", "inferenceService": f"../../{PLACE}/inferenceservices/bad-v1"},
            ),
        )
    ],
    "the host name of another team": lambda me: [
        Write(
            MODEL_CANARY,
            evil(
                me,
                kserve={"hostname": "good.models.example.com"},
                cohort={"header": "content-type", "in": ["application/json"]},
            ),
        )
    ],
    "series in another's name": lambda me: [
        Plant(
            [
                {
                    "metric": {
                        "__name__": FORGED,
                        "envoy_cluster_name": f"httproute/{PLACE}/{name}/rule/0/backend/{place}",
                        "envoy_response_code_class": "5",
                        "k8s_namespace_name": PLACE,
                        "destination_workload_namespace": PLACE,
                        "exported_namespace": PLACE,
                    },
                    "values": [[NOW + second, str(second * 9999)] for second in range(20)],
                }
                for name in ("bad", "good")
                for place in (0, 1)
            ],
            me,
        )
    ],
    "slow queries": lambda me: [
        Slow(60.0),
        *(
            Write(MODEL_CANARY, evil(f"{me}-{number}", gates=[asks(f"x{number}_{gate}") for gate in range(6)]))
            for number in range(10)
        ),
    ],
    "objects with the labels of another's": lambda _: [
        Write(
            resource,
            named(
                resource,
                "bad-v2",
                metadata={"labels": {"serinus.dev/rollout": "bad", "app": "isvc.bad-v2-predictor"}},
                spec={"predictor": {}, "containers": [], "rules": [], "hostnames": ["x.attacker.example.com"]},
            ),
        )
        for resource in (POD, INFERENCE_SERVICE, HTTP_ROUTE, SERVING_RUNTIME, ROLLOUT_HISTORY)
    ],
    "a state that is none": lambda me: [
        Write(MODEL_CANARY, evil(me)),
        Patch(MODEL_CANARY, me, {"status": {"state": nested(180), "version": "x", "plan": "{" * 9999}}, "status"),
        Patch(MODEL_CANARY, me, {"status": {"state": "gone", "conditions": 7, "gates": "x"}}, "status"),
        Patch(MODEL_CANARY, me, {"metadata": {"finalizers": ["example.com/for-ever"]}}),
        Delete(MODEL_CANARY, me),
    ],
    "a history that is none": lambda me: [
        Write(
            ROLLOUT_HISTORY,
            named(ROLLOUT_HISTORY, f"{me}-history", data={"events.jsonl": "\x00", "alerts.jsonl": "[" * 99_999}),
        ),
        Write(MODEL_CANARY, evil(me)),
    ],
    "as many plans as there is time for": lambda me: [
        Write(MODEL_CANARY, evil(f"{me}-{number}", stable={"name": "v1", "engine": {"a": [{}] * 2000}}))
        for number in range(60)
    ],
    "another Prometheus at each edit": lambda me: [
        Write(MODEL_CANARY, evil(me, kserve={"prometheus": f"http://p{number}.attacker.example.com"}))
        for number in range(60)
    ],
}
"""The worst that is known, by what it is; each is given the name of its objects."""

TEXTS = [
    "", " ", "a" * 5000, "../../models/secrets/db", "..", "%2e%2e%2fmodels", "/", "\u202eevil", "\x00", "\x1b[2J",
    "NaN", "1e999", "9" * 400, "[" * 5000, '{"a":' * 3000, "x'); --", "{{7*7}}", "](javascript:x)", "kube-system/root",
    "good.models.example.com", "bad", "kserve/kserve-ingress-gateway", "\n", "0x10", "*", "localhost", "٣", "-1",
]  # fmt: skip
NUMBERS = [0, -1, 1, 2**31, 2**63 - 1, -(2**63), 1e300, 1.7e308, 5e-324, 0.1, -0.0, 1e-7]
LEAVES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(TEXTS),
    st.sampled_from(NUMBERS),
    st.sampled_from([None, True, False, [], {}, [None], {"": ""}, [[]]]),
    st.builds(nested, st.sampled_from([9, 60, 180, 250]), lists=st.booleans()),
    st.sampled_from([[{}] * 3000, {f"k{each}": {} for each in range(3000)}, ["x"] * 5000]),
    st.sampled_from([value for values in SENSIBLE.values() for value in values]),
    st.text(max_size=20),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
)
"""Values that stand anywhere."""
NAMES = st.sampled_from(["evil", "evil-2", "bad", "good", "plans"])
PATHS = [
    *SENSIBLE,
    "spec",
    "spec.stages",
    "spec.stages.0",
    "spec.stages.0.traffic",
    "spec.stages.1.gates.0",
    "spec.stable",
    "spec.canary",
    "spec.stable.name",
    "spec.stable.inferenceService",
    "spec.canary.engine.deep",
    "spec.model",
    "spec.platform",
    "spec.platform.kserve.prometheus",
    "spec.platform.kserve.hostname",
    "spec.judge.warmup",
    "spec.gates.0.query",
]
PATHS = [path for path in PATHS if path.startswith("spec")]


@st.composite
def plans(draw: st.DrawFn) -> Act:
    """A plan with some of its fields replaced."""
    own = draw(st.booleans())
    name = draw(NAMES)
    object_ = evil(name, kserve={"prometheus": f"http://{prometheus_of('evil')}:9090"} if own else {})
    for path in draw(st.lists(st.sampled_from(PATHS), max_size=3)):
        with suppress(TypeError, AttributeError, ValueError):
            object_ = changed(object_, path, draw(LEAVES))
    return Write(MODEL_CANARY, object_)


@st.composite
def annotations(draw: st.DrawFn) -> Act:
    """A request, in all shapes that a text can have."""
    said = st.fixed_dictionaries(
        {},
        optional={
            "verb": st.sampled_from(["pause", "promote", "abort", "retry", "resume", "approve", "x"]),
            "id": LEAVES,
            "by": LEAVES,
            "at": LEAVES,
            "to": LEAVES,
            "full": LEAVES,
        },
    )
    value = draw(
        st.one_of(st.sampled_from(TEXTS), said.map(json.dumps), st.sampled_from(["abort", "promote", "pause"]))
    )
    key = draw(st.sampled_from(["requests.serinus.dev/1", "requests.serinus.dev/2", "git.serinus.dev/commit", "x"]))
    meta: Object = {"annotations": {key: value}}
    if draw(st.booleans()):
        meta["labels"] = {draw(st.sampled_from(["serinus.dev/rollout", "git.serinus.dev/source"])): draw(NAMES)}
    if draw(st.integers(0, 5)) == 0:
        meta["finalizers"] = ["example.com/for-ever"]
    return Patch(MODEL_CANARY, draw(NAMES), {"metadata": meta})


@st.composite
def statuses(draw: st.DrawFn) -> Act:
    """A status with some of its fields replaced."""
    fields = st.sampled_from(
        ["state", "version", "phase", "plan", "conditions", "gates", "history", "slots", "fence", "observedGeneration"]
    )
    status = draw(st.one_of(st.dictionaries(fields, LEAVES, max_size=4), LEAVES))
    return Patch(draw(st.sampled_from([MODEL_CANARY, GIT_SOURCE])), draw(NAMES), {"status": status}, "status")


@st.composite
def sources(draw: st.DrawFn) -> Act:
    """A repository to be followed."""
    spec: Object = {"url": "https://git.attacker.example.com/x.git", "secretRef": {"name": "own"}}
    fields = ["url", "branch", "paths", "interval", "secretRef", "host", "author", "user", "write", "x"]
    for name in draw(st.lists(st.sampled_from(fields), max_size=3)):
        spec[name] = draw(LEAVES)
    if draw(st.booleans()):
        spec["secretRef"] = {"name": draw(LEAVES)}
    return Write(GIT_SOURCE, named(GIT_SOURCE, draw(NAMES), spec=draw(st.one_of(st.just(spec), LEAVES))))


@st.composite
def things(draw: st.DrawFn) -> Act:
    """Objects of other kinds, with labels that say whose they are, or are not."""
    resource = draw(st.sampled_from([INFERENCE_SERVICE, HTTP_ROUTE, SERVING_RUNTIME, ROLLOUT_HISTORY]))
    labels = {"serinus.dev/rollout": draw(NAMES), "serinus.dev/variant": draw(st.sampled_from(["v1", "v2", ""]))}
    name = draw(st.sampled_from(["bad-v2", "good-v1", "evil-v2", "evil", "bad", "good", "serinus-sim"]))
    if resource is ROLLOUT_HISTORY:
        data = draw(st.dictionaries(st.sampled_from(["events.jsonl", "alerts.jsonl"]), st.sampled_from(TEXTS)))
        return Write(resource, named(resource, name, metadata={"labels": labels}, data=data))
    backend = {"name": draw(st.sampled_from(["bad-v2-predictor", "x", ""])), "weight": draw(st.sampled_from(NUMBERS))}
    spec: Object = {
        "parentRefs": [{"name": "kserve-ingress-gateway", "namespace": "kserve"}],
        # Whoever may write routes can ask the Gateway for any name: that is the Gateway's business, and is said.
        "hostnames": [draw(st.sampled_from(["x.attacker.example.com", "evil.attacker.example.com"]))],
        "rules": draw(st.lists(st.just({"backendRefs": [backend]}), max_size=2)),
        "predictor": {"model": {"runtime": draw(NAMES), "storageUri": draw(LEAVES)}, "minReplicas": draw(LEAVES)},
        "containers": [{"name": "x", "image": draw(LEAVES)}],
    }
    return Write(
        resource, named(resource, name, metadata={"labels": labels}, spec=draw(st.one_of(st.just(spec), LEAVES)))
    )


@st.composite
def shown(draw: st.DrawFn) -> Act:
    """A page of metrics of the attacker's."""
    names = st.sampled_from([BUCKET, BUCKET.removesuffix("_bucket"), FORGED, "envoy_cluster_upstream_rq_completed"])
    labels = st.dictionaries(
        st.sampled_from(["le", "envoy_cluster_name", "envoy_response_code_class", "k8s_namespace_name", "x", "model"]),
        st.one_of(
            st.sampled_from(TEXTS),
            st.sampled_from([f"httproute/{PLACE}/bad/rule/0/backend/1", "0.1", "-1", "+Inf", "5", PLACE]),
        ),
        max_size=4,
    )
    value = st.one_of(st.sampled_from(["NaN", "+Inf", "-1", "1.7e308", "x", ""]), st.integers().map(str))
    entries = draw(st.lists(st.tuples(names, labels, value, st.integers(-9, 20)), max_size=6))
    return Plant(
        [
            {"metric": {**label, "__name__": name}, "values": [[NOW + second, number]]}
            for name, label, number, second in entries
        ]
    )


@st.composite
def answers(draw: st.DrawFn) -> Act:
    """What servers of the attacker's answer."""
    body = draw(
        st.one_of(
            st.sampled_from(TEXTS),
            LEAVES.map(json.dumps),
            LEAVES.map(lambda leaf: json.dumps({"status": "success", "data": leaf})),
            LEAVES.map(lambda leaf: matrix(json.dumps({"__name__": "vllm:x", "pod": leaf}))),
            st.just(matrix("{foo}", "[1]", "7")),
            LEAVES.map(lambda leaf: json.dumps({"status": "error", "error": leaf, "errorType": leaf})),
            LEAVES.map(lambda leaf: json.dumps({"status": "success", "warnings": leaf, "data": leaf})),
        )
    )
    reply = Reply(
        body,
        status=draw(st.sampled_from([200, 200, 200, 204, 301, 302, 400, 403, 422, 429, 500, 503])),
        headers=draw(st.sampled_from([{}, {"location": f"http://{METADATA}/"}, {"content-encoding": "gzip"}])),
        after=draw(st.sampled_from([0.0, 0.0, 0.0, 1.0, 10_000.0])),
        pause=draw(st.sampled_from([0.0, 0.0, 0.4])),
        pieces=draw(st.sampled_from([1, 1, 3, 1000])),
    )
    return Serve(draw(st.sampled_from([prometheus_of("evil"), prometheus_of("evil"), HOOK, "models"])), reply)


RANDOM: st.SearchStrategy[Act] = st.one_of(
    plans(),
    plans(),
    annotations(),
    annotations(),
    statuses(),
    sources(),
    things(),
    shown(),
    answers(),
    st.builds(Delete, st.sampled_from([MODEL_CANARY, GIT_SOURCE, INFERENCE_SERVICE, HTTP_ROUTE]), NAMES),
    st.builds(Slow, st.sampled_from([0.0, 3.0, 60.0])),
)
