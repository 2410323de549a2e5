"""From commits to ModelCanaries and back: real git over HTTP, the real sources; the cluster is in memory and quick."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from canary.errors import Unavailable
from canary.rollout import Phase, Reason
from canary.yaml_edit import Written, is_no_op
from controlplane.gitsources.provenance import annotations, origin_line
from controlplane.gitsources.source_controller import SourceController, SourceServices, say_stopped
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.resources import EVENT, MODEL_CANARY, ROLLOUT_HISTORY
from controlplane.operator.status import StatusUpdate, status_of
from controlplane.operator.store import stored_in
from tests.controlplane.gitops.machine import WHY, ended_as
from tests.controlplane.gitsources.estate import NAMESPACE, SOURCE, TOKEN, Estate, estate, file, path_of


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Estate]:
    async with estate(tmp_path) as made:
        yield made


async def test_a_commit_becomes_a_model_canary_that_knows_where_it_comes_from(town: Estate) -> None:
    """Applied by the field manager of git, in the source's own namespace, with commit, author, path and line."""
    brought = town.commit("Try slow1", chat="slow1")
    async with town.operator():
        await town.follow()
        await town.until(lambda: town.clerk.began)
        await town.until(lambda: town.condition("Ready")[1] == "UpToDate")
    object_ = town.canary("chat")
    said = annotations(object_)
    assert {key: said[key] for key in ("repository", "commit", "author", "subject", "path")} == {
        "repository": town.host.url("origin.git"),
        "commit": brought,
        "author": "Ann",
        "subject": "Try slow1",
        "path": path_of("chat"),
    }
    assert file("chat", "slow1").splitlines()[int(said["line"]) - 1] == "  canary:"
    assert origin_line(object_) == f"{brought[:7]} by Ann, apps/chat/canary.yml:{said['line']}: Try slow1"
    assert object_["spec"]["canary"] == {"name": "slow1", "uri": "hf://example/slow1", "engine": {"seed": 2}}
    assert "serinus-git" in {each["manager"] for each in object_["metadata"]["managedFields"]}
    status = town.source()["status"]
    assert (status["commit"], status["files"], status["faults"]) == (brought, 1, [])
    assert town.condition("Ready")[2] == f"1 ModelCanary is as {brought[:7]} says."


async def test_a_bad_version_is_put_back_by_a_commit_and_not_started_again_by_anything(town: Estate) -> None:
    """Not by a revert of our commit, not by another leader, not by a fresh cluster; but by `kubectl canary retry`."""
    town.commit(chat="v1", other="good2")
    bad = town.commit("Try bad1", chat="bad1")
    async with town.operator():
        await town.follow()
        await town.until(lambda: "Roll back chat: v1 instead of bad1" in town.log())
        await town.until(lambda: "Promote good2 in other" in town.log())
        await town.until(lambda: town.canary("chat")["spec"]["canary"] == town.canary("chat")["spec"]["stable"])
        message = next(each for each in _messages(town) if each.startswith("Roll back chat"))
        assert f"Serinus-Commit: {bad}" in message
        assert "Serinus-Evidence: {" in message
        assert "kubectl canary retry chat -n models" in message
        assert is_no_op(Written.of(town.origin.text(path_of("chat"))).root)
        town.commit("Revert what Serinus wrote", chat="bad1")
        await town.until(lambda: any("was rejected" in each for each in town.said))
    async with town.operator("another cache"):
        town.commit("Change another thing", third="good3")
        await town.until(lambda: town.clerk.began)
        assert town.clerk.began == ["third good3"]
        await _ask_to_retry(town, "chat")
        await town.until(lambda: "chat bad1" in town.clerk.began)
    assert town.clerk.granted == ["chat"]


