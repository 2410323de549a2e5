"""The bare copy: what is read of a repository however hostile, and that a commit of ours never costs anybody theirs."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from canary.errors import BadInput, Conflict, ExternalError
from controlplane.gitops.bare_repository import BareRepository
from controlplane.gitops.commit_log import CommitInfo
from controlplane.gitops.git import Limits
from controlplane.gitops.paths import Pattern
from controlplane.gitops.remote import remote
from tests.controlplane.gitops.origin import Origin
from tests.controlplane.other_user import exposed, open_to_all, readable

ALL = Pattern("**/canary.yml")


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path / "origin.git")


async def opened(tmp_path: Path, origin: Origin, name: str = "store", **limits: int) -> BareRepository:
    store = BareRepository(tmp_path / name, remote(origin.url, local=True), limits=replace(Limits(), **limits))
    await store.open()
    return store


def outside(folder: Path) -> set[Path]:
    """Everything in the folder that is not in the store."""
    return {path for path in folder.rglob("*") if "store" not in path.parts}


def size_of(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def never(_facts: CommitInfo) -> bool:
    return False


async def test_files_commits_and_their_authors_are_read(tmp_path: Path, origin: Origin) -> None:
    """Each file knows who changed it last, however many commits came after."""
    first = origin.commit({"apps/a/canary.yml": "a: 1\n", "README.md": "x"}, "Try it\n\nBecause.\n\nSerinus-Retry: a\n")
    origin.commit({"apps/b/canary.yml": "b: 1\n"}, "Another", author="Bob <bob@example.com>")
    newest = origin.commit({"README.md": "y"})
    store = await opened(tmp_path, origin)
    assert await store.fetch() == newest
    blobs, refused = await store.matching(newest, ALL)
    assert [blob.path for blob in blobs] == ["apps/a/canary.yml", "apps/b/canary.yml"]
    assert refused == []
    contents = await store.read([blob.id for blob in blobs], limit=100)
    assert [contents[blob.id] for blob in blobs] == [b"a: 1\n", b"b: 1\n"]
    facts = await store.changed_by(newest, ["apps/a/canary.yml", "apps/b/canary.yml"])
    assert facts["apps/a/canary.yml"].id == first
    assert facts["apps/a/canary.yml"].trailer("Serinus-Retry") == "a"
    assert (facts["apps/b/canary.yml"].author, facts["apps/b/canary.yml"].subject) == ("Bob", "Another")


async def test_an_empty_repository_a_missing_branch_and_a_missing_repository_are_three_things(
    tmp_path: Path, origin: Origin
) -> None:
    store = await opened(tmp_path, origin)
    assert await store.fetch() is None
    origin.commit({"x": "y"}, branch="other")
    with pytest.raises(ExternalError, match=r"branch main is not in .* \(any more\)"):
        await store.fetch()
    gone = BareRepository(tmp_path / "gone", remote(f"{origin.url}-not", local=True))
    await gone.open()
    with pytest.raises(ExternalError, match="no such repository"):
        await gone.fetch()


async def test_a_rewritten_history_is_seen(tmp_path: Path, origin: Origin) -> None:
    old = origin.commit({"canary.yml": "1"})
    store = await opened(tmp_path, origin)
    await store.fetch()
    newer = origin.commit({"canary.yml": "2"})
    await store.fetch()
    assert await store.descends(newer, old)
    other = origin.commit({"canary.yml": "3"}, root=True)
    assert await store.fetch() == other
    assert not await store.descends(other, newer)


async def test_s1_a_hostile_repository_is_read_without_harm(tmp_path: Path, origin: Origin) -> None:
    """Links, submodules, names of git and Windows, other modes: each is refused by name; nothing leaves the store."""
    hook = f"touch {tmp_path}/harm"
    origin.commit(
        {
            "link/canary.yml": ("120000", "/etc/passwd"),
            "module/canary.yml": ("160000", "a" * 40),
            "program/canary.yml": ("100755", "x"),
            "git~1/canary.yml": "x",
            "con/canary.yml": "x",
            "-f/canary.yml": "x",
            "a\nb/canary.yml": "x",
            "\x1b[31m/canary.yml": "x",
            "lfs/canary.yml": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            ".gitattributes": "* filter=evil",
            ".gitmodules": '[submodule "x"]\n\tpath = module\n\turl = ext::sh -c id\n',
            "hooks/post-checkout": ("100755", f"#!/bin/sh\n{hook}\n"),
            "config": f'[core]\n\tsshCommand = "{hook}"\n',
            "good/canary.yml": "good",
        }
    )
    before = outside(tmp_path)
    store = await opened(tmp_path, origin)
    head = await store.fetch()
    assert head is not None
    blobs, refused = await store.matching(head, ALL)
    assert [blob.path for blob in blobs] == ["good/canary.yml", "lfs/canary.yml"]
    assert len(refused) == 8
    assert all(each.why and each.path.isprintable() for each in refused)
    assert outside(tmp_path) == before
    assert not [path for path in (tmp_path / "store").rglob("*") if path.name == "canary.yml"]


async def test_s1_hooks_on_this_side_never_run_and_those_of_a_folder_that_is_pushed_to_do(
    tmp_path: Path, origin: Origin
) -> None:
    """The store may hold any hook, whoever put it there; the receiving folder's are its owner's rules."""
    origin.commit({"canary.yml": "1"})
    store = await opened(tmp_path, origin)
    await store.fetch()
    for name in ("pre-push", "reference-transaction", "post-commit", "pre-auto-gc"):
        hook = tmp_path / "store" / "objects.git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/harm-{name}\n")
        hook.chmod(0o755)
    origin.hook("post-receive", f"touch {tmp_path}/told")
    made = await store.writer.commit("canary.yml", lambda _: b"2", "Change it", lambda _: False)
    assert made == origin.head()
    await store.fetch()
    assert (tmp_path / "told").exists()
    assert not [each for each in outside(tmp_path) if "harm-" in str(each)]


async def test_s1_names_that_only_raw_objects_can_have_are_refused(tmp_path: Path, origin: Origin) -> None:
    """`..` and `.git` as names of folders: git itself would not make them, a hostile host can."""
    blob = origin.git("hash-object", "-w", "--stdin", stdin=b"x").strip()
    inner = origin.git("mktree", stdin=f"100644 blob {blob}\tcanary.yml\n".encode()).strip()
    raw = b"".join(b"40000 %s\0%s" % (name, bytes.fromhex(inner)) for name in (b"..", b".git"))
    tree = origin.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=raw).strip()
    commit = f"tree {tree}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nx\n"
    origin.git(
        "update-ref",
        "refs/heads/main",
        origin.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=commit.encode()).strip(),
    )
    store = await opened(tmp_path, origin)
    try:
        head = await store.fetch()
    except ExternalError:
        return  # a git that checks what it fetches refuses all of it
    assert head is not None
    blobs, refused = await store.matching(head, ALL)
    assert (blobs, len(refused)) == ([], 2)


async def test_s1_a_blob_of_100_mb_is_never_read_and_a_pack_over_the_limit_never_kept(
    tmp_path: Path, origin: Origin
) -> None:
    """The file is cut to one byte more than its reader allows; a fetch over the limit is ended by the kernel."""
    origin.commit({"canary.yml": os.urandom(2_000_000), "zeros/canary.yml": b"\0" * 100_000_000})
    store = await opened(tmp_path, origin)
    head = await store.fetch()
    assert head is not None
    blobs, _ = await store.matching(head, ALL)
    contents = await store.read([blob.id for blob in blobs], limit=1000)
    assert {len(content) for content in contents.values()} == {1001}
    small = await opened(tmp_path, origin, "small", pack=1_000_000)
    with pytest.raises(ExternalError, match="larger than the limit"):
        await small.fetch()
    assert size_of(tmp_path / "small") < 100_000


async def test_s1_a_hundred_thousand_files_are_looked_through_or_refused(tmp_path: Path, origin: Origin) -> None:
    files: dict[str, str] = {f"d{i // 1000}/f{i}": "" for i in range(100_000)}
    origin.commit({**files, "apps/a/canary.yml": "x"})
    store = await opened(tmp_path, origin)
    head = await store.fetch()
    assert head is not None
    blobs, _ = await store.matching(head, ALL)
    assert [blob.path for blob in blobs] == ["apps/a/canary.yml"]
    few = await opened(tmp_path, origin, files=1000)
    with pytest.raises(ExternalError, match="100,001 files, more than the 1,000"):
        await few.matching(head, ALL)


async def test_s2_paths_cost_no_more_letters_than_are_allowed(tmp_path: Path, origin: Origin) -> None:
    """Whoever may push decides what files are called, and who writes the pattern what they are compared with."""
    head = origin.commit({f"{'a' * 90}{number}b/x": "" for number in range(30)})
    store = await opened(tmp_path, origin, letters=2_000)
    await store.fetch()
    assert await store.matching(head, Pattern("**/canary.yml")) == ([], [])
    with pytest.raises(ExternalError, match=r"letters in the names of its files, more than the 2,000 that are looked"):
        await store.matching(head, Pattern("**/*a*z*/*"))


async def test_a_commit_changes_one_file_and_is_made_once(tmp_path: Path, origin: Origin) -> None:
    """The same decision again finds its commit by its trailer."""
    before = origin.commit({"a/canary.yml": "one\r\n", "other": "kept"})
    store = await opened(tmp_path, origin)
    message = "Roll back a\n\nSerinus-Rollout: a/1\n"

    def mine(facts: CommitInfo) -> bool:
        return facts.trailer("Serinus-Rollout") == "a/1"

    made = await store.writer.commit("a/canary.yml", lambda text: text + b"two\n", message, mine)
    assert made == origin.head()
    assert origin.git("cat-file", "blob", "main:a/canary.yml") == "one\r\ntwo\n"
    assert origin.text("other") == "kept"
    assert origin.git("rev-parse", "main^").strip() == before
    assert await store.writer.commit("a/canary.yml", lambda text: text + b"three\n", message, mine) == made
    assert await store.writer.commit("gone/canary.yml", lambda text: text, message, never) is None
    assert await store.writer.commit("a/canary.yml", lambda _text: None, message, never) is None
    assert origin.head() == made
    assert "dangling" not in origin.git("fsck", "--strict")


async def test_s7_a_copy_is_its_owner_s_alone_and_a_repository_of_this_machine_keeps_its_own_permissions(
    origin: Origin,
) -> None:
    """A team may share the repository in a folder; what we push there is for them all, as their umask and it say."""
    before = os.umask(0o002)
    try:
        with open_to_all() as shared:
            origin.commit({"apps/chat/canary.yml": "a: 1\n"})
            store = BareRepository(shared / "store", remote(origin.url, local=True))
            await store.open()
            await store.fetch()
            await store.writer.commit("apps/chat/canary.yml", lambda _text: b"a: 2\n", "Change it\n", never)
            assert readable(shared / "store") == []
            assert exposed(shared / "store") == []
            assert all(path.stat().st_mode & 0o040 for path in (origin.folder / "objects").rglob("*"))
    finally:
        os.umask(before)


async def test_s7_a_copy_is_not_kept_where_another_user_could_replace_what_git_runs(
    tmp_path: Path, origin: Origin
) -> None:
    """A link in wait takes no program of ours, and no file of the victim changes."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "store").mkdir(mode=0o700)
    for name in ("askpass", ".askpass.new"):
        (tmp_path / "store" / name).symlink_to(victim)
    store = BareRepository(tmp_path / "store", remote(origin.url, local=True))
    with pytest.raises(ExternalError, match="for git cannot be used"):
        await store.open()
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(BadInput, match="is a link"):
        await BareRepository(tmp_path / "link", remote(origin.url, local=True)).open()
    assert victim.read_text() == "precious"


