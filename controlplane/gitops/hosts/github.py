"""GitHub and GitHub Enterprise: pull requests, commit statuses and issue comments of the REST API.

Made by `repo_location.py`. The shapes are those of the API version that is asked for in each request.
"""

from collections.abc import Sequence
from urllib.parse import quote

from controlplane.gitops.hosts.api import Api, HostAccess
from controlplane.gitops.hosts.github_like import GitHubLike, comment_of, pull_of
from controlplane.gitops.hosts.host import Comment, HostFailed, HostFailureKind, PullRequest

VERSION = "2022-11-28"
_HEADERS = {"accept": "application/vnd.github+json", "x-github-api-version": VERSION}


class GitHub(GitHubLike):
    """One repository there."""

    def __init__(self, door: HostAccess, repository: str) -> None:
        """`repository`: `owner/name`."""
        super().__init__(Api("GitHub", door, scheme="Bearer", headers=_HEADERS), f"/repos/{quote(repository)}")
        self._owner = repository.split("/", 1)[0]

    async def find(self, branch: str, base: str) -> PullRequest | None:
        """The newest one from a branch into another."""
        query = {
            "state": "all",
            "head": f"{self._owner}:{branch}",
            "base": base,
            "sort": "created",
            "direction": "desc",
        }
        found = await self._api.pages(f"{self._at}/pulls", pull_of, query)
        return next((pull for pull in found if pull.head == branch), None)  # in case the filter is not understood

    async def comments(self, number: int) -> Sequence[Comment]:
        """What stands below one, oldest first."""
        return await self._api.pages(f"{self._at}/issues/{number}/comments", comment_of)

    async def brought_by(self, commit: str) -> Sequence[PullRequest]:
        """The merged ones that brought a commit."""
        try:
            found = await self._api.pages(f"{self._at}/commits/{commit}/pulls", pull_of)
        except HostFailed as error:
            if error.why in {HostFailureKind.MISSING, HostFailureKind.INVALID}:  # 422: it has not seen the commit
                return []
            raise
        return [pull for pull in found if pull.state == "merged"]