async def test_a_rollback_reaches_git_though_another_rollout_has_taken_its_place_before_git_could_look(
    town: Estate,
) -> None:
    """Its host does not answer meanwhile, and then the cluster itself does not, once."""
    town.commit(chat="slow1")
    async with town.operator():
        await town.follow()
        await town.until(lambda: town.clerk.began == ["chat slow1"])
        town.host.answers.clear()
        asked = len(town.host.authorizations)
        await town.until(lambda: len(town.host.authorizations) > asked)
        await town.clerk.roll_back("chat")
        await _edit(town, "chat", {"spec": {"canary": {"name": "slow5", "uri": "hf://example/slow5"}}})
        await town.until(lambda: town.clerk.began == ["chat slow1", "chat slow5"])
        town.gits.fail_next(Unavailable("The API server did not answer."), verb="get", resource=ROLLOUT_HISTORY)
        town.host.answers.set()
        await town.until(lambda: "Roll back chat: v1 instead of slow1" in town.log())
        await town.until(lambda: "chat" in json.loads(town.source()["status"]["state"])["rejected"])
    assert town.clerk.began == ["chat slow1", "chat slow5"]
    assert town.log().count("Roll back chat: v1 instead of slow1") == 1


async def test_a_fresh_cluster_learns_from_git_what_is_rejected(town: Estate, tmp_path: Path) -> None:
    """No status, no cache; only the trailers in the branch. A trailer in the commit that brings it back lets it in."""
    town.commit(chat="v1")
    town.commit(chat="bad1")
    async with town.operator():
        await town.follow()
        await town.until(lambda: "Roll back chat: v1 instead of bad1" in town.log())
    again = Estate(tmp_path / "fresh", town.host, town.origin)
    town.commit("Revert what Serinus wrote", chat="bad1")
    async with again.operator():
        await again.follow()
        await again.until(lambda: any("was rejected" in each for each in again.said))
        assert again.canary("chat") == {}
        town.commit("Try it all the same\n\nSerinus-Retry: chat", chat="bad1 # once more")
        await again.until(lambda: again.clerk.began == ["chat bad1"])


async def test_a_trailer_lets_what_was_condemned_run_again_under_an_edited_plan(town: Estate) -> None:
    """The operator holds back what was condemned whatever the plan says, so git asks it for a retry by name."""
    town.commit(chat="bad1")
    slower = file("chat", "bad1").replace("stages: [", "stages: [{traffic: 1%}, ")
    async with town.operator():
        await town.follow()
        await town.until(lambda: "Roll back chat: v1 instead of bad1" in town.log())
        town.origin.commit({path_of("chat"): slower}, "Go slower")
        await town.until(lambda: any("what the canary of chat runs" in each for each in town.said))
        assert town.clerk.began == ["chat bad1"]
        town.origin.commit({path_of("chat"): f"{slower}# on purpose\n"}, "Try it\n\nSerinus-Retry: chat")
        await town.until(lambda: town.clerk.began == ["chat bad1", "chat bad1"])


async def test_a_file_that_is_changed_removed_or_moved_changes_its_model_canary(town: Estate) -> None:
    """A newer plan takes the place of the one under way; a removed file ends it; a moved one changes nothing."""
    town.commit(chat="slow1", other="slow1")
    async with town.operator():
        await town.follow()
        await town.until(lambda: len(town.clerk.began) == 2)
        town.commit(chat="slow2")
        await town.until(lambda: "chat slow2" in town.clerk.began)
        town.origin.commit({path_of("chat"): None, "apps/moved/canary.yml": file("chat", "slow2")}, "Move it")
        await town.until(lambda: any("moved from apps/chat" in each for each in town.said))
        town.commit(other=None)
        await town.until(lambda: town.canary("other") == {})
        await asyncio.sleep(0.1)
    assert sorted(town.clerk.began) == ["chat slow1", "chat slow2", "other slow1"]
    assert town.canary("chat")["spec"]["canary"]["name"] == "slow2"


