"""Statuses on the commits that bring canaries, one comment where they were discussed, and bad files told apart."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.gitops import commit_statuses
from tests.controlplane.gitops.hosts.forge import KINDS, TOKEN, Trouble
from tests.controlplane.gitops.hosts.town import FILE, HostedTown, hosted_town
from tests.controlplane.gitops.machine import WHY
from tests.controlplane.gitops.town import file


@pytest.fixture(params=["github"])
def town(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostedTown]:
    with hosted_town(tmp_path, request.param, monkeypatch) as hosted:
        yield hosted


every_host = pytest.mark.parametrize("town", KINDS, indirect=True)


def brought_by_a_pull_request(town: HostedTown, canary: str) -> str:
    """A person proposes a canary and merges it; answers the commit that the file has from then on."""
    town.origin.commit({FILE: file("chat", "v1")}, "Begin")
    town.origin.git("update-ref", "refs/heads/feature", town.origin.head())
    brought = town.origin.commit({FILE: file("chat", canary)}, f"Try {canary}", branch="feature")
    town.forge.propose("feature", "main", f"Try {canary}", "")
    town.forge.merge(1)
    return brought


@every_host
async def test_a_commit_is_pending_while_its_canary_runs_and_fails_with_it(town: HostedTown) -> None:
    """In at most 140 characters, with the way to the dashboard."""
    async with town.following(dashboard="https://serinus.example.com/"):
        brought = town.origin.commit({FILE: file("chat", "slow2")})
        await town.until(lambda: town.said_of(brought))
        town.machine.ends.add("chat")
        await town.until(lambda: town.said_of(brought)[-1][0].startswith("fail"))
    pending, failed = town.forge.statuses[0][1], town.forge.statuses[-1][1]
    lab = town.forge.kind == "gitlab"
    assert (pending["state"], failed["state"]) == (("running", "failed") if lab else ("pending", "failure"))
    assert failed["description"] == WHY
    for status in (pending, failed):
        assert status["name" if lab else "context"] == "serinus/chat"
        assert status["target_url"] == "https://serinus.example.com/rollouts/chat"
        assert len(status["description"]) <= 140


async def test_a_promotion_is_a_success_and_is_said_once_however_often_a_controller_starts(town: HostedTown) -> None:
    async with town.following():
        brought = town.origin.commit({FILE: file("chat", "good2")})
        await town.until(lambda: town.said_of(brought)[-1:] == [("success", "good2 is promoted.")])
    said = len(town.forge.statuses)
    async with town.following():
        await town.until(lambda: town.state().head == town.origin.head())
        town.origin.commit({"README": "x"})
        await town.until(lambda: town.state().head == town.origin.head())
    assert len(town.forge.statuses) == said


async def test_an_end_that_the_host_did_not_hear_is_told_by_the_next_controller(town: HostedTown) -> None:
    """Nothing stays pending for ever because a process was killed."""
    async with town.following():
        brought = town.origin.commit({FILE: file("chat", "slow2")})
        await town.until(lambda: town.said_of(brought))
        town.forge.trouble.append(Trouble(500))
        town.machine.ends.add("chat")
        await town.until_said("GitHub answers 500", "rollouts do not")
    town.forge.trouble.clear()
    async with town.following():
        await town.until(lambda: town.said_of(brought)[-1] == ("failure", WHY))


async def test_statuses_that_arrive_again_are_told_as_that(town: HostedTown) -> None:
    town.forge.trouble.append(Trouble(500, times=3))
    async with town.following():
        brought = town.origin.commit({FILE: file("chat", "slow2")})
        await town.until_said("GitHub answers 500", "Statuses wait for that")
        await town.until_said("Statuses reach GitHub again.")
    assert town.said_of(brought)


async def test_what_a_newer_plan_replaced_does_not_stay_pending(town: HostedTown) -> None:
    async with town.following():
        first = town.origin.commit({FILE: file("chat", "slow2")})
        await town.until(lambda: town.said_of(first))
        second = town.origin.commit({FILE: file("chat", "slow3")})
        await town.until(lambda: town.said_of(second) and len(town.said_of(first)) == 2)
    assert town.said_of(first)[-1] == ("error", f"Replaced by {second[:7]} before its end.")


async def test_a_later_commit_that_changes_nothing_of_the_plan_gets_no_status(town: HostedTown) -> None:
    """The one that brought the canary keeps it, to the end."""
    async with town.following():
        brought = town.origin.commit({FILE: file("chat", "slow2")})
        await town.until(lambda: town.said_of(brought))
        later = town.origin.commit({FILE: file("chat", "slow2").replace("ask Ann", "ask Bob")})
        await town.until(lambda: town.state().head == later)
    async with town.following():
        town.machine.ends.add("chat")
        await town.until(lambda: town.said_of(brought)[-1][0] == "failure")
    assert town.said_of(later) == []


@every_host
async def test_the_pull_request_that_brought_a_canary_has_one_comment_that_changes(town: HostedTown) -> None:
    """Not one for each event, also over a restart, and also when the controller has lost its memory."""
    brought_by_a_pull_request(town, "slow2")
    town.forge.say(town.forge.pulls[0], "Looks good to me")
    async with town.following(dashboard="https://serinus.example.com"):
        await town.until(lambda: len(town.forge.pulls[0].comments) == 2)
    (_, ours) = town.forge.pulls[0].comments
    assert "under way" in town.forge.pulls[0].comments[ours]
    assert "[More on the dashboard](https://serinus.example.com/rollouts/chat)" in town.forge.pulls[0].comments[ours]
    git_state = town.folder / "state" / "ledger.json"
    git_state.write_text(git_state.read_text().replace(f'"comment": {ours}', '"comment": 0'))
    town.machine.ends.add("chat")
    async with town.following():
        await town.until(lambda: "not promoted" in town.forge.pulls[0].comments[ours])
    assert WHY in town.forge.pulls[0].comments[ours]
    assert len(town.forge.pulls[0].comments) == 2
    assert town.forge.pulls[0].state == "merged"


@every_host
async def test_a_rollback_that_is_proposed_is_linked_from_the_status_and_from_the_comment(town: HostedTown) -> None:
    """Where somebody has to merge it: on the commit that brought the canary, and where it was discussed."""
    brought_by_a_pull_request(town, "bad2")
    async with town.following(write="pull-request", dashboard="https://serinus.example.com"):
        await town.until(lambda: len(town.forge.pulls) == 2)
        ours = town.forge.pulls[0].comments
        await town.until(lambda: any("that puts the file back](" in text for text in ours.values()))
        await town.until(lambda: "serinus.example.com" not in town.forge.statuses[-1][1]["target_url"])
    words = "merge request" if town.forge.kind == "gitlab" else "pull request"
    (comment,) = ours.values()
    (url,) = re.findall(rf"\[The {words} that puts the file back\]\((\S+)\)", comment)
    assert url.endswith("/2")
    assert "[More on the dashboard](https://serinus.example.com/rollouts/chat)" in comment
    assert town.forge.statuses[-1][1]["target_url"] == url


async def test_a_bad_file_is_a_failing_status_and_stops_no_other(town: HostedTown) -> None:
    async with town.following():
        bad = town.origin.commit(
            {
                "apps/a/canary.yml": "kind: ModelCanary\nspec: {stages: [{traffic: 200%}]}\n",
                "apps/b/canary.yml": ("120000", "../a/canary.yml"),
                FILE: file("chat", "good2"),
            }
        )
        await town.until_commits(2)
        await town.until(lambda: any(status["state"] == "success" for of, status in town.forge.statuses if of == bad))
        await town.until(lambda: len({status["context"] for of, status in town.forge.statuses if of == bad}) == 3)
    said = {status["context"]: status for of, status in town.forge.statuses if of == bad}
    assert said["serinus/apps/a/canary.yml"]["state"] == "failure"
    assert said["serinus/apps/a/canary.yml"]["description"].startswith("apps/a/canary.yml:1:1: metadata")
    assert "symbolic link" in said["serinus/apps/b/canary.yml"]["description"]
    assert said["serinus/chat"]["state"] == "success"
    assert not town.origin.exists("refs/notes/serinus")


async def test_a_bad_file_is_a_note_where_the_host_takes_no_status(town: HostedTown) -> None:
    """A token that may push and nothing else; told once, and given up after some tries."""
    town.forge.trouble.append(Trouble(403, body='{"message": "Resource not accessible by token"}', path="/statuses"))
    async with town.following():
        bad = town.origin.commit({"apps/a/canary.yml": "spec: [", FILE: file("chat", "good2")})
        await town.until_said("does not let the token do this", "rollouts do not")
        await town.until(lambda: town.origin.exists("refs/notes/serinus"))
        await town.until_commits(2)
        await town.until(lambda: len(town.forge.asked) >= 2 * commit_statuses.REFUSALS)
    assert "apps/a/canary.yml:1:" in town.origin.note(bad)
    assert sum("does not let the token" in sentence for sentence in town.said) == 1
    assert not any("again" in sentence for sentence in town.said)


async def test_a_rejected_revision_that_comes_back_is_a_failing_status(town: HostedTown) -> None:
    async with town.following():
        town.origin.commit({FILE: file("chat", "bad2")})
        await town.until_commits(2)
        again = town.origin.commit({FILE: file("chat", "bad2")}, "Revert the rollback")
        await town.until(lambda: town.said_of(again))
    assert town.said_of(again)[0] == ("failure", f"Rejected before: {WHY}")


async def test_without_statuses_nothing_is_said_and_bad_files_are_notes(town: HostedTown) -> None:
    async with town.following(statuses=False):
        bad = town.origin.commit({"apps/a/canary.yml": "spec: [", FILE: file("chat", "good2")})
        await town.until_commits(2)
        await town.until(lambda: town.origin.exists("refs/notes/serinus"))
    assert "not used" in town.origin.note(bad)
    assert town.forge.asked == []


@pytest.mark.parametrize("status", [401, 404, 422, 429, 500])
async def test_r7_a_host_that_says_no_to_statuses_delays_neither_rollout_nor_rollback(
    town: HostedTown, status: int
) -> None:
    words = f'{{"message": "no, not with {TOKEN}"}}'
    town.forge.trouble.append(Trouble(status, {"retry-after": "60"} if status == 429 else {}, words))
    async with town.following():
        town.origin.commit({FILE: file("chat", "bad2")})
        await town.until_commits(2)
        await town.until(lambda: any("Statuses wait for that" in sentence for sentence in town.said))
    assert "MARKER" not in "\n".join(town.said)
    assert town.machine.began == ["chat bad2"]
