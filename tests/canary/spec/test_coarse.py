"""What is said of limits that no bucket can tell."""

import re
from pathlib import Path

import pytest

from canary.spec import parse_document
from canary.spec.coarse import FIRST_BUCKET, coarse_notes
from canary.spec.sources import VLLM

PLAN = """\
metadata: {{name: a}}
spec:
  model: {{name: m}}
  stable: {{name: v1}}
  canary: {{name: v2, quantization: awq}}
  stages: [{{traffic: 5%, hold: 1h, gates: [{gate}]}}, {{traffic: 100%}}]
"""


def said(gate: str) -> list[tuple[str, str]]:
    """Path and message of each warning of a plan with this gate."""
    notes = coarse_notes(parse_document(PLAN.format(gate=gate), "x.yml"))
    return [(note.path, note.message) for note in notes]


@pytest.mark.parametrize("gate", ["queue_time p95 <= 100ms", "e2e p50 <= 299ms"])
def test_a_limit_below_the_first_bucket_is_warned_of(gate: str) -> None:
    """It would say for ever that it is not clear enough yet."""
    ((path, message),) = said(gate)
    assert path == "spec.stages[0].gates[0]"
    assert "in buckets from 300ms up" in message
    assert "write 300ms or more" in message


@pytest.mark.parametrize(
    "gate",
    [
        "queue_time p95 <= 300ms",
        "latency p95 <= 100ms",
        "ttft p95 <= 100ms",
        "queue_time p95 not worse than stable by 10%",
        "{metric: kpi/x, query: up, max: 0.1}",
    ],
)
def test_limits_that_can_be_told_are_not(gate: str) -> None:
    assert said(gate) == []


def test_the_buckets_are_those_of_a_real_page() -> None:
    page = (Path(__file__).parents[2] / "golden" / "vllm-0.32-metrics.txt").read_text(encoding="utf-8")
    for metric, first in FIRST_BUCKET.items():
        name = next(row.wire_name for row in VLLM if row.feeds == metric)
        bounds = [float(bound) for bound in re.findall(rf'^{name}{{.*le="([0-9.]+)"', page, re.MULTILINE)]
        assert min(bounds) == first
