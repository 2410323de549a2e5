"""The demo once more, by commits: a person changes canary.yml in a repository on this disk, and Serinus writes back.

Called by `serinus demo --git`. The acts, the load and the trouble are those of `play.py`; between the person and the
machine stand a real repository and the controller of `controlplane.gitops`, as they would for a team.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from string import Template

from canary.errors import ExternalError
from canary.rollout import Rollout
from canary.spec.models import ModelCanary
from canary.spec.parse import parse
from canary.yaml_edit import promoted, replace_values
from controlplane.adapters.sqlite_store import SqliteStore
from controlplane.demo.play import Demo, OpenView
from controlplane.demo.script import ACTS, LOADING, SPEED, ScriptedRollout
from controlplane.demo.story import Scene
from controlplane.gitops.follow import follow
from controlplane.gitops.git import Git
from controlplane.gitops.paths import Pattern
from controlplane.gitops.remote import remote
from controlplane.program import Audience

PATH = "apps/demo/canary.yml"
NAME = "demo"
PERSON = "You"
LOOK_EVERY = 0.2
"""Seconds between two looks of the controller; a team would take some more."""
WIDTH = 110
"""Characters of a line; the trailer with all the evidence has more."""


@dataclass(frozen=True, slots=True)
class CommittedAct(ScriptedRollout):
    """An act that a commit brings."""

    text: str = ""
    """The file in that commit."""

    def plan(self) -> ModelCanary:
        """What the file says."""
        return parse(self.text, PATH)


def committed_acts() -> tuple[CommittedAct, ...]:
    """The acts of the demo as two versions of one file: the second follows from what Serinus makes of the first."""
    first = _first_text()
    second = replace_values(promoted(first), {("spec", "canary", "name"): ACTS[1].canary})
    return tuple(
        CommittedAct(act.number, act.stable, act.canary, act.title, act.breaks, act.expected, text)
        for act, text in zip(ACTS, (first, second), strict=True)
    )


class GitDemo(Demo):
    """Two commits, two rollouts, and two commits back."""

    def __init__(self, world: Path, *, rate: float, open_view: OpenView, say: Callable[[str], None]) -> None:
        super().__init__(world, rate=rate, open_view=open_view, say=say)
        self._stop = asyncio.Event()
        self._folder = world / "repository.git"
        self._there = remote(str(self._folder), local=True)
        self._git = Git(self._folder, self._there)
        self._audience = Audience(say=say)
        self._text = ""

    async def play(self, acts: Sequence[ScriptedRollout] = ()) -> list[Scene]:
        """Play the acts, each begun by a commit."""
        await asyncio.to_thread(self._git.prepare)
        await self._git.run("init", "--bare", "--quiet", "--template=", f"--initial-branch={self._there.branch}")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(
                follow(
                    self._there,
                    Pattern("apps/*/canary.yml"),
                    state=self._world / "controller",
                    rollouts=lambda _name: self._world,
                    stop=self._stop,
                    say=lambda sentence: self._audience.say(sentence),  # noqa: PLW0108 - the audience changes
                    audience=lambda _plan, _origin: self._audience,
                    interval=LOOK_EVERY,
                )
            )
            try:
                return await super().play(acts or committed_acts())
            finally:
                self._stop.set()

    async def log(self) -> list[str]:
        """What `git log` says of it all, newest first, with the whole of the newest message and what it changed."""
        listed = await self._git.run("log", "--format=%h  %<(8,trunc)%an %s", self._there.branch)
        message = await self._git.run("log", "-1", "--format=%B", self._there.branch)
        changed = await self._git.run("show", "--format=", "--unified=0", self._there.branch)
        difference = [line for line in changed.decode().splitlines() if line[:1] in {"+", "-"}]
        return [
            "",
            f"git log of {PATH}, newest first:",
            *(f"  {line}" for line in listed.decode().splitlines()),
            "",
            "The newest commit:",
            *(f"    {_shortened(line)}".rstrip() for line in message.decode().rstrip().splitlines()),
            "",
            *(f"    {line}" for line in difference if line[:3] not in {"+++", "---"}),
        ]

    async def _carry_out(self, plan: ModelCanary, audience: Audience) -> Rollout:
        """Commit the file, and wait until what became of it is a commit too."""
        self._audience = audience
        text = next(act.text for act in committed_acts() if act.plan() == plan)
        mine = await self._commit(text, f"Try {plan.spec.canary.name}")
        audience.say(f"{PERSON} committed {mine[:7]}: Try {plan.spec.canary.name} ({PATH})")
        while (head := await self._head()) == mine:  # noqa: ASYNC110 - a repository tells nobody
            await asyncio.sleep(LOOK_EVERY)
        subject = (await self._git.run("log", "-1", "--format=%s", head)).decode().strip()
        audience.say(f"Serinus committed {head[:7]}: {subject}")
        self._audience = replace(Audience(), say=self._say)
        return await self._ended()

    async def _ended(self) -> Rollout:
        store = SqliteStore(self._world / "serinus.db")
        try:
            stored = await store.load(NAME)
        finally:
            await store.close()
        if stored is None:
            raise ExternalError(f"{NAME} left no trace in {self._world}.")
        return stored.rollout

    async def _commit(self, text: str, subject: str) -> str:
        """A commit by the person, as their own git would push it."""
        blob = (await self._git.run("hash-object", "-w", "--stdin", stdin=text.encode())).decode().strip()
        tree = f"100644 blob {blob}\t{Path(PATH).name}\n"
        for folder in (Path(PATH).parent.name, Path(PATH).parent.parent.name):
            made = (await self._git.run("mktree", stdin=tree.encode())).decode().strip()
            tree = f"040000 tree {made}\t{folder}\n"
        root = (await self._git.run("mktree", stdin=tree.encode())).decode().strip()
        head = await self._head()
        email = "you@localhost"
        who = {"GIT_AUTHOR_NAME": PERSON, "GIT_AUTHOR_EMAIL": email}
        who |= {"GIT_COMMITTER_NAME": PERSON, "GIT_COMMITTER_EMAIL": email}
        parents = ("-p", head) if head else ()
        written = await self._git.run("commit-tree", root, *parents, "-F", "-", stdin=subject.encode(), variables=who)
        commit = written.decode().strip()
        await self._git.run("update-ref", self._there.ref, commit)
        return commit

    async def _head(self) -> str:
        listed = await self._git.run("for-each-ref", "--format=%(objectname)", self._there.ref)
        return listed.decode().strip()


def _shortened(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[:WIDTH]}…"


def _first_text() -> str:
    """The first version of the file: the template of the demo, with one name for all that follows."""
    first = ACTS[0]
    template = Template((files("controlplane.demo") / "demo.canary.yml").read_text(encoding="utf-8"))
    text = template.substitute(
        python=json.dumps(sys.executable),
        stable=first.stable,
        canary=first.canary,
        stable_flags=", ".join(json.dumps(flag) for flag in SPEED),
        canary_flags=", ".join(json.dumps(flag) for flag in (*SPEED, *LOADING)),
    )
    return text.replace(f"name: demo-{first.canary}", f"name: {NAME}", 1)
