"""One suite for the three adapters: what Serinus asks of a host, and what it makes of every way to say no."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controlplane.adapters.dial_policy import Reach
from controlplane.alerts.guarded_http import GuardedHttp
from controlplane.gitops.hosts.host import Comment, Host, HostFailed, HostFailureKind, Status
from controlplane.gitops.hosts.repo_location import access_of, host_at, location_of
from controlplane.gitops.hosts.settings import GitSettings
from tests.controlplane.gitops.hosts.forge import KINDS, TOKEN, Forge, Trouble
from tests.controlplane.gitops.hosts.forge_server import forge_for
from tests.controlplane.gitops.origin import Origin

pytestmark = pytest.mark.parametrize("forge", KINDS, indirect=True)
STATUS = Status("serinus/chat", "pending", "25 % of the traffic", "https://serinus.example/rollouts/chat")


@pytest.fixture
def forge(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Forge]:
    (tmp_path / "team").mkdir()
    origin = Origin(tmp_path / "team" / "models.git")
    origin.commit({"a": "1"})
    with forge_for(request.param, origin) as served:
        yield served


@pytest.fixture
def host(forge: Forge, tmp_path: Path) -> Host:
    return adapter(forge, tmp_path)


def adapter(forge: Forge, folder: Path, *, seconds: float = 10.0, now: Callable[[], float] = time.time) -> Host:
    """The adapter, as options and a token's file make it."""
    (folder / "token").write_text(f"{TOKEN}\n")
    settings = GitSettings(host=forge.kind, api=forge.api)
    place = location_of("https://git.example.com/team/models.git", settings)
    assert place is not None
    door = access_of(place, folder / "token", now)
    return host_at(place, type(door)(door.root, door.token, GuardedHttp(Reach(), seconds=seconds), door.now))


def branch(forge: Forge, name: str = "serinus/put-back/chat") -> str:
    """A branch with a change."""
    forge.origin.git("update-ref", f"refs/heads/{name}", forge.origin.head())
    forge.origin.commit({"a": f"for {name}"}, branch=name)
    return name


async def test_a_branch_is_proposed_found_by_its_name_and_merged(forge: Forge, host: Host) -> None:
    name = branch(forge)
    assert await host.find(name, "main") is None
    made = await host.open(name, "main", "Roll back chat", "It was *slow*.")
    assert (made.number, made.state, made.head, made.base) == (1, "open", name, "main")
    assert made.url.startswith(f"http://127.0.0.1:{forge.port}/team/models/")
    assert (forge.pulls[0].title, forge.pulls[0].text) == ("Roll back chat", "It was *slow*.")
    assert await host.find(name, "main") == made == await host.see(1)
    merged = forge.merge(1)
    for seen in (await host.see(1), await host.find(name, "main")):
        assert seen is not None
        assert (seen.state, seen.merged_as) == ("merged", merged)


async def test_what_was_closed_is_not_what_was_merged(forge: Forge, host: Host) -> None:
    name = branch(forge)
    await host.open(name, "main", "Roll back chat", "")
    await host.close(1)
    seen = await host.find(name, "main")
    assert seen is not None
    assert (seen.state, seen.merged_as) == ("closed", "")


async def test_a_second_one_for_the_same_branch_is_refused(forge: Forge, host: Host) -> None:
    """Each host has a status of its own for that; ours is one."""
    name = branch(forge)
    await host.open(name, "main", "Once", "")
    with pytest.raises(HostFailed, match="already exists") as failed:
        await host.open(name, "main", "Twice", "")
    assert failed.value.why is HostFailureKind.INVALID
    assert len(forge.pulls) == 1


async def test_a_branch_that_changes_nothing_is_refused_in_the_hosts_words(forge: Forge, host: Host) -> None:
    forge.origin.git("update-ref", "refs/heads/same", forge.origin.head())
    with pytest.raises(HostFailed, match="No commits between main and same"):
        await host.open("same", "main", "Nothing", "")


async def test_one_among_many_is_found_on_a_later_page(forge: Forge, host: Host) -> None:
    """By number of page: the address of the next one in the answer is never followed."""
    forge.page = 2
    wanted = branch(forge, "serinus/put-back/first")
    await host.open(wanted, "main", "First", "")
    for number in range(6):
        await host.open(branch(forge, f"other-{number}"), "main", "Other", "")
    forge.trouble.append(Trouble(404, path=f"/pulls/main/{wanted}"))  # an older Gitea
    found = await host.find(wanted, "main")
    assert found is not None
    assert found.number == 1


