"""Numbers as people read them, and texts that cannot command a terminal."""

import math
from collections.abc import Callable

import pytest

from controlplane.view import format as fmt

NAN = math.nan


@pytest.mark.parametrize(
    ("show", "value", "text"),
    [
        (fmt.share, 0.0011, "0.11 %"),
        (fmt.share, 0.05, "5 %"),
        (fmt.share, 0.0, "0 %"),
        (fmt.share, 1.0, "100 %"),
        (fmt.share, 1e-6, "0.0001 %"),
        (fmt.share, 0.123456, "12.3 %"),
        (fmt.share, None, "–"),
        (fmt.share, NAN, "–"),
        (fmt.seconds, 0.084, "84 ms"),
        (fmt.seconds, 0.0208, "20.8 ms"),
        (fmt.seconds, 0.9996, "1 s"),
        (fmt.seconds, 2.413, "2.41 s"),
        (fmt.seconds, 600.0, "10 min"),
        (fmt.seconds, 0.0, "0 s"),
        (fmt.seconds, math.inf, "∞ s"),
        (fmt.seconds, None, "–"),
        (fmt.span, 0.02123, "21 ms"),
        (fmt.span, 3.794, "3.8 s"),
        (fmt.span, 90.0, "90 s"),
        (fmt.span, 0.0, "0 ms"),
        (fmt.span, None, "–"),
        (fmt.dollars, 0.4, "$0.40"),
        (fmt.dollars, 0.0123, "$0.0123"),
        (fmt.dollars, 1234.5, "$1,234"),
        (fmt.number, 0.9417, "0.942"),
        (fmt.number, 12345.0, "12,345"),
        (fmt.number, -0.5, "-0.5"),
        (fmt.count, 312.0, "312"),
        (fmt.count, 999.7, "1k"),
        (fmt.count, 1200.0, "1.2k"),
        (fmt.count, 31_400.0, "31k"),
        (fmt.count, 2_000_000.0, "2M"),
        (fmt.count, None, "–"),
        (fmt.rate, 225.4, "225 req/s"),
        (fmt.rate, 0.52, "0.52 req/s"),
        (fmt.rate, 0.0, "0 req/s"),
        (fmt.rate, None, "–"),
    ],
)
def test_a_value_reads_like_this(show: Callable[[float | None], str], value: float | None, text: str) -> None:
    assert show(value) == text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain – ünïcode 漢字", "plain – ünïcode 漢字"),
        ("red \x1b[31mtext\x1b[0m", "red text"),
        ("title \x1b]0;owned\x07 set", "title  set"),
        ("title \x1b]8;;http://evil\x1b\\link", "title link"),
        ("an unfinished \x1b[", "an unfinished"),
        ("two\nlines\r\nand\ttabs", "two lines and tabs"),
        ("bell \x07 back \x08 null \x00", "bell  back  null"),
        ("c1 \x9b31m csi", "c1 31m csi"),
        ("turned \u202e around \u2066", "turned  around"),
        ("\x1b\x1b[31m[31m", "[31m[31m"),
    ],
)
def test_a_text_from_outside_cannot_command_a_terminal(text: str, cleaned: str) -> None:
    assert fmt.clean(text) == cleaned
    assert "\x1b" not in fmt.clean(text)
