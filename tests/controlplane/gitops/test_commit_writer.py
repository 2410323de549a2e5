"""Commits signed by an ssh key: git itself says that they are good, and a key that cannot sign is told at the start."""

import subprocess
from pathlib import Path

import pytest

from canary.errors import BadInput
from controlplane.gitops.bare_repository import BareRepository
from controlplane.gitops.commit_writer import CommitAuthor, parse_author
from controlplane.gitops.hosts.settings import GitSettings
from controlplane.gitops.remote import remote
from tests.controlplane.gitops.origin import ENVIRONMENT, Origin
from tests.controlplane.gitops.sshd import make_key
from tests.controlplane.gitops.town import Town, file


def verified(origin: Origin, key: Path, commit: str = "main") -> str:
    """What `git verify-commit` says to people who trust this key; nothing where it is not good."""
    allowed = key.with_suffix(".allowed")
    allowed.write_text(f"serinus@example.com {key.with_suffix('.pub').read_text()}")
    settings = ["-c", "gpg.format=ssh", "-c", f"gpg.ssh.allowedSignersFile={allowed}"]
    command = ["git", f"--git-dir={origin.folder}", *settings, "verify-commit", commit]
    done = subprocess.run(command, check=False, capture_output=True, env=ENVIRONMENT)
    return done.stderr.decode() if done.returncode == 0 else ""


async def test_a_rollback_is_signed_and_git_verifies_it(tmp_path: Path) -> None:
    """By the author that was given; a commit of anybody else's is not good under this key."""
    town = Town(tmp_path)
    key = make_key(tmp_path / "key")
    town.settings = GitSettings(sign_key=key, author="Serinus Bot <serinus@example.com>")
    theirs = town.origin.commit({"apps/chat/canary.yml": file("chat", "bad2")})
    async with town.controller():
        await town.until_commits(2)
    assert 'Good "git" signature for serinus@example.com' in verified(town.origin, key)
    assert verified(town.origin, key, theirs) == ""
    assert verified(town.origin, make_key(tmp_path / "other")) == ""
    who = town.origin.git("log", "-1", "--format=%an <%ae> %cn <%ce>", "main").strip()
    assert who == "Serinus Bot <serinus@example.com> Serinus Bot <serinus@example.com>"


@pytest.mark.parametrize("fault", ["passphrase", "rights", "content"])
async def test_a_key_that_cannot_sign_is_told_before_anything_starts(tmp_path: Path, fault: str) -> None:
    """It would show only when a rollback is to be written."""
    key = make_key(tmp_path / "key", "secret-MARKER" if fault == "passphrase" else "")
    if fault == "rights":
        key.chmod(0o644)
    if fault == "content":
        key.write_text("MARKER is no key\n")
    there = remote(Origin(tmp_path / "origin.git").url, local=True)
    store = BareRepository(tmp_path / "store", there, identity=CommitAuthor(key=key))
    with pytest.raises(BadInput, match="cannot sign commits") as error:
        await store.check()
    assert "MARKER" not in str(error.value)
    assert "Nothing was started" in str(error.value)


async def test_a_good_key_passes_the_check_and_leaves_nothing_behind(tmp_path: Path) -> None:
    there = remote(Origin(tmp_path / "origin.git").url, local=True)
    await BareRepository(tmp_path / "store", there, identity=CommitAuthor(key=make_key(tmp_path / "key"))).check()
    assert [each.name for each in (tmp_path / "store").iterdir()] == ["askpass"]


def test_an_author_is_a_name_and_an_address() -> None:
    assert parse_author("Serinus Bot <bot@example.com>", None) == CommitAuthor("Serinus Bot", "bot@example.com")
    assert parse_author("", None) == CommitAuthor()


@pytest.mark.parametrize(
    "author", ["Bot", "<bot@example.com>", "Bot <bot>", "Bot <a@b> <c@d>", "A\nB <a@b>", "A <a@b c>"]
)
def test_what_git_would_bend_into_another_author_is_refused(author: str) -> None:
    with pytest.raises(BadInput, match="is no author"):
        parse_author(author, None)


def test_a_key_that_is_not_there_is_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        parse_author("", tmp_path / "none")