async def test_bad_files_are_told_with_their_lines_and_stop_no_other(town: Estate) -> None:
    """In the status, as Events, and as a note on the commit. Another namespace and a double name are such faults."""
    files = {
        path_of("good"): file("good", "slow1"),
        path_of("bad"): file("bad", "slow1").replace("traffic: 25%", "traffic: 250%"),
        path_of("far"): file("far", "slow1").replace("{name: far}", "{name: far, namespace: kube-system}"),
        path_of("one"): file("same", "slow1"),
        path_of("two"): file("same", "slow2"),
    }
    brought = town.origin.commit(files, "Many")
    async with town.operator():
        await town.follow()
        await town.until(lambda: town.clerk.began == ["good slow1"])
        await town.until(lambda: town.condition("Valid")[1] == "FilesNotUsed")
        await town.until(lambda: len(town.kube.objects(EVENT)) == 4)
        await town.until(lambda: town.origin.exists("refs/notes/serinus"))
        faults = {each["path"]: each for each in town.source()["status"]["faults"]}
        assert set(faults) == {path_of(name) for name in ("bad", "far", "one", "two")}
        assert "apps/bad/canary.yml:16:" in faults[path_of("bad")]["message"]
        assert "this GitSource writes to models alone" in faults[path_of("far")]["message"]
        assert faults[path_of("far")]["line"] == 4
        assert "is claimed by apps/two/canary.yml" in faults[path_of("one")]["message"]
        assert "kube-system" in town.origin.note(brought)
        town.origin.commit({path: None for path in files if "good" not in path}, "Remove them")
        await town.until(lambda: town.condition("Valid")[1] == "AllFilesUsed")
    assert {each["regarding"]["kind"] for each in town.kube.objects(EVENT).values()} == {"GitSource"}


async def test_a_model_canary_that_is_somebody_elses_is_not_touched(town: Estate) -> None:
    """Until its owner hands it over by a label."""
    theirs = {"metadata": {"name": "chat", "namespace": NAMESPACE}, "spec": {"model": {"name": "theirs"}}}
    await town.kube.acting_as("kubectl").apply(MODEL_CANARY, theirs)
    town.commit(chat="slow1")
    async with town.operator():
        await town.follow()
        await town.until(lambda: "comes from elsewhere" in town.condition("Valid")[2])
        assert town.canary("chat")["spec"] == {"model": {"name": "theirs"}}
        patch = {"metadata": {"labels": {"git.serinus.dev/source": SOURCE}}}
        await town.kube.patch(MODEL_CANARY, NAMESPACE, "chat", patch)
        await town.until(lambda: town.clerk.began == ["chat slow1"])
        await town.until(lambda: town.condition("Valid")[0] == "True")


async def test_a_host_that_is_away_is_a_condition_and_touches_nothing(town: Estate) -> None:
    """An expired token, a host that is down, a vanished branch: each told by its reason, then made good by itself."""
    town.commit(chat="slow1")
    async with town.operator():
        await town.follow()
        await town.until(lambda: town.condition("Ready")[0] == "True")
        town.host.token = "a new one"
        await town.until(lambda: town.condition("Ready")[1] == "CredentialsRefused")
        town.host.token, town.host.refuses_with = TOKEN, 503
        await town.until(lambda: town.condition("Ready")[1] == "HostDown")
        town.host.refuses_with = 0
        await town.until(lambda: town.condition("Ready")[0] == "True")
        town.origin.git("branch", "-m", "main", "away")
        town.origin.git("branch", "else", "away")
        await town.until(lambda: town.condition("Ready")[1] == "BranchMissing")
        town.origin.git("branch", "-m", "away", "main")
        await town.until(lambda: town.condition("Ready")[0] == "True")
        assert town.clerk.began == ["chat slow1"]
    assert TOKEN not in str(town.source()) + "".join(town.said)


