"""The numbers of an alert: in the gate's unit, and nothing where nothing was measured."""

from typing import Any

import pytest

from canary.alert_facts import clean, facts_of
from canary.rollout import Event
from tests.canary.rollouts import an_event


def facts(evidence: dict[str, Any], cause: Event | None = None, **result: Any) -> dict[str, str]:
    event = an_event(1, event="end" if result else "phase", at=100.0, evidence=result or evidence)
    return dict(facts_of(event, cause, peak=0.0, commit=""))


@pytest.mark.parametrize(
    ("gate", "canary", "limit", "shown"),
    [
        ("latency p95 <= 200ms", 0.312, 0.2, ("312 ms", "200 ms")),
        ("ttft p95 not worse than stable by 10%", 1.5, 0.25, ("1.5 s", "250 ms")),
        ("error_rate <= 0.1%", 0.0041, 0.001, ("0.41 %", "0.1 %")),
        ("kpi/conversion >= 3%", 0.021, 0.03, ("2.1 %", "3 %")),
        ("kpi/price <= $5", 7.0, 5.0, ("$7", "$5")),
        ("hard stop", 0.8, 0.5, ("80 %", "50 %")),
        ("", 0.8, 0.5, ("80 %", "50 %")),
    ],
)
def test_values_have_the_unit_of_their_gate(gate: str, canary: float, limit: float, shown: tuple[str, str]) -> None:
    said = facts({"gate": gate, "canary": canary, "limit": limit})
    assert (said["Canary"], said["Limit"]) == shown


@pytest.mark.parametrize("value", [None, "12", True, float("nan"), float("inf"), [1.0], {"a": 1}])
def test_what_is_no_number_is_left_out(value: Any) -> None:
    said = facts({"gate": "error_rate <= 1%", "canary": value, "stable": value, "limit": value, "harm_began": value})
    assert said.keys() == {"Gate", "Plan"}
    ended = facts({}, result="promoted", requests={"canary": value, "failed_by_shift": value}, decided_to_zero=value)
    assert ended.keys() == {"Took", "Plan"}


@pytest.mark.parametrize("evidence", [{}, {"gate": 5}, {"gate": "error_rate <= 1%", "samples": [1]}, {"requests": 3}])
def test_evidence_of_another_shape_says_nothing(evidence: dict[str, Any]) -> None:
    assert facts(evidence).keys() <= {"Gate", "Plan"}


def test_harm_that_began_after_its_decision_has_no_length() -> None:
    assert "Harm to verdict" not in facts({"harm_began": 101.0})
    assert facts({"harm_began": 88.0})["Harm to verdict"] == "12 s (estimated)"


def test_requests_lost_by_a_shift_are_said() -> None:
    said = facts({}, result="rolled_back", requests={"canary": 1385, "stable": 20_000, "failed_by_shift": 0})
    assert said["Requests answered"] == "1,385 by canary, 20,000 by stable"
    assert said["Lost by shifts"] == "0"


def test_a_long_text_is_cut() -> None:
    assert len(clean("x" * 5000)) == 1000
    assert clean("x" * 5000).endswith("x…")
    assert clean("y" * 30, longest=10) == "y" * 9 + "…"


def test_words_keep_their_distance_when_what_stood_between_them_goes() -> None:
    assert clean(" one\x00two\n\n three\x1b[0m ") == "one two three"
