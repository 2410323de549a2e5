"""What all GitSources share: no namespace has more than its part, whatever its repositories are."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from canary.errors import BadInput
from controlplane.gitops.git import MEBI, Git, GitFailed, Limits
from controlplane.gitops.remote import remote
from controlplane.gitsources.machine_quota import OF_ONE, PROCESSES, MachineQuota, Quota, size_of
from controlplane.kubernetes.cache import Key
from tests.controlplane.gitops.origin import Origin

A, B, C = ("team-a", "one"), ("team-a", "two"), ("team-b", "apps")


def _filled(room: MachineQuota, key: Key, mebi: int) -> None:
    folder = room.folder(key) / "objects.git"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "pack").open("wb") as file:
        file.truncate(mebi * MEBI)


async def test_s14_a_namespace_whose_repositories_hang_holds_few_of_the_places(tmp_path: Path) -> None:
    """Its third call waits for its own first one; another namespace's has a place at once."""
    room = MachineQuota(tmp_path)
    async with AsyncExitStack() as held, asyncio.TaskGroup() as tasks:
        for _ in range(OF_ONE):
            await held.enter_async_context(room.share(A).turn())
        waiting = [tasks.create_task(_passed(room, key)) for key in (A, B) * PROCESSES]
        async with asyncio.timeout(5):
            await _passed(room, C)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not any(each.done() for each in waiting)
        await held.aclose()


async def _passed(room: MachineQuota, key: Key) -> None:
    async with room.share(key).turn():
        pass


@pytest.mark.parametrize(
    ("filled", "key", "room_mebi"),
    [
        ({}, A, 100),
        ({A: 70}, A, 30),
        ({A: 100, B: 100}, C, 100),
        ({A: 100, B: 95}, ("team-a", "three"), 30),
        ({A: 100, ("team-b", "x"): 200, ("team-c", "y"): 100}, C, 25),
        ({A: 100, ("team-b", "x"): 100, ("team-c", "y"): 225}, C, 25),
    ],
)
async def test_s14_a_fetch_may_bring_what_is_left_to_its_source_its_namespace_and_all(
    tmp_path: Path, filled: dict[Key, int], key: Key, room_mebi: int
) -> None:
    room = MachineQuota(tmp_path, Quota(disk=500 * MEBI, source=100 * MEBI))
    for each, mebi in filled.items():
        _filled(room, each, mebi)
    async with room.share(key).fetching() as granted:
        assert granted == room_mebi * MEBI


@pytest.mark.parametrize(
    ("filled", "why"),
    [
        ({A: 100}, "this GitSource's copy may take 100 MiB"),
        ({("team-a", "x"): 225}, "the copies of namespace team-a may take 225 MiB"),
        ({C: 225, ("team-c", "x"): 225}, "all copies may take 450 MiB"),
    ],
)
async def test_s14_where_nothing_is_left_no_fetch_begins(tmp_path: Path, filled: dict[Key, int], why: str) -> None:
    room = MachineQuota(tmp_path, Quota(disk=500 * MEBI, source=100 * MEBI))
    for each, mebi in filled.items():
        _filled(room, each, mebi)
    with pytest.raises(GitFailed, match=why):
        async with room.share(A).fetching():
            pass


async def test_s14_what_fetches_under_way_may_still_bring_is_taken_already(tmp_path: Path) -> None:
    """And is given back at their end."""
    room = MachineQuota(tmp_path, Quota(disk=200 * MEBI, source=80 * MEBI))
    async with room.share(A).fetching() as first, room.share(B).fetching() as second:
        assert (first, second) == (80 * MEBI, 10 * MEBI)
        async with room.share(C).fetching() as third:
            assert third == 80 * MEBI
    async with room.share(B).fetching() as again:
        assert again == 80 * MEBI


async def test_s14_a_repository_that_is_larger_than_its_part_fails_alone(tmp_path: Path) -> None:
    """By the kernel's word to git, as the limit of one fetch is kept."""
    origin = Origin(tmp_path / "origin.git")
    origin.commit({"canary.yml": "x", "large.bin": "".join(chr(33 + (n * n * 7919) % 90) for n in range(4 * MEBI))})
    room = MachineQuota(tmp_path / "cache", Quota(disk=500 * MEBI, source=1 * MEBI))
    folder = room.folder(A)
    git = Git(folder / "objects.git", remote(str(origin.folder), local=True), Limits(), room.share(A))
    await asyncio.to_thread(git.prepare)
    await git.run("init", "--bare", "--quiet")
    with pytest.raises(GitFailed, match="larger than the limit"):
        await git.run("fetch", "--quiet", git.remote.url, "refs/heads/main", limited=True)


async def test_copies_of_sources_that_are_gone_are_removed(tmp_path: Path) -> None:
    room = MachineQuota(tmp_path)
    for key in (A, B, C):
        _filled(room, key, 1)
    await room.clear([A, C])
    assert {each.name for each in tmp_path.iterdir()} == {"team-a.one", "team-b.apps"}  # noqa: ASYNC240 - a test's own


@pytest.mark.parametrize("text", ["", "Mi", "0Gi", "1", "1G", "-1Mi", "1.5Gi"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is no size"):
        size_of(text)
    assert size_of("2Gi") == 2048 * MEBI
