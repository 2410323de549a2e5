"""A git host's API on loopback, for tests: GitHub, GitLab or Gitea as their references describe them, over a real
repository.

Pull requests are proposed, merged and declined as there: a branch must exist and differ, a second one for the same
branch is refused in each host's own words and with its own status, lists come in pages with a `Link` header. What is
answered instead (an expired token, a limit, a redirect, silence) is chosen by the test.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

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
Answer = tuple[int, Any]
Route = tuple[str, str, Callable[..., Answer]]


def _hub_pull(forge: Forge, pull: Pull, *, single: bool = False) -> Mapping[str, Any]:
    """As GitHub and Gitea show one; only Gitea says `merged` in a list."""
    answer = {
        "number": pull.number,
        "html_url": f"http://127.0.0.1:{forge.port}/team/models/pulls/{pull.number}",
        "state": "open" if pull.state == "open" else "closed",
        "title": pull.title,
        "body": pull.text,
        "head": {"ref": pull.head, "label": f"team:{pull.head}"},
        "base": {"ref": pull.base},
        "merged_at": "2026-11-21T10:00:00Z" if pull.state == "merged" else None,
        # GitHub names a test merge here for one that is open.
        "merge_commit_sha": pull.merged_as or ("e" * 40 if forge.kind == "github" else None),
    }
    return {**answer, "merged": pull.state == "merged"} if single or forge.kind == "gitea" else answer


def _lab_pull(forge: Forge, pull: Pull) -> Mapping[str, Any]:
    return {
        "id": 9000 + pull.number,
        "iid": pull.number,
        "web_url": f"http://127.0.0.1:{forge.port}/team/models/-/merge_requests/{pull.number}",
        "state": {"open": "opened"}.get(pull.state, pull.state),
        "title": pull.title,
        "description": pull.text,
        "source_branch": pull.head,
        "target_branch": pull.base,
        "merge_commit_sha": pull.merged_as or None,
        "squash_commit_sha": None,
        "sha": "d" * 40,
    }


def _hub_routes(forge: Forge) -> Sequence[Route]:
    def listed(query: Mapping[str, str], _body: Any) -> Answer:
        pulls = [pull for pull in reversed(forge.pulls) if query.get("state") in {"all", None, pull.state}]
        if forge.kind == "github":
            wanted = query.get("head", "").removeprefix("team:"), query.get("base", "")
            pulls = [pull for pull in pulls if (pull.head, pull.base) == wanted]
        return 200, [_hub_pull(forge, pull) for pull in pulls]

    def opened(_query: Mapping[str, str], body: Any) -> Answer:
        pull = forge.propose(body["head"], body["base"], body["title"], body["body"])
        return 201, _hub_pull(forge, pull, single=True)

    def closed(_query: Mapping[str, str], body: Any, number: str) -> Answer:
        assert body == {"state": "closed"}
        forge.pull(number).state = "closed"
        return (201 if forge.kind == "gitea" else 200), _hub_pull(forge, forge.pull(number), single=True)

    def comments(_query: Mapping[str, str], _body: Any, number: str) -> Answer:
        return 200, [{"id": id_, "body": text} for id_, text in forge.pull(number).comments.items()]

    def said(_query: Mapping[str, str], body: Any, number: str) -> Answer:
        return 201, {"id": forge.say(forge.pull(number), body["body"])}

    def changed(_query: Mapping[str, str], body: Any, comment: str) -> Answer:
        return 200, {"id": forge.say(forge.with_comment(comment), body["body"], int(comment))}

    def by_targets(_query: Mapping[str, str], _body: Any, base: str, head: str) -> Answer:
        found = [pull for pull in forge.pulls if (pull.head, pull.base) == (head, base)]
        if not found:
            raise Refuses(404, "The target couldn't be found.")
        return 200, _hub_pull(forge, found[0], single=True)

    def brought(_query: Mapping[str, str], _body: Any, commit: str) -> Answer:
        found = forge.brought(commit)
        if forge.kind == "github":
            return 200, [_hub_pull(forge, pull) for pull in found]
        if not found:
            raise Refuses(404, "pull request does not exist")
        return 200, _hub_pull(forge, found[0], single=True)

    def status(_query: Mapping[str, str], body: Any, commit: str) -> Answer:
        assert body["state"] in {"pending", "success", "failure", "error"}
        forge.put_status(commit, body)
        return 201, {"id": 1, **body}

    repo = "/repos/team/models"
    return [
        ("GET", f"{repo}/pulls", listed),
        ("POST", f"{repo}/pulls", opened),
        ("GET", f"{repo}/pulls/([0-9]+)", lambda _q, _b, n: (200, _hub_pull(forge, forge.pull(n), single=True))),
        ("PATCH", f"{repo}/pulls/([0-9]+)", closed),
        ("GET", f"{repo}/issues/([0-9]+)/comments", comments),
        (
            "POST",
            f"{repo}/issues/([0-9]+)/comments",
            lambda _q, b, n: (201, {"id": forge.say(forge.pull(n), b["body"])}),
        ),
        ("PATCH", f"{repo}/issues/comments/([0-9]+)", changed),
        ("POST", f"{repo}/statuses/([0-9a-f]+)", status),
        ("GET", f"{repo}/commits/([0-9a-f]+)/pull{'s' if forge.kind == 'github' else ''}", brought),
        *([("GET", f"{repo}/pulls/([^/]+)/(.+)", by_targets)] if forge.kind == "gitea" else []),
    ]


def _lab_routes(forge: Forge) -> Sequence[Route]:
    def listed(query: Mapping[str, str], _body: Any) -> Answer:
        wanted = query.get("source_branch", ""), query.get("target_branch", "")
        found = [pull for pull in reversed(forge.pulls) if (pull.head, pull.base) == wanted]
        return 200, [_lab_pull(forge, pull) for pull in found]

    def opened(_query: Mapping[str, str], body: Any) -> Answer:
        pull = forge.propose(body["source_branch"], body["target_branch"], body["title"], body["description"])
        return 201, _lab_pull(forge, pull)

    def closed(_query: Mapping[str, str], body: Any, number: str) -> Answer:
        assert body == {"state_event": "close"}
        forge.pull(number).state = "closed"
        return 200, _lab_pull(forge, forge.pull(number))

    def notes(_query: Mapping[str, str], _body: Any, number: str) -> Answer:
        noted = {"id": 1, "body": "added 1 commit", "system": True}
        said = [{"id": id_, "body": text, "system": False} for id_, text in forge.pull(number).comments.items()]
        return 200, [noted, *said]

    def changed(_query: Mapping[str, str], body: Any, number: str, comment: str) -> Answer:
        return 200, {"id": forge.say(forge.pull(number), body["body"], int(comment))}

    def status(_query: Mapping[str, str], body: Any, commit: str) -> Answer:
        assert body["state"] in {"pending", "running", "success", "failed", "canceled"}
        forge.put_status(commit, body)
        return 201, {"id": 1, **body}

    project = "/projects/team%2Fmodels"
    requests = f"{project}/merge_requests"
    return [
        ("GET", requests, listed),
        ("POST", requests, opened),
        ("GET", f"{requests}/([0-9]+)", lambda _q, _b, n: (200, _lab_pull(forge, forge.pull(n)))),
        ("PUT", f"{requests}/([0-9]+)", closed),
        ("GET", f"{requests}/([0-9]+)/notes", notes),
        ("POST", f"{requests}/([0-9]+)/notes", lambda _q, b, n: (201, {"id": forge.say(forge.pull(n), b["body"])})),
        ("PUT", f"{requests}/([0-9]+)/notes/([0-9]+)", changed),
        ("POST", f"{project}/statuses/([0-9a-f]+)", status),
        (
            "GET",
            f"{project}/repository/commits/([0-9a-f]+)/merge_requests",
            lambda _q, _b, commit: (200, [_lab_pull(forge, pull) for pull in forge.brought(commit)]),
        ),
    ]


def _refusal(forge: Forge, refuses: Refuses) -> Answer:
    """An error in each host's own words."""
    words = list(refuses.words)
    if forge.kind == "gitlab":
        status = 409 if refuses.status == 409 else refuses.status
        text = "Another open merge request already exists for this source branch: !1"
        return status, {"message": [text] if status == 409 else words[0]}
    if forge.kind == "gitea":
        return refuses.status, {"message": words[0], "url": "https://gitea.example/api/swagger", "errors": []}
    status = 422 if refuses.status == 409 else refuses.status
    if status == 422:
        errors = [{"resource": "PullRequest", "code": "custom", "message": words[0]}]
        return 422, {"message": "Validation Failed", "errors": errors, "documentation_url": "https://docs.github.com/"}
    return status, {"message": words[0], "documentation_url": "https://docs.github.com/rest", "status": str(status)}


