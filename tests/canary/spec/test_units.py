"""Human units in, base units out."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from canary.spec import units
from canary.spec.source import Plain
from canary.spec.units import Chance, Count, Positive, Seconds, Share, Switch, Text, UnreadableNumber


@pytest.mark.parametrize(
    ("read", "written", "value"),
    [
        (units.share, "5%", 0.05),
        (units.share, "5 %", 0.05),
        (units.share, " 0.1% ", 0.001),
        (units.share, "100%", 1.0),
        (units.share, "0.05", 0.05),
        (units.share, ".5", 0.5),
        (units.share, "1.0", 1.0),
        (units.share, "0", 0.0),
        (units.share, 0.05, 0.05),
        (units.share, 1, 1.0),
        (units.seconds, "200ms", 0.2),
        (units.seconds, "200 ms", 0.2),
        (units.seconds, "2.5s", 2.5),
        (units.seconds, "30m", 1800.0),
        (units.seconds, "4h", 14_400.0),
        (units.seconds, "7d", 604_800.0),
        (units.seconds, "2w", 1_209_600.0),
        (units.seconds, "1h30m", 5400.0),
        (units.seconds, "1h 30m", 5400.0),
        (units.seconds, "0", 0.0),
        (units.seconds, 2.5, 2.5),
        (units.dollars, "$100", 100.0),
        (units.dollars, "$0.40", 0.4),
        (units.dollars, "$ 1,250.50", 1250.5),
        (units.dollars, "0", 0.0),
        (units.dollars, 12, 12.0),
        (units.number, "40", 40.0),
        (units.number, "0.85", 0.85),
        (units.whole, "3", 3),
        (units.whole, 3, 3),
        (units.whole, 3.0, 3),
        (units.switch, "true", True),
        (units.switch, "FALSE", False),
        (units.switch, True, True),
    ],
)
def test_human_units_and_native_numbers_are_read(
    read: Callable[[object], object], written: object, value: object
) -> None:
    assert read(written) == value


@pytest.mark.parametrize(
    ("read", "written", "words"),
    [
        (units.share, "5", "write 5% or 0.05"),
        (units.share, "1", "write 1% or 0.01"),
        (units.share, 5, "from 0 to 1"),
        (units.share, "120%", "at most 100%"),
        (units.share, "1.5", "at most 100%"),
        (units.share, "-5%", "must not be negative"),
        (units.share, "five", "such as 5% or 0.05"),
        (units.share, "5pp", "such as 5% or 0.05"),
        (units.share, True, "such as 5% or 0.05"),
        (units.share, None, "got nothing"),
        (units.share, float("nan"), "from 0 to 1"),
        (units.seconds, "5", "write 5ms, 5s, 5m, 5h or 5d"),
        (units.seconds, "5 minutes", "such as 200ms"),
        (units.seconds, "30m1h", "such as 200ms"),
        (units.seconds, "1h1h", "such as 200ms"),
        (units.seconds, "1h x", "such as 200ms"),
        (units.seconds, "1:30", "such as 200ms"),
        (units.seconds, "-1s", "must not be negative"),
        (units.seconds, "99999w", "longer than ten years"),
        (units.seconds, float("inf"), "ten years"),
        (units.dollars, "100", "write $100"),
        (units.dollars, "100€", "such as $100"),
        (units.dollars, "$1,00", "such as $100"),
        (units.dollars, float("inf"), "from $0"),
        (units.number, "40 tok/s", "such as 40"),
        (units.whole, "2.5", "whole number"),
        (units.whole, 2.5, "whole number"),
        (units.whole, "-3", "must not be negative"),
        (units.whole, "08", "whole number"),
        (units.whole, "1e3", "whole number"),
        (units.whole, True, "whole number"),
        (units.switch, "yes", "true or false"),
        (units.switch, "on", "true or false"),
        (units.switch, 1, "true or false"),
        (units.text, 1.1, "put it in quotes"),
        (units.text, None, "got nothing"),
        (units.text, "a\x1b[2J", "U+001B"),
        (units.text, "a\x00", "U+0000"),
    ],
)
def test_what_could_mean_something_else_is_refused_with_an_example(
    read: Callable[[object], object], written: object, words: str
) -> None:
    with pytest.raises(UnreadableNumber) as refused:
        read(written)
    assert words in str(refused.value)


def test_percent_are_exact() -> None:
    """Decimal arithmetic: no 0.0010000000000000002."""
    assert units.share("0.1%") == 0.001
    assert units.share("99.9%") == 0.999
    assert units.seconds("1.1ms") == 0.0011


@given(st.decimals(0, 1, places=9).map(float))
@settings(deadline=None)
def test_a_share_shown_is_the_share_read(value: float) -> None:
    assert units.share(units.show_share(value)) == value


@given(st.decimals(0, 10**8, places=6).map(float))
@settings(deadline=None)
def test_a_duration_shown_is_the_duration_read(value: float) -> None:
    assert units.seconds(units.show_seconds(value)) == value


@given(st.decimals(0, 10**9, places=4).map(float))
@settings(deadline=None)
def test_an_amount_shown_is_the_amount_read(value: float) -> None:
    assert units.dollars(units.show_dollars(value)) == value


@given(st.floats(1e-6, 1e12))
@settings(deadline=None)
def test_a_number_shown_is_the_number_read(value: float) -> None:
    assert units.number(units.show_number(value)) == value


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.05, "share", "5%"),
        (0.2, "seconds", "200ms"),
        (2.5, "seconds", "2.5s"),
        (90.0, "seconds", "90s"),
        (14_400.0, "seconds", "4h"),
        (604_800.0, "seconds", "7d"),
        (0.0, "seconds", "0s"),
        (0.4, "dollars", "$0.40"),
        (100.0, "dollars", "$100"),
        (40.0, "number", "40"),
    ],
)
def test_values_are_shown_as_people_write_them(value: float, unit: units.Unit, shown: str) -> None:
    assert units.show(value, unit) == shown


@given(st.text(max_size=30))
@settings(deadline=None)
def test_any_text_is_a_value_or_a_refusal(text: str) -> None:
    """No other error ever comes out of a field."""
    for read in (units.share, units.seconds, units.dollars, units.number, units.whole, units.switch, units.text):
        with suppress(UnreadableNumber):
            assert read(text) is not None


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (Plain("64"), 64),
        (Plain("-1"), -1),
        (Plain("0.9"), 0.9),
        (Plain("1e-3"), 0.001),
        (Plain("true"), True),
        (Plain("on"), "on"),
        (Plain("025"), "025"),
        (Plain("1:30"), "1:30"),
        (Plain("fp8"), "fp8"),
        ("64", "64"),
        ({"a": [Plain("1")]}, {"a": [1]}),
        (None, None),
    ],
)
def test_values_without_a_field_follow_yaml_1_2(written: object, value: object) -> None:
    """Engine flags have the types that their owner meant: quotes make text, and only YAML 1.2's numbers are numbers."""
    read = units.native(written)
    assert read == value
    assert type(read) is type(value)


def test_text_is_plain_python_text() -> None:
    """No trace of the reader stays in the model."""
    assert type(units.text(Plain("1.10"))) is str


@pytest.mark.parametrize(
    ("kind", "refused"),
    [
        (Share, "101%"),
        (Chance, "0%"),
        (Chance, "100%"),
        (Seconds, "-1s"),
        (Positive, "0"),
        (Positive, "99999999999"),
        (Count, "-1"),
        (Switch, "yes"),
        (Text, 3),
    ],
)
def test_types_refuse_what_is_out_of_range(kind: Any, refused: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(refused)
