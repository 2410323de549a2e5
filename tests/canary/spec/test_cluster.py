"""What the operator would leave undone is a fault before anything starts, in a file as in a resource."""

import pytest

from canary.spec import metrics, parse_document
from canary.spec.cluster import cluster_faults, cluster_notes, operator_notes
from canary.spec.resource import document_of
from tests.canary.spec.crd_samples import changed, sound

PLAN = """\
metadata: {name: a}
spec:
  model: {name: m, uri: hf://a/b}
  platform:
    kserve: {gateway: kserve/ingress, hostname: llm.example.com}
  stable: {name: v1}
  canary: {name: v2, quantization: awq}
  stages:
    - {traffic: 5%, hold: 1h, gates: [error_rate <= 1%], approve: leads}
    - {traffic: 100%}
"""
KSERVE = "kserve: {gateway: kserve/ingress, hostname: llm.example.com}"


def paths(text: str) -> list[str]:
    """The fields that keep a plan from running in a cluster."""
    return [fault.path for fault in cluster_faults(parse_document(text, "x.yml"))]


def said(text: str) -> str:
    """All that is said of a plan, with its places."""
    return "\n".join(str(fault) for fault in cluster_faults(parse_document(text, "x.yml")))


def test_a_plan_for_kserve_runs_in_a_cluster() -> None:
    assert paths(PLAN) == []
    assert paths(PLAN + "  gates: [latency <= 1s per tenant, error_rate <= 5% per tenant]\n") == []
    assert paths(PLAN + "  cohort: {header: x-tier, in: [gold]}\n") == []
    assert paths(PLAN + "  budget:\n  sticky: ~\n  alerts: [{slack: {urlFrom: {secret: a, key: b, env: }}}]\n") == []


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ("shadow: {judge: {kind: exact}}", "spec.shadow"),
        ("evaluation: {dataset: a.jsonl, metrics: [f1 >= 70%]}", "spec.evaluation"),
        ("budget: {perDay: $10}", "spec.budget"),
        ("sticky: {header: x-session}", "spec.sticky"),
        ("gates: [kv_cache_usage <= 90% per tenant]", "spec.gates[0]"),
        ("gates: [{metric: kpi/x, max: 3, by: tenant, delay: 1m}]", "spec.gates[0]"),
        ("gates: [{metric: latency, max: 1s, by: tenant, test: threshold}]", "spec.gates[0]"),
        ("gates: [cost_per_1m_tokens <= $1]", "spec.gates[0]"),
        ("alerts: [{slack: {urlFrom: {env: URL}}}]", "spec.alerts[0].slack.urlFrom.env"),
        ("alerts: [{webhook: {urlFrom: {file: /run/x}}}]", "spec.alerts[0].webhook.urlFrom.file"),
    ],
)
def test_what_a_cluster_does_not_carry_out_is_refused(more: str, path: str) -> None:
    assert paths(PLAN + f"  {more}\n") == [path]


@pytest.mark.parametrize(
    ("kserve", "found"),
    [
        ("kserve: {hostname: a.b}", ["spec.platform.kserve.gateway"]),
        ("kserve: {gateway: a/b}", ["spec.platform.kserve.hostname"]),
        ("kserve: {}", ["spec.platform.kserve.gateway", "spec.platform.kserve.hostname"]),
        ("kserve: {gateway: a/b/c, hostname: a.b}", ["spec.platform.kserve.gateway"]),
        ("kserve: {mode: knative, hostname: a.b}", ["spec.platform.kserve.hostname"]),
        ("kserve: {mode: llm, gateway: a/b}", ["spec.platform.kserve.gateway"]),
        ("kserve: {gateway: a/b, hostname: a.b, metricsProfile: vlm}", ["spec.platform.kserve.metricsProfile"]),
        ("local: {}", ["spec.platform"]),
        ("kserve: {mode: knative}", []),
    ],
)
def test_a_platform_says_what_its_mode_needs_and_no_more(kserve: str, found: list[str]) -> None:
    """Without a host name the route would take everything that the Gateway gets."""
    assert paths(PLAN.replace(KSERVE, kserve)) == found


def test_a_cohort_needs_a_route_of_our_own() -> None:
    text = PLAN.replace(KSERVE, "kserve: {mode: llm}") + "  cohort: {header: x-tier, in: [gold]}\n"
    assert paths(text) == ["spec.cohort"]
    values = ", ".join(f"v{number}" for number in range(65))
    assert paths(PLAN + f"  cohort: {{header: x-tier, in: [{values}]}}\n") == ["spec.cohort.in"]


def test_native_mode_is_allowed_with_a_word_of_warning() -> None:
    """Whether the HTTPRoute follows is only seen in the cluster."""
    document = parse_document(PLAN.replace(KSERVE, "kserve: {mode: native}"), "x.yml")
    assert cluster_faults(document) == ()
    [note] = cluster_notes(document)
    assert note.path == "spec.platform.kserve.mode"
    assert "moves nothing" in note.message
    assert cluster_notes(parse_document(PLAN, "x.yml")) == ()