async def test_r7_ten_writers_at_once_lose_nothing_of_each_other(tmp_path: Path, origin: Origin) -> None:
    """Each of ten machines writes its own file, all at the same moment, until it is in."""
    origin.commit({f"{n}/canary.yml": "old" for n in range(10)})
    stores = [await opened(tmp_path, origin, f"store-{n}") for n in range(10)]

    async def write(number: int) -> int:
        for tries in range(1, 30):
            try:
                await stores[number].writer.commit(f"{number}/canary.yml", lambda _: b"new", f"Write {number}", never)
            except Conflict:
                await asyncio.sleep(0.02 * number)
            else:
                return tries
        raise AssertionError(f"writer {number} starved")

    await asyncio.gather(*(write(number) for number in range(10)))
    assert [origin.text(f"{n}/canary.yml") for n in range(10)] == ["new"] * 10
    assert origin.count() == 11


async def test_r7_ten_machines_with_one_decision_make_one_commit(tmp_path: Path, origin: Origin) -> None:
    origin.commit({"canary.yml": "old"})
    stores = [await opened(tmp_path, origin, f"store-{n}") for n in range(10)]

    async def write(store: BareRepository) -> str | None:
        return await store.writer.commit(
            "canary.yml", lambda text: text + b"!", "Once", lambda facts: facts.subject == "Once"
        )

    answers = await asyncio.gather(*(write(store) for store in stores))
    assert set(answers) == {origin.head()}
    assert origin.text("canary.yml") == "old!"


