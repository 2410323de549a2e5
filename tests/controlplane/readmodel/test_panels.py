"""What stands around a rollout as tables: every state has its word and its symbol, links are http or nothing."""

import pytest

from canary.snapshot import OperatorRequest
from controlplane.readmodel.panels import Panel, audit_panel, live_panels
from controlplane.view.facts import ChannelReport, Commit, Condition, GitOrigin, Replica, RolloutFacts, safe_link
from controlplane.view.weblinks import commit_link, file_link, repository_link
from tests.controlplane.view import scenes

ROLLOUT, _, NOW = scenes.analyzing()
ORIGIN = GitOrigin(
    "https://github.com/ml/apps", "apps/chat/canary.yml", 14, Commit("4f2c1e9a77", "Try nf4", "javascript:alert(1)")
)


def shown(facts: RolloutFacts) -> dict[str, Panel]:
    return {panel.id: panel for panel in live_panels(ROLLOUT, facts, NOW)}


def test_a_replica_says_whether_it_is_ready_how_old_it_is_and_what_troubles_it() -> None:
    fine = Replica("stable", "stable-0", ready=True, since=NOW - 90, restarts=0, place="pid 1, port 2")
    ill = Replica("canary", "canary-0", False, None, 3, place="node-7", serves="vllm:0.33", trouble="no GPU\x1b[31m")
    panel = shown(RolloutFacts(replicas=(fine, ill), runs="pod"))["replicas"]
    assert panel.title == "Pods"
    first, second = [[cell.text for cell in row] for row in panel.rows]
    assert first == ["stable-0", "stable", "ready", "0", "90 s", "pid 1, port 2", "–", "–"]
    assert second == ["canary-0", "canary", "not ready", "3", "–", "node-7", "vllm:0.33", "no GPU"]
    assert (panel.rows[1][3].tone, panel.rows[1][7].tone) == ("bad", "open")


def test_a_link_that_no_browser_should_open_is_left_out() -> None:
    """GHSA-h4w9: only http and https."""
    panel = shown(RolloutFacts(origin=ORIGIN))["git"]
    rows = {row[0].text: row[1] for row in panel.rows}
    assert rows["Commit"].text == "4f2c1e9 Try nf4"
    assert rows["Commit"].link == ""
    assert rows["Repository"].link == "https://github.com/ml/apps"
    assert rows["File"].text == "apps/chat/canary.yml:14"


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\nscript:alert(1)",
        " javascript:alert(1)",
        "data:text/html,<script>1</script>",
        "vbscript:x",
        "//evil.example.com",
        "/relative",
        "https://",
        "https://ann:secret@git.example.com/x",
        'https://git.example.com/"onmouseover="x',
        "https://[broken/",
        "file:///etc/passwd",
        "",
    ],
)
def test_no_other_scheme_and_no_password_is_ever_a_link(address: str) -> None:
    assert safe_link(address) == ""


def test_addresses_of_commits_and_files_are_known_for_known_hosts_only() -> None:
    assert repository_link("git@github.com:ml/apps.git") == "https://github.com/ml/apps"
    assert repository_link("ssh://git@gitlab.com:22/ml/apps.git") == "https://gitlab.com/ml/apps"
    assert repository_link("git@git.example.com:ml/apps.git") == ""
    assert repository_link("file:///srv/apps.git") == ""
    assert commit_link("https://gitlab.com/ml/apps.git", "4f2c1e9") == "https://gitlab.com/ml/apps/-/commit/4f2c1e9"
    assert commit_link("https://git.example.com/ml/apps", "4f2c1e9") == ""
    assert commit_link("https://github.com/ml/apps", "../../evil") == ""
    assert file_link("https://github.com/ml/apps", "4f2c1e9", "a b/canary.yml", 14) == (
        "https://github.com/ml/apps/blob/4f2c1e9/a%20b/canary.yml#L14"
    )


def test_alerts_say_what_arrived_and_what_did_not() -> None:
    arrived = ChannelReport("slack (#ml)", delivered=2, last=NOW - 5, about="chat was rolled back")
    failed = ChannelReport("pagerduty", trouble="it answers 403", trouble_since=NOW)
    idle = ChannelReport("e-mail")
    rows = shown(RolloutFacts(channels=(arrived, failed, idle)))["alerts"].rows
    assert [row[1].text for row in rows] == ["delivered", "failed: it answers 403", "nothing to tell yet"]
    assert [row[1].symbol for row in rows] == ["✔", "✖", "○"]
    assert rows[0][3].at.endswith("Z")


def test_conditions_say_which_status_is_the_wished_one() -> None:
    fine = Condition("HTTPRoute chat", "Accepted", "True", since=NOW)
    ill = Condition("HTTPRoute chat", "ResolvedRefs", "False", "BackendNotFound", "no such Service", NOW, good=False)
    rows = shown(RolloutFacts(conditions=(fine, ill)))["conditions"].rows
    assert [row[2].symbol for row in rows] == ["✔", "✖"]
    assert rows[1][4].text == "BackendNotFound: no such Service"


def test_what_is_written_back_waits_or_is_rejected_is_said_with_the_next_command() -> None:
    origin = GitOrigin(
        "file:///srv/apps.git",
        "canary.yml",
        1,
        Commit("c1"),
        written=Commit("9f9f9f9f9", "the file was put back"),
        pull_request=Commit("#218", link="https://git.example.com/pulls/218"),
        proposed=Commit("#219", "waits to be merged", "javascript:alert(1)"),
        waits="the host is down",
        rejected="12 % failed",
        ours=False,
    )
    panel = shown(RolloutFacts(origin=origin))["git"]
    rows = {row[0].text: row[1].text for row in panel.rows}
    assert rows["Written back"] == "9f9f9f9 the file was put back"
    assert (rows["Pull request"], rows["Proposed"]) == ("#218", "#219 waits to be merged")
    assert [cell.link for row in panel.rows for cell in row if cell.link] == ["https://git.example.com/pulls/218"]
    assert (rows["Waits"], rows["Rejected"]) == ("the host is down", "12 % failed")
    assert rows["Try it again"] == "serinus retry support-llm"
    assert panel.note == "Git has another plan for this rollout by now."


def test_empty_panels_teach_the_next_command_and_unknown_ones_are_left_out() -> None:
    panels = shown(RolloutFacts(channels=()))
    assert "replicas" not in panels
    assert panels["git"].command == "serinus controller --git URL"
    assert panels["alerts"].command == "serinus alerts test canary.yml"
    assert all(panel.empty for panel in panels.values())


def test_a_request_that_waits_says_how_far_it_is_to_go() -> None:
    waiting = [
        OperatorRequest("q1", "promote", "ann", NOW, to=0.75),
        OperatorRequest("q2", "promote", "bob\x1b[31m", NOW, full=True),
        OperatorRequest("q3", "pause", "cy", NOW),
    ]
    rows = audit_panel("", (), waiting).rows
    assert [row[2].text for row in rows] == ["ann: promote to 75 %", "bob: promote to 100 %", "cy: pause"]
