"""Earlier attempts: listed with how they ended, and each told again from its events alone, without guessing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controlplane.api import homes
from tests.controlplane.api.serving import Serving, serving


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A rollout whose third attempt was put back and whose fourth has begun, under the same plan."""
    home = tmp_path_factory.mktemp("home")
    homes.put_back(home, "support-llm")
    homes.next_attempt(home)
    with serving(home) as served:
        yield served


def test_attempts_are_listed_with_their_end_and_a_link(twice: Serving) -> None:
    with twice.client() as client:
        detail = client.get("/api/v1/rollouts/support-llm").json()
    panels = {panel["id"]: panel for panel in detail["panels"]}
    assert list(panels) == ["versions", "attempts", "audit"]
    newest, before = panels["attempts"]["rows"]
    assert [cell["text"] for cell in newest][0::3] == ["#4", "under way"]
    assert newest[0]["link"] == "?"
    assert before[0] == {"text": "#3", "tone": "", "symbol": "", "link": "?attempt=3", "at": ""}
    assert (before[3]["text"], before[3]["tone"]) == ("rolled back", "bad")
    assert before[4]["text"].startswith("error_rate <= 1% failed")


def test_an_earlier_attempt_is_shown_as_it_ended(twice: Serving) -> None:
    with twice.client() as client:
        detail = client.get("/api/v1/rollouts/support-llm?attempt=3").json()
        now = client.get("/api/v1/rollouts/support-llm").json()["state"]
    state = detail["state"]
    assert (state["attempt"], state["phase"], state["result"], state["finished"]) == (
        3,
        "RolledBack",
        "rolled_back",
        True,
    )
    assert state["sentence"].startswith("error_rate <= 1% failed: 12 % of answers failed")
    assert state["actions"] == []
    assert [stage["state"] for stage in state["stages"]] == ["passed", "failed", "ahead", "ahead"]
    failed = next(gate for gate in state["gates"] if gate["gate"] == "error_rate <= 1%")
    assert (failed["badge"]["word"], failed["canary"]["text"]) == ("fail", "12 %")
    assert any("no traffic 100 ms later" in note for note in state["notes"])
    assert (now["attempt"], now["phase"]) == (4, "Preparing")


def test_an_attempt_that_is_not_known_is_said(twice: Serving) -> None:
    with twice.client() as client:
        for number in (1, 5, 99):
            answer = client.get(f"/api/v1/rollouts/support-llm?attempt={number}")
            assert answer.status_code == 404
            assert f"#{number}" in answer.json()["detail"]


def test_the_plan_of_another_revision_is_left_out_and_not_guessed(tmp_path: Path) -> None:
    homes.put_back(tmp_path, "support-llm")
    homes.next_attempt(tmp_path, revision="another")
    with serving(tmp_path) as served, served.client() as client:
        detail = client.get("/api/v1/rollouts/support-llm?attempt=3").json()
    state = detail["state"]
    assert detail["plan"] == ""
    assert [panel["id"] for panel in detail["panels"]] == ["attempts", "audit"]
    assert [stage["share"]["text"] for stage in state["stages"]] == ["0 %", "25 %"]  # what the events speak of
    assert [arm["name"] for arm in state["arms"]] == ["stable", "canary"]
    latency = next(gate for gate in state["gates"] if gate["gate"] == "latency p95 <= 200ms")
    assert (latency["canary"]["text"], latency["limit"]["text"]) == ("91 ms", "≤ 200 ms")
