"""The charts of a rollout in a real browser: bands, marks, one crosshair for all, and addresses of moments."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.controlplane.api import homes
from tests.controlplane.api.serving import Serving, serving
from tests.controlplane.dashboard.looking import looking

LATENCY = "latency p95 <= 200ms"


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A rollout under way with two minutes of samples, each with intervals."""
    home = tmp_path_factory.mktemp("home")
    rollout = homes.under_way(home)
    now = time.time() - rollout.began
    homes.happen(home, rollout, "the metric source is slow", at=time.time() - 60, t=now - 60)
    lines = [
        {
            "t": now - 120 + second,
            "asked": 0.25,
            "in_force": 0.25,
            "gates": {LATENCY: [0.084, 0.091, 0.2]},
            "bands": {LATENCY: {"stable": [0.082, 0.086], "canary": [0.088, 0.095]}},
        }
        for second in range(120)
    ]
    (home / "support-llm" / "samples-support-llm-3.jsonl").write_text(
        "".join(f"{json.dumps(line)}\n" for line in lines)
    )
    with serving(home) as served:
        yield served


def chart(page: Page, within: str) -> Locator:
    """The chart of this card."""
    drawn = page.locator(".card", has_text=within).locator(".chart").first
    expect(drawn.locator("canvas")).to_be_visible()
    return drawn


def colours(canvas: Locator) -> set[tuple[int, int, int]]:
    """Every colour that is drawn in a chart. Read from a copy: a browser complains of a canvas that is read often."""
    found = canvas.evaluate(
        """(canvas) => {
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
        copy.drawImage(canvas, 0, 0);
        const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
        const found = new Set();
        for (let i = 0; i < data.length; i += 4) if (data[i + 3]) found.add(data.slice(i, i + 4).join());
        return [...found]; }"""
    )
    pixels = [[int(part) for part in each.split(",")] for each in found]
    return {(red, green, blue) for red, green, blue, _ in pixels}


SOFT_PIXELS = """(canvas, wanted) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let found = 0;
  for (let i = 0; i < data.length; i += 4) {
    const soft = data[i + 3] > 40 && data[i + 3] < 60;
    if (soft && wanted.every((part, k) => Math.abs(data[i + k] - part) < 6)) found++;
  }
  return found;
}"""


def softly(canvas: Locator, red: int, green: int, blue: int) -> int:
    """How many pixels have this colour and are as transparent as a band is."""
    counted: int = canvas.evaluate(SOFT_PIXELS, [red, green, blue])
    return counted


def test_a_gate_has_a_band_around_the_canary_and_the_share_has_none(browser: Browser, sampled: Serving) -> None:
    with looking(browser, sampled) as page:
        page.goto(f"{sampled.url}/rollouts/support-llm")
        band = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--canary-band').trim()")
        assert band == "#b86e0033"
        assert softly(chart(page, LATENCY).locator("canvas"), 0xB8, 0x6E, 0x00) > 200
        assert softly(chart(page, "The canary's share of traffic").locator("canvas"), 0xB8, 0x6E, 0x00) < 50


def test_one_crosshair_reads_all_charts(browser: Browser, sampled: Serving) -> None:
    with looking(browser, sampled) as page:
        page.goto(f"{sampled.url}/rollouts/support-llm")
        gate, weights = chart(page, LATENCY), chart(page, "The canary's share of traffic")
        gate.locator(".u-over").hover(position={"x": 60, "y": 40})
        expect(gate.locator(".said")).to_contain_text("stable 84 ms (82 ms to 86 ms)")
        expect(gate.locator(".said")).to_contain_text("canary 91 ms (88 ms to 95 ms)")
        expect(weights.locator(".said")).to_contain_text("in force 25 %")


