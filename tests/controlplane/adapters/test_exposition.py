"""The text format, and the numbers on a page that a real vLLM 0.32 showed."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from canary.snapshot import PodCounters
from canary.spec.samples import Sample, pods
from canary.spec.sources import PROFILES, wire_names
from controlplane.adapters import exposition
from controlplane.adapters.exposition import LONGEST_LINE, MOST_LABELS, MOST_LINES, ExpositionPage, read

GOLDEN = Path(__file__).parents[2] / "golden"
BEFORE, AFTER = "vllm-0.32-metrics-before.txt", "vllm-0.32-metrics.txt"
VLLM = PROFILES["vllm"]


def _totals(captured: str) -> PodCounters:
    page = (GOLDEN / captured).read_text(encoding="utf-8")
    return pods(read(page, wire_names(VLLM)).samples, VLLM, lambda _: ("canary", "c")).arms["canary"]["c"]


def test_a_real_vllm_page_says_what_had_happened() -> None:
    """120 chat requests: 107 answered 200, 13 answered 4xx, and the closed streams are in no finish reason."""
    pod = _totals(AFTER)
    assert (pod.requests, pod.errors) == (120, 0)
    assert (pod.totals["finished"], pod.totals["finish_reason/length"], pod.totals["finish_reason/stop"]) == (61, 61, 0)
    assert (pod.totals["generation_tokens"], pod.totals["prompt_tokens"], pod.totals["preemptions"]) == (1757, 7654, 0)
    assert pod.totals["decode_seconds"] == pytest.approx(10.342, abs=0.001)
    assert {name: counts[math.inf] for name, counts in pod.histograms.items()} == {
        "ttft": 68,
        "itl": 1689,
        "e2e": 61,
        "queue_time": 61,
        "latency": 122,
    }
    assert pod.histograms["ttft"][0.02] == 32
    assert pod.gauges == {"kv_cache_usage": 0}
    assert pod.started_at == 1795233005.84


def test_a_real_vllm_page_before_any_request_counts_what_it_can_and_no_more() -> None:
    """Its web server has no counter yet, so requests are missing; its engine has, so tokens are zero."""
    pod = _totals(BEFORE)
    assert (pod.requests, pod.errors, pod.totals["generation_tokens"], pod.totals["finished"]) == (None, None, 0, 0)
    assert pod.histograms["ttft"].keys() == _totals(AFTER).histograms["ttft"].keys()
    assert set(pod.histograms["ttft"].values()) == {0}


def test_escapes_exponents_timestamps_and_infinities_are_understood() -> None:
    page = 'a{x="q\\"u\\\\o\\nte"} 1.5e3\na{x="le"} +Inf 1395066363000\nb 2\n'
    assert read(page, {"a", "b"}).samples == [
        Sample("a", {"x": 'q"u\\o\nte'}, 1500.0),
        Sample("a", {"x": "le"}, math.inf),
        Sample("b", {}, 2.0),
    ]


def test_a_series_that_stands_twice_counts_once() -> None:
    assert read("a 1\na 2\n", {"a"}).samples == [Sample("a", {}, 2.0)]


def test_only_wanted_names_are_read_and_nothing_else_can_break_the_page() -> None:
    assert read("a_total 3\nab 1\nnonsense{{{\n# EOF", {"a_total"}) == ExpositionPage([Sample("a_total", {}, 3.0)])
    assert read("", {"a"}) == ExpositionPage([])


@pytest.mark.parametrize(
    "line", ["a{x=1} 2", 'a{x="1" 2', "a two", "a", f"a 1{'0' * 400}", f"a 1 {'9' * 400}", 'a{x="']
)
def test_r4_a_line_that_is_not_in_the_format_is_left_out_and_counted_and_costs_no_other(line: str) -> None:
    page = read(f'b 1\n{line}\nb{{x="\u2028"}} 2\n', {"a", "b"})
    assert page.samples == [Sample("b", {}, 1.0), Sample("b", {"x": "\u2028"}, 2.0)]
    assert page.problem == "1 line of its page is not in the Prometheus text format"


def test_an_integer_of_hundreds_of_digits_is_the_number_that_it_is() -> None:
    assert read(f"a {'9' * 300}\n", {"a"}).samples == [Sample("a", {}, 1e300)]


@pytest.mark.parametrize(
    "line",
    [
        'a{x="' + "x" * LONGEST_LINE + '"} 1',
        "a{" + ",".join(f'l{number}="x"' for number in range(MOST_LABELS + 1)) + "} 1",
    ],
    ids=["long", "labels"],
)
def test_r4_a_line_without_end_never_comes_to_the_parser(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time grows with the square of the labels: 20 s for a line of 2 MB."""
    monkeypatch.setattr(exposition, "_sample", lambda _: pytest.fail("parsed"))
    page = read(f"{line}\n", {"a"})
    assert page.problem == "1 line of its page is longer than 4096 characters or 64 labels"


@pytest.mark.parametrize(
    "text", ["a 1\n" * (MOST_LINES + 1), ('a{x="' + "y" * 4000 + '"} 1\n') * 300], ids=["lines", "size"]
)
def test_r4_a_page_without_end_is_not_parsed_at_all(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "_sample", lambda _: pytest.fail("parsed"))
    page = read(text, {"a"})
    assert "too many" in page.problem
    assert page.samples == []


LINE = some.text('a{}=",\\ #\t_1+.eE-x:\x00\r\u2028', max_size=40)


@given(some.lists(some.one_of(LINE, LINE.map("a{{x={}}} 1".format), LINE.map('a{{x="1"}} {}'.format))))
def test_r4_whatever_a_page_says_reading_it_raises_nothing_and_its_good_lines_count(lines: list[str]) -> None:
    page = read("\n".join(['good{x="y"} 7', *lines, "good 8"]), {"a", "good"})
    assert Sample("good", {}, 8.0) in page.samples
    assert Sample("good", {"x": "y"}, 7.0) in page.samples