async def test_a_rewritten_history_leaves_what_runs_as_it_is(town: Estate) -> None:
    town.commit(chat="slow1")
    async with town.operator():
        await town.follow()
        await town.until(lambda: town.clerk.began == ["chat slow1"])
        town.origin.commit({path_of("other"): file("other", "slow2")}, "Begin anew", root=True)
        await town.until(lambda: any("was rewritten" in each for each in town.said))
        await town.until(lambda: "other slow2" in town.clerk.began)
    assert town.canary("chat")["spec"]["canary"]["name"] == "slow1"


async def test_what_waits_to_be_written_is_shown_and_survives_the_replica(town: Estate) -> None:
    """A protected branch delays the commit and nothing else; the next leader makes it, once."""
    town.commit(chat="v1")
    town.commit(chat="bad1")
    town.origin.hook("pre-receive", "while read old new ref; do case $ref in refs/heads/*) exit 1;; esac; done")
    async with town.operator():
        await town.follow()
        await town.until(lambda: town.condition("Written")[0] == "False")
        await town.until(lambda: "is waiting" in town.condition("Written")[2])
        assert town.source()["status"]["waiting"] == 1
    (town.origin.folder / "hooks" / "pre-receive").unlink()
    async with town.operator("another cache"):
        await town.until(lambda: town.condition("Written")[1] == "NothingWaits")
    assert town.log().count("Roll back chat: v1 instead of bad1") == 1


