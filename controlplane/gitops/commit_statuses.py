"""What Serinus says of commits on their host: a status on each that brought a canary, and one comment where it was
discussed.

Run by `commit_outbox.py` beside its own work; told by the controller and by the rollouts' events what has happened.
Keeps the newest state of each commit in the git state until the host has it, so that neither a crash nor a host that is
down leaves a commit pending for ever. Nobody waits for it, and what was said once is not said again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from urllib.parse import quote

from canary.errors import SerinusError
from canary.rollout import FINISHED, Event, Rollout
from controlplane.gitops import markdown
from controlplane.gitops.git_state import CommitReport, PendingCommit, PlanOrigin
from controlplane.gitops.hosts.host import REFUSED, HostFailed, State, Status
from controlplane.gitops.repo_context import RepoContext
from controlplane.gitops.retry_loop import RoundResult

REFUSALS = 5
"""Times that a host may refuse something before it is given up: somebody may mend the token's rights meanwhile."""
_ENDS: dict[str | None, State] = {"promoted": "success", "rolled_back": "failure", "aborted": "failure"}
_TOLD = frozenset({"phase", "weights"})
"""Events that change what is said."""


class CommitStatuses:
    """What is said of the commits of one repository."""

    def __init__(self, repo: RepoContext, *, dashboard: str = "") -> None:
        """`dashboard`: where it answers, for links; empty where there is none."""
        self._repo = repo
        self._dashboard = dashboard.rstrip("/")
        self._refusals: dict[str, int] = {}
        self._fallbacks: dict[str, Callable[[], None]] = {}
        """What to do instead where the host takes no status, by commit and context."""
        self._said: dict[str, str] = {}
        """What was complained of, by what does not arrive."""
        self.news = asyncio.Event()
        """Set when there may be something to do."""

    def hear(self, event: Event, origin: PlanOrigin | None) -> None:
        """Something happened in a rollout; `origin` is where its plan came from, as far as that is known."""
        if event.event not in _TOLD or event.phase in FINISHED:
            return
        commit = self._commit_of(event.rollout, event.revision, origin)
        if commit:
            self._replace_others(event.rollout, event.revision, commit)
            self._put(event.rollout, event.revision, commit, "pending", event.message)

    def ended(self, rollout: Rollout, sentence: str, origin: PlanOrigin | None) -> None:
        """A rollout is over."""
        commit = self._commit_of(rollout.name, rollout.revision, origin)
        if commit:
            self._put(rollout.name, rollout.revision, commit, _ENDS.get(rollout.result, "error"), sentence)

    def refused(self, name: str, revision: str, commit: str, sentence: str) -> None:
        """A commit brought back what is not started again."""
        self._put(name, revision, commit, "failure", sentence)

    def answered(self, writing: PendingCommit, url: str) -> None:
        """What the rollout came to is proposed there, for somebody to merge."""
        for report in reversed(self._repo.git_state.state.reports.values()):
            if (report.name, report.revision) == (writing.name, writing.revision):
                if report.answer != url:
                    self._repo.git_state.report(replace(report, answer=url))
                    self.news.set()
                return

    def bad(self, commit: str, path: str, sentence: str, otherwise: Callable[[], None]) -> None:
        """A file cannot be used. `otherwise` is called if the host does not take a status."""
        context = markdown.context_of(path)
        self._fallbacks[f"{commit} {context}"] = otherwise
        self._put("", "", commit, "failure", sentence.partition("\n")[0], context=context)

    def _replace_others(self, name: str, revision: str, commit: str) -> None:
        """What ran under this name before has no end of its own to tell."""
        for report in list(self._repo.git_state.state.reports.values()):
            if (report.name, report.state) == (name, "pending") and report.revision != revision:
                self._repo.git_state.report(
                    replace(report, state="error", text=f"Replaced by {commit[:7]} before its end.")
                )

    def _commit_of(self, name: str, revision: str, origin: PlanOrigin | None) -> str:
        """The commit that brought a revision; what is under way knows it, later ones may touch the file as well."""
        for report in reversed(self._repo.git_state.state.reports.values()):
            if (report.name, report.revision, report.state) == (name, revision, "pending"):
                return report.commit
        return origin.commit if origin is not None and origin.revision == revision else ""

    def _put(self, name: str, revision: str, commit: str, state: State, text: str, *, context: str = "") -> None:
        context = context or markdown.context_of(name)
        before = self._repo.git_state.state.reports.get(f"{commit} {context}")
        report = replace(
            before or CommitReport(name, revision, commit, context, state, text),
            name=name,
            revision=revision,
            state=state,
            text=text,
            answer="" if state == "pending" or before is None else before.answer,
        )
        if report != before:
            self._refusals.pop(f"{commit} {context}", None)
            self._repo.git_state.report(report)
            self.news.set()

    async def once(self) -> RoundResult:
        """Say everything that the host has not been told yet."""
        look = RoundResult()
        for key in list(self._repo.git_state.state.reports):
            for what, step in (("Statuses", self._status), ("Comments", self._comment)):
                look += await self._try(key, what, step)
                if look.stop:
                    return look
        return look

    async def _try(self, key: str, what: str, step: Callable[[CommitReport], Awaitable[CommitReport]]) -> RoundResult:
        """One thing to say of one commit. A refusal is tried again some times, everything else until it works."""
        report = self._repo.git_state.state.reports.get(key)
        if report is None or self._refusals.get(key, 0) >= REFUSALS:
            return RoundResult()
        try:
            said = await step(report)
        except HostFailed as error:
            if error.why in REFUSED:
                self._refusals[key] = self._refusals.get(key, 0) + 1
                if (otherwise := self._fallbacks.pop(key, None)) is not None:
                    otherwise()
            self._tell(what, f"{error}. {what} wait for that; rollouts do not.")
            return RoundResult(failed=True, rest=error.wait or 0.0, stop=error.why not in REFUSED)
        except SerinusError as error:
            self._tell(what, f"{error} {what} wait for that; rollouts do not.")
            return RoundResult(failed=True)
        if said != report:
            self._remember(key, report, said)
            if self._said.pop(what, ""):
                self._repo.say(f"{what} reach {self._repo.host.name} again.")
        return RoundResult()

    def _remember(self, key: str, before: CommitReport, said: CommitReport) -> None:
        """Note down what the host knows, and keep what happened while it was told."""
        now = self._repo.git_state.state.reports.get(key, before)
        known = {"told": said.told, "pull": said.pull, "comment": said.comment, "commented": said.commented}
        self._repo.git_state.report(replace(now, **known))  # type: ignore[arg-type]  # each of its own type

    async def _status(self, report: CommitReport) -> CommitReport:
        """The status on the commit."""
        text = markdown.status_text(report.text)
        told = f"{report.state} {text} {report.answer}".rstrip()
        if told != report.told:
            url = report.answer or self._url(report)  # what waits for somebody comes before what may be looked at
            await self._repo.host.set_status(report.commit, Status(report.context, report.state, text, url))
        return replace(report, told=told)

    async def _comment(self, report: CommitReport) -> CommitReport:
        """The comment on the pull request that brought it, if there is one; always the same, changed in place."""
        if not report.name:
            return report
        if report.pull is None:
            report = replace(report, pull=await self._brought_by(report.commit))
        text = markdown.comment(report, self._url(report), self._repo.host.pull_request)
        if not report.pull or text == report.commented:
            return report
        mark = markdown.comment_mark(report)
        known = report.comment or await self._found(report.pull, mark)
        try:
            comment = await self._repo.host.say(report.pull, text, known or None)
        except HostFailed as error:
            if not known or report.comment or error.why not in REFUSED:
                raise
            comment = await self._repo.host.say(report.pull, text)  # somebody else wrote our mark: that one is theirs
        return replace(report, comment=comment, commented=text)

    async def _found(self, pull: int, mark: str) -> int:
        """A comment of ours from before this controller's memory."""
        for each in await self._repo.host.comments(pull):
            if each.text.startswith(mark):
                return each.id
        return 0

    async def _brought_by(self, commit: str) -> int:
        """The pull request that brought a commit into the branch; 0 for none."""
        for each in (commit, *(await self._merges_of(commit))):
            for pull in await self._repo.host.brought_by(each):
                if pull.base == self._repo.store.remote.branch:
                    return pull.number
        return 0

    async def _merges_of(self, commit: str) -> list[str]:
        """The commits that merged it: some hosts know a pull request by these alone."""
        async with self._repo.lock:
            return list(await self._repo.store.merges_of(commit))

    def _url(self, report: CommitReport) -> str:
        """The rollout's page on the dashboard."""
        return f"{self._dashboard}/rollouts/{quote(report.name, safe='')}" if self._dashboard and report.name else ""

    def _tell(self, about: str, sentence: str) -> None:
        """Say a sentence once, until it changes."""
        if self._said.get(about) != sentence:
            self._said[about] = sentence
            self._repo.say(sentence)
