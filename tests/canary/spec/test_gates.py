"""Gates in their normalised form: from lines, from mappings, and back from their own text."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary.spec import metrics, units
from canary.spec.criterion import criterion
from canary.spec.gates import Gate, GateMapping, gate, unit_of_values
from canary.spec.units import UnreadableNumber


def meaning(written: Gate) -> dict[str, Any]:
    """All that a gate says."""
    return written.model_dump()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "latency p95 <= 200ms",
            {"metric": "latency", "statistic": "p95", "comparison": "max", "limit": 0.2, "better": "lower"},
        ),
        ("error_rate <= 0.1%", {"metric": "error_rate", "statistic": None, "comparison": "max", "limit": 0.001}),
        (
            "ttft p95 not worse than stable by 10%",
            {"metric": "ttft", "comparison": "notWorseThan", "limit": 0.1, "margin": "relative", "better": "lower"},
        ),
        (
            "error_rate not worse than stable by 0.1pp",
            {"comparison": "notWorseThan", "limit": 0.001, "margin": "points"},
        ),
        ("latency p95 not worse than stable by 20ms", {"limit": 0.02, "margin": "points"}),
        ("csat drop <= 3%", {"metric": "kpi/csat", "comparison": "drift", "limit": 0.03, "better": "higher"}),
        ("csat drop <= 0.1", {"limit": 0.1, "margin": "points"}),
        (
            "escalation_rate <= 5%",
            {"metric": "kpi/escalation_rate", "comparison": "max", "limit": 0.05, "better": "lower"},
        ),
        ("escalation_rate rise <= 5%", {"comparison": "drift", "better": "lower"}),
        ("tokens_per_second >= 40", {"comparison": "min", "limit": 40.0, "better": "higher"}),
        ("cost_per_1m_tokens <= $0.40", {"limit": 0.4}),
        ("kpi/basket >= $12.50", {"metric": "kpi/basket", "comparison": "min", "limit": 12.5, "better": "higher"}),
        ("kpi/wait <= 90s over 4h per tenant", {"limit": 90.0, "window": 14400.0, "by": "tenant", "better": "lower"}),
        ("tokens_per_answer >= 20", {"comparison": "min", "better": "higher"}),
        ("tokens_per_answer <= 500", {"comparison": "max", "better": "lower"}),
        ("latency <= 1s", {"statistic": "p95", "text": "latency p95 <= 1s"}),
        ("latency p99.90 <= 1s", {"statistic": "p99.9"}),
    ],
)
def test_a_line_means_one_gate(line: str, said: dict[str, Any]) -> None:
    found = meaning(gate(line))
    assert {key: found[key] for key in said} == said


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("latency<.2s", "latency p95 <= 200ms"),
        ("kpi/csat drop<=3 %", "csat drop <= 3%"),
        ("conversion drift <= 5%", "conversion drop <= 5%"),
        ("kpi/own rise <= 3pp", "kpi/own rise <= 3pp"),
        ("cost_per_1m_tokens <= $.4", "cost_per_1m_tokens <= $0.40"),
        ("latency p95 <= 200ms over 240m", "latency p95 <= 200ms over 4h"),
    ],
)
def test_two_ways_to_ask_the_same_have_the_same_text(line: str, text: str) -> None:
    assert gate(line).text == text


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("latencyy p95 <= 200ms", 'did you mean "latency"'),
        ("latency p95 <= 200", "has no unit"),
        ("latency p95 <= 5%", "such as 200ms"),
        ("latency p100 <= 1s", "by a quantile"),
        ("latency p0 <= 1s", "by a quantile"),
        ("latency mean <= 1s", "by a quantile"),
        ("error_rate p95 <= 1%", "error_rate has no p95"),
        ("kv_cache_usage p95 <= 90%", "kv_cache_usage has no p95"),
        ("error_rate >= 1%", "needs <=, not >="),
        ("csat <= 4", "needs >=, not <="),
        ("csat rise <= 3%", "needs drop, not rise"),
        ("error_rate drop <= 3%", "needs rise, not drop"),
        ("error_rate <= 5", "write 5% or 0.05"),
        ("error_rate <= -5%", "must not be negative"),
        ("error_rate not worse than stable by 0.1", "0.1% of stable's value or 0.1pp"),
        ("latency p95 not worse than stable by 5pp", "no percentage points"),
        ("kpi/own not worse than stable by 3%", "which way does kpi/own improve"),
        ("kpi/own drift <= 3%", "which way does kpi/own improve"),
        ("throughput not worse than stable by 3%", "cannot be compared"),
        ("latency p95 <= 200ms over 3 bananas", "such as 200ms"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused(line: str, words: str) -> None:
    with pytest.raises(UnreadableNumber) as refused:
        gate(line)
    assert words in str(refused.value)


SHARES = st.decimals("0.0001", "0.9", places=4).map(float)
DURATIONS = st.decimals("0.001", 10_000, places=3).map(float)
UNITS: tuple[units.Unit, ...] = ("share", "seconds", "dollars", "number")
QUANTILES = st.sampled_from(["p1", "p50", "p90", "p95", "p99", "p99.9", "p99.99"])


@st.composite
def lines(draw: st.DrawFn) -> str:
    """Any gate that a person could write, in its canonical form or not."""
    metric = metrics.find(draw(st.sampled_from(metrics.names()) | st.just("kpi/of_our_own")))
    statistic = " " + draw(QUANTILES) if metric.quantiles else ""
    better = metric.better if metric.better != "either" else draw(st.sampled_from(["lower", "higher"]))
    unit = metric.unit if metric.unit is not None else draw(st.sampled_from(UNITS))
    value = units.show(draw(DURATIONS if unit == "seconds" else SHARES), unit)
    form = draw(st.sampled_from(["limit", "change", "not worse"])) if metric.comparable else "limit"
    if form == "not worse" and metric.better == "either":
        form = "change"
    if form == "limit":
        clause = f"{'<=' if better == 'lower' else '>='} {value}"
    else:
        margin = draw(st.sampled_from([units.show_share(draw(SHARES)), value.replace("%", "pp")]))
        change = "rise" if better == "lower" else "drop"
        clause = f"{change} <= {margin}" if form == "change" else f"not worse than stable by {margin}"
    window = f" over {units.show_seconds(draw(DURATIONS))}" if draw(st.booleans()) else ""
    label = " per tenant" if draw(st.booleans()) else ""
    return f"{metric.name}{statistic} {clause}{window}{label}"


@given(lines())
@settings(deadline=None)
def test_the_text_of_a_gate_means_the_gate(line: str) -> None:
    """Reading the canonical text gives exactly the same gate, whatever was written at first."""
    once = gate(line)
    again = gate(once.text)
    assert meaning(again) == meaning(once)
    assert again.text == once.text


@given(lines())
@settings(deadline=None)
def test_a_mapping_that_says_the_same_is_the_same_gate(line: str) -> None:
    """A gate's own values, written as a mapping with native numbers, give the same meaning."""
    once = gate(line)
    if once.margin == "points":
        return
    head = f"{once.metric} {once.statistic}" if once.statistic else once.metric
    said = {"metric": head, once.comparison: once.limit, "better": once.better if once.relative else None}
    if metrics.find(once.metric).better != "either":
        said.pop("better")
    more = {key: value for key, value in {"window": once.window, "by": once.by}.items() if value}
    again = gate(GateMapping.model_validate({**said, **more}))
    assert (again.limit, again.better, again.comparison) == (once.limit, once.better, once.comparison)


