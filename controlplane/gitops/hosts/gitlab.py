"""GitLab, on its own host or anybody's: merge requests, commit statuses and notes of API v4.

Made by `repo_location.py`. A repository is named by its whole path, with as many groups as it has.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from controlplane.gitops.hosts.api import Api, HostAccess, link, nothing
from controlplane.gitops.hosts.host import Comment, HostFailed, HostFailureKind, PullRequest, Status

_STATES = {"pending": "running", "success": "success", "failure": "failed", "error": "failed"}
_PULL_STATES: Mapping[str, Any] = {"opened": "open", "locked": "open", "merged": "merged", "closed": "closed"}
"""One that is being merged is locked for that long."""


class GitLab:
    """One project there."""

    name = "GitLab"
    pull_request = "merge request"

    def __init__(self, door: HostAccess, repository: str) -> None:
        """`repository`: `group/…/name`."""
        self._api = Api(self.name, door, scheme="Bearer")
        self._at = f"/projects/{quote(repository, safe='')}"

    async def find(self, branch: str, base: str) -> PullRequest | None:
        """The newest one from a branch into another."""
        query = {"state": "all", "source_branch": branch, "target_branch": base, "order_by": "created_at"}
        found = await self._api.pages(f"{self._at}/merge_requests", _pull_of, {**query, "sort": "desc"})
        return next((pull for pull in found if pull.head == branch), None)  # in case the filter is not understood

    async def open(self, branch: str, base: str, title: str, text: str) -> PullRequest:
        """Propose a branch of the same project; it is removed when that has been merged."""
        body = {"source_branch": branch, "target_branch": base, "title": title, "description": text}
        whole = {**body, "remove_source_branch": True}
        return await self._api.ask("POST", f"{self._at}/merge_requests", _pull_of, body=whole)

    async def see(self, number: int) -> PullRequest:
        """How one is now."""
        return await self._api.ask("GET", f"{self._at}/merge_requests/{number}", _pull_of)

    async def close(self, number: int) -> None:
        """Close one without merging it."""
        await self._api.ask("PUT", f"{self._at}/merge_requests/{number}", nothing, body={"state_event": "close"})

    async def comments(self, number: int) -> Sequence[Comment]:
        """What people said below one, oldest first, without what GitLab noted by itself."""
        query = {"sort": "asc", "order_by": "created_at"}
        found = await self._api.pages(f"{self._at}/merge_requests/{number}/notes", _note_of, query)
        return [note for note in found if note is not None]

    async def say(self, number: int, text: str, comment: int | None = None) -> int:
        """Say something below one, or change what was said."""
        notes = f"{self._at}/merge_requests/{number}/notes"
        if comment is None:
            return await self._api.ask("POST", notes, _id_of, body={"body": text})
        return await self._api.ask("PUT", f"{notes}/{comment}", _id_of, body={"body": text})

    async def brought_by(self, commit: str) -> Sequence[PullRequest]:
        """The merged ones that brought a commit."""
        try:
            found = await self._api.pages(f"{self._at}/repository/commits/{commit}/merge_requests", _pull_of)
        except HostFailed as error:
            if error.why is HostFailureKind.MISSING:
                return []
            raise
        return [pull for pull in found if pull.state == "merged"]

    async def set_status(self, commit: str, status: Status) -> None:
        """Put a status on a commit. It may be there already, which older versions call a forbidden transition."""
        body = {"state": _STATES[status.state], "name": status.context, "description": status.text}
        body |= {"target_url": status.url} if status.url else {}
        try:
            await self._api.ask("POST", f"{self._at}/statuses/{commit}", nothing, body=body)
        except HostFailed as error:
            if error.why is not HostFailureKind.INVALID or "cannot transition status" not in str(error).lower():
                raise


def _pull_of(answer: Mapping[str, Any]) -> PullRequest:
    """What it came in as: a merge commit, a squashed one, or, where neither was made, its own newest one."""
    state = _PULL_STATES[answer["state"]]
    landed = answer.get("merge_commit_sha") or answer.get("squash_commit_sha") or answer.get("sha") or ""
    return PullRequest(
        number=int(answer["iid"]),
        url=link(answer["web_url"]),
        state=state,
        head=str(answer["source_branch"]),
        base=str(answer["target_branch"]),
        merged_as=str(landed) if state == "merged" else "",
    )


def _note_of(answer: Mapping[str, Any]) -> Comment | None:
    return None if answer.get("system") else Comment(int(answer["id"]), str(answer["body"] or ""))


def _id_of(answer: Mapping[str, Any]) -> int:
    return int(answer["id"])
