"""Charts are well-formed, to scale, and safe to put into a page."""

import xml.etree.ElementTree as ET

import pytest

from profiles.chart import Bar, ChartPanel, html, svg
from profiles.interval import Estimate

SPACE = "{http://www.w3.org/2000/svg}"


def bars(text: str) -> list[float]:
    root = ET.fromstring(text)  # noqa: S314 - our own drawing
    return [float(rect.get("width", "0")) for rect in root.iter(f"{SPACE}rect") if rect.get("rx")]


def test_bars_are_to_scale() -> None:
    panel = ChartPanel("ms", [Bar("a", Estimate(10, 8, 12)), Bar("b", Estimate(5, 4, 6))])
    first, second = bars(svg([panel], "Two"))
    assert first == pytest.approx(2 * second, abs=0.2)


def test_a_missing_value_is_a_word() -> None:
    text = svg([ChartPanel("ms", [Bar("a", None, "refused")])], "None")
    assert bars(text) == []
    assert "refused" in text


def test_names_cannot_break_the_page() -> None:
    text = html([ChartPanel("<b>", [Bar("<script>", Estimate(1, 1, 1))])], "a & b")
    assert "<script>" not in text
    assert "a &amp; b" in text
