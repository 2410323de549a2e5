"""Numbers and units as people read them: the same value is the same text wherever it is shown."""

import math
import re
from collections.abc import Callable
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary import alert_facts
from canary import format as fmt
from canary.judge import messages
from canary.spec.units import Unit
from canary.weights import WHOLE, Weights
from controlplane.readmodel import value as api
from tests.canary.rollouts import an_event

NAN = math.nan
UNITS: tuple[Unit, ...] = get_args(Unit)
GATES = {
    "share": "error_rate <= 1%",
    "seconds": "latency p95 <= 1s",
    "dollars": "kpi/price <= $5",
    "number": "kpi/queue <= 40",
}
NUMBERS = st.floats() | st.floats(0, 1) | st.floats(0, 1e5) | st.integers(0, 10**7).map(float)


@pytest.mark.parametrize(
    ("show", "value", "text"),
    [
        (fmt.share, 0.0011, "0.11 %"),
        (fmt.share, 0.0123, "1.23 %"),
        (fmt.share, 0.05, "5 %"),
        (fmt.share, 0.0, "0 %"),
        (fmt.share, 1.0, "100 %"),
        (fmt.share, 1e-6, "0.0001 %"),
        (fmt.share, 0.1234567, "12.3 %"),
        (fmt.weight, 0.123456, "12.3456 %"),
        (fmt.share, 0.9996, "99.96 %"),
        (fmt.share, 0.999999, "99.9999 %"),
        (fmt.share, None, "–"),
        (fmt.share, NAN, "–"),
        (fmt.seconds, 0.084, "84 ms"),
        (fmt.seconds, 0.0208, "20.8 ms"),
        (fmt.seconds, 0.9996, "1 s"),
        (fmt.seconds, 2.413, "2.41 s"),
        (fmt.seconds, 600.0, "10 min"),
        (fmt.seconds, 5400.0, "90 min"),
        (fmt.seconds, 0.0, "0 s"),
        (fmt.seconds, math.inf, "∞ s"),
        (fmt.seconds, None, "–"),
        (fmt.duration, 0.0004, "0.4 ms"),
        (fmt.duration, 0.02123, "21 ms"),
        (fmt.duration, 0.9996, "1 s"),
        (fmt.duration, 3.794, "3.8 s"),
        (fmt.duration, 60.0, "1 min"),
        (fmt.duration, 90.0, "90 s"),
        (fmt.duration, 5400.0, "90 min"),
        (fmt.duration, 7 * 86400.0, "7 d"),
        (fmt.duration, -3.0, "-3 s"),
        (fmt.duration, 0.0, "0 s"),
        (fmt.duration, None, "–"),
        (fmt.dollars, 0.4, "$0.40"),
        (fmt.dollars, 0.0123, "$0.0123"),
        (fmt.dollars, 1234.5, "$1,235"),
        (fmt.dollars, -2.5, "-$2.50"),
        (fmt.number, 0.9417, "0.942"),
        (fmt.number, 12345.0, "12,345"),
        (fmt.number, -0.5, "-0.5"),
        (fmt.number, 1e-300, "0"),
        (fmt.number, -1e300, "-over 10^15"),
        (fmt.count, 312.0, "312"),
        (fmt.count, 999.7, "1,000"),
        (fmt.count, 31_400.0, "31,400"),
        (fmt.count, 999_999.0, "999,999"),
        (fmt.count, 1_234_567.0, "1.23M"),
        (fmt.count, 2e9, "2G"),
        (fmt.count, None, "–"),
        (fmt.rate, 225.4, "225 req/s"),
        (fmt.rate, 0.52, "0.52 req/s"),
        (fmt.rate, 0.0, "0 req/s"),
        (fmt.rate, None, "–"),
    ],
)
def test_a_value_reads_like_this(show: Callable[[float | None], str], value: float | None, text: str) -> None:
    assert show(value) == text


@given(NUMBERS, st.sampled_from(UNITS))
def test_a_value_is_the_same_text_in_a_verdict_an_alert_and_every_table(value: float, unit: Unit) -> None:
    text = fmt.measure(value, unit)
    assert messages.amount(unit, value) == text
    if math.isfinite(value):
        decision = an_event(1, evidence={"gate": GATES[unit], "canary": value})
        assert ("Canary", text) in alert_facts.facts_of(decision, None, peak=0.0, commit="")


@given(st.floats(0, 1e9))
def test_a_length_of_time_and_a_share_are_the_same_text_in_the_api(value: float) -> None:
    assert api.seconds(value).text == fmt.duration(value)
    assert api.share(value).text == fmt.share(value)


@given(NUMBERS, st.sampled_from([*UNITS, "duration", "count", "rate"]))
def test_a_text_is_short_and_says_the_value_to_the_digits_that_it_shows(value: float, kind: str) -> None:
    text = getattr(fmt, kind)(value)
    assert len(text) < 40
    if math.isfinite(value) and kind == "share":
        shown = re.fullmatch(r"(-?[\d,.]+) %", text)
        assert shown is None or float(shown[1].replace(",", "")) == pytest.approx(value * 100, rel=0.006, abs=1e-9)
        assert (text == "100 %") <= (abs(value - 1) < 1e-8)


@given(st.floats(60, 1e9))
def test_from_a_minute_on_a_measured_time_is_worded_as_every_other_length_of_time(value: float) -> None:
    assert fmt.seconds(value) == fmt.duration(value)


@given(st.integers(0, WHOLE))
def test_a_traffic_weight_is_shown_exactly_and_can_be_read_back(millionths: int) -> None:
    """The operator writes `weightSeen` as text, and the dashboard reads the weights in force out of it."""
    weights = Weights(millionths)
    assert str(weights) == fmt.weight(weights.share)
    assert round(float(str(weights).removesuffix(" %")) * WHOLE / 100) == millionths
