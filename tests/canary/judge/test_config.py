"""How each gate is to be judged, from what its owner wrote."""

import pytest

from canary.judge import compile_gates
from canary.spec import parse
from tests.canary.judge.worlds import CONVERSION, ERRORS_AT_MOST, ERRORS_LIKE_STABLE, FAST, FAST_LIKE_STABLE, plan

TEXT = """\
apiVersion: serinus.dev/v1alpha1
kind: ModelCanary
metadata: {{name: docket}}
spec:
  model: {{name: served}}
  platform: {{local: {{}}}}
  stable: {{name: old, command: [old]}}
  canary: {{name: new, command: [new]}}
  stages:
    - {{traffic: 5%, hold: 1h, gates: ["{gate}"]}}
    - {{traffic: 100%}}
"""


@pytest.mark.parametrize(
    ("gate", "kind", "series", "name"),
    [
        ("error_rate <= 0.1%", "counts", "errors", ""),
        ("latency p99 not worse than stable by 10%", "counts", "histogram", "latency"),
        ("ttft p95 <= 2s", "counts", "histogram", "ttft"),
        ("csat drop <= 3%", "sums", "kpi", "csat"),
        ("escalation_rate <= 5%", "counts", "kpi", "escalation_rate"),
        ("finish_reason/length <= 10%", "counts", "total", "finish_reason/length"),
        ("tokens_per_answer not worse than stable by 5%", "sums", "total", "generation_tokens"),
        ("cost_per_1k_requests <= $2", "sums", "total", "dollars"),
        ("kv_cache_usage <= 90%", "readings", "gauge", "kv_cache_usage"),
        ("throughput >= 5", "readings", "rate", "throughput"),
    ],
)
def test_every_metric_is_judged_by_the_test_that_fits_its_counts(gate: str, kind: str, series: str, name: str) -> None:
    text = TEXT.format(gate=gate)
    if "tokens_per_answer" in gate:
        text = text.replace(f'"{gate}"', "{metric: tokens_per_answer, max: 500}")
    case = compile_gates(parse(text, "canary.yml").spec).cases[0]
    assert (case.kind, case.series, case.name) == (kind, series, name)


def test_the_chance_of_a_false_rollback_is_split_among_the_gates_that_roll_back() -> None:
    """Errors and latency get twice what business figures get; gates of one kind share; the whole is one."""
    config = compile_gates(plan(ERRORS_LIKE_STABLE, FAST, FAST_LIKE_STABLE, CONVERSION, refusals=False))
    assert [case.weight for case in config.cases] == pytest.approx([0.4, 0.2, 0.2, 0.2])
    paused = ERRORS_AT_MOST.model_copy(update={"on_breach": "pause"})
    counted = FAST.model_copy(update={"test": "threshold"})
    config = compile_gates(plan(paused, counted, ERRORS_LIKE_STABLE, refusals=False))
    assert [case.weight for case in config.cases] == [0.0, 0.0, 1.0]


def test_a_gate_of_several_stages_is_one_case() -> None:
    config = compile_gates(plan(FAST, shares=(0.05, 0.25, 0.75, 1.0)))
    assert len(config.cases) == 1
    assert config.cases[0].stages == {0, 1, 2}
    assert [len(stage) for stage in config.by_stage] == [1, 1, 1, 0]


@pytest.mark.parametrize(
    ("text", "limit"), [("latency p99 <= 1s", 0.01), ("error_rate <= 0.1%", 0.001), ("resolution_rate >= 70%", 0.3)]
)
def test_a_limit_becomes_the_share_of_bad_events_that_it_allows(text: str, limit: float) -> None:
    params = compile_gates(parse(TEXT.format(gate=text), "canary.yml").spec).cases[0].params
    assert params is not None
    assert params.limit == pytest.approx(limit)