def test_what_happened_is_marked_where_it_happened_and_said_at_the_crosshair(
    browser: Browser, sampled: Serving
) -> None:
    """The alert stands in the middle of the samples; far from it nothing is said."""
    with looking(browser, sampled) as page:
        page.goto(f"{sampled.url}/rollouts/support-llm")
        gate = chart(page, LATENCY)
        over, said = gate.locator(".u-over"), gate.locator(".said")
        width = over.evaluate("(element) => element.clientWidth")
        over.hover(position={"x": 5, "y": 30})
        expect(said).to_contain_text("canary 91 ms")
        expect(said).not_to_contain_text("slow")
        found = []
        for x in range(width // 4, 3 * width // 4, 4):
            over.hover(position={"x": x, "y": 30})
            if "! the metric source is slow" in said.inner_text():
                found.append(x)
        assert found
        assert width // 3 < found[0] < 2 * width // 3


def test_a_moment_has_an_address_that_marks_it_in_charts_and_log(browser: Browser, sampled: Serving) -> None:
    with looking(browser, sampled) as page:
        page.goto(f"{sampled.url}/rollouts/support-llm")
        entry = page.locator(".log li", has_text="Asking for 25 %")
        entry.get_by_role("link").click()
        assert "attempt=3&at=20" in page.url
        expect(entry).to_have_attribute("aria-current", "true")
        address = page.url
        page.goto(address)
        marked = page.locator(".log li[aria-current=true]")
        expect(marked).to_contain_text("Asking for 25 %")
        expect(marked).to_be_in_viewport()
        expect(page.get_by_text("Marked in the charts and the log")).to_be_visible()
        page.get_by_role("link", name="Unmark it").click()
        assert page.url.endswith("?attempt=3")
        expect(page.locator(".log li[aria-current=true]")).to_have_count(0)


def test_a_click_in_a_chart_makes_the_address_of_that_moment(browser: Browser, sampled: Serving) -> None:
    with looking(browser, sampled) as page:
        page.goto(f"{sampled.url}/rollouts/support-llm")
        over, marked = chart(page, LATENCY).locator(".u-over"), page.get_by_text("Marked in the charts and the log")
        for _ in range(60):  # a chart that is drawn anew between press and release hears no click, as for a person
            over.click(position={"x": 60, "y": 40})
            page.wait_for_timeout(500)
            if marked.is_visible():
                break
        expect(marked).to_be_visible()
        page.goto(page.url)
        expect(chart(page, LATENCY).locator(".said")).to_contain_text("canary 91 ms")


@pytest.mark.parametrize("at", ["nonsense", "99999999999999999999", "<script>window.owned=1</script>", "2026-13-99"])
def test_an_address_of_no_moment_marks_nothing(browser: Browser, sampled: Serving, at: str) -> None:
    with looking(browser, sampled) as page:
        page.goto(f"{sampled.url}/rollouts/support-llm?at={at}")
        expect(page.locator(".sentence")).to_be_visible()
        expect(page.get_by_text("Marked in the charts")).to_have_count(0)
        assert page.evaluate("window.owned") is None


def test_charts_follow_the_colour_scheme(browser: Browser, sampled: Serving) -> None:
    with looking(browser, sampled) as page:
        page.goto(f"{sampled.url}/rollouts/support-llm")
        light = colours(chart(page, LATENCY).locator("canvas"))
        page.emulate_media(color_scheme="dark")
        for _ in range(600):  # it is drawn anew, and does not say when
            if colours(chart(page, LATENCY).locator("canvas")) != light:
                break
            page.wait_for_timeout(100)
        assert colours(chart(page, LATENCY).locator("canvas")) != light


def test_the_page_keeps_its_order_while_states_arrive(browser: Browser, own: Serving) -> None:
    """What leads back and the banners stay above everything, also when a banner comes later."""
    with looking(browser, own) as page:
        page.goto(f"{own.url}/rollouts/support-llm")
        (own.home / "support-llm" / "live.json").unlink()
        expect(page.get_by_text("Nobody has carried this rollout out")).to_be_visible()
        places = [
            page.locator(each).first.bounding_box() for each in (".crumbs", ".banner", "h1", ".rail", ".log", "pre")
        ]
        tops = [place["y"] for place in places if place]
        assert len(tops) == 6
        assert tops == sorted(tops)


def test_samples_written_by_a_run_without_intervals_are_drawn(browser: Browser, tmp_path: Path) -> None:
    """State folders of an older release."""
    homes.under_way(tmp_path)
    file = tmp_path / "support-llm" / "samples-support-llm-3.jsonl"
    old = [{"t": float(t), "asked": 0.25, "in_force": 0.25, "gates": {LATENCY: [0.084, 0.091, 0.2]}} for t in range(9)]
    file.write_text("".join(f"{json.dumps(line)}\n" for line in old))
    with serving(tmp_path) as served, looking(browser, served) as page:
        page.goto(f"{served.url}/rollouts/support-llm")
        expect(chart(page, LATENCY).locator("canvas")).to_be_visible()