def test_s4_an_address_of_a_prometheus_is_noted_where_nobody_knows_the_operator() -> None:
    assert operator_notes(parse_document(PLAN, "x.yml")) == ()
    for prometheus, notes in (("team-a", 0), ("http://prometheus.monitoring:9090", 1)):
        found = operator_notes(document_of(changed(sound(), "spec.platform.kserve.prometheus", prometheus)))
        assert len(found) == notes
        assert all("--prometheus-addresses" in note.message for note in found)


@pytest.mark.parametrize(
    ("variant", "path"),
    [
        ("command: [serve]", "command"),
        ("passEnv: [HF_TOKEN]", "passEnv"),
        ("metrics: /stats", "metrics"),
        ("systemPrompt: {file: a.txt}", "systemPrompt.file"),
        ("labels: {a: b c}", "labels.a"),
        ("inferenceService: x, image: z", "image"),
        ("inferenceService: x, engine: {a: 1}", "engine"),
    ],
)
def test_a_variant_says_only_what_is_carried_out(variant: str, path: str) -> None:
    assert paths(PLAN.replace("name: v2", f"name: v2, {variant}")) == [f"spec.canary.{path}"]


def test_a_variant_has_weights_or_somebody_who_has_them() -> None:
    """A runtime may bring its own; adapters need something to belong to."""
    bare = PLAN.replace(", uri: hf://a/b", "").replace("name: v1", "name: v1, uri: hf://c/d")
    assert paths(bare) == ["spec.canary.uri"]
    for brings in ("uri: hf://e/f", "inferenceService: running", "runtime: mine"):
        assert paths(bare.replace("name: v2", f"name: v2, {brings}")) == []
    assert paths(bare.replace("name: v2", "name: v2, runtime: mine, lora: {x: hf://e/f}")) == ["spec.canary.uri"]


def test_one_running_service_cannot_be_both_variants() -> None:
    same = PLAN.replace("name: v1", "name: v1, inferenceService: x").replace(
        "name: v2", "name: v2, inferenceService: x"
    )
    assert paths(same) == ["spec.canary.inferenceService"]


def test_a_host_name_that_kserve_would_make_too_long_is_refused_beforehand() -> None:
    """Its InferenceService would exist and never serve."""
    fits = PLAN.replace("{name: a}", f"{{name: {'a' * 40}, namespace: models}}")
    assert paths(fits) == []
    longer = fits.replace("namespace: models", "namespace: models-of-the-team")
    assert paths(longer) == ["spec.stable.name", "spec.canary.name"]
    assert "shorten it, metadata.name or the namespace by 9" in said(longer)
    assert paths(longer.replace("{name: v1}", "{name: v1, inferenceService: chat}")) == ["spec.canary.name"]


@pytest.mark.parametrize("name", ["v1.2", "v.2"])
def test_names_that_no_service_can_have_are_refused(name: str) -> None:
    assert paths(PLAN.replace("name: v2", f"name: {name}")) == ["spec.canary.name"]
    assert paths(PLAN.replace("{name: a}", "{name: 7b}")) == ["metadata.name"]


UNFED = {"cost_per_1k_requests", "cost_per_1m_tokens", "gpu_memory"}
"""No variant here has a profile, which says what it costs; and nothing counts the memory of a GPU by variant."""


@pytest.mark.parametrize("metric", metrics.BUILT_IN.values(), ids=lambda metric: metric.name)
def test_a_gate_that_nothing_in_a_cluster_could_feed_is_refused(metric: metrics.Metric) -> None:
    """It would wait for ever. A query of the user's own may know more."""
    limit = {"share": "50%", "seconds": "1s", "dollars": "$1", "number": "3"}[metric.unit or "number"]
    word, key = ("<=", "max") if metric.better != "higher" else (">=", "min")
    line = f"  gates: ['{metric.name} {word} {limit}']\n"
    assert paths(PLAN + line) == (["spec.gates[0]"] if metric.name in UNFED else [])
    assert paths(PLAN + f"  gates: [{{metric: {metric.name}, {key}: {limit}, query: x}}]\n") == []


def test_a_gate_about_money_needs_the_price_of_both_variants() -> None:
    """The judge holds one variant's dollars against the other's."""
    gate = "  gates: [cost_per_1m_tokens <= $1]\n"
    one = PLAN.replace("name: v1", "name: v1, profile: {gpu: L40S, price: $1.20}")
    both = one.replace("name: v2", "name: v2, profile: {gpu: L4, price: $0.70}")
    assert "stable has no profile, which says what its GPUs cost" in said(PLAN + gate)
    assert "canary has no profile, which says what its GPUs cost" in said(one + gate)
    assert paths(both + gate) == []
    assert "nobody knows the price of L4" in said(both.replace(", price: $0.70", "") + gate)


