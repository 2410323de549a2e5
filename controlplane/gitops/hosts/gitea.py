"""Gitea and Forgejo: pull requests, commit statuses and issue comments of their common API.

Made by `repo_location.py`.
"""

from collections.abc import Sequence
from urllib.parse import quote

from controlplane.gitops.hosts.api import Api, HostAccess
from controlplane.gitops.hosts.github_like import GitHubLike, comment_of, pull_of
from controlplane.gitops.hosts.host import Comment, HostFailed, HostFailureKind, PullRequest


class Gitea(GitHubLike):
    """One repository there."""

    def __init__(self, door: HostAccess, repository: str) -> None:
        """`repository`: `owner/name`."""
        super().__init__(Api("Gitea", door, scheme="token"), f"/repos/{quote(repository)}")

    async def find(self, branch: str, base: str) -> PullRequest | None:
        """The one from a branch into another; older servers know it only as one of a list."""
        try:
            return await self._api.ask("GET", f"{self._at}/pulls/{quote(base, safe='')}/{quote(branch)}", pull_of)
        except HostFailed as error:
            if error.why is not HostFailureKind.MISSING:
                raise
        query = {"state": "all", "sort": "recentupdate"}
        found = await self._api.pages(f"{self._at}/pulls", pull_of, query, size="limit")
        return next((pull for pull in found if (pull.head, pull.base) == (branch, base)), None)

    async def comments(self, number: int) -> Sequence[Comment]:
        """What stands below one, oldest first. This list has no pages."""
        return await self._api.ask("GET", f"{self._at}/issues/{number}/comments", _comments_of)

    async def brought_by(self, commit: str) -> Sequence[PullRequest]:
        """The one that was merged as this commit."""
        try:
            pull = await self._api.ask("GET", f"{self._at}/commits/{commit}/pull", pull_of)
        except HostFailed as error:
            if error.why is HostFailureKind.MISSING:
                return []
            raise
        return [pull] if pull.state == "merged" else []


def _comments_of(answer: Sequence[object] | None) -> Sequence[Comment]:
    return [comment_of(each) for each in answer or []]  # type: ignore[arg-type]  # JSON, read under `Api.ask`
