"""Commits that wait in a pull request: opened once, kept so that they merge, closed when they are not wanted any more.

Run by `commit_outbox.py` beside its own work; fed by it with what the branch does not take directly. One commit is one
branch of a name that follows from the rollout, so whatever a crash interrupted is found again and never opened twice.
While it waits, the file in the branch that is followed still names the old state; what keeps a rejected revision from
being started meanwhile is the stored git state, and for a fresh controller the note on the commit that brought it.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace

from canary.errors import SerinusError
from canary.yaml_edit import CannotEdit
from controlplane.gitops import markdown
from controlplane.gitops.edits import DOES, edited, last_at_rest, mark_of
from controlplane.gitops.git_state import PendingCommit, Proposal
from controlplane.gitops.hosts.host import REFUSED, HostFailed, PullRequest
from controlplane.gitops.repo_context import RepoContext
from controlplane.gitops.retry_loop import RoundResult

LOOK_EVERY = 30.0
"""Seconds between two looks at an open one; a change of the branch lets us look at once."""
_UNFIT = re.compile(r"[^A-Za-z0-9-]+")


class PullRequests:
    """The pull requests of one repository."""

    def __init__(
        self, repo: RepoContext, opened: Callable[[PendingCommit, str], None] = lambda _writing, _url: None
    ) -> None:
        """`opened` hears of each pull request, with its address."""
        self._repo = repo
        self._opened = opened
        self._said: dict[str, str] = {}
        self.news = asyncio.Event()
        """Set when there may be something to do."""

    def add(self, writing: PendingCommit, path: str) -> None:
        """Propose this commit as soon as possible, in place of what was proposed for its rollout's name before."""
        self._repo.git_state.moot(writing.name, f"A later rollout of {writing.name} has ended: {writing.rollout}.")
        self._repo.git_state.propose(Proposal(writing, path, branch_of(writing)))
        self.news.set()

    async def once(self) -> RoundResult:
        """Bring everything as far as it goes now."""
        look = RoundResult()
        for proposal in self._repo.git_state.state.proposals:
            look += await self._try(proposal)
            if look.stop:
                break
        return look

    async def _try(self, proposal: Proposal) -> RoundResult:
        what = self._what(proposal)
        try:
            await self._tend(proposal)
        except HostFailed as error:
            self._tell(what, f"{what} is waiting: {error}. It is tried again; traffic does not depend on it.")
            return RoundResult(failed=True, rest=error.wait or 0.0, stop=error.why not in REFUSED)
        except SerinusError as error:
            self._tell(what, f"{what} is waiting: {error} It is tried again; traffic does not depend on it.")
            return RoundResult(failed=True)
        self._said.pop(what, None)
        return RoundResult(within=LOOK_EVERY) if self._repo.git_state.state.proposals else RoundResult()

    async def _tend(self, proposal: Proposal) -> None:
        """One pull request, from what the host says it is to what it should be."""
        pull = await self._look_up(proposal)
        if pull is None or pull.state == "open":
            why = proposal.moot or await self._prepare(proposal)
            if not why:
                if not proposal.number:
                    await self._open(proposal, pull)
                return
            pull = await self._look_up(proposal)  # somebody may have merged it since, which makes it moot as well
            if pull is None or pull.state == "open":
                await self._take_back(proposal, pull, why)
                return
        if pull.state == "merged":
            await self._is_merged(proposal, pull)
        else:
            self._is_closed(proposal, pull)

    async def _look_up(self, proposal: Proposal) -> PullRequest | None:
        """How it is now; None while it is not opened."""
        if proposal.number:
            return await self._repo.host.see(proposal.number)
        return await self._repo.host.find(proposal.branch, self._repo.store.remote.branch)

    async def _prepare(self, proposal: Proposal) -> str:
        """The branch, so that it can be merged; or why there is nothing to merge any more."""
        writing = proposal.writing
        async with self._repo.lock:
            origin = self._repo.git_state.state.origins.get(writing.name)
            path = origin.path if origin is not None else proposal.path
            head = self._repo.git_state.state.head  # as the controller has it: in a newer one the file may have moved
            text = await self._repo.store.file(head, path, limit=self._repo.store.limits.output)
            before = await last_at_rest(self._repo.store, writing, head, path)
            try:
                after = edited(text, writing, before) if text is not None else None
            except CannotEdit as error:
                return f"{path} cannot be edited: {error}"
            if after is None or after == text:
                return f"{path} says so already, or speaks of other variants by now."
            await self._repo.store.branches.put(proposal.branch, head, path, after, writing.message, mark_of(writing))
        return ""

    async def _open(self, proposal: Proposal, pull: PullRequest | None) -> None:
        """Propose the branch, unless a run of ours that did not live to note it down had done so."""
        title, text = markdown.proposal(proposal.writing)
        base = self._repo.store.remote.branch
        pull = pull or await self._repo.host.open(proposal.branch, base, title, text)
        known = (each for each in self._repo.git_state.state.proposals if each.branch == proposal.branch)
        now = next(known, proposal)  # it may have become moot while the host was asked
        self._repo.git_state.propose(replace(now, number=pull.number, url=pull.url))
        self._opened(proposal.writing, pull.url)
        waits = "names the same variants as before, and nothing of it is started again"
        self._repo.say(
            f"{self._what(proposal)} is proposed: {pull.url or pull.number}. Until it is merged the file {waits}."
        )

    async def _take_back(self, proposal: Proposal, pull: PullRequest | None, why: str) -> None:
        """Nobody has to merge it any more."""
        if pull is not None:
            await self._repo.host.say(pull.number, markdown.fenced(f"Not needed any more. {why}"))
            await self._repo.host.close(pull.number)
        async with self._repo.lock:
            await self._repo.store.branches.drop(proposal.branch, mark_of(proposal.writing))
        self._repo.git_state.proposed(proposal)
        self._repo.say(f"{self._what(proposal)} is not needed any more{', and is closed' if pull else ''}: {why}")

    async def _is_merged(self, proposal: Proposal, pull: PullRequest) -> None:
        async with self._repo.lock:
            await self._repo.store.branches.drop(proposal.branch, mark_of(proposal.writing))
        self._repo.git_state.proposed(proposal, pull.merged_as or "")
        landed = f" as {pull.merged_as[:7]}" if pull.merged_as else ""
        self._repo.say(f"{self._what(proposal)} is merged{landed} ({pull.url or pull.number}).")

    def _is_closed(self, proposal: Proposal, pull: PullRequest) -> None:
        """A person said no, or we did and did not live to note it down. Either way nothing more is proposed."""
        self._repo.git_state.proposed(proposal)
        why = "It stays as it is" if proposal.moot else "Somebody closed it without merging; the file stays as it is"
        self._repo.say(f"{self._what(proposal)} is closed ({pull.url or pull.number}). {why}.")

    def _what(self, proposal: Proposal) -> str:
        writing = proposal.writing
        return f"{writing.name}: the {self._repo.host.pull_request} that {DOES[writing.kind]} for {writing.rollout}"

    def _tell(self, about: str, sentence: str) -> None:
        """Say a sentence once, until it changes."""
        if self._said.get(about) != sentence:
            self._said[about] = sentence
            self._repo.say(sentence)


def branch_of(writing: PendingCommit) -> str:
    """The branch of a commit: readable, and the same for ever, also when a fresh machine counts from one again."""
    told_apart = hashlib.sha256(f"{writing.kind} {writing.rollout} {writing.began}".encode()).hexdigest()[:8]
    words = _UNFIT.sub("-", f"{writing.kind}-{writing.rollout}").strip("-")[:60]
    return f"serinus/{words}-{told_apart}"