@pytest.mark.parametrize(("mode", "profile"), [("native", "envoy-gateway"), ("llm", "knative"), ("standard", "envoy")])
def test_a_profile_that_cannot_tell_the_variants_apart_is_refused(mode: str, profile: str) -> None:
    """Its numbers would be both variants' together, or nobody's."""
    text = PLAN.replace(KSERVE, f"kserve: {{mode: {mode}, metricsProfile: {profile}}}")
    assert f"{profile} cannot tell the variants apart in mode {mode}" in said(text)


def test_a_profile_that_is_named_must_count_what_its_gates_ask_for() -> None:
    """KServe's own server counts no errors."""
    text = PLAN.replace("llm.example.com", "llm.example.com, metricsProfile: kserve")
    assert "kserve does not count error_rate" in said(text)
    assert paths(text.replace("kserve}", "vllm}")) == []


@pytest.mark.parametrize(
    ("before", "after", "path", "why"),
    [
        ("name: m", "name: 1.10", "spec.model.name", "1.10 arrives in a cluster as a number"),
        ("name: v2", "name: v2, env: {A: on}", "spec.canary.env.A", "on arrives in a cluster as a switch"),
        ("name: v2", "name: v2, env: {A: 025}", "spec.canary.env.A", "025 arrives in a cluster as a whole number"),
        ("name: v2", "name: v2, engine: {a: yes}", "spec.canary.engine.a", "yes arrives"),
        ("name: v2", "name: v2, engine: {a: [1_000]}", "spec.canary.engine.a[0]", "1_000 arrives"),
        ("name: v2", 'name: v2, replicas: "3"', "spec.canary.replicas", "without quotes"),
        ("name: v2", "name: v2, resources: {cpu: 0.5}", "spec.canary.resources.cpu", "0.5 arrives"),
        ("traffic: 5%", "traffic: 0.05", "spec.stages[0].traffic", "0.05 arrives in a cluster as a number"),
        ("approve: leads", "approve: 7", "spec.stages[0].approve", "7 arrives in a cluster as a whole number"),
    ],
)
def test_what_kubectl_reads_otherwise_is_refused(before: str, after: str, path: str, why: str) -> None:
    """A file means the same here and there, or it is not taken for a cluster."""
    text = PLAN.replace(before, after, 1)
    assert paths(text) == [path]
    assert why in said(text)
    assert "x.yml:" in said(text)


@pytest.mark.parametrize(
    "same", ["replicas: 3", "resources: {cpu: 4}", "engine: {a: 1.5, b: true, c: x, d: null}", "quantization: '4'"]
)
def test_what_kubectl_reads_the_same_way_is_taken(same: str) -> None:
    assert paths(PLAN.replace("name: v2, quantization: awq", f"name: v2, {same}")) == []
    assert paths(PLAN + "  maxBlind: 0\n  judge: {hardStop: {enabled: false, failures: '0.5'}}\n") == []


def test_an_unquoted_on_is_named_before_kubectl_makes_true_of_it() -> None:
    alert = "  alerts: [{slack: {urlFrom: {secret: a, key: b}}, on: [failed]}]\n"
    assert 'write "on": in quotes' in said(PLAN + alert)
    assert paths(PLAN + alert) == ["spec.alerts[0].on"]
    assert paths(PLAN + alert.replace("on:", '"on":')) == []


def test_a_resource_gets_the_same_faults_without_lines() -> None:
    """Numbers in a resource are numbers, whatever stood in the file."""
    assert cluster_faults(document_of(sound())) == ()
    broken = changed(changed(sound(), "spec.shadow", {"judge": {"kind": "exact"}}), "spec.stages.0.traffic", 0.05)
    assert [fault.path for fault in cluster_faults(document_of(broken))] == ["spec.shadow", "spec.stages[0].traffic"]


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (PLAN.replace("awq", "awq, runtime: mine, ready: {path: /up, failures: 5}"), "mine has a readinessProbe"),
        (
            PLAN.replace("quantization: awq", "inferenceService: mine, ready: {failures: 5}"),
            "mine has a readinessProbe",
        ),
        (
            PLAN.replace(KSERVE, "kserve: {mode: llm}").replace(
                "awq", "awq, profile: {gpu: L40S}, ready: {failures: 5}"
            ),
            "stands in KServe's template",
        ),
    ],
)
def test_patience_is_refused_where_the_probe_of_the_pods_is_not_ours(plan: str, words: str) -> None:
    """It was never said by anybody before; a path alone has no effect there and stays valid."""
    assert paths(plan) == ["spec.canary.ready.failures"]
    assert words in said(plan)
    assert paths(plan.replace("failures: 5", "path: /up").replace("path: /up, path: /up", "path: /up")) == []


def test_patience_is_accepted_where_we_write_the_probe() -> None:
    for mode in ("gateway: kserve/ingress, hostname: llm.example.com", "mode: knative", "mode: native"):
        assert paths(PLAN.replace(KSERVE, f"kserve: {{{mode}}}").replace("awq", "awq, ready: {timeout: 9s}")) == []
