"""The demo by commits: two versions of one file, and what the log of its repository shows."""

from pathlib import Path

from canary.spec import revision
from canary.spec.models import ModelCanary
from canary.yaml_edit import promoted, rolled_back
from controlplane.demo.git import NAME, PATH, GitDemo, committed_acts
from controlplane.demo.play import Extra
from controlplane.demo.script import ACTS
from controlplane.view.watcher import Watcher


def unseen(_plan: ModelCanary, _extra: Extra) -> Watcher:
    """A view that nobody should open."""
    raise AssertionError("nothing is played here")


def unheard(_sentence: str) -> None:
    """Nobody listens."""


async def opened(folder: Path) -> GitDemo:
    demo = GitDemo(folder, rate=100.0, open_view=unseen, say=unheard)
    demo._git.prepare()
    await demo._git.run("init", "--bare", "--quiet", "--template=", "--initial-branch=main")
    return demo


def test_the_two_acts_are_two_versions_of_one_file() -> None:
    """Same name, same plans as in the demo without git, and revisions of their own."""
    plans = [act.plan() for act in committed_acts()]
    assert [plan.metadata.name for plan in plans] == [NAME, NAME]
    assert len({revision(plan) for plan in plans}) == 2
    for plan, act in zip(plans, ACTS, strict=True):
        assert (plan.spec.stable.name, plan.spec.canary.name) == (act.stable, act.canary)
        assert plan.spec == act.plan().spec


def test_the_rollback_of_the_second_act_brings_back_what_the_first_one_ended_with() -> None:
    first, second = (act.text for act in committed_acts())
    assert rolled_back(second, promoted(first)) == promoted(first)


async def test_the_log_shows_commits_the_newest_message_and_what_it_changed(tmp_path: Path) -> None:
    demo = await opened(tmp_path)
    first, second = (act.text for act in committed_acts())
    await demo._commit(promoted(first), "Try v2")
    newest = await demo._commit(second, f"Try v3\n\n{'x' * 500}")
    log = await demo.log()
    assert f"git log of {PATH}, newest first:" in log
    assert f"  {newest[:7]}  You      Try v3" in log
    assert log[-2:] == ["    -    name: v2", "    +    name: v3"]
    assert max(map(len, log)) < 120
    assert (await demo._git.run("fsck", "--strict")) == b""
