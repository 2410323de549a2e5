"""What a cluster would do and one machine would leave undone is a fault before anything starts."""

import pytest

from canary.spec import Source, cluster, local, local_faults, metrics, parse_document

PLAN = """\
metadata: {name: a}
spec:
  model: {name: m}
  stable: {name: v1, command: [old]}
  canary: {name: v2, command: [new]}
  stages:
    - {traffic: 5%, hold: 1h, gates: [error_rate <= 1%], approve: leads}
    - {traffic: 100%}
"""


def paths(text: str, settings: str | None = None) -> list[str]:
    """The fields that keep a plan from running here."""
    beside = Source("serinus.yml", settings) if settings else None
    return [fault.path for fault in local_faults(parse_document(text, "x.yml", beside))]


def test_a_plan_with_two_commands_runs_here() -> None:
    assert paths(PLAN) == []
    assert paths(PLAN + "  gates: [latency <= 1s per tenant, error_rate <= 5% per tenant]\n") == []
    assert paths(PLAN + "  evaluation: {dataset: a.jsonl, metrics: [exact >= stable]}\n") == []
    assert paths(PLAN + "  platform: {local: {}}\n  cohort: {header: x-a, in: [b]}\n  sticky: {header: x-b}\n") == []


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ("platform: {kserve: {}}", "spec.platform.kserve"),
        ("shadow: {judge: {kind: exact}}", "spec.shadow"),
        ("evaluation: {dataset: a.jsonl, metrics: [f1 >= 70%]}", "spec.evaluation.metrics[0]"),
        ("evaluation: {dataset: hf://a/b, metrics: [exact >= 70%]}", "spec.evaluation.dataset"),
        ("budget: {perDay: $10}", "spec.budget"),
        ("gates: [kv_cache_usage <= 90% per tenant]", "spec.gates[0]"),
        ("gates: [{metric: kpi/x, max: 3, by: tenant, delay: 1m}]", "spec.gates[0]"),
        ("gates: [{metric: latency, max: 1s, by: tenant, test: threshold}]", "spec.gates[0]"),
        (
            "gates: [{metric: kpi/x, query: y, max: 3}]\n  platform: {local: {metrics: scrape}}",
            "spec.gates[0].query",
        ),
        (
            "gates: [{metric: csat, drift: 3%, events: a, of: b}]\n  platform: {local: {metrics: scrape}}",
            "spec.gates[0].events",
        ),
        ("gates: [{metric: csat, drift: 3%, events: a, of: b, by: tenant}]", "spec.gates[0]"),
        (
            "platform: {local: {metrics: scrape, pages: ['http://127.0.0.1:9100/metrics']}}",
            "spec.platform.local.pages",
        ),
    ],
)
def test_what_this_machine_does_not_carry_out_is_refused(more: str, path: str) -> None:
    assert path in paths(PLAN + f"  {more}\n")


def test_no_refusal_sends_a_plan_in_a_circle() -> None:
    """What a cluster refuses as well is not recommended for one."""
    both = local.NOT_CARRIED_OUT.keys() & cluster.NOT_CARRIED_OUT.keys()
    assert both >= {"shadow", "budget"}
    assert [key for key in both if "cluster" in local.NOT_CARRIED_OUT[key]] == []


@pytest.mark.parametrize("role", ["stable", "canary"])
def test_more_processes_than_a_machine_runs_are_refused_before_anything_starts(role: str) -> None:
    name = {"stable": "v1", "canary": "v2"}[role]
    assert paths(PLAN.replace(f"name: {name}", f"name: {name}, replicas: 64")) == []
    assert paths(PLAN.replace(f"name: {name}", f"name: {name}, replicas: 65")) == [f"spec.{role}.replicas"]
    assert paths(PLAN.replace(f"name: {name}", f"name: {name}, replicas: 1000000")) == [f"spec.{role}.replicas"]


