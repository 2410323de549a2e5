"""From commits to rollouts and back: real git on this disk, real stores; only the machine is a quick one."""

import asyncio
from pathlib import Path

import pytest

from canary.yaml_edit import Written, is_no_op
from controlplane.adapters.sqlite_store import SqliteStore
from controlplane.gitops.controller import ask_for_retry
from tests.controlplane.gitops.machine import UNLUCKY
from tests.controlplane.gitops.town import Town, file


async def test_a_bad_canary_is_put_back_by_a_commit_with_its_evidence(tmp_path: Path) -> None:
    """Byte-exact apart from the lines that change; sentence, numbers and times in the body; trailers at its end."""
    town = Town(tmp_path)
    before = file("chat", "v1")
    town.origin.commit({"apps/chat/canary.yml": before}, "Begin")
    brought = town.origin.commit({"apps/chat/canary.yml": file("chat", "bad2")}, "Try bad2")
    async with town.controller():
        await town.until_commits(3)
        await town.until_said("puts the file back", "is ")
    assert town.log() == ["Roll back chat: v1 instead of bad2", "Try bad2", "Begin"]
    assert town.origin.text("apps/chat/canary.yml") == before
    message = town.origin.message()
    assert "error_rate is 30 % on the canary, limit 5 %." in message
    assert "  canary  30 % (412 samples)\n  stable  0.1 % (7,801 samples)\n  limit   5 %\n" in message
    assert "no traffic 21 ms after the decision" in message
    assert f"It came with {brought[:12]} by Ann (apps/chat/canary.yml:11)." in message
    trailers = dict(
        line.split(": ", 1) for line in town.origin.git("log", "-1", "--format=%(trailers)").splitlines() if line
    )
    assert trailers["Serinus-Rollout"] == "chat/1"
    assert trailers["Serinus-Result"] == "rolled_back"
    assert trailers["Serinus-Reason"] == "GateFailed"
    assert trailers["Serinus-Commit"] == brought
    assert '"canary":0.3' in trailers["Serinus-Evidence"]
    assert await town.until_said(f"apps/chat/canary.yml:11 in {brought[:7]} by Ann", "tries bad2 beside v1")


async def test_a_first_version_that_is_bad_is_left_at_rest_on_stable(tmp_path: Path) -> None:
    """There is nothing earlier to go back to: the canary says what stable says, and nothing is tried."""
    town = Town(tmp_path)
    town.origin.commit({"apps/chat/canary.yml": file("chat", "bad1")})
    async with town.controller():
        await town.until_commits(2)
    assert town.origin.text("apps/chat/canary.yml") == file("chat", "v1")
    assert town.machine.began == ["chat bad1"]


@pytest.mark.parametrize("canary", UNLUCKY)
async def test_a_canary_that_failed_for_what_is_not_its_doing_stays_in_its_file(tmp_path: Path, canary: str) -> None:
    """And is not started again until somebody says so."""
    town = Town(tmp_path)
    town.origin.commit({"apps/chat/canary.yml": file("chat", "v1")}, "Begin")
    town.origin.commit({"apps/chat/canary.yml": file("chat", canary)}, "Try it")
    async with town.controller():
        await town.until_said("this revision", "was rejected", f"{canary} could not be tried.")
    assert town.log() == ["Try it", "Begin"]
    assert town.machine.began == [f"chat {canary}"]


async def test_windows_line_ends_and_a_byte_order_mark_are_kept(tmp_path: Path) -> None:
    town = Town(tmp_path)
    marked = "\ufeff{}".format(file("chat", "bad1").replace("\n", "\r\n"))
    town.origin.commit({"apps/chat/canary.yml": marked.encode()})
    async with town.controller():
        await town.until_commits(2)
    assert town.origin.text("apps/chat/canary.yml") == marked.replace("bad1", "v1")


async def test_a_short_form_is_completed_by_the_settings_beside_it_and_put_back_too(tmp_path: Path) -> None:
    """`serinus.yml` in the same folder of the same commit."""
    town = Town(tmp_path)
    short = "model: chat\nvariants:\n  - name: v1\n  - name: bad2   # tried\ntraffic_split: 95/5\n"
    commands = "".join(f"{arm}: {{command: [serve, '{{port}}', '{{name}}']}}\n" for arm in ("stable", "canary"))
    town.origin.commit({"apps/chat/canary.yml": short, "apps/chat/serinus.yml": commands})
    async with town.controller():
        await town.until_commits(2)
    assert town.origin.text("apps/chat/canary.yml") == short.replace("bad2", "v1")
    assert town.machine.began == ["chat bad2"]


