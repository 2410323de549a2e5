"""ModelCanary resources for tests: a sound one, strategies around it, and faults that both sides have to refuse."""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from canary.errors import Fault, SpecError
from canary.spec.cluster import cluster_faults
from canary.spec.resource import document_of

Object = dict[str, Any]
NOTHING = object()
"""Take the field out."""


def sound(name: str = "support-llm", namespace: str = "default") -> Object:
    """A plan that runs in any cluster with KServe."""
    return {
        "apiVersion": "serinus.dev/v1alpha1",
        "kind": "ModelCanary",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "model": {"name": "support-llm", "uri": "hf://org/model"},
            "platform": {"kserve": {"gateway": "kserve/ingress", "hostname": "llm.example.com"}},
            "stable": {"name": "bf16"},
            "canary": {"name": "nf4", "quantization": "bitsandbytes-nf4"},
            "stages": [
                {"traffic": "5%", "hold": "7d", "gates": ["latency p95 <= 200ms"]},
                {"traffic": "100%"},
            ],
        },
    }


def changed(object_: Object, path: str, value: Any) -> Object:
    """The same with another value at a path such as `spec.stages.0.hold`, or without it; makes what is on the way."""
    head, _, rest = path.partition(".")
    if not rest and value is NOTHING:
        return {key: child for key, child in object_.items() if key != head}
    if not rest:
        return {**object_, head: value}
    inner = object_.get(head)
    if isinstance(inner, list):
        kept = {str(index): child for index, child in enumerate(inner)}
        return {**object_, head: list(changed(kept, rest, value).values())}
    return {**object_, head: changed(inner if isinstance(inner, dict) else {}, rest, value)}


def refusals(object_: Object) -> tuple[Fault, ...]:
    """Why this cannot run in a cluster, as the operator finds out; empty where it can."""
    try:
        return cluster_faults(document_of(object_))
    except SpecError as error:
        return error.faults