async def test_s14_a_repository_that_stumbles_over_a_change_keeps_no_other_from_hearing_of_it(
    town: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Followers hear of changes from one cache, one after the other."""
    hears = SourceController.changed

    def fails(self: SourceController, before: Object | None, after: Object | None) -> None:
        if self.source.name == "aaa":
            raise RecursionError("too deep")
        hears(self, before, after)

    monkeypatch.setattr(SourceController, "changed", fails)
    town.commit(chat="bad1")
    async with town.operator():
        await town.follow("aaa", suspend=False, paths=["elsewhere/*"])
        await town.follow()
        await town.until(lambda: any("v1 instead of bad1" in each for each in town.log()))
    assert any("RecursionError" in each for each in town.said)


async def test_s14_what_another_namespace_says_of_a_rollout_of_this_name_is_no_word_about_this_one(
    town: Estate,
) -> None:
    """It bears the label of a source of this name, too, and the revision, and claims that it was rolled back."""
    town.commit(chat="slow1")
    async with town.operator():
        await town.follow()
        await town.until(lambda: town.clerk.began == ["chat slow1"])
        stored = stored_in(town.canary("chat"))
        assert stored is not None
        over = ended_as(stored.rollout, Phase.ROLLING_BACK, Reason.GATE_FAILED, WHY, "rolled_back")
        meta = {key: town.canary("chat")["metadata"][key] for key in ("name", "labels", "annotations")}
        town.kube.seed(
            MODEL_CANARY,
            {
                **town.canary("chat"),
                "metadata": {**meta, "namespace": "attacker"},
                "status": status_of(StatusUpdate(over, stored.spec_text, 9), {}, over.began + 13),
            },
        )
        town.commit(other="bad1")
        await town.until(lambda: "Roll back other: v1 instead of bad1" in town.log())
        await town.until(lambda: "other" in json.loads(town.source()["status"]["state"])["rejected"])
    assert [each for each in town.log() if "chat" in each] == []
    assert json.loads(town.source()["status"]["state"])["rejected"].keys() == {"other"}
    assert town.canary("chat")["spec"]["canary"]["name"] == "slow1"


async def test_s14_a_repository_of_which_it_cannot_be_said_why_it_is_not_followed_ends_no_other(
    town: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    tells = say_stopped

    async def fails(means: SourceServices, object_: Object, reason: str, sentence: str) -> None:
        if object_["metadata"]["name"] == "aaa":
            raise TypeError("not a mapping")
        await tells(means, object_, reason, sentence)

    monkeypatch.setattr("controlplane.gitsources.sources.say_stopped", fails)
    town.commit(chat="bad1")
    async with town.operator():
        await town.follow("aaa", url="file:///etc")
        await town.follow()
        await town.until(lambda: any("v1 instead of bad1" in each for each in town.log()))
    assert any("TypeError" in each for each in town.said)


async def test_a_replica_that_may_not_be_leading_writes_nothing(town: Estate) -> None:
    town.commit(chat="slow1")
    town.certain = False
    async with town.operator():
        await town.follow()
        await town.until(lambda: any("not certain" in each for each in town.said))
        assert town.canary("chat") == {}
        assert "status" not in town.source()


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({"url": "file:///etc"}, "CannotFollow", "a place on one machine's disk"),
        ({"url": "https://bot:secret@host/x"}, "CannotFollow", "carries a password"),
        ({"branch": "-f"}, "CannotFollow", "is no name of a branch"),
        ({"paths": ["../*"]}, "CannotFollow", "is no pattern"),
        ({"interval": "1ms"}, "CannotFollow", "expected between 1s and 1h"),
        ({"brunch": "main"}, "CannotFollow", "spec.brunch is not known"),
        ({"secretRef": {"name": "none"}}, "NoSecret", "models/none does not exist"),
        ({"suspend": True}, "Suspended", "spec.suspend"),
    ],
)
async def test_a_source_that_cannot_be_followed_says_why(
    town: Estate, spec: dict[str, Any], reason: str, words: str
) -> None:
    town.commit(chat="slow1")
    async with town.operator():
        await town.follow(**spec)
        await town.until(lambda: words in town.condition("Ready")[2])
        assert town.condition("Ready")[:2] == ("False", reason)
        assert town.canary("chat") == {}
        assert "secret@" not in str(town.source()["status"])
        await town.follow()
        await town.until(lambda: town.canary("chat"))


async def _ask_to_retry(town: Estate, name: str) -> None:
    patch = {"metadata": {"annotations": {"requests.serinus.dev/1": "retry"}}}
    await town.kube.acting_as("kubectl").patch(MODEL_CANARY, NAMESPACE, name, patch)


def _messages(town: Estate) -> list[str]:
    return town.origin.git("log", "--format=%B%x00", "main").replace("\0\n", "\0").split("\0")


async def test_what_is_changed_by_hand_is_put_back_and_told_with_the_name_of_who_did_it(town: Estate) -> None:
    """A changed value, an added field and a removed one, in one write each; under way and at rest alike."""
    town.commit(chat="slow1")
    _begin_calm(town)
    async with town.operator():
        await town.follow()
        await town.until(lambda: town.clerk.began == ["chat slow1"])
        await town.until(lambda: town.condition("Drifted")[1] == "AsCommitted")
        wanted = town.canary("chat")["spec"]
        gates, platform = [{"metric": "error_rate", "max": "5%"}], {"kserve": {"hostname": None}}
        await _edit(town, "chat", {"spec": {"canary": {"engine": {"seed": 9}}, "gates": gates, "platform": platform}})
        await town.until(lambda: town.canary("chat")["spec"] == wanted)
        await town.until(lambda: town.condition("Drifted")[1] == "PutBack")
        changed = "spec.canary.engine.seed, spec.gates, spec.platform.kserve.hostname"
        told = f"ModelCanary chat was changed by kubectl-edit ({changed}); it is as apps/chat/canary.yml:12 says again."
        assert town.condition("Drifted") == ("False", "PutBack", told)
        await _edit(town, "calm", {"spec": {"canary": {"name": "v7"}}})
        await town.until(lambda: town.canary("calm")["spec"]["canary"]["name"] == "v1")
        await town.until(lambda: len(_drifts(town)) == 2)
        town.commit(chat="slow2")
        await town.until(lambda: town.canary("chat")["spec"]["canary"]["name"] == "slow2")
    assert told in _drifts(town)
    entries = town.canary("chat")["metadata"]["managedFields"]
    assert {each["manager"] for each in entries if "f:spec" in each["fieldsV1"]} == {"serinus-git"}


async def test_what_is_changed_by_hand_is_left_and_shown_where_the_source_says_so(town: Estate) -> None:
    """Until somebody puts it back, or the source says otherwise."""
    town.commit(chat="slow1")
    async with town.operator():
        await town.follow(onDrift="report")
        await town.until(lambda: town.clerk.began == ["chat slow1"])
        await town.until(lambda: town.condition("Drifted")[1] == "AsCommitted")
        await _edit(town, "chat", {"spec": {"canary": {"engine": {"seed": 9}}}})
        await town.until(lambda: town.condition("Drifted")[1] == "ChangedByOthers")
        assert "it is left as it is, since spec.onDrift of its GitSource is report." in town.condition("Drifted")[2]
        assert town.canary("chat")["spec"]["canary"]["engine"] == {"seed": 9}
        await _edit(town, "chat", {"spec": {"canary": {"engine": {"seed": 2}}}})
        await town.until(lambda: town.condition("Drifted")[1] == "AsCommitted")
        await _edit(town, "chat", {"spec": {"canary": {"engine": {"seed": 8}}}})
        await town.until(lambda: town.condition("Drifted")[1] == "ChangedByOthers")
        await town.follow(onDrift="repair")
        await town.until(lambda: town.canary("chat")["spec"]["canary"]["engine"] == {"seed": 2})
    assert len(_drifts(town)) == 3


async def test_whoever_insists_is_left_alone_after_three_times(town: Estate) -> None:
    """Another controller that wants the same object otherwise must not be fought for ever."""
    _begin_calm(town)
    async with town.operator():
        await town.follow()
        await town.until(lambda: town.canary("calm"))
        await town.until(lambda: town.condition("Drifted")[1] == "AsCommitted")
        for number in range(3):
            await _edit(town, "calm", {"spec": {"canary": {"engine": {"seed": 7 + number}}}})
            await town.until(lambda: town.canary("calm")["spec"]["canary"]["engine"] == {"seed": 1}, 5.0)
        await _edit(town, "calm", {"spec": {"canary": {"engine": {"seed": 99}}}})
        await town.until(lambda: town.condition("Drifted")[1] == "ChangedByOthers")
        assert "put back 3 times within an hour and somebody insists" in town.condition("Drifted")[2]
        assert town.canary("calm")["spec"]["canary"]["engine"] == {"seed": 99}


async def test_a_rejected_version_is_not_put_back_into_a_resource_that_somebody_changed(town: Estate) -> None:
    """The branch is protected, so the file still names what was rolled back: a hand edit of the resource stays."""
    town.commit(chat="v1")
    town.commit(chat="bad1")
    town.origin.hook("pre-receive", "while read old new ref; do case $ref in refs/heads/*) exit 1;; esac; done")
    async with town.operator():
        await town.follow()
        await town.until(lambda: town.condition("Written")[0] == "False")
        await _edit(town, "chat", {"spec": {"canary": {"name": "slow5", "uri": "hf://example/slow5"}}})
        await town.until(lambda: town.clerk.began == ["chat bad1", "chat slow5"])
        town.origin.hook("pre-receive", "exit 0")
        town.commit("Change another thing", other="slow1")
        await town.until(lambda: "other slow1" in town.clerk.began)
    assert town.clerk.began.count("chat bad1") == 1


def _begin_calm(town: Estate) -> None:
    """A file that names nothing to try."""
    town.origin.commit({path_of("calm"): file("calm", "v1").replace("seed: 2", "seed: 1")}, "Begin")


async def _edit(town: Estate, name: str, patch: dict[str, Any]) -> None:
    """What `kubectl edit` does."""
    await town.kube.acting_as("kubectl-edit").patch(MODEL_CANARY, NAMESPACE, name, patch)


def _drifts(town: Estate) -> list[str]:
    return [each["note"] for each in town.kube.objects(EVENT).values() if each["reason"] == "Drift"]
