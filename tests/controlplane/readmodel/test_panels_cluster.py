"""What a ModelCanary tells: which conditions are wished for, and the commit that a git source wrote on it."""

from typing import Any

import pytest

from controlplane.readmodel.panels import live_panels
from controlplane.readmodel.panels_cluster import cluster_facts
from tests.controlplane.view import scenes

ROLLOUT, _, NOW = scenes.analyzing()
SAID = {
    "repository": "https://github.com/ml/apps.git",
    "commit": "4f2c1e9aa7",
    "author": "Ann <ann@example.com>",
    "subject": "Try nf4",
    "path": "apps/chat/canary.yml",
    "line": "14",
    "revision": "9f2c",
}


def resource(conditions: object = (), **said: str) -> dict[str, Any]:
    annotations = {f"git.serinus.dev/{key}": value for key, value in said.items()}
    return {"metadata": {"name": "chat", "annotations": annotations}, "status": {"conditions": conditions}}


def test_the_commit_author_and_line_are_those_that_the_git_source_wrote() -> None:
    origin = cluster_facts(resource(**SAID), ROLLOUT).origin
    assert origin is not None
    assert (origin.path, origin.line, origin.author, origin.ours) == (SAID["path"], 14, SAID["author"], True)
    assert (origin.commit.id, origin.commit.text) == (SAID["commit"], "Try nf4")
    assert origin.commit.link == "https://github.com/ml/apps/commit/4f2c1e9aa7"
    assert cluster_facts(resource(**{**SAID, "revision": "newer"}), ROLLOUT).origin != origin


@pytest.mark.parametrize("object_", [{}, {"metadata": {"name": "chat"}}, resource(), resource(path="canary.yml")])
def test_what_somebody_applied_by_hand_has_no_origin(object_: dict[str, Any]) -> None:
    assert cluster_facts(object_, ROLLOUT).origin is None


def test_conditions_say_whether_they_are_the_wished_ones() -> None:
    told = [
        {"type": "Accepted", "status": "True", "reason": "Valid", "lastTransitionTime": "2026-11-21T09:00:00Z"},
        {"type": "Ready", "status": "Unknown", "reason": "UnderWay"},
        {"type": "Degraded", "status": "True", "reason": "GateFailed", "message": "12 % failed"},
        {"type": "Drifted", "status": "False", "lastTransitionTime": "nonsense"},
        {},
    ]
    conditions = cluster_facts(resource(told), ROLLOUT).conditions
    assert conditions is not None
    assert [each.good for each in conditions] == [True, True, False, True, True]
    assert conditions[0].since is not None
    assert conditions[3].since is None


def test_annotations_that_anybody_could_have_written_are_no_links() -> None:
    hostile = {
        **SAID,
        "repository": "javascript:alert(1)//github.com/x",
        "commit": "../..",
        "line": "<b>",
        "subject": "\x1b[31m<b>",
    }
    facts = cluster_facts(resource(**hostile), ROLLOUT)
    git = next(panel for panel in live_panels(ROLLOUT, facts, NOW) if panel.id == "git")
    assert [cell.link for row in git.rows for cell in row if cell.link] == []
    assert "\x1b" not in git.model_dump_json()


def test_a_cluster_is_taught_in_its_own_commands() -> None:
    panels = {panel.id: panel for panel in live_panels(ROLLOUT, cluster_facts(resource(), ROLLOUT), NOW)}
    assert list(panels) == ["conditions", "git"]
    assert panels["git"].command == "kubectl explain gitsource.spec"
