"""The built-in metrics and how an unknown name is answered."""

import pytest

from canary.spec import metrics
from canary.spec.units import UnreadableNumber


def test_the_metrics_of_the_product_are_there() -> None:
    wanted = {
        "latency", "error_rate", "throughput", "ttft", "itl", "e2e", "tokens_per_second", "queue_time",
        "kv_cache_usage", "preemptions", "finish_reason/length", "tokens_per_answer", "cost_per_1k_requests",
        "cost_per_1m_tokens", "gpu_memory",
    }  # fmt: skip
    assert wanted <= metrics.BUILT_IN.keys()


@pytest.mark.parametrize("metric", metrics.BUILT_IN.values(), ids=lambda metric: metric.name)
def test_every_metric_explains_itself(metric: metrics.Metric) -> None:
    """One sentence, a unit, and totals wherever it is made of totals."""
    assert metric.about.endswith(".")
    assert metric.unit is not None
    assert (metric.counts is not None) == (metric.kind in {"proportion", "ratio"})
    assert metric.quantiles == (metric.kind == "histogram")
    assert metric.default_statistic is None or metric.allows(metric.default_statistic)


def test_a_known_business_figure_needs_no_prefix() -> None:
    assert metrics.find("csat") == metrics.find("kpi/csat")
    assert metrics.find("csat").name == "kpi/csat"
    assert metrics.find("csat").better == "higher"


def test_a_figure_of_ones_own_has_a_prefix_and_no_direction() -> None:
    own = metrics.find("kpi/tickets_per_hour")
    assert own.is_kpi
    assert (own.better, own.unit) == ("either", None)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("latencyy", "latency"),
        ("Error-Rate", "error_rate"),
        ("errorrate", "error_rate"),
        ("time_to_first_token", "ttft"),
        ("tpot", "itl"),
        ("qps", "throughput"),
        ("kv_cache", "kv_cache_usage"),
        ("conversions", "conversion"),
        ("finish_reason/lenght", "finish_reason/length"),
        ("cost_per_1M_tokens", "cost_per_1m_tokens"),
    ],
)
def test_an_unknown_metric_is_answered_with_the_nearest_one(written: str, meant: str) -> None:
    with pytest.raises(UnreadableNumber, match=f'unknown metric "{written}", did you mean "{meant}"'):
        metrics.find(written)


def test_a_name_near_nothing_is_answered_with_all_names() -> None:
    with pytest.raises(UnreadableNumber, match=r"known are latency, error_rate, .* kpi/<name>"):
        metrics.find("zzzzzz")


@pytest.mark.parametrize("name", ["kpi/", "kpi/Conversion Rate", "kpi/../x", "kpi/" + "x" * 80])
def test_a_figure_with_an_unusable_name_is_refused(name: str) -> None:
    with pytest.raises(UnreadableNumber, match="named like kpi/conversion"):
        metrics.find(name)


def test_a_very_long_unknown_name_is_answered_quickly_and_shortly() -> None:
    """The nearest name is sought for the beginning only, and the message stays readable."""
    with pytest.raises(UnreadableNumber) as refused:
        metrics.find("x" * 100_000)
    assert len(str(refused.value)) < 500
