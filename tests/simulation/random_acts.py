"""Whatever the owner of one namespace may do to a cluster that is shared: strategies for acts of every kind.

Used by `test_tenancy.py`. Fields are replaced by what breaks readers: long, deep, huge, empty, of another type.
"""

import json
from contextlib import suppress
from typing import Any

from hypothesis import strategies as st

from controlplane.kubernetes.api import Object
from controlplane.kubernetes.resources import (
    GIT_SOURCE,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    MODEL_CANARY,
    ROLLOUT_HISTORY,
    SERVING_RUNTIME,
)
from tests.canary.spec.crd_samples import SENSIBLE, changed
from tests.simulation.attacker import (
    HOOK,
    NOW,
    Act,
    Delete,
    Patch,
    Plant,
    Serve,
    Slow,
    Write,
    evil,
    matrix,
    named,
    nested,
    prometheus_of,
)
from tests.simulation.outside import METADATA, Reply
from tests.simulation.shared_cluster import PLACE
from tests.simulation.worst_acts import BUCKET, FORGED

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