UNAUTHORIZED: Mapping[Kind, Any] = {
    "github": {"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest", "status": "401"},
    "gitlab": {"message": "401 Unauthorized"},
    "gitea": {"message": "invalid username, password or token", "url": "https://gitea.example/api/swagger"},
}


@contextmanager
def forge_for(kind: Kind, origin: Origin) -> Iterator[Forge]:
    """Serve one host's API for a repository."""
    forge = Forge(kind, origin)
    routes = _lab_routes(forge) if kind == "gitlab" else _hub_routes(forge)
    scheme = "token" if kind == "gitea" else "Bearer"

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def do_PATCH(self) -> None:
            self._answer()

        def do_PUT(self) -> None:
            self._answer()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base's
            """Stay quiet."""

        def _answer(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            body = json.loads(raw) if raw else None
            split = urlsplit(self.path)
            given = self.headers.get("authorization", "")
            forge.asked.append(Asked(self.command, self.path, given, body))
            if forge.hangs is not None:
                forge.hangs.wait(30)
            trouble = self._trouble(split.path)
            if trouble is not None and not trouble.after:
                self._send(trouble.status, trouble.body, trouble.headers)
                return
            if given != f"{scheme} {forge.token}":
                self._send(401, json.dumps(UNAUTHORIZED[kind]), {})
                return
            query = {key: values[0] for key, values in parse_qs(split.query).items()}
            with forge.lock:
                status, answer = self._routed(split.path.removeprefix(ROOTS[kind]), query, body)
            if trouble is not None:
                self._send(trouble.status, trouble.body, trouble.headers)
                return
            headers: Mapping[str, str] = {}
            if isinstance(answer, list) and not (kind == "gitea" and "/comments" in split.path):
                answer, headers = self._page(answer, query)
            self._send(status, json.dumps(answer), headers)

        def _trouble(self, path: str) -> Trouble | None:
            for each in forge.trouble:
                if each.times and each.path in path and each.method in {"", self.command}:
                    each.times -= 1
                    return each
            return None

        def _routed(self, path: str, query: Mapping[str, str], body: Any) -> Answer:
            for method, expression, answer in routes:
                if method == self.command and (found := re.fullmatch(expression, path)):
                    try:
                        return answer(query, body, *map(unquote, found.groups()))
                    except Refuses as refuses:
                        return _refusal(forge, refuses)
            return _refusal(forge, Refuses(404, "Not Found"))

        def _page(self, entries: list[Any], query: Mapping[str, str]) -> tuple[list[Any], dict[str, str]]:
            number, size = int(query.get("page", "1")), int(query.get("per_page", query.get("limit", "30")))
            size = min(size, forge.page)
            more = number * size < len(entries)
            # An address that must not be followed: the token would go there.
            link = {"link": f'<http://127.0.0.1:1/elsewhere?page={number + 1}>; rel="next"'} if more else {}
            return entries[(number - 1) * size : number * size], link

        def _send(self, status: int, words: str, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value.replace("IN_A_MINUTE", str(int(time.time()) + 60)))
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(words.encode())))
            with suppress(ConnectionError):  # who asked has given up
                self.end_headers()
                self.wfile.write(words.encode())

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        forge.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield forge
        finally:
            if forge.hangs is not None:
                forge.hangs.set()
            server.shutdown()
            thread.join()