async def test_a_promotion_is_a_commit_and_what_follows_it_starts_from_there(tmp_path: Path) -> None:
    town = Town(tmp_path)
    town.origin.commit({"apps/chat/canary.yml": file("chat", "good2")})
    async with town.controller():
        await town.until_commits(2)
        promoted = town.origin.text("apps/chat/canary.yml")
        assert is_no_op(Written.of(promoted).root)
        assert "name: good2       # in service" in promoted
        assert "Serinus-Result: promoted" in town.origin.message()
        following = town.origin.text("apps/chat/canary.yml")
        tried = following.index("  canary:")
        edited = following[:tried] + following[tried:].replace("good2", "good3")
        town.origin.commit({"apps/chat/canary.yml": edited}, "Try good3")
        await town.until_commits(4)
    assert town.machine.began == ["chat good2", "chat good3"]
    assert town.log()[0] == "Promote good3 in chat"


async def test_a_rejected_revision_is_never_started_again_until_somebody_says_so(tmp_path: Path) -> None:
    """Not by a revert of the rollback, not by a restart, not by a controller without a memory; by `serinus retry`."""
    town = Town(tmp_path)
    bad = file("chat", "bad2")
    town.origin.commit({"apps/chat/canary.yml": bad}, "Try bad2")
    async with town.controller():
        await town.until_commits(2)
        town.origin.commit({"apps/chat/canary.yml": bad}, "Revert the rollback")
        await town.until_said("was rejected", "serinus retry chat")
    town.said.clear()
    async with town.controller():
        await town.until_said("was rejected")
    town.said.clear()
    async with town.controller("fresh"):
        await town.until_said("was rejected", "Roll back chat")
    assert town.machine.began == ["chat bad2"]
    ask_for_retry(tmp_path / "state", "chat")
    async with town.controller():
        await town.until(lambda: len(town.machine.began) == 2)
        await town.until_commits(4)


async def test_what_the_evidence_condemned_is_not_started_again_under_an_edited_plan(tmp_path: Path) -> None:
    """Not with one stage more, and not by a controller without a memory. Another flag is another server."""
    town = Town(tmp_path)
    bad, path = file("chat", "bad2"), "apps/chat/canary.yml"
    town.origin.commit({path: bad}, "Try bad2")
    async with town.controller():
        await town.until_commits(2)
        town.origin.commit({path: bad.replace("[{traffic: 25%}", "[{traffic: 5%}, {traffic: 25%}")}, "Go slower")
        await town.until_said("what the canary of chat runs", "was rejected", "Change what it runs", "serinus retry")
    town.said.clear()
    async with town.controller("fresh"):
        await town.until_said("what the canary of chat runs", "Roll back chat")
        assert town.machine.began == ["chat bad2"]
        town.origin.commit({path: bad.replace("--model, bad2", "--model, bad2, --eager")}, "Turn graphs off")
        await town.until(lambda: len(town.machine.began) == 2)


async def test_a_commit_that_says_so_lifts_the_quarantine(tmp_path: Path) -> None:
    """The trailer `Serinus-Retry` in the commit that brings the revision back."""
    town = Town(tmp_path)
    bad = file("chat", "bad2")
    town.origin.commit({"apps/chat/canary.yml": bad})
    async with town.controller():
        await town.until_commits(2)
        town.origin.commit({"apps/chat/canary.yml": bad}, "Try once more\n\nSerinus-Retry: chat\n")
        await town.until_said("tried again, as the commit says")
        await town.until_commits(4)
    assert town.machine.began == ["chat bad2", "chat bad2"]


