"""The worst that is known of what the owner of one namespace can do to a cluster that is shared.

Used by the tests of tenancy, in memory and on a real API server.
"""

from collections.abc import Callable, Sequence

from controlplane.kubernetes.resources import (
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    MODEL_CANARY,
    POD,
    ROLLOUT_HISTORY,
    SERVING_RUNTIME,
)
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
    annotated,
    asks,
    evil,
    hook,
    matrix,
    named,
    nested,
    scraped,
    source,
    with_own,
)
from tests.simulation.outside import METADATA, Reply
from tests.simulation.shared_cluster import PLACE

MIB = 1024 * 1024
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
