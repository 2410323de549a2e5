"""Writes into git what has to be there: promotions, rollbacks and notes about bad files. No rollout waits for it.

A task beside the rollouts, fed by `controller.py` through the git state, which keeps pending commits over a
restart. A host that is down, a token that has expired, a protected branch: told once, and tried again with growing
pauses for as long as it takes. Where the host has an API, what the branch does not take is proposed
(`pull_requests.py`) and what happens is put on the commits (`commit_statuses.py`), each in a task of its own.
"""

import asyncio
from collections.abc import Callable, Mapping

from canary.errors import SerinusError
from canary.rollout import Event, Rollout
from canary.yaml_edit import CannotEdit
from controlplane.backoff import Backoff
from controlplane.gitops.bare_repository import BareRepository
from controlplane.gitops.commit_statuses import CommitStatuses
from controlplane.gitops.commit_writer import ProtectedBranch
from controlplane.gitops.edits import DOES, edited, last_at_rest, mark_of
from controlplane.gitops.git_state import GitStateStore, PendingCommit, PlanOrigin
from controlplane.gitops.hosts.host import Host
from controlplane.gitops.hosts.settings import GitSettings
from controlplane.gitops.pull_requests import PullRequests
from controlplane.gitops.repo_context import RepoContext
from controlplane.gitops.retry_loop import RoundResult, retry_forever

NOTE_TRIES = 8
"""A note repeats what was said on the screen, so it is given up one day; a rollback never is."""
PAUSES, HOST_PAUSES = (1.0, 60.0), (2.0, 300.0)
"""The first and the longest wait in seconds after a failure: of git, and of a host's API, which counts the requests."""