async def test_r7_a_force_push_under_us_is_read_again_and_not_undone(tmp_path: Path, origin: Origin) -> None:
    """Between our reading and our push the branch gets another history: our commit goes on top of that one."""
    origin.commit({"canary.yml": "old"})
    store = await opened(tmp_path, origin)
    moved: list[str] = []

    def change(text: bytes) -> bytes:
        if not moved:
            moved.append(origin.commit({"canary.yml": "rewritten", "new": "x"}, "Rewrite", root=True))
        return text + b"!"

    made = await store.writer.commit("canary.yml", change, "x", never)
    assert made == origin.head()
    assert origin.text("canary.yml") == "rewritten!"
    assert origin.git("log", "--format=%s").split() == ["x", "Rewrite"]


async def test_r7_a_branch_that_never_stands_still_is_left_for_later(tmp_path: Path, origin: Origin) -> None:
    """After five tries it is a conflict, not a loop; nothing of ours is half there."""
    origin.commit({"canary.yml": "old"})
    store = await opened(tmp_path, origin)

    def change(text: bytes) -> bytes:
        origin.commit({"other": str(origin.count())}, "Busy")
        return text + b"!"

    with pytest.raises(Conflict, match="others pushed first 5 times"):
        await store.writer.commit("canary.yml", change, "x", never)
    assert origin.text("canary.yml") == "old"
    assert origin.count() == 6


