"""The text format, and the numbers on a page that a real vLLM 0.32 showed."""

import math
from pathlib import Path

import pytest

from canary.observation import PodCounters
from canary.spec.samples import Sample, pods
from canary.spec.sources import PROFILES, wire_names
from controlplane.adapters.exposition import samples

GOLDEN = Path(__file__).parents[2] / "golden"
BEFORE, AFTER = "vllm-0.32-metrics-before.txt", "vllm-0.32-metrics.txt"
VLLM = PROFILES["vllm"]


def _totals(captured: str) -> PodCounters:
    page = (GOLDEN / captured).read_text(encoding="utf-8")
    return pods(samples(page, wire_names(VLLM)), VLLM, lambda _: ("canary", "c"))["canary"]["c"]


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
    assert samples(page, {"a", "b"}) == [
        Sample("a", {"x": 'q"u\\o\nte'}, 1500.0),
        Sample("a", {"x": "le"}, math.inf),
        Sample("b", {}, 2.0),
    ]


def test_a_series_that_stands_twice_counts_once() -> None:
    assert samples("a 1\na 2\n", {"a"}) == [Sample("a", {}, 2.0)]


def test_only_wanted_names_are_read_and_nothing_else_can_break_the_page() -> None:
    assert samples("a_total 3\nab 1\nnonsense{{{\n# EOF", {"a_total"}) == [Sample("a_total", {}, 3.0)]
    assert samples("", {"a"}) == []


@pytest.mark.parametrize("line", ["a{x=1} 2", 'a{x="1" 2', "a two", "a"])
def test_a_wanted_line_that_is_not_in_the_format_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        samples(f"{line}\n", {"a"})