async def test_a_comment_is_made_changed_and_found_among_those_of_others(forge: Forge, host: Host) -> None:
    await host.open(branch(forge), "main", "Roll back chat", "")
    first = await host.say(1, "one")
    second = await host.say(1, "two")
    assert await host.say(1, "one again", first) == first
    assert list(await host.comments(1)) == [Comment(first, "one again"), Comment(second, "two")]
    with pytest.raises(HostFailed) as failed:
        await host.say(1, "gone", 99)
    assert failed.value.why is HostFailureKind.MISSING


async def test_many_comments_are_all_read(forge: Forge, host: Host) -> None:
    await host.open(branch(forge), "main", "Roll back chat", "")
    for number in range(120):
        forge.say(forge.pulls[0], str(number))
    assert [each.text for each in await host.comments(1)] == [str(number) for number in range(120)]


async def test_a_commit_leads_to_the_pull_request_that_brought_it(forge: Forge, host: Host) -> None:
    """Of those that nobody merged, and of none at all, nothing is said."""
    await host.open(branch(forge), "main", "Bring a canary", "")
    assert await host.brought_by(forge.origin.head("serinus/put-back/chat")) == []
    merged = forge.merge(1)
    assert [pull.number for pull in await host.brought_by(merged)] == [1]
    assert await host.brought_by(forge.origin.commit({"b": "2"})) == []
    assert await host.brought_by("f" * 40) == []


async def test_a_status_is_put_on_a_commit_and_put_again(forge: Forge, host: Host) -> None:
    head = forge.origin.head()
    await host.set_status(head, STATUS)
    await host.set_status(head, STATUS)
    await host.set_status(head, Status("serinus/chat", "failure", "x" * 140))
    first, last = forge.statuses[0], forge.statuses[-1]
    assert (first[0], first[1]["description"], first[1]["target_url"]) == (head, STATUS.text, STATUS.url)
    assert (last[1].get("context") or last[1]["name"]) == "serinus/chat"
    assert last[1]["state"] == ("failed" if forge.kind == "gitlab" else "failure")
    assert "target_url" not in last[1]


async def test_a_commit_that_the_host_does_not_know_gets_no_status(forge: Forge, host: Host) -> None:
    """Gitea calls that a failure of its own."""
    with pytest.raises(HostFailed) as failed:
        await host.set_status("f" * 40, STATUS)
    assert (
        failed.value.why
        is {"github": HostFailureKind.INVALID, "gitlab": HostFailureKind.MISSING, "gitea": HostFailureKind.DOWN}[
            forge.kind
        ]
    )


@pytest.mark.parametrize(
    ("trouble", "why", "wait"),
    [
        (Trouble(401), HostFailureKind.TOKEN, None),
        (Trouble(403, body='{"message": "Resource not accessible by integration"}'), HostFailureKind.FORBIDDEN, None),
        (Trouble(404), HostFailureKind.MISSING, None),
        (Trouble(410), HostFailureKind.MISSING, None),
        (Trouble(301, {"location": "http://127.0.0.1:1/"}), HostFailureKind.MISSING, None),
        (Trouble(422), HostFailureKind.INVALID, None),
        (Trouble(400), HostFailureKind.INVALID, None),
        (Trouble(429, {"retry-after": "7"}), HostFailureKind.BUSY, 7.0),
        (Trouble(429, {"ratelimit-reset": "IN_A_MINUTE"}), HostFailureKind.BUSY, 60.0),
        (Trouble(429, {"retry-after": "Sat, 21 Nov 2026 10:00:00 GMT"}), HostFailureKind.BUSY, 60.0),
        (Trouble(403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "IN_A_MINUTE"}), HostFailureKind.BUSY, 60.0),
        (Trouble(403, body='{"message": "You have exceeded a secondary rate limit."}'), HostFailureKind.BUSY, 60.0),
        (Trouble(429, {"retry-after": "99999999"}), HostFailureKind.BUSY, 3600.0),
        (Trouble(500), HostFailureKind.DOWN, None),
        (Trouble(503, {"retry-after": "5"}), HostFailureKind.DOWN, 5.0),
        (Trouble(200, body="<html>"), HostFailureKind.DOWN, None),
        (Trouble(200, body='["what"]'), HostFailureKind.DOWN, None),
        (Trouble(200, body="{}"), HostFailureKind.DOWN, None),
        (Trouble(200, {"content-encoding": "gzip"}), HostFailureKind.DOWN, None),
        (Trouble(200, body="[" * 100_000), HostFailureKind.DOWN, None),
    ],
)
async def test_every_way_to_say_no_is_understood(
    forge: Forge, host: Host, trouble: Trouble, why: HostFailureKind, wait: float | None
) -> None:
    """401 is an expired token, 403 may be a limit, and a host in trouble may answer anything."""
    forge.trouble.append(Trouble(trouble.status, trouble.headers, trouble.body))
    with pytest.raises(HostFailed) as failed:
        await host.see(1)
    assert (failed.value.why, failed.value.wait) == (why, pytest.approx(wait, abs=5) if wait else None)
    assert str(failed.value).startswith(host.name)


