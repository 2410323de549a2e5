"""What the APIs of GitHub and of Gitea have in common: one was made to look like the other.

The base of both adapters; what differs, above all how things are found, is in each of them.
"""

from collections.abc import Mapping
from typing import Any

from controlplane.gitops.hosts.api import Api, link, nothing
from controlplane.gitops.hosts.host import Comment, PullRequest, Status


class GitHubLike:
    """One repository, `at` its path in the API."""

    pull_request = "pull request"

    def __init__(self, api: Api, at: str) -> None:
        self._api = api
        self._at = at

    @property
    def name(self) -> str:
        """As people call the host."""
        return self._api.name

    async def open(self, branch: str, base: str, title: str, text: str) -> PullRequest:
        """Propose a branch of the same repository."""
        body = {"title": title, "head": branch, "base": base, "body": text}
        return await self._api.ask("POST", f"{self._at}/pulls", pull_of, body=body)

    async def see(self, number: int) -> PullRequest:
        """How one is now."""
        return await self._api.ask("GET", f"{self._at}/pulls/{number}", pull_of)

    async def close(self, number: int) -> None:
        """Close one without merging it."""
        await self._api.ask("PATCH", f"{self._at}/pulls/{number}", nothing, body={"state": "closed"})

    async def say(self, number: int, text: str, comment: int | None = None) -> int:
        """Say something below one, or change what was said."""
        issues = f"{self._at}/issues"
        if comment is None:
            return await self._api.ask("POST", f"{issues}/{number}/comments", _id_of, body={"body": text})
        return await self._api.ask("PATCH", f"{issues}/comments/{comment}", _id_of, body={"body": text})

    async def set_status(self, commit: str, status: Status) -> None:
        """Put a status on a commit."""
        body = {"state": status.state, "context": status.context, "description": status.text}
        body |= {"target_url": status.url} if status.url else {}
        await self._api.ask("POST", f"{self._at}/statuses/{commit}", nothing, body=body)


def pull_of(answer: Mapping[str, Any]) -> PullRequest:
    """`merged` is only in GitHub's answer about a single one; `merged_at` is in all of them."""
    merged = answer["merged_at"] is not None
    return PullRequest(
        number=int(answer["number"]),
        url=link(answer["html_url"]),
        state="merged" if merged else "open" if answer["state"] == "open" else "closed",
        head=str(answer["head"]["ref"]),
        base=str(answer["base"]["ref"]),
        merged_as=str(answer.get("merge_commit_sha") or "") if merged else "",
    )


def comment_of(answer: Mapping[str, Any]) -> Comment:
    """One entry of a list of comments."""
    return Comment(int(answer["id"]), str(answer["body"] or ""))


def _id_of(answer: Mapping[str, Any]) -> int:
    return int(answer["id"])