class CommitOutbox:
    """The pending commits of one repository, and the task that writes them."""

    def __init__(
        self,
        store: BareRepository,
        git_state: GitStateStore,
        say: Callable[[str], None],
        *,
        host: Host | None = None,
        settings: GitSettings | None = None,
    ) -> None:
        """`host`: the API of the repository's host; None for a repository without one."""
        self._store = store
        self._git_state = git_state
        self._say = say
        self._settings = settings or GitSettings()
        self._news = asyncio.Event()
        self._notes: dict[tuple[str, str], tuple[str, int]] = {}
        """By commit and first line, the note on it and how often it was tried."""
        self._said: dict[str, str] = {}
        self.lock = asyncio.Lock()
        """Held while the store is used; the controller reads with the same store."""
        repo = RepoContext(store, git_state, host, self.lock, say) if host else None
        told = repo if self._settings.statuses else None
        self._reports = CommitStatuses(told, dashboard=self._settings.dashboard) if told else None
        self._proposals = PullRequests(repo, self._is_proposed) if repo else None
        if host is None:
            self._push_what_was_proposed()
        for proposal in git_state.state.proposals:  # a run of ours may have ended before the note was written
            origin = git_state.state.origins.get(proposal.writing.name)
            if origin is not None:
                self._note_rejection(proposal.writing, origin)

    def add(self, writing: PendingCommit) -> None:
        """Make this commit as soon as possible."""
        self._git_state.add(writing)
        self._news.set()

    def note(self, commit: str, text: str) -> None:
        """Put this note on a commit; one with the same first line takes its place."""
        self._notes[commit, text.partition("\n")[0]] = (text, 0)
        self._news.set()

    def moved(self) -> None:
        """The branch has a new commit, or what is proposed may not be wanted any more."""
        if self._proposals is not None:
            self._proposals.news.set()

    def hear(self, event: Event, origin: PlanOrigin | None) -> None:
        """Something happened in a rollout whose plan came from there. Returns at once."""
        if self._reports is not None:
            self._reports.hear(event, origin)

    def ended(self, rollout: Rollout, sentence: str, origin: PlanOrigin | None) -> None:
        """A rollout is over, and this is why."""
        if self._reports is not None:
            self._reports.ended(rollout, sentence, origin)

    def refused(self, name: str, revision: str, commit: str, sentence: str) -> None:
        """A commit brought back a revision that is not started again."""
        if self._reports is not None:
            self._reports.refused(name, revision, commit, sentence)

    def complain(self, commit: str, sentences: Mapping[str, str]) -> None:
        """A commit brought files, by path, that cannot be used: a failing status each, or else one note."""
        whole = "\n".join(sentences.values())
        text = f"serinus: not used\n\n{whole}\n"
        if self._reports is None:
            self.note(commit, text)
            return
        for path, sentence in sentences.items():
            self._reports.bad(commit, path, sentence, otherwise=lambda: self.note(commit, text))

    async def work(self) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(retry_forever(self.once, self._news, Backoff(*PAUSES)), name="commits")
            for each in (self._proposals, self._reports):
                if each is not None:
                    tasks.create_task(
                        retry_forever(each.once, each.news, Backoff(*HOST_PAUSES)), name=type(each).__name__.lower()
                    )

    async def once(self) -> RoundResult:
        """Try everything once."""
        for writing in self._git_state.state.writings:
            await self._try(writing)
        for (commit, _), (text, tries) in list(self._notes.items()):
            await self._try_note(commit, text, tries)
        return RoundResult(failed=bool(self._git_state.state.writings or self._notes))

    async def _try(self, writing: PendingCommit) -> None:
        origin = self._git_state.state.origins.get(writing.name)
        what = f"{writing.name}: the commit that {DOES[writing.kind]}"
        if origin is None:
            self._done(writing, f"{what} is not needed any more: its file is gone.")
            return
        if self._proposals is not None and self._settings.write == "pull-request":
            self._propose(writing, origin, self._proposals)
            return
        try:
            async with self.lock:
                origin = self._git_state.state.origins.get(writing.name, origin)
                before = await last_at_rest(self._store, writing, await self._store.fetch(), origin.path)
                made = await self._store.writer.commit(
                    origin.path, lambda text: edited(text, writing, before), writing.message, mark_of(writing)
                )
        except CannotEdit as error:
            self._done(writing, f"{what} could not be made: {origin.path}: {error}")
            self.note(origin.commit, f"{writing.message}\nThe file could not be edited: {error}\n")
        except SerinusError as error:
            if isinstance(error, ProtectedBranch) and self._proposals is not None and self._settings.write == "auto":
                self._say(f"{what} is not taken by {self._store.remote.branch}, so it is proposed: {error}")
                self._propose(writing, origin, self._proposals)
                return
            self._tell(what, f"{what} is waiting: {error} It is tried again; traffic does not depend on it.")
        else:
            if made is None and self._store.head != self._git_state.state.head:
                return  # the controller has not seen yet what has become of the file; it may have moved
            said = f"is {made[:7]} in {self._store.remote.branch} ({origin.path})" if made else _NOT_NEEDED
            self._git_state.moot(writing.name, f"{what} {said}.")
            self.moved()
            self._done(writing, f"{what} {said}.", commit=made or "")

    def _propose(self, writing: PendingCommit, origin: PlanOrigin, proposals: PullRequests) -> None:
        """Let a pull request carry it."""
        self._note_rejection(writing, origin)
        proposals.add(writing, origin.path)

    def _is_proposed(self, writing: PendingCommit, url: str) -> None:
        """Whoever reads about the rollout finds the pull request that it came to."""
        if self._reports is not None:
            self._reports.answered(writing, url)

    def _note_rejection(self, writing: PendingCommit, origin: PlanOrigin) -> None:
        """Until a rollback is merged, this tells controllers without a memory of it."""
        if writing.kind == "put back":
            self.note(origin.commit, writing.message)

    def _push_what_was_proposed(self) -> None:
        """Without a host's API nobody sees to pull requests of earlier days, so what they carry is pushed."""
        for proposal in self._git_state.state.proposals:
            self._git_state.proposed(proposal)
            if not proposal.moot:
                self._git_state.add(proposal.writing)

    async def _try_note(self, commit: str, text: str, tries: int) -> None:
        key = commit, text.partition("\n")[0]
        try:
            async with self.lock:
                await self._store.writer.note(commit, text)
        except SerinusError as error:
            self._tell(commit, str(error))
            if tries + 1 < NOTE_TRIES:
                self._notes[key] = (text, tries + 1)
                return
        self._notes.pop(key, None)

    def _done(self, writing: PendingCommit, sentence: str, *, commit: str = "") -> None:
        self._git_state.written(writing, commit)
        self._said.pop(f"{writing.name}: the commit that {DOES[writing.kind]}", None)
        self._say(sentence)

    def _tell(self, about: str, sentence: str) -> None:
        """Say a sentence once, until it changes."""
        if self._said.get(about) != sentence:
            self._said[about] = sentence
            self._say(sentence)


_NOT_NEEDED = "is not needed: the file says so already, or it speaks of other variants by now"