async def test_r7_a_protected_branch_is_said_as_one(tmp_path: Path, origin: Origin) -> None:
    origin.commit({"canary.yml": "old"})
    origin.hook("pre-receive", "echo 'GH006: Protected branch update failed' >&2; exit 1")
    store = await opened(tmp_path, origin)
    with pytest.raises(ExternalError, match="refuses the push"):
        await store.writer.commit("canary.yml", lambda _: b"new", "x", never)
    (origin.folder / "hooks" / "pre-receive").unlink()
    assert await store.writer.commit("canary.yml", lambda _: b"new", "x", never) == origin.head()


async def test_a_note_is_put_on_a_commit_beside_what_others_noted(tmp_path: Path, origin: Origin) -> None:
    """Two machines note two commits; the same note again changes nothing, and one with the same first line replaces."""
    first, second = origin.commit({"a": "1"}), origin.commit({"a": "2"})
    one, other = await opened(tmp_path, origin, "one"), await opened(tmp_path, origin, "other")
    await one.fetch()
    await other.fetch()
    await one.writer.note(first, "a: bad")
    await other.writer.note(second, "b: bad")
    await one.writer.note(first, "a: bad\n")
    assert (origin.note(first).strip(), origin.note(second).strip()) == ("a: bad", "b: bad")
    await one.writer.note(first, "a: bad\n\nvery")
    assert origin.note(first).strip() == "a: bad\n\nvery"
    await one.writer.note(first, "and more")
    await one.writer.note(first, "a: bad\n\nvery")
    assert origin.note(first).strip() == "a: bad\n\nvery\n\n----\n\nand more"
    assert origin.note(second).strip() == "b: bad"


async def test_a_store_that_was_damaged_is_made_anew(tmp_path: Path, origin: Origin) -> None:
    origin.commit({"canary.yml": "x"})
    store = await opened(tmp_path, origin)
    head = await store.fetch()
    for pack in (tmp_path / "store").rglob("*.pack"):
        pack.chmod(0o600)
        pack.write_bytes(b"damaged")
    again = await opened(tmp_path, origin)
    assert await again.fetch() == head
    assert head is not None
    assert (await again.matching(head, ALL))[0]


async def test_a_store_that_is_used_for_long_stays_small(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small fetches leave a pack each; from time to time they become one."""
    monkeypatch.setattr("controlplane.gitops.bare_repository.TIDY_EVERY", 25)
    store = await opened(tmp_path, origin)
    for number in range(26):
        origin.commit({"canary.yml": str(number)})
        await store.fetch()
    assert len([path for path in (tmp_path / "store").rglob("*.pack") if path.is_file()]) < 5


async def test_s2_the_surroundings_change_nothing(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables and the user's own configuration, which could run programs or lead elsewhere, are not seen by git."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".gitconfig").write_text(
        f'[core]\n\thooksPath = {tmp_path}\n[url "ext::x"]\n\tinsteadOf = file\n'
    )
    for name in ("GIT_DIR", "GIT_SSH_COMMAND", "GIT_PROXY_COMMAND", "GIT_EXTERNAL_DIFF", "GIT_TRACE"):
        monkeypatch.setenv(name, str(tmp_path / "trap"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    hook = tmp_path / "pre-push"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/harm\n")
    hook.chmod(0o755)
    origin.commit({"canary.yml": "old"})
    store = await opened(tmp_path, origin)
    assert await store.writer.commit("canary.yml", lambda _: b"new", "x", never) == origin.head()
    assert not (tmp_path / "harm").exists()
    assert not (tmp_path / "trap").exists()


async def test_a_host_that_never_answers_is_given_up(tmp_path: Path) -> None:
    """After the time for one call, and nothing of git is left running: its connection ends."""
    left = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        left.set()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x.git"
    store = BareRepository(tmp_path / "store", remote(url), limits=Limits(seconds=1.0))
    await store.open()
    with pytest.raises(ExternalError, match="no answer within 1 s"):
        await store.fetch()
    await left.wait()
    server.close()