SECRET = {"secret": "hook", "key": "url"}
PROFILE = {"gpu": "L40S", "count": 2, "price": "$1.20"}
VARIANT: dict[str, Sequence[Any]] = {
    "uri": ["hf://a/b", "org/name", "pvc://claim/x", "s3://a/b", "oci://a/b:c"],
    "quantization": ["awq", "none", "", "1.10"],
    "profile": [PROFILE, {"gpu": "H100"}, {"gpu": "A10", "price": 0}],
    "systemPrompt": [{"text": "Be brief.\nAlways."}, {"text": "5"}],
    "engine": [{"maxNumSeqs": 64, "a": [1.5, True, "x"], "b": False, "c": "1.10", "d": 0.5, "e": []}, {}],
    "env": [{"A_1": "b", "PATH": ""}, {}],
    "replicas": [1, 3],
    "ready": ["/v1/models", "/", {"timeout": "10s", "period": "2.5s", "failures": 5}, {"path": "/up"}, {}],
    "labels": [{"team": "ml", "a.b/c": "v1.0_x"}],
    "runtime": ["kserve-huggingfaceserver"],
    "image": ["vllm/vllm-openai:v0.24.0"],
    "resources": [{"cpu": 4, "memory": "32Gi"}, {"example.com/fpga": "2", "cpu": "500m"}],
    "nodeSelector": [{"nvidia.com/gpu.product": "NVIDIA-L40S", "a": ""}],
    "tolerations": [
        [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}, {"operator": "Exists"}],
        [{"key": "a", "value": "b", "effect": "NoExecute", "tolerationSeconds": 300}],
    ],
    "lora": [{"legal": "hf://org/adapter", "sql.v2": "s3://a/b"}],
    "serviceAccount": ["reader"],
    "inferenceService": ["running-already"],
    "command": [[]],
    "metrics": ["/metrics"],
}
SENSIBLE: dict[str, Sequence[Any]] = {
    "metadata.name": ["a", "support-llm-2", "a" * 63],
    "metadata.labels": [{"team": "ml"}],
    "spec.model.name": ["m", "org/Model 7B", "1.10"],
    "spec.platform.kserve.mode": ["standard"],
    "spec.platform.kserve": [{"mode": "llm"}, {"mode": "knative", "onDrift": "pause"}, {"mode": "native"}],
    "spec.platform.kserve.gateway": ["a/b", "ingress", "ns/gate.way"],
    "spec.platform.kserve.hostname": ["*.example.com", "x", "a-1.b"],
    "spec.platform.kserve.prometheus": ["http://prometheus.monitoring:9090", "https://[::1]/x", "team-a"],
    "spec.platform.kserve.metricsProfile": ["vllm", "envoy-gateway", "knative"],
    "spec.platform.kserve.onDrift": ["pause", "repair"],
    "spec.stages": [
        [{"traffic": "100%"}],
        [{"traffic": " 5 %"}, {"traffic": "0.25"}, {"traffic": "75\u00a0%"}, {"traffic": "1.0"}],
        [{"traffic": "0.0001%", "approve": "leads"}, {"traffic": ".5%"}, {"traffic": "100.0%"}],
        [{"traffic": "0.000001"}, {"traffic": "1%"}, {"traffic": "0100%"}],
    ],
    "spec.stages.0.hold": ["7d", 0, "0", "1h30m", "2.5s", "200 ms", "1d 2h", ".5h", " 5m ", "0s", "5\u00a0m"],
    "spec.stages.0.gates": [[], ["error_rate <= 0.1%", {"metric": "latency p99", "max": "1s", "test": "threshold"}]],
    "spec.gates": [
        ["ttft p95 not worse than stable by 10%", "csat drop <= 3%"],
        [{"metric": "kpi/x", "query": "up", "drift": "5%", "better": "higher", "window": "4h", "onBreach": "pause"}],
        [{"metric": "kpi/x", "min": 0.85, "minSamples": 500}, {"metric": "preemptions", "max": 2}],
    ],
    "spec.onBreach": ["rollback", "pause", "hold"],
    "spec.onNoData": ["hold", "pause", "promote"],
    "spec.onBlind": ["hold", "rollback"],
    "spec.maxBlind": ["5m", 0, "1.5h"],
    "spec.progressDeadline": ["30m"],
    "spec.judge": [
        {"falseRollback": "1%", "confidence": "0.99", "warmup": "30s"},
        {"hardStop": {"enabled": False, "failures": "50%", "minRequests": 5, "scrapes": 1}},
        {},
    ],
    "spec.cohort": [{"header": "x-tier", "in": ["gold", "5"]}],
    "spec.alerts": [
        [],
        [{"slack": {"channel": "#a", "urlFrom": SECRET}, "on": ["rolledBack", "promoted"]}],
        [{"teams": {"urlFrom": SECRET}}, {"pagerduty": {"routingKeyFrom": SECRET, "region": "eu"}}],
        [{"webhook": {"urlFrom": SECRET, "tokenFrom": SECRET, "template": '{"text": "$sentence"}'}}],
        [{"email": {"to": ["a@b.c"], "from": "d@e.f", "server": "smtp.b.c:587", "security": "none"}}],
        [
            {
                "email": {
                    "to": ["a@b.c"],
                    "from": "d@e.f",
                    "server": "s:25",
                    "usernameFrom": SECRET,
                    "passwordFrom": SECRET,
                }
            }
        ],
    ],
    **{f"spec.stable.{key}": values for key, values in VARIANT.items()},
    **{f"spec.canary.{key}": values for key, values in VARIANT.items()},
}
"""Values that make sense, by path. Not all of them together."""
REFUSED_HERE: dict[str, Sequence[Any]] = {
    "spec.shadow": [{"judge": {"kind": "exact"}}],
    "spec.evaluation": [{"dataset": "a.jsonl", "metrics": ["f1 >= 70%"]}],
    "spec.budget": [{"perDay": "$100", "onExceed": "throttle", "to": "1%"}],
    "spec.sticky": [{"header": "x-session"}],
    "spec.platform.local": [{"listen": "127.0.0.1:0"}],
    "spec.metricz": ["a"],
}
JUNK: Sequence[Any] = [
    NOTHING, None, -1, 0, 1, 5, 0.05, 3.5, 1e30, True, False, "", " ", "5", "5%", "100%", "150%", "-5%", " 5 %",
    "5\u00a0%", "0.05", "1.0", ".5", "0.00000001", "7d", "1h30m", "30", "0", "0.0", "0s", "11y", "30 minutes", "5m5m",
    "$100", "$1,000", "$1,00", "100", "true", "x", "X", "a.b", "-a", "a-", "a" * 64, "a" * 300, "hf://a/b",
    "file:///x", "ftp://x", "hf://", "../x", "a b", "é", "\u0001", "\u2028", "/health", "health", "x-tier", "a/b/c",
    "http://a", "ftp://a", "rollback", "explode", [], {}, ["a"], [1], [None], {"a": "b"}, {"a": 1}, {"name": "a"},
    {"text": "a"}, {"text": "a", "file": "b"}, {"env": "A"}, {"secret": "a"}, SECRET, [{"traffic": "5%"}],
    [{"traffic": "100%"}, {"traffic": "5%"}], "latency <= 1s", ["latency"], ["latency <= 1s", "latency <= 1s"],
    [{"metric": "latency"}], [{"metric": "latency", "max": "1s", "min": "1s"}], {"cpu": "many"}, {"cpu": 1.5},
    [{"operator": "Exists", "value": "a"}], [{"key": "a", "tolerationSeconds": 5}], [{}],
]  # fmt: skip


