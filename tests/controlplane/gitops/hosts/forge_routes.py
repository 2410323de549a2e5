"""What the APIs of GitHub, GitLab and Gitea answer to each request, as their references say: the routes of a forge.

Used by `forge_server.py`. Shapes only; what is so is in `forge.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.controlplane.gitops.hosts.forge import Forge, Pull, Refuses

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


def hub_routes(forge: Forge) -> Sequence[Route]:
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


def lab_routes(forge: Forge) -> Sequence[Route]:
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