def test_a_mapping_can_say_more_than_a_line() -> None:
    written = GateMapping.model_validate(
        {
            "metric": "kpi/conversion",
            "query": "sum by (variant) (x)",
            "drift": "5%",
            "window": "4h",
            "minSamples": "200",
            "onBreach": "pause",
            "onNoData": "promote",
            "test": "threshold",
            "failures": "2",
            "by": "tenant",
        }
    )
    found = gate(written)
    assert found.text == "conversion drop <= 5% over 4h per tenant"
    assert (found.query, found.min_samples, found.on_breach, found.on_no_data) == (
        "sum by (variant) (x)",
        200,
        "pause",
        "promote",
    )
    assert (found.test, found.failures, found.by, found.window) == ("threshold", 2, "tenant", 14400.0)


def test_a_mapping_tells_what_its_owner_left_to_the_plan() -> None:
    """A plan's `onBreach` reaches only gates that do not say their own."""
    assert "on_breach" not in gate("latency <= 1s").model_fields_set
    own = gate(GateMapping.model_validate({"metric": "latency", "max": "1s", "onBreach": "rollback"}))
    assert "on_breach" in own.model_fields_set


@pytest.mark.parametrize(
    ("said", "key", "words"),
    [
        ({"metric": "latency"}, "", "exactly one of max, min, notWorseThan and drift; found none"),
        ({"metric": "csat", "drift": "5%", "events": "points_total"}, "events", "of is missing"),
        ({"metric": "csat", "drift": "5%", "of": "ratings_total"}, "of", "events is missing"),
        ({"metric": "csat", "drift": "5%", "events": "a", "of": "b", "query": "c"}, "query", "one or the other"),
        ({"metric": "latency", "max": "1s", "events": "a_sum", "of": "a_count"}, "events", "counted already"),
        ({"metric": "csat", "drift": "5%", "events": "a", "of": "rate(b[5m])"}, "of", "write b"),
        ({"metric": "csat", "drift": "5%", "variantLabel": "version"}, "variantLabel", "only counts with"),
        ({"metric": "csat", "drift": "5%", "query": "a", "variantLabel": "a-b"}, "variantLabel", "name of a label"),
        ({"metric": "latency", "max": "1s", "drift": "5%"}, "", "found max and drift"),
        ({"metric": "latency", "max": "5%"}, "max", "such as 200ms"),
        ({"metric": "latencyy", "max": "1s"}, "metric", 'did you mean "latency"'),
        ({"metric": "latencyy", "max": 1.0}, "metric", 'did you mean "latency"'),
        ({"metric": "latency p95 p99", "max": "1s"}, "metric", "by a quantile"),
        ({"metric": "csat", "max": "4"}, "metric", "needs >="),
        ({"metric": "csat", "drift": "4%", "better": "lower"}, "metric", "leave better out"),
        ({"metric": "latency", "max": "1s", "failures": 2}, "failures", "only counts with test: threshold"),
        ({"metric": "latency", "max": "1s", "delay": "1h"}, "delay", "only KPIs"),
        ({"metric": "kpi/csat", "drift": "3%", "delay": "1h", "test": "threshold"}, "delay", "tested in sequence"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused_at_its_key(said: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(UnreadableNumber) as refused:
        gate(GateMapping.model_validate(said))
    assert refused.value.key == key
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("latency p95 not worse than stable by 20%", "seconds"),
        ("kpi/own <= $3", "dollars"),
        ("kpi/own <= 3m over 1h per tenant", "seconds"),
        ("kpi/own >= 3 over 1h", "number"),
        ("kpi/own <= 3%", "share"),
        ("csat drop <= 3%", "number"),
        ("csat drop <= 3pp per tenant", "share"),
        ("hard stop", "share"),
    ],
)
def test_a_gate_s_text_tells_the_unit_of_its_values(text: str, unit: str) -> None:
    """A mark from one to five that may drop by 3 % is shown as 4.3, and not as 430 %."""
    assert unit_of_values(text) == unit


def test_a_figure_of_ones_own_can_say_its_direction() -> None:
    said = {"metric": "kpi/own", "notWorseThan": "3%", "better": "higher"}
    assert gate(GateMapping.model_validate(said)).better == "higher"


def test_quantiles_and_yardsticks_are_told() -> None:
    assert gate("latency p99.9 <= 1s").quantile == pytest.approx(0.999)
    assert gate("error_rate <= 1%").quantile is None
    assert gate("csat drop <= 3%").relative
    assert not gate("csat >= 4").relative


@pytest.mark.parametrize(
    ("line", "text", "limit"),
    [
        ("first_turn_resolution >= 70%", "first_turn_resolution >= 70%", 0.7),
        ("hallucination_rate <= 1.2 %", "hallucination_rate <= 1.2%", 0.012),
        ("first_turn_resolution >= stable", "first_turn_resolution >= stable", None),
        ("kpi/f1 >= 0.85", "f1 >= 0.85", 0.85),
    ],
)
def test_a_criterion_has_a_value_or_stable(line: str, text: str, limit: float | None) -> None:
    found = criterion(line)
    assert (found.text, found.limit) == (text, limit)
    assert criterion(found.text) == found


@pytest.mark.parametrize(
    "line", ["hallucination_rate >= 3%", "first_turn_resolution <= 70%", "first_turn_resolution >= 70"]
)
def test_a_criterion_that_makes_no_sense_is_refused(line: str) -> None:
    with pytest.raises(UnreadableNumber):
        criterion(line)