def paths_below(value: Any, path: str) -> list[str]:
    """The path of a value and of everything in it."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, child in inner for found in paths_below(child, f"{path}.{key}"))]


@st.composite
def resources(draw: st.DrawFn, junk: float = 0.5) -> Object:
    """A sound plan with up to six sensible changes, and with this chance up to two that may be anything."""
    made = sound()
    for path in draw(st.lists(st.sampled_from(sorted(SENSIBLE)), max_size=6, unique=True)):
        made = changed(made, path, draw(st.sampled_from(SENSIBLE[path])))
    if junk and draw(st.floats(0, 1)) < junk:
        for _ in range(draw(st.integers(1, 2))):
            path = draw(st.sampled_from([*paths_below(made.get("spec"), "spec"), *REFUSED_HERE, "metadata.name"]))
            values = [*JUNK, *REFUSED_HERE.get(path, ())]
            made = changed(made, path, draw(st.sampled_from(values)))
    return made


FAULTS: dict[str, tuple[str, Any, str]] = {
    "a name that no Service can have": ("metadata.name", "support.llm", "metadata.name"),
    "a name that is too long": ("metadata.name", "a" * 64, "metadata.name"),
    "a variant's name with a dot": ("spec.canary.name", "v1.2", "spec.canary.name"),
    "two variants of one name": ("spec.canary.name", "bf16", "spec.canary.name"),
    "no stages": ("spec.stages", [], "spec.stages"),
    "too many stages": ("spec.stages", [{"traffic": f"{n + 1}%"} for n in range(31)], "spec.stages"),
    "stages that fall": (
        "spec.stages",
        [{"traffic": "25%"}, {"traffic": "5%"}, {"traffic": "100%"}],
        "spec.stages",
    ),
    "stages that stand still": (
        "spec.stages",
        [{"traffic": "25%"}, {"traffic": "25 %"}, {"traffic": "100%"}],
        "spec.stages",
    ),
    "a last stage of less than all": ("spec.stages", [{"traffic": "99.9%"}], "spec.stages"),
    "more than all": ("spec.stages.0.traffic", "150%", "spec.stages[0].traffic"),
    "less than a millionth": ("spec.stages.0.traffic", "0.00001%", "spec.stages[0].traffic"),
    "a share that may be percent or not": ("spec.stages.0.traffic", "5", "spec.stages[0].traffic"),
    "a share as a number": ("spec.stages.0.traffic", 5, "spec.stages[0].traffic"),
    "a share as a fraction in a number": ("spec.stages.0.traffic", 0.05, "spec.stages[0].traffic"),
    "a negative share": ("spec.stages.0.traffic", "-5%", "spec.stages[0].traffic"),
    "a duration without a unit": ("spec.stages.0.hold", 30, "spec.stages[0].hold"),
    "a duration in words": ("spec.stages.0.hold", "30 minutes", "spec.stages[0].hold"),
    "a gate without a limit": ("spec.stages.0.gates", [{"metric": "latency"}], "spec.stages[0].gates[0]"),
    "a line that is no gate": ("spec.stages.0.gates", ["latency"], "spec.stages[0].gates[0]"),
    "a reaction that nobody knows": ("spec.onBreach", "explode", "spec.onBreach"),
    "KServe's own field": ("spec.canary.canaryTrafficPercent", 5, "spec.canary.canaryTrafficPercent"),
    "a misspelt field": ("spec.stagez", [], "spec.stagez"),
    "a chance that is none": ("spec.judge", {"falseRollback": "0%"}, "spec.judge.falseRollback"),
    "certainty": ("spec.judge", {"confidence": "100%"}, "spec.judge.confidence"),
    "no variant at all": ("spec.canary", NOTHING, "spec.canary"),
    "no model": ("spec.model", NOTHING, "spec.model"),
    "no replicas": ("spec.canary.replicas", 0, "spec.canary.replicas"),
    "replicas as text": ("spec.canary.replicas", "3", "spec.canary.replicas"),
    "a switch as text": ("spec.judge", {"hardStop": {"enabled": "true"}}, "spec.judge.hardStop.enabled"),
    "a text as a number": ("spec.canary.quantization", 4, "spec.canary.quantization"),
    "a file on somebody's disk": ("spec.model.uri", "file:///models/x", "spec.model.uri"),
    "an unknown transport": ("spec.canary.uri", "ftp://x/y", "spec.canary.uri"),
    "two platforms": ("spec.platform.local", {}, "spec.platform"),
    "a platform on one machine": ("spec.platform", {"local": {}}, "spec.platform"),
    "no platform": ("spec.platform", NOTHING, "spec.platform"),
    "no gateway": ("spec.platform.kserve.gateway", NOTHING, "spec.platform.kserve.gateway"),
    "no host name": ("spec.platform.kserve.hostname", NOTHING, "spec.platform.kserve.hostname"),
    "a gateway for a mode with its own": ("spec.platform.kserve.mode", "knative", "spec.platform.kserve.gateway"),
    "a mode that nobody knows": ("spec.platform.kserve.mode", "serverless", "spec.platform.kserve.mode"),
    "a shadow": ("spec.shadow", {"judge": {"kind": "exact"}}, "spec.shadow"),
    "an evaluation": ("spec.evaluation", {"dataset": "a", "metrics": ["f1 >= 70%"]}, "spec.evaluation"),
    "a budget": ("spec.budget", {"perDay": "$100"}, "spec.budget"),
    "stickiness": ("spec.sticky", {"header": "x-a"}, "spec.sticky"),
    "a command": ("spec.stable.command", ["serve"], "spec.stable.command"),
    "a prompt in a file": ("spec.canary.systemPrompt", {"file": "a.txt"}, "spec.canary.systemPrompt.file"),
    "two prompts": ("spec.canary.systemPrompt", {"file": "a.txt", "text": "b"}, "spec.canary.systemPrompt"),
    "one InferenceService for both": (
        "spec",
        {
            **sound()["spec"],
            "stable": {"name": "a", "inferenceService": "same"},
            "canary": {"name": "b", "inferenceService": "same", "quantization": "awq"},
        },
        "spec.canary.inferenceService",
    ),
    "no weights": ("spec.model.uri", NOTHING, "spec.canary"),
    "a gateway that is none": ("spec.platform.kserve.gateway", "a/b/c", "spec.platform.kserve.gateway"),
    "a flag that is nested": ("spec.canary.engine", {"a": {"b": {"c": 1}}}, "spec.canary.engine.a"),
    "a flag of lists in lists": ("spec.canary.engine", {"a": [1, [2]]}, "spec.canary.engine.a"),
    "a flag of mappings": ("spec.canary.engine", {"a": [{"b": 1}]}, "spec.canary.engine.a"),
    "a flag of too many values": ("spec.canary.engine", {"a": [1] * 101}, "spec.canary.engine.a"),
    "a flag that is too long": ("spec.canary.engine", {"a": "x" * 16_385}, "spec.canary.engine.a"),
    "too many flags": ("spec.canary.engine", {f"f{number}": 1 for number in range(101)}, "spec.canary.engine"),
    "a limit that is nested": (
        "spec.gates",
        [{"metric": "latency p95", "max": {"a": [1]}}],
        "spec.gates[0]",
    ),
    "a limit that is a list": ("spec.gates", [{"metric": "latency p95", "max": ["1s"]}], "spec.gates[0]"),
    "a gateway that is another address": ("spec.platform.kserve.gateway", "a/b..c", "spec.platform.kserve.gateway"),
    "an InferenceService that none can be": (
        "spec.canary",
        {"name": "b", "inferenceService": "running..already"},
        "spec.canary.inferenceService",
    ),
    "a runtime that none can be": ("spec.canary.runtime", "a.-b", "spec.canary.runtime"),
    "an account that none can be": ("spec.canary.serviceAccount", "../default", "spec.canary.serviceAccount"),
    "a Secret of somebody else's": (
        "spec.alerts",
        [{"slack": {"urlFrom": {"secret": "../../other/secrets/x", "key": "url"}}}],
        "spec.alerts[0].slack.urlFrom.secret",
    ),
    "a change of what is served as it is": (
        "spec.canary",
        {"name": "b", "inferenceService": "running", "image": "x"},
        "spec.canary.image",
    ),
    "a cohort that no route can hold": (
        "spec.cohort",
        {"header": "x-a", "in": [f"v{number}" for number in range(65)]},
        "spec.cohort.in",
    ),
    "an amount that is none": ("spec.canary.resources", {"memory": "lots"}, "spec.canary.resources.memory"),
    "a toleration of nothing": ("spec.canary.tolerations", [{"operator": "Equal"}], "spec.canary.tolerations[0]"),
    "an alert without a channel": ("spec.alerts", [{"on": ["failed"]}], "spec.alerts[0]"),
    "a secret in the open": ("spec.alerts", [{"slack": {"url": "https://x"}}], "spec.alerts[0].slack"),
    "the operator's own files": (
        "spec.alerts",
        [{"slack": {"urlFrom": {"file": "/run/secrets/x"}}}],
        "spec.alerts[0].slack.urlFrom",
    ),
    "a password in the open": (
        "spec.alerts",
        [
            {
                "email": {
                    "to": ["a@b.c"],
                    "from": "d@e.f",
                    "server": "s:25",
                    "security": "none",
                    "usernameFrom": SECRET,
                    "passwordFrom": SECRET,
                }
            }
        ],
        "spec.alerts[0].email",
    ),
}
"""By what is wrong: the path that is changed, its value, and the path at or below which the fault is."""
ONLY_PARSED: dict[str, tuple[str, Any, str]] = {
    "a gate that can never fail": ("spec.gates", ["error_rate <= 100%"], "spec.gates[0]"),
    "an unknown metric": ("spec.gates", ["latenzy <= 1s"], "spec.gates[0]"),
    "a gate that is a number": ("spec.gates", [5], "spec.gates[0]"),
    "a misspelt key of a gate": ("spec.gates", [{"metric": "latency", "max": "1s", "foo": 1}], "spec.gates[0].foo"),
    "a probe without an end": ("spec.canary.ready", {"timeout": "1h"}, "spec.canary.ready.timeout"),
    "a misspelt key of a probe": ("spec.canary.ready", {"time": "1s"}, "spec.canary.ready.time"),
    "patience with a runtime's own probe": (
        "spec.canary",
        {"name": "b", "uri": "hf://a/b", "runtime": "mine", "ready": {"timeout": "10s"}},
        "spec.canary.ready.timeout",
    ),
    "the same gate twice": ("spec.gates", ["latency <= 1s", "latency <= 1s"], "spec.gates[1]"),
    "a canary that is stable": ("spec.canary", {"name": "b", "uri": "hf://a/b"}, "spec.canary"),
    "an unknown metrics profile": (
        "spec.platform.kserve.metricsProfile",
        "vlm",
        "spec.platform.kserve.metricsProfile",
    ),
}
"""What no rule of the server can see."""
