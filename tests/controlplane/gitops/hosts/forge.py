"""A git host's API on loopback, for tests: GitHub, GitLab or Gitea as their references describe them, over a real
repository.

Pull requests are proposed, merged and declined as there: a branch must exist and differ, a second one for the same
branch is refused in each host's own words and with its own status, lists come in pages with a `Link` header. What is
answered instead (an expired token, a limit, a redirect, silence) is chosen by the test.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.controlplane.gitops.origin import Origin

Kind = Literal["github", "gitlab", "gitea"]
KINDS: Sequence[Kind] = ("github", "gitlab", "gitea")
TOKEN = "forge-MARKER-0123456789"
ROOTS: Mapping[Kind, str] = {"github": "/api/v3", "gitlab": "/api/v4", "gitea": "/api/v1"}


@dataclass
class Pull:
    """One pull request."""

    number: int
    head: str
    base: str
    title: str
    text: str
    state: Literal["open", "merged", "closed"] = "open"
    merged_as: str = ""
    comments: dict[int, str] = field(default_factory=dict)


@dataclass
class Asked:
    """One request as it came."""

    method: str
    path: str
    authorization: str
    body: Any


@dataclass
class Trouble:
    """What is answered in place of the truth."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = '{"message": "no"}'
    path: str = ""
    """Only where the path has this in it."""
    method: str = ""
    times: int = 1_000_000
    after: bool = False
    """Whether the request is carried out all the same: the answer was lost."""


class Refuses(Exception):  # noqa: N818 - what the host does
    """An answer that is none of success."""

    def __init__(self, status: int, *words: str) -> None:
        super().__init__(status)
        self.status = status
        self.words = words


class Forge:
    """The host and everything on it."""

    def __init__(self, kind: Kind, origin: Origin) -> None:
        self.kind = kind
        self.origin = origin
        self.token = TOKEN
        self.page = 50
        """Entries of a page at most."""
        self.port = 0
        self.pulls: list[Pull] = []
        self.statuses: list[tuple[str, Mapping[str, Any]]] = []
        """Commit and status, in the order in which they were put."""
        self.asked: list[Asked] = []
        self.trouble: list[Trouble] = []
        self.hangs: threading.Event | None = None
        """Until it is set nothing is answered."""
        self._ids = iter(range(100, 10_000))
        self.lock = threading.Lock()

    @property
    def api(self) -> str:
        """Where its API answers."""
        return f"http://127.0.0.1:{self.port}{ROOTS[self.kind]}"

    def merge(self, number: int, how: Literal["merge", "squash", "rebase"] = "merge") -> str:
        """A person merges one; answers the commit that this made."""
        with self.lock:
            pull = self.pulls[number - 1]
            base, head = self.origin.head(pull.base), self.origin.head(pull.head)
            tree = self.origin.git("merge-tree", "--write-tree", base, head).split("\n", 1)[0]
            parents, words = ["-p", base], f"{pull.title} (#{number})\n"
            if how == "merge":
                parents += ["-p", head]
            if how == "rebase":
                words = self.origin.message(pull.head)
            made = self.origin.git(*_WHO, "commit-tree", tree, *parents, "-F", "-", stdin=words.encode()).strip()
            self.origin.git("update-ref", f"refs/heads/{pull.base}", made, base)
            self.origin.git("update-ref", "-d", f"refs/heads/{pull.head}")
            pull.state, pull.merged_as = "merged", made
        return made

    def decline(self, number: int) -> None:
        """A person closes one."""
        self.pulls[number - 1].state = "closed"

    def propose(self, head: str, base: str, title: str, text: str) -> Pull:
        """Open one. Raises `Refuses`."""
        if not self.origin.exists(f"refs/heads/{head}"):
            raise Refuses(422, "head is invalid")
        if self.origin.head(head) == self.origin.head(base):
            raise Refuses(422, f"No commits between {base} and {head}")
        if any((pull.head, pull.base, pull.state) == (head, base, "open") for pull in self.pulls):
            raise Refuses(409, f"A pull request already exists for {head}.")
        self.pulls.append(Pull(len(self.pulls) + 1, head, base, title, text))
        return self.pulls[-1]

    def pull(self, number: str) -> Pull:
        """One by its number."""
        if not 0 < int(number) <= len(self.pulls):
            raise Refuses(404, "Not Found")
        return self.pulls[int(number) - 1]

    def say(self, pull: Pull, text: str, comment: int | None = None) -> int:
        """A comment, new or changed."""
        if comment is not None and comment not in pull.comments:
            raise Refuses(404, "Not Found")
        number = next(self._ids) if comment is None else comment
        pull.comments[number] = text
        return number

    def with_comment(self, comment: str) -> Pull:
        """Where a comment stands."""
        for pull in self.pulls:
            if int(comment) in pull.comments:
                return pull
        raise Refuses(404, "Not Found")

    def put_status(self, commit: str, status: Mapping[str, Any]) -> None:
        """A status, if the commit is known and the text fits."""
        if not self.knows(commit):
            raise Refuses(_UNKNOWN_COMMIT[self.kind], f"No commit found for SHA: {commit}")
        if self.kind == "github" and len(status["description"]) > 140:
            raise Refuses(422, "Validation Failed: description is too long (maximum is 140 characters)")
        name = status.get("context") or status["name"]
        before = [said for of, said in self.statuses if of == commit and (said.get("context") or said["name"]) == name]
        if self.kind == "gitlab" and before and before[-1]["state"] == status["state"] == "running":
            raise Refuses(400, "Cannot transition status via :run from :running (Reason(s): Status cannot transition)")
        self.statuses.append((commit, status))

    def knows(self, commit: str) -> bool:
        """Whether a commit is in the repository."""
        return commit in self.origin.git("rev-list", "--all").split()

    def brought(self, commit: str) -> list[Pull]:
        """Merged ones that a commit belongs to."""
        if not self.knows(commit):
            raise Refuses(404 if self.kind != "github" else 422, f"No commit found for SHA: {commit}")
        merged = (pull for pull in self.pulls if pull.state == "merged")
        return [pull for pull in merged if commit in self._commits(pull)]

    def _commits(self, pull: Pull) -> list[str]:
        """The merge commit; GitHub and GitLab know those that it brought as well."""
        if self.kind == "gitea":
            return [pull.merged_as]
        return self.origin.git("rev-list", f"{pull.merged_as}^1..{pull.merged_as}").split()


_UNKNOWN_COMMIT: Mapping[Kind, int] = {"github": 422, "gitlab": 404, "gitea": 500}
"""What the answer is to a status for a commit that is not there."""
_WHO = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
