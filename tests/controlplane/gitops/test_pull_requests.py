"""Rollbacks and promotions as pull requests: from a commit to the merge, over real git and each host's API."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from controlplane.gitops.controller import ask_for_retry
from controlplane.gitops.git_state import GitStateStore, PendingCommit, Proposal
from controlplane.gitops.hosts.host import PullRequest
from controlplane.gitops.hosts.settings import GitSettings
from controlplane.gitops.pull_requests import PullRequests, branch_of
from controlplane.gitops.repo_context import RepoContext
from tests.controlplane.gitops.hosts.forge import KINDS, TOKEN, Trouble
from tests.controlplane.gitops.hosts.town import FILE, HostedTown, hosted_town
from tests.controlplane.gitops.town import file


@pytest.fixture(params=["github"])
def town(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostedTown]:
    with hosted_town(tmp_path, request.param, monkeypatch) as hosted:
        yield hosted


every_host = pytest.mark.parametrize("town", KINDS, indirect=True)


async def proposed(town: HostedTown, canary: str = "bad2") -> str:
    """Bring a canary and wait for its pull request; answers the commit that brought it."""
    town.origin.commit({FILE: file("chat", "v1")}, "Begin")
    brought = town.origin.commit({FILE: file("chat", canary)}, f"Try {canary}")
    await town.until_said("is proposed")
    return brought


@every_host
@pytest.mark.parametrize("how", ["merge", "squash", "rebase"])
async def test_a_rollback_is_proposed_once_and_done_when_somebody_merges_it(town: HostedTown, how: str) -> None:
    """Evidence in trailers and body; nothing is started meanwhile; merged in any way it is the file that was good."""
    async with town.following(write="pull-request"):
        brought = await proposed(town)
        (pull,) = town.forge.pulls
        assert pull.title == "Roll back chat: v1 instead of bad2"
        assert "error_rate is 30 % on the canary, limit 5 %." in pull.text
        assert f"Serinus-Commit: {brought}" in pull.text
        assert town.origin.text(FILE) == file("chat", "bad2")
        assert town.origin.text(FILE, pull.head) == file("chat", "v1")
        assert "Serinus-Evidence: " in town.origin.message(pull.head)
        merged = town.forge.merge(1, how)  # type: ignore[arg-type]  # one of the three
        await town.until_said("is merged as", merged[:7])
    assert town.origin.text(FILE) == file("chat", "v1")
    assert town.machine.began == ["chat bad2"]
    assert (town.state().proposals, town.state().writings) == ((), ())
    assert town.state().made["chat"].commit == merged
    assert not town.origin.exists("refs/heads/serinus")
    assert len(town.forge.pulls) == 1


@every_host
async def test_a_protected_branch_gets_a_pull_request_in_place_of_the_push(town: HostedTown) -> None:
    town.protect()
    async with town.following():
        town.origin.commit({FILE: file("chat", "bad2")})
        await town.until_said("is not taken by main, so it is proposed", "refuses the push")
        await town.until_said("is proposed", "/team/models/")
        town.forge.merge(1)
        await town.until_said("is merged")
    assert town.origin.text(FILE) == file("chat", "v1")


async def test_an_open_branch_takes_the_commit_directly(town: HostedTown) -> None:
    async with town.following():
        town.origin.commit({FILE: file("chat", "bad2")})
        await town.until_commits(2)
    assert town.forge.pulls == []


async def test_with_direct_a_protected_branch_is_waited_for(town: HostedTown) -> None:
    town.protect()
    async with town.following(write="direct"):
        town.origin.commit({FILE: file("chat", "bad2")})
        await town.until_said("is waiting", "refuses the push")
    assert town.forge.pulls == []
    assert len(town.state().writings) == 1


async def test_a_promotion_is_proposed_and_the_winner_is_not_tried_again_meanwhile(town: HostedTown) -> None:
    async with town.following(write="pull-request"):
        await proposed(town, "good2")
        assert town.forge.pulls[0].title == "Promote good2 in chat"
    town.said.clear()
    async with town.following(write="pull-request"):
        await town.until(lambda: len(town.forge.asked) > 10)
        town.forge.merge(1)
        await town.until_said("is merged")
    assert town.machine.began == ["chat good2"]
    assert "Serinus-Result: promoted" in town.forge.pulls[0].text


@every_host
async def test_r1_an_answer_that_is_lost_opens_no_second_pull_request(town: HostedTown) -> None:
    """It was opened, and nobody here lived to know: it is found again by its branch."""
    creating = "merge_requests" if town.forge.kind == "gitlab" else "/pulls"
    town.forge.trouble.append(Trouble(502, path=creating, method="POST", after=True, times=1))
    async with town.following(write="pull-request"):
        await proposed(town)
    assert len(town.forge.pulls) == 1
    assert town.state().proposals[0].number == 1


@every_host
async def test_r1_what_was_merged_before_it_was_noted_down_is_done(town: HostedTown) -> None:
    """Killed between opening it and remembering its number; somebody merged it before the next start."""
    async with town.following(write="pull-request"):
        await proposed(town)
    git_state = GitStateStore(town.folder / "state" / "ledger.json")
    git_state.propose(replace(git_state.state.proposals[0], number=0, url=""))
    merged = town.forge.merge(1)
    async with town.following(write="pull-request"):
        await town.until_said("is merged as", merged[:7])
    assert len(town.forge.pulls) == 1


async def test_a_fresh_controller_does_not_start_what_waits_to_be_put_back(town: HostedTown) -> None:
    """The file names it, nothing in the branch says no: the note on the commit does."""
    async with town.following(write="pull-request"):
        brought = await proposed(town)
        await town.until(lambda: town.origin.exists("refs/notes/serinus"))
    assert "Serinus-Result: rolled_back" in town.origin.note(brought)
    town.said.clear()
    async with town.following("fresh", write="pull-request"):
        await town.until_said("was rejected", "serinus retry chat")
    assert town.machine.began == ["chat bad2"]
    assert len(town.forge.pulls) == 1


async def test_a_note_that_a_crash_prevented_is_written_by_the_next_start(town: HostedTown) -> None:
    async with town.following(write="pull-request"):
        brought = await proposed(town)
        await town.until(lambda: town.origin.exists("refs/notes/serinus"))
    town.origin.git("update-ref", "-d", "refs/notes/serinus")
    async with town.following(write="pull-request"):
        await town.until(lambda: town.origin.exists("refs/notes/serinus"))
    assert "Serinus-Result: rolled_back" in town.origin.note(brought)


async def test_what_becomes_moot_while_it_is_opened_is_closed_afterwards(town: HostedTown) -> None:
    """The host takes its time over the request; meanwhile somebody wants the revision tried again."""
    git_state = GitStateStore(town.folder / "ledger.json")
    writing = PendingCommit("put back", "chat/1", "2026-11-21T09:00:00Z", "chat", "r", "a", "Roll back chat\n")
    git_state.propose(Proposal(writing, FILE, "serinus/put-back"))
    opened = PullRequest(7, "https://git.example.com/7", "open", "serinus/put-back", "main")

    class SlowHost:
        pull_request = "pull request"

        async def open(self, *_: str) -> PullRequest:
            git_state.moot("chat", "It is tried again.")
            return opened

    store: Any = SimpleNamespace(remote=town.there)
    host: Any = SlowHost()
    await PullRequests(RepoContext(store, git_state, host, asyncio.Lock(), town.said.append))._open(
        git_state.state.proposals[0], None
    )
    (now,) = git_state.state.proposals
    assert (now.number, now.moot) == (7, "It is tried again.")


async def test_the_commit_that_lifts_the_quarantine_outweighs_an_older_note(town: HostedTown) -> None:
    async with town.following(write="pull-request"):
        await proposed(town)
        await town.until(lambda: town.origin.exists("refs/notes/serinus"))
        again = file("chat", "bad2").replace("# two", "# once more")
        town.origin.commit({FILE: again}, "Try once more\n\nSerinus-Retry: chat\n")
        await town.until(lambda: len(town.machine.began) == 2)
        await town.until_said("is not needed any more, and is closed", "begins a new rollout")
    assert town.forge.pulls[0].state == "closed"


async def test_somebody_who_declines_is_heeded_and_the_revision_stays_rejected(town: HostedTown) -> None:
    async with town.following(write="pull-request"):
        await proposed(town)
        town.forge.decline(1)
        await town.until_said("Somebody closed it without merging; the file stays as it is")
        town.origin.commit({"README": "x"})
        await town.until_said("was rejected", "serinus retry chat")
    async with town.following(write="pull-request"):
        await town.until(lambda: town.state().head == town.origin.head())
    assert len(town.forge.pulls) == 1
    assert town.machine.began == ["chat bad2"]
    assert town.origin.text(FILE) == file("chat", "bad2")


@every_host
async def test_a_newer_plan_closes_what_it_makes_moot_and_says_why_there(town: HostedTown) -> None:
    async with town.following(write="pull-request"):
        await proposed(town)
        town.origin.commit({FILE: file("chat", "slow3")}, "Try slow3 @everyone #1")
        await town.until_said("is not needed any more, and is closed")
    (pull,) = town.forge.pulls
    assert pull.state == "closed"
    (comment,) = pull.comments.values()
    assert "Not needed any more." in comment
    assert comment.startswith("```text\n")
    assert not town.origin.exists("refs/heads/serinus")


async def test_a_retry_takes_back_what_was_proposed(town: HostedTown) -> None:
    async with town.following(write="pull-request"):
        await proposed(town)
        ask_for_retry(town.folder / "state", "chat")
        await town.until(lambda: len(town.machine.began) == 2)
        await town.until(lambda: [pull.state for pull in town.forge.pulls] == ["closed", "open"])
    assert town.forge.pulls[0].head != town.forge.pulls[1].head


async def test_what_others_change_in_the_file_meanwhile_is_kept_and_merges(town: HostedTown) -> None:
    """The branch is made anew on top; a merge takes both."""
    async with town.following(write="pull-request"):
        await proposed(town)
        branch = town.forge.pulls[0].head
        first = town.origin.head(branch)
        town.origin.commit({FILE: file("chat", "bad2").replace("ask Ann", "ask Bob")}, "Ask Bob")
        await town.until(lambda: town.origin.head(branch) != first)
        assert town.origin.text(FILE, branch) == file("chat", "v1").replace("ask Ann", "ask Bob")
        town.forge.merge(1)
        await town.until_said("is merged")
    assert town.origin.text(FILE) == file("chat", "v1").replace("ask Ann", "ask Bob")


async def test_a_branch_on_which_somebody_went_on_is_left_to_them(town: HostedTown) -> None:
    async with town.following(write="pull-request"):
        await proposed(town)
        branch = town.forge.pulls[0].head
        theirs = town.origin.commit({FILE: file("chat", "v1") + "# why\n"}, "Say why", branch=branch)
        town.origin.commit({"README": "x"})
        await town.until(lambda: town.state().head == town.origin.head())
        asked = len(town.forge.asked)
        await town.until(lambda: len(town.forge.asked) > asked + 4)
        assert town.origin.head(branch) == theirs


async def test_a_file_that_moves_takes_its_pull_request_along(town: HostedTown) -> None:
    async with town.following(write="pull-request"):
        await proposed(town)
        branch = town.forge.pulls[0].head
        town.origin.commit({FILE: None, "apps/talk/canary.yml": file("chat", "bad2")}, "Move")
        await town.until(lambda: "talk" in town.origin.git("ls-tree", "-r", "--name-only", branch))
        town.forge.merge(1)
        await town.until_said("is merged")
    assert town.origin.text("apps/talk/canary.yml") == file("chat", "v1")


NO: list[tuple[Trouble, str]] = [
    (Trouble(401, times=6), "does not accept the token"),
    (Trouble(403, times=6, body='{"message": "Resource not accessible"}'), "does not let the token do this"),
    (Trouble(404, times=6), "knows no such thing"),
    (Trouble(422, times=6), "refuses (422)"),
    (Trouble(429, {"retry-after": "1"}, times=2), "has had enough requests"),
    (Trouble(403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "0"}, times=2), "has had enough requests"),
    (Trouble(500, times=6), "answers 500"),
    (Trouble(503, {"retry-after": "1"}, times=2), "answers 503"),
]


@pytest.mark.parametrize(("trouble", "said"), NO)
async def test_r7_a_host_in_trouble_delays_the_pull_request_is_told_once_and_harms_nobody(
    town: HostedTown, trouble: Trouble, said: str
) -> None:
    """The rollout was over long before; another one begins meanwhile."""
    town.forge.trouble.append(replace(trouble, path="/pulls"))
    async with town.following(write="pull-request"):
        town.origin.commit({FILE: file("chat", "bad2")})
        await town.until_said("is waiting", said, "traffic does not depend on it")
        town.origin.commit({"apps/x/canary.yml": file("x", "slow2")})
        await town.until(lambda: "x slow2" in town.machine.began)
        await town.until_said("is proposed")
    assert sum("puts the file back" in sentence and "is waiting" in sentence for sentence in town.said) == 1
    assert len(town.forge.pulls) == 1


async def test_s7_the_token_is_in_nothing_that_is_said_written_or_proposed(town: HostedTown, tmp_path: Path) -> None:
    words = f'{{"message": "not with {TOKEN}"}}'
    town.forge.trouble.append(Trouble(403, body=words, path="/pulls", times=3))
    town.forge.trouble.append(Trouble(422, body=words, path="/statuses", times=3))
    async with town.following(write="pull-request"):
        await proposed(town)
    assert any("[redacted]" in sentence for sentence in town.said)
    kept = b"".join(each.read_bytes() for each in (tmp_path / "state").rglob("*") if each.is_file())
    git = town.origin.git("log", "--all", "--format=%B", "-p")
    everything = "\n".join([*town.said, git, str(town.forge.pulls), str(town.forge.statuses)]).encode() + kept
    assert b"MARKER" not in everything
    assert all(asked.authorization == f"Bearer {TOKEN}" for asked in town.forge.asked)


async def test_without_the_hosts_api_what_was_proposed_is_pushed(town: HostedTown) -> None:
    """An operator took the options away; nobody would see to the pull request."""
    async with town.following(write="pull-request"):
        await proposed(town)
    town.settings = GitSettings()
    async with town.controller(there=town.there):
        await town.until_said("puts the file back", "is ", "in main")
    assert town.origin.text(FILE) == file("chat", "v1")


def test_a_branch_has_a_name_that_says_what_it_is_and_is_the_same_for_ever() -> None:
    writing = PendingCommit("put back", "chat/3", "2026-11-21T09:00:00Z", "chat", "r", "a", "Roll back chat\n")
    assert branch_of(writing) == branch_of(writing)
    assert re.fullmatch(r"serinus/put-back-chat-3-[0-9a-f]{8}", branch_of(writing))
    again = PendingCommit("put back", "chat/3", "2026-12-01T09:00:00Z", "chat", "r", "a", "Roll back chat\n")
    assert branch_of(again) != branch_of(writing)
    odd = PendingCommit("promote", "a..b@{u}/3", "2026-11-21T09:00:00Z", "a..b@{u}", "r", "a", "")
    assert re.fullmatch(r"serinus/[A-Za-z0-9-]+", branch_of(odd))