async def test_a_bad_file_is_said_and_noted_and_stops_no_other(tmp_path: Path) -> None:
    """With file, line and column; on the commit that brought it."""
    town = Town(tmp_path)
    bad = town.origin.commit(
        {
            "apps/a/canary.yml": "kind: ModelCanary\nspec: {stages: [{traffic: 200%}]}\n",
            "apps/link/canary.yml": ("120000", "../a/canary.yml"),
            "apps/wide/canary.yml": "a: 1\n".encode("utf-16"),
            "apps/chat/canary.yml": file("chat", "good2"),
        },
        author="Eve <eve@example.com>",
    )
    async with town.controller():
        await town.until_commits(2)
        sentence = await town.until_said("apps/a/canary.yml in", "by Eve is not used")
        assert ":2:" in sentence
        assert "traffic: 200%" in sentence
        await town.until_said("apps/link/canary.yml is a symbolic link")
        await town.until_said("UTF-16")
        await town.until(lambda: town.origin.exists("refs/notes/serinus"))
    assert "apps/a/canary.yml:1:1: metadata: is missing" in town.origin.note(bad)
    assert "symbolic link" in town.origin.note(bad)


async def test_a_newer_commit_takes_the_place_of_a_rollout_and_a_removed_file_ends_it(tmp_path: Path) -> None:
    """No commit of ours follows: nobody judged anything."""
    town = Town(tmp_path)
    town.origin.commit({"apps/chat/canary.yml": file("chat", "slow2"), "apps/x/canary.yml": file("x", "slow1")})
    async with town.controller():
        await town.until(lambda: len(town.machine.began) == 2)
        town.origin.commit({"apps/chat/canary.yml": file("chat", "slow3")})
        await town.until(lambda: "chat slow3" in town.machine.began)
        gone = town.origin.commit({"apps/chat/canary.yml": None})
        await town.until_said(f"apps/chat/canary.yml is gone in {gone[:7]}", "back to stable")
        await town.until_said("chat is not followed any more")
        town.origin.commit({"apps/x/canary.yml": file("x", "v1")}, "Never mind")
        await town.until_said("names nothing to try any more")
    assert town.machine.superseded == ["chat"]
    assert len(town.log()) == 4


async def test_what_runs_goes_on_when_its_file_gets_bad(tmp_path: Path) -> None:
    town = Town(tmp_path)
    town.origin.commit({"apps/chat/canary.yml": file("chat", "slow2")})
    async with town.controller():
        await town.until(lambda: town.machine.began)
        town.origin.commit({"apps/chat/canary.yml": "spec: ["})
        await town.until_said("is not used; everything else goes on")
        await asyncio.sleep(0.2)
        assert not any("back to stable" in sentence for sentence in town.said)


async def test_of_two_files_with_one_name_the_one_that_has_it_keeps_it(tmp_path: Path) -> None:
    """And of two new ones neither gets it. Both places are named."""
    town = Town(tmp_path)
    town.origin.commit({"apps/chat/canary.yml": file("chat", "slow2")})
    async with town.controller():
        await town.until(lambda: town.machine.began)
        town.origin.commit({"apps/copy/canary.yml": file("chat", "slow3")})
        await town.until_said(
            "apps/copy/canary.yml:11", "claimed by apps/chat/canary.yml:11", "apps/chat/canary.yml keeps it"
        )
        town.origin.commit({"apps/chat/canary.yml": "spec: ["})
        await town.until_said("apps/copy/canary.yml:11", "which cannot be used now", "apps/chat/canary.yml keeps it")
        town.origin.commit({"apps/p/canary.yml": file("p", "good1"), "apps/q/canary.yml": file("p", "good1")})
        await town.until_said("apps/p/canary.yml:11", "neither is started")
    assert town.machine.began == ["chat slow2"]


async def test_two_files_that_claim_one_model_leave_what_runs_alone(tmp_path: Path) -> None:
    """Under two names, at one address: said with commit and line, noted, and the first goes on."""
    town = Town(tmp_path)
    one, two = (file(name, "slow2").replace("127.0.0.1:0", "127.0.0.1:18080") for name in ("chat", "talk"))
    town.origin.commit({"apps/chat/canary.yml": one})
    async with town.controller():
        await town.until(lambda: town.machine.began)
        second = town.origin.commit({"apps/talk/canary.yml": two}, author="Eve <eve@example.com>")
        await town.until_said(f"apps/talk/canary.yml in {second[:7]} by Eve", "talk/canary.yml:11: the model", "chat")
        await town.until(lambda: town.origin.exists("refs/notes/serinus"))
        assert not any("back to stable" in sentence for sentence in town.said)
    assert town.machine.began == ["chat slow2"]
    assert "apps/talk/canary.yml:11" in town.origin.note(second)


