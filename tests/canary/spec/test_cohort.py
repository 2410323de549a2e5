"""What is said of gates that cannot tell a cohort apart."""

import pytest

from canary.spec import parse_document
from canary.spec.cohort import cohort_notes

PLAN = """\
metadata: {name: a}
spec:
  model: {name: m}
  stable: {name: v1}
  canary: {name: v2, quantization: awq}
  cohort: {header: x-tier, in: [gold]}
  stages: [{traffic: 5%, hold: 1h}, {traffic: 100%}]
"""
CLUSTER = "  platform: {kserve: {gateway: a/b, hostname: x.y%s}}\n"


def said(gate: str, more: str = "", *, cohort: bool = True) -> list[str]:
    """The warnings of a plan with this gate."""
    text = PLAN if cohort else PLAN.replace("  cohort: {header: x-tier, in: [gold]}\n", "")
    notes = cohort_notes(parse_document(f"{text}{more}  gates: [{gate}]\n", "x.yml"))
    assert all(note.path == "spec.gates[0]" for note in notes)
    return [note.message for note in notes]


@pytest.mark.parametrize(
    "gate",
    [
        "error_rate not worse than stable by 0.1pp",
        "latency p95 not worse than stable by 10%",
        "ttft p95 <= 300ms",
        "csat >= 4",
        "{metric: kpi/x, query: up, max: 3}",
    ],
)
def test_what_the_proxy_counts_and_what_asks_the_canary_alone_is_sound(gate: str) -> None:
    assert said(gate) == []
    assert said(gate, CLUSTER % "") == said(gate, CLUSTER % ", metricsProfile: envoy-gateway") == []


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ("ttft p95 not worse than stable by 10%", "ttft is counted by the servers"),
        ("csat drop <= 3%", "csat is counted by the servers"),
        ("cost_per_1k_requests not worse than stable by 10%", "is counted by the servers"),
        ('{metric: kpi/x, query: up, drift: "5%", better: higher, window: 30m}', "its PromQL has to select the cohort"),
        (
            "{metric: kpi/x, events: a_total, of: b_total, drift: 5%, better: higher}",
            "its PromQL has to select the cohort",
        ),
    ],
)
def test_two_kinds_of_users_are_not_compared_in_silence(gate: str, words: str) -> None:
    (message,) = said(gate)
    assert words in message
    assert "give it a limit of its own" in message
    assert said(gate, cohort=False) == []


def test_a_profile_that_counts_at_the_servers_tells_nobody_apart() -> None:
    (message,) = said("error_rate not worse than stable by 0.1pp", CLUSTER % ", metricsProfile: istio")
    assert "leave the profile to envoy-gateway" in message
