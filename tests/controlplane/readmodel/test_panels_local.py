"""What one machine's folders tell: processes on record, the git controller's book, the alerts that were delivered."""

import json
import os
from dataclasses import replace
from pathlib import Path

import psutil

from controlplane.adapters.process_child import Child
from controlplane.adapters.process_record import ProcessRecord, ProcessRecords
from controlplane.gitops.git_state import CommitReport, GitStateStore, PendingCommit, PlanOrigin, Proposal, Rejection
from controlplane.readmodel.panels_local import local_facts
from controlplane.view.facts import Commit
from tests.controlplane.view import scenes

ROLLOUT, SEEN, NOW = scenes.analyzing()
ME = Child(os.getpid(), psutil.Process().create_time())
GONE = Child(os.getpid(), 1.0)


def home(tmp_path: Path) -> Path:
    folder = tmp_path / "support-llm"
    folder.mkdir()
    return folder


def test_processes_are_those_on_record_with_their_restarts(tmp_path: Path) -> None:
    folder = home(tmp_path)
    records = ProcessRecords(folder / "processes.json")
    records.put("canary-0", ProcessRecord(GONE, 4712, "d", starts=4))
    records.put("stable-0", ProcessRecord(ME, 4711, "d"))
    records.note_ready("stable-0", 12.5)
    replicas = local_facts(folder, ROLLOUT, SEEN).replicas
    assert replicas is not None
    stable, canary = replicas
    assert (stable.name, stable.ready, stable.restarts, stable.trouble) == ("stable-0", True, 0, "")
    assert stable.place == f"pid {os.getpid()}, port 4711"
    assert (canary.ready, canary.restarts, canary.trouble) == (False, 3, "its process has ended")


def test_the_git_controllers_book_says_commit_author_and_line(tmp_path: Path) -> None:
    folder = home(tmp_path)
    (tmp_path / "_controller").mkdir()
    ledger = GitStateStore(tmp_path / "_controller" / "ledger.json")
    ledger.follows("https://github.com/ml/apps.git")
    ledger.origin(
        "support-llm", PlanOrigin("apps/canary.yml", 14, "9f2c", "a", "4f2c1e9aa", "Ann <ann@example.com>", "Try")
    )
    writing = PendingCommit("put back", "support-llm/3", "t", "support-llm", "9f2c", "a", "…")
    ledger.add(writing)
    ledger.reject("support-llm", "9f2c", Rejection("4f2c1e9aa", "It was slow."))
    origin = local_facts(folder, ROLLOUT, SEEN).origin
    assert origin is not None
    assert (origin.path, origin.line, origin.author, origin.ours) == (
        "apps/canary.yml",
        14,
        "Ann <ann@example.com>",
        True,
    )
    assert origin.commit.link == "https://github.com/ml/apps/commit/4f2c1e9aa"
    assert origin.file_link.endswith("/blob/4f2c1e9aa/apps/canary.yml#L14")
    assert origin.waits
    assert origin.rejected == "It was slow."
    ledger.written(writing, "beefbeef1")
    later = local_facts(folder, ROLLOUT, SEEN).origin
    assert later is not None
    assert later.written is not None
    assert (later.written.id, later.written.text, later.waits) == ("beefbeef1", "the file was put back", "")


def test_pull_requests_are_told_that_brought_a_commit_and_in_which_one_waits(tmp_path: Path) -> None:
    folder = home(tmp_path)
    (folder / "controller").mkdir()
    ledger = GitStateStore(folder / "controller" / "ledger.json")
    ledger.follows("git@gitlab.com:ml/apps.git")
    ledger.origin("support-llm", PlanOrigin("canary.yml", 1, "9f2c", "a", "4f2c1e9aa", "Ann", "Try"))
    writing = PendingCommit("put back", "support-llm/3", "t", "support-llm", "9f2c", "a", "…")
    url = "https://gitlab.com/ml/apps/-/merge_requests/7"
    report = CommitReport("support-llm", "9f2c", "4f2c1e9aa", "serinus", "pending", "It runs.", pull=218)
    book = replace(
        ledger.state, proposals=(Proposal(writing, "canary.yml", "b", 7, url),), reports={"4f2c1e9aa serinus": report}
    )
    ledger._write(book)
    origin = local_facts(folder, ROLLOUT, SEEN).origin
    assert origin is not None
    assert origin.pull_request == Commit("#218", "", "https://gitlab.com/ml/apps/-/merge_requests/218")
    assert origin.proposed == Commit("#7", "waits to be merged", url)


def test_a_controller_with_a_folder_of_its_own_is_found_beside_its_rollouts(tmp_path: Path) -> None:
    folder = tmp_path / "rollouts" / "support-llm"
    folder.mkdir(parents=True)
    ledger = GitStateStore(tmp_path / "ledger.json")
    ledger.origin("support-llm", PlanOrigin("canary.yml", 1, "other", "a", "c1", "Ann", "Try"))
    origin = local_facts(folder, ROLLOUT, SEEN).origin
    assert origin is not None
    assert not origin.ours


def test_alerts_are_those_of_this_attempt_and_the_newest_word_counts(tmp_path: Path) -> None:
    folder = home(tmp_path)
    lines = [
        {"channel": "slack", "since": 1.0},
        {"channel": "mail", "since": 1.0},
        {"channel": "slack", "key": "support-llm/2/rolledBack", "number": 9, "at": 5.0, "delivered": 6.0},
        {
            "channel": "slack",
            "key": "support-llm/3/blind",
            "number": 4,
            "at": 7.0,
            "state": "resolved",
            "delivered": 8.0,
        },
        {"channel": "mail", "failed": 9.0, "said": "it answers 403"},
    ]
    torn = '{"channel": "slack", "ke'
    (folder / "alerts.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines) + torn)
    channels = local_facts(folder, ROLLOUT, SEEN).channels
    assert channels is not None
    slack, mail = channels
    assert (slack.channel, slack.delivered, slack.last, slack.trouble) == ("slack", 1, 8.0, "")
    assert slack.about == "support-llm is blind: its metrics are silent (it is over)"
    assert (mail.delivered, mail.trouble, mail.trouble_since) == (0, "it answers 403", 9.0)


def test_missing_and_broken_files_leave_panels_empty_and_nothing_else(tmp_path: Path) -> None:
    folder = home(tmp_path)
    (folder / "processes.json").write_text("{")
    (folder / "alerts.jsonl").write_bytes(b"\xff\xfe[1, 2]\nnull\n")
    (tmp_path / "_controller").mkdir()
    (tmp_path / "_controller" / "ledger.json").write_text("not json")
    facts = local_facts(folder, ROLLOUT, SEEN)
    assert (facts.replicas, facts.origin, facts.channels) == ((), None, ())
