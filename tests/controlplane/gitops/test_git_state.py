"""The ledger: what it is told it still knows after a restart, and a file that it cannot understand is left alone."""

from pathlib import Path

import pytest

from canary.errors import BadInput
from controlplane.gitops.git_state import (
    LONGEST_QUARANTINE,
    GitStateStore,
    MadeCommit,
    PendingCommit,
    PlanOrigin,
    Rejection,
)

ORIGIN = PlanOrigin("apps/chat/canary.yml", 11, "r1", "a1", "c1", "Ann", "Try v2")
WRITING = PendingCommit("put back", "chat/1", "2026-11-21T09:00:00Z", "chat", "r1", "a1", "Roll back chat\n")


def test_everything_is_known_after_a_restart(tmp_path: Path) -> None:
    git_state = GitStateStore(tmp_path / "ledger.json")
    assert git_state.is_new
    git_state.origin("chat", ORIGIN)
    git_state.at("c1")
    git_state.reject("chat", "r1", Rejection("c1", "It was slow."))
    git_state.add(WRITING)
    git_state.withdraw("other", "its file is gone")
    git_state.settle("chat", "chat/1@now")
    git_state.freeze("chat", "b1")
    again = GitStateStore(tmp_path / "ledger.json")
    assert not again.is_new
    assert again.state == git_state.state
    assert again.rejection("chat", "r1") == Rejection("c1", "It was slow.")
    again.written(WRITING)
    again.thaw("chat")
    again.forget("chat")
    assert again.allow("chat")
    last = GitStateStore(tmp_path / "ledger.json").state
    assert (last.writings, last.frozen, last.origins, last.rejected) == ((), {}, {}, {})
    assert last.withdrawn == {"other": "its file is gone"}


def test_a_newer_commit_for_a_rollout_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    git_state = GitStateStore(tmp_path / "ledger.json")
    git_state.add(WRITING)
    newer = PendingCommit("promote", "chat/2", "2026-11-21T10:00:00Z", "chat", "r2", "a2", "Promote\n")
    git_state.add(newer)
    assert git_state.state.writings == (newer,)


def test_it_is_remembered_which_commit_was_made_and_where(tmp_path: Path) -> None:
    git_state = GitStateStore(tmp_path / "ledger.json")
    git_state.follows("https://git.example.com/ml/apps.git")
    git_state.add(WRITING)
    git_state.written(WRITING, "4f2c1e9")
    state = GitStateStore(git_state.file).state
    assert state.url == "https://git.example.com/ml/apps.git"
    assert (state.writings, state.made) == ((), {"chat": MadeCommit("put back", "chat/1", "4f2c1e9")})


def test_the_quarantine_is_bounded_and_forgets_the_oldest(tmp_path: Path) -> None:
    git_state = GitStateStore(tmp_path / "ledger.json")
    with git_state.together():
        for number in range(LONGEST_QUARANTINE + 5):
            git_state.reject("chat", f"r{number}", Rejection("c", "No."))
    assert len(git_state.state.rejected["chat"]) == LONGEST_QUARANTINE
    assert git_state.rejection("chat", "r0") is None
    assert git_state.rejection("chat", f"r{LONGEST_QUARANTINE + 4}") is not None


def test_what_is_told_together_is_written_once_or_when_it_must_be(tmp_path: Path) -> None:
    git_state = GitStateStore(tmp_path / "ledger.json")
    with git_state.together():
        git_state.origin("chat", ORIGIN)
        assert not git_state.file.exists()
        git_state.flush()
        assert GitStateStore(git_state.file).state.origins == {"chat": ORIGIN}
        git_state.at("c2")
    assert GitStateStore(git_state.file).state.head == "c2"


@pytest.mark.parametrize("content", ["", "{", '{"head": 1, "origins": []}', "\x00"])
def test_a_file_that_cannot_be_understood_is_said_and_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / "ledger.json").write_text(content)
    with pytest.raises(BadInput, match="Move it away"):
        GitStateStore(tmp_path / "ledger.json")
    assert (tmp_path / "ledger.json").read_text() == content


def test_s14_a_rollout_that_is_called_like_another_folder_is_not_remembered(tmp_path: Path) -> None:
    """An earlier release took such names out of files at rest; what they would open lies somewhere else."""
    git_state = GitStateStore(tmp_path / "ledger.json")
    for name in ("../../other", "..", "chat"):
        git_state.origin(name, ORIGIN)
        git_state.withdraw(name, "gone")
    again = GitStateStore(tmp_path / "ledger.json").state
    assert (list(again.origins), list(again.withdrawn)) == (["chat"], ["chat"])