async def test_a_file_that_moves_is_the_same_rollout(tmp_path: Path) -> None:
    """And its rollback goes to its new place."""
    town = Town(tmp_path)
    town.origin.commit({"apps/chat/canary.yml": file("chat", "slow2")})
    async with town.controller():
        await town.until(lambda: town.machine.began)
        town.origin.commit({"apps/chat/canary.yml": None, "apps/talk/canary.yml": file("chat", "slow2")})
        await town.until_said("moved from apps/chat/canary.yml to apps/talk/canary.yml")
        town.origin.commit({"apps/talk/canary.yml": file("chat", "bad3")})
        await town.until_said("puts the file back", "apps/talk/canary.yml")
    assert town.machine.began == ["chat slow2", "chat bad3"]


async def test_a_rewritten_history_leaves_what_runs_alone_until_its_file_changes(tmp_path: Path) -> None:
    """Also when the file is not there any more after the force-push."""
    town = Town(tmp_path)
    before = town.origin.commit({"apps/chat/canary.yml": file("chat", "slow2")})
    async with town.controller():
        await town.until(lambda: town.machine.began)
        after = town.origin.commit({"apps/new/canary.yml": file("new", "good1")}, root=True)
        await town.until_said("was rewritten", before[:7], after[:7], "chat goes on as before")
        await town.until_commits(2)
        town.origin.commit({"README": "x"})
        await asyncio.sleep(0.3)
        assert not any("back to stable" in sentence for sentence in town.said)
        town.origin.commit({"apps/chat/canary.yml": file("chat", "slow3")})
        await town.until(lambda: "chat slow3" in town.machine.began)


async def test_an_empty_repository_and_a_branch_that_vanishes_harm_nobody(tmp_path: Path) -> None:
    town = Town(tmp_path)
    async with town.controller():
        await town.until_said("is empty; the first commit is waited for")
        town.origin.commit({"apps/chat/canary.yml": file("chat", "slow2")})
        await town.until(lambda: town.machine.began)
        head = town.origin.head()
        town.origin.git("update-ref", "refs/heads/kept", head)
        town.origin.git("update-ref", "-d", "refs/heads/main")
        await town.until_said("The branch main is not in", head[:7], "Rollouts go on as they are")
        town.origin.git("update-ref", "refs/heads/main", head)
        town.origin.commit({"apps/chat/canary.yml": file("chat", "slow3")})
        await town.until(lambda: "chat slow3" in town.machine.began)


async def test_r7_a_host_that_is_down_and_a_branch_that_is_protected_only_delay_the_commit(tmp_path: Path) -> None:
    """Told once; the rollback itself was long over. Afterwards there is one commit."""
    town = Town(tmp_path)
    town.origin.commit({"apps/chat/canary.yml": file("chat", "bad2")})
    town.origin.hook("pre-receive", "echo 'GH006: Protected branch update failed' >&2; exit 1")
    async with town.controller():
        await town.until_said("is waiting", "refuses the push", "traffic does not depend on it")
        away = tmp_path / "away.git"
        (tmp_path / "origin.git").rename(away)
        await town.until_said("cannot be read", "Rollouts go on as they are")
        away.rename(tmp_path / "origin.git")
        (tmp_path / "origin.git" / "hooks" / "pre-receive").unlink()
        await town.until_commits(2)
    assert town.origin.text("apps/chat/canary.yml") == file("chat", "v1")
    assert len(town.log()) == 2


async def test_a_controller_that_was_killed_before_it_wrote_writes_after_its_next_start(tmp_path: Path) -> None:
    """The rollout had ended, git had refused; a restart neither runs it again nor forgets the commit."""
    town = Town(tmp_path)
    town.origin.commit({"apps/chat/canary.yml": file("chat", "bad2")})
    town.origin.hook("pre-receive", "exit 1")
    async with town.controller():
        await town.until_said("is waiting")
    (tmp_path / "origin.git" / "hooks" / "pre-receive").unlink()
    async with town.controller():
        await town.until_commits(2)
    assert town.machine.began == ["chat bad2"]