@pytest.mark.parametrize("metric", metrics.BUILT_IN.values(), ids=lambda metric: metric.name)
def test_a_gate_that_nothing_here_could_feed_is_refused(metric: metrics.Metric) -> None:
    """It would wait for ever. A query of the user's own may know more."""
    limit = {"share": "50%", "seconds": "1s", "dollars": "$1", "number": "3"}[metric.unit or "number"]
    word, key = ("<=", "max") if metric.better != "higher" else (">=", "min")
    line = f"  gates: ['{metric.name} {word} {limit}']\n"
    unfed = {"cost_per_1k_requests", "cost_per_1m_tokens", "gpu_memory"}  # money: no variant here has a profile
    assert paths(PLAN + line) == (["spec.gates[0]"] if metric.name in unfed else [])
    assert paths(PLAN + f"  gates: [{{metric: {metric.name}, {key}: {limit}, query: x}}]\n") == []


@pytest.mark.parametrize(
    "more",
    [
        "systemPrompt: {text: Be brief.}",
        "engine: {maxNumSeqs: 64}",
        "inferenceService: running",
        "runtime: vllm",
        "image: a/b:c",
        "resources: {cpu: 4}",
        "nodeSelector: {gpu: l40s}",
        "tolerations: [{operator: Exists}]",
        "lora: {legal: hf://a/b}",
        "serviceAccount: reader",
    ],
)
def test_what_only_a_cluster_renders_is_refused(more: str) -> None:
    """The command line is all that starts a server here; nothing is left out in silence."""
    assert paths(PLAN.replace("name: v2,", f"name: v2, {more},")) == [f"spec.canary.{more.partition(':')[0]}"]


def test_a_prompt_that_the_command_hands_on_runs_here() -> None:
    """The short form with two prompts runs on a laptop with commands from the settings."""
    command = '[serve, --port, "{port}", --prompt, "{systemPrompt}"]'
    settings = f"stable: {{command: {command}}}\ncanary: {{command: {command}}}\n"
    short = "model: org/m\nvariants:\n- {name: a, prompt: one}\n- {name: b, prompt: two}\ntraffic_split: 95/5\n"
    assert paths(short, settings) == []
    assert paths(short, settings.replace("{systemPrompt}", "fixed")) == [
        "spec.stable.systemPrompt",
        "spec.canary.systemPrompt",
    ]


def test_each_variant_needs_a_command() -> None:
    assert paths(PLAN.replace(", command: [old]", "").replace(", command: [new]", "")) == [
        "spec.stable.command",
        "spec.canary.command",
    ]


def test_a_short_form_is_told_where_its_commands_go() -> None:
    text = "model: m\nvariants: [{name: a}, {name: b}]\ntraffic_split: 95/5\n"
    faults = local_faults(parse_document(text, "x.yml"))
    assert all("serinus.yml" in fault.message for fault in faults)
    assert len(faults) == 2
    assert paths(text, "stable: {command: [old]}\ncanary: {command: [new]}\n") == []


COST = PLAN.replace("- {traffic: 100%}", "- {traffic: 100%}\n  gates: [cost_per_1m_tokens <= $0.40]")


@pytest.mark.parametrize(
    ("stable", "canary", "reason"),
    [
        ("", "profile: {gpu: L40S, price: $1},", "stable has no profile"),
        ("profile: {gpu: L40S, price: $1},", "", "canary has no profile"),
        ("profile: {gpu: L40S, price: $1},", "profile: {gpu: L999},", "nobody knows the price of L999"),
        ("profile: {gpu: L40S, price: $1},", "profile: {gpu: L999, price: $2},", None),
    ],
)
def test_a_gate_on_money_needs_a_price_for_both_variants(stable: str, canary: str, reason: str | None) -> None:
    """Without one it would wait for ever; the judge holds the variants against each other, so both need one."""
    text = COST.replace("name: v1,", f"name: v1, {stable}").replace("name: v2,", f"name: v2, {canary}")
    faults = local_faults(parse_document(text, "x.yml"))
    assert [fault.path for fault in faults] == (["spec.gates[0]"] if reason else [])
    assert not reason or reason in faults[0].message


def test_a_price_that_the_caller_knows_counts() -> None:
    """The catalogue of GPUs is the shell's to read."""
    text = COST.replace("name: v1,", "name: v1, profile: {gpu: L40S},").replace(
        "name: v2,", "name: v2, profile: {gpu: L40S},"
    )
    assert local_faults(parse_document(text, "x.yml")) != ()
    assert local_faults(parse_document(text, "x.yml"), lambda _variant: 1.2) == ()
