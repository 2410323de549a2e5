"""The ledger: what it is told it still knows after a restart, and a file that it cannot understand is left alone."""

from pathlib import Path

import pytest

from canary.errors import BadInput
from controlplane.gitops.ledger import LONGEST_QUARANTINE, Ledger, Made, Origin, Rejection, Writing

ORIGIN = Origin("apps/chat/canary.yml", 11, "r1", "a1", "c1", "Ann", "Try v2")
WRITING = Writing("put back", "chat/1", "2026-11-21T09:00:00Z", "chat", "r1", "a1", "Roll back chat\n")


def test_everything_is_known_after_a_restart(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.json")
    assert ledger.is_new
    ledger.origin("chat", ORIGIN)
    ledger.at("c1")
    ledger.reject("chat", "r1", Rejection("c1", "It was slow."))
    ledger.add(WRITING)
    ledger.withdraw("other", "its file is gone")
    ledger.settle("chat", "chat/1@now")
    ledger.freeze("chat", "b1")
    again = Ledger(tmp_path / "ledger.json")
    assert not again.is_new
    assert again.book == ledger.book
    assert again.rejection("chat", "r1") == Rejection("c1", "It was slow.")
    again.written(WRITING)
    again.thaw("chat")
    again.forget("chat")
    assert again.allow("chat")
    last = Ledger(tmp_path / "ledger.json").book
    assert (last.writings, last.frozen, last.origins, last.rejected) == ((), {}, {}, {})
    assert last.withdrawn == {"other": "its file is gone"}


def test_a_newer_commit_for_a_rollout_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.json")
    ledger.add(WRITING)
    newer = Writing("promote", "chat/2", "2026-11-21T10:00:00Z", "chat", "r2", "a2", "Promote\n")
    ledger.add(newer)
    assert ledger.book.writings == (newer,)


def test_it_is_remembered_which_commit_was_made_and_where(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.json")
    ledger.follows("https://git.example.com/ml/apps.git")
    ledger.add(WRITING)
    ledger.written(WRITING, "4f2c1e9")
    book = Ledger(ledger.file).book
    assert book.url == "https://git.example.com/ml/apps.git"
    assert (book.writings, book.made) == ((), {"chat": Made("put back", "chat/1", "4f2c1e9")})


def test_the_quarantine_is_bounded_and_forgets_the_oldest(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.json")
    with ledger.together():
        for number in range(LONGEST_QUARANTINE + 5):
            ledger.reject("chat", f"r{number}", Rejection("c", "No."))
    assert len(ledger.book.rejected["chat"]) == LONGEST_QUARANTINE
    assert ledger.rejection("chat", "r0") is None
    assert ledger.rejection("chat", f"r{LONGEST_QUARANTINE + 4}") is not None


def test_what_is_told_together_is_written_once_or_when_it_must_be(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.json")
    with ledger.together():
        ledger.origin("chat", ORIGIN)
        assert not ledger.file.exists()
        ledger.flush()
        assert Ledger(ledger.file).book.origins == {"chat": ORIGIN}
        ledger.at("c2")
    assert Ledger(ledger.file).book.head == "c2"


@pytest.mark.parametrize("content", ["", "{", '{"head": 1, "origins": []}', "\x00"])
def test_a_file_that_cannot_be_understood_is_said_and_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / "ledger.json").write_text(content)
    with pytest.raises(BadInput, match="Move it away"):
        Ledger(tmp_path / "ledger.json")
    assert (tmp_path / "ledger.json").read_text() == content


def test_s14_a_rollout_that_is_called_like_another_folder_is_not_remembered(tmp_path: Path) -> None:
    """An earlier release took such names out of files at rest; what they would open lies somewhere else."""
    ledger = Ledger(tmp_path / "ledger.json")
    for name in ("../../other", "..", "chat"):
        ledger.origin(name, ORIGIN)
        ledger.withdraw(name, "gone")
    again = Ledger(tmp_path / "ledger.json").book
    assert (list(again.origins), list(again.withdrawn)) == (["chat"], ["chat"])