async def test_an_unfinished_rollout_goes_on_after_a_restart_even_without_git(tmp_path: Path) -> None:
    """Its plan is in its own store."""
    town = Town(tmp_path)
    town.origin.commit({"apps/chat/canary.yml": file("chat", "slow2")})
    async with town.controller():
        await town.until(lambda: town.machine.began)
    (tmp_path / "origin.git").rename(tmp_path / "away.git")
    async with town.controller():
        await town.until_said("cannot be read")
        (tmp_path / "away.git").rename(tmp_path / "origin.git")
        town.origin.commit({"apps/chat/canary.yml": None})
        await town.until_said("is gone", "back to stable")
        await town.until_said("not followed any more")
    assert town.machine.began == ["chat slow2"]
    assert town.machine.superseded == []


async def test_what_this_machine_cannot_start_is_said_and_replaced_by_the_next_commit(tmp_path: Path) -> None:
    town = Town(tmp_path)
    town.origin.commit({"apps/chat/canary.yml": file("chat", "broken2")})
    async with town.controller():
        await town.until_said("chat: Port 8080 is in use. It is tried again.")
        town.origin.commit({"apps/chat/canary.yml": file("chat", "good2")})
        await town.until(lambda: town.machine.began == ["chat good2"])


async def test_r7_a_host_that_never_answers_keeps_no_rollout_waiting(tmp_path: Path) -> None:
    """Git hangs in the middle of a call; meanwhile a rollout ends and its commit is remembered."""
    town = Town(tmp_path)
    town.origin.commit({"apps/chat/canary.yml": file("chat", "slow2")})
    hanging = tmp_path / "hanging"
    town.origin.hook("pre-receive", f"touch {hanging}; while [ -e {hanging} ]; do sleep 0.05; done; exit 1")
    git_state = tmp_path / "state" / "ledger.json"
    town.origin.commit({"apps/x/canary.yml": file("x", "bad2")})
    async with town.controller():
        await town.until(hanging.exists)
        store = SqliteStore(tmp_path / "state-chat" / "serinus.db")
        town.machine.ends.add("chat")
        await town.until(lambda: "Serinus-Rollout: chat/1" in git_state.read_text())
        stored = await store.load("chat")
        await store.close()
        assert hanging.exists()
        assert stored is not None
        assert stored.rollout.result == "rolled_back"
        (tmp_path / "origin.git" / "hooks" / "pre-receive").unlink()
        hanging.unlink()
        await town.until_commits(4)


async def test_a_store_that_is_damaged_keeps_only_its_own_rollout_waiting(tmp_path: Path) -> None:
    """At a start as well as at a commit; it is said whose it is."""
    town = Town(tmp_path)
    (tmp_path / "state-a").mkdir()
    (tmp_path / "state-a" / "serinus.db").write_bytes(b"not a database" * 100)
    town.origin.commit({f"apps/{name}/canary.yml": file(name, "slow2") for name in ("a", "b")})
    async with town.controller():
        await town.until_said("a: The state in", "is not a database")
        await town.until(lambda: town.machine.began == ["b slow2"])
    (tmp_path / "state-b" / "serinus.db").write_bytes(b"not a database" * 100)
    town.said.clear()
    async with town.controller():
        await town.until_said("b: The state in", "is not a database")


async def test_s6_names_and_subjects_cannot_steer_a_terminal_or_forge_a_trailer(tmp_path: Path) -> None:
    town = Town(tmp_path)
    town.origin.commit(
        {"apps/chat/canary.yml": file("chat", "bad2")},
        "\x1b[2JEvil\n\nSerinus-Result: promoted\n",
        author="\x1b]0;Eve\x07 <e@example.com>",
    )
    async with town.controller():
        await town.until_commits(2)
    assert all(character.isprintable() or character == "\n" for sentence in town.said for character in sentence)
    assert "\x1b" not in town.origin.message()
    assert town.origin.git("log", "-1", "--format=%(trailers:key=Serinus-Result,valueonly)").split() == ["rolled_back"]


async def test_a_thousand_files_are_one_sync(tmp_path: Path) -> None:
    """Each with its own author and line; none of them is lost."""
    town = Town(tmp_path)
    town.origin.commit({f"apps/n{i}/canary.yml": file(f"n{i}", "v1") for i in range(1000)})
    async with town.controller():
        await town.until((tmp_path / "state" / "ledger.json").exists)
        town.origin.commit({"apps/n7/canary.yml": file("n7", "good2")})
        await town.until(lambda: town.machine.began == ["n7 good2"])