@pytest.mark.parametrize("hours", [8, -8])
async def test_r14_a_wrong_clock_of_ours_leaves_a_host_alone_for_an_hour_at_most(
    forge: Forge, tmp_path: Path, hours: int
) -> None:
    """Hosts name the time at which they may be asked again by their own clock."""
    host = adapter(forge, tmp_path, now=lambda: time.time() + 3600 * hours)
    forge.trouble.append(Trouble(429, {"ratelimit-reset": "IN_A_MINUTE"}))
    with pytest.raises(HostFailed) as failed:
        await host.see(1)
    assert failed.value.wait == (1.0 if hours > 0 else 3600.0)


async def test_s7_what_a_host_says_is_shown_without_the_token_and_without_steering_a_terminal(
    forge: Forge, host: Host
) -> None:
    words = f'{{"message": "no {TOKEN} \\u001b[2J\\n\\u202e{"x" * 5000}"}}'
    for status in (400, 403, 422):
        forge.trouble[:] = [Trouble(status, body=words)]
        with pytest.raises(HostFailed) as failed:
            await host.see(1)
        said = str(failed.value)
        assert "MARKER" not in said
        assert "[redacted]" in said
        assert said.isprintable()
        assert len(said) < 300


async def test_a_renewed_token_is_taken_at_the_next_request(forge: Forge, host: Host, tmp_path: Path) -> None:
    await host.open(branch(forge), "main", "Roll back chat", "")
    forge.token = "renewed"
    with pytest.raises(HostFailed, match="does not accept the token"):
        await host.see(1)
    (tmp_path / "token").write_text("renewed")
    assert (await host.see(1)).number == 1
    (tmp_path / "token").unlink()
    with pytest.raises(HostFailed, match="cannot be read") as failed:
        await host.see(1)
    assert failed.value.why is HostFailureKind.TOKEN


async def test_s4_a_redirect_is_not_followed_and_no_address_of_an_answer_is_asked(
    forge: Forge, host: Host, tmp_path: Path
) -> None:
    with forge_for(forge.kind, forge.origin) as elsewhere:
        for status in (301, 302, 307, 308):
            forge.trouble[:] = [Trouble(status, {"location": f"{elsewhere.api}/repos/team/models/pulls/1"})]
            with pytest.raises(HostFailed, match="a redirect, which is not followed"):
                await host.see(1)
        assert elsewhere.asked == []


async def test_a_host_that_hangs_or_is_gone_is_given_up_soon(forge: Forge, tmp_path: Path) -> None:
    host = adapter(forge, tmp_path, seconds=0.2)
    forge.hangs = threading.Event()
    with pytest.raises(HostFailed, match=r"no answer within 0\.2 s") as failed:
        await host.see(1)
    assert failed.value.why is HostFailureKind.DOWN
    forge.hangs.set()
    gone = location_of(
        "https://git.example.com/team/models.git", GitSettings(host=forge.kind, api="http://127.0.0.1:1")
    )
    assert gone is not None
    with pytest.raises(HostFailed, match="nobody listens there"):
        await host_at(gone, access_of(gone, tmp_path / "token", time.time)).see(1)


async def test_many_questions_at_once_are_each_answered(forge: Forge, host: Host) -> None:
    await host.open(branch(forge), "main", "Roll back chat", "")
    seen = await asyncio.gather(*(host.see(1) for _ in range(20)))
    assert {each.number for each in seen} == {1}
