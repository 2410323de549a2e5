"""Where a browser finds a repository's commits and files, for the hosts whose addresses are known.

Used by whoever shows a commit. Nothing is guessed for other hosts: a wrong link is worse than none.
"""

import re
from urllib.parse import quote

from controlplane.view.facts import safe_link

_SSH = re.compile(r"(?:ssh://)?(?:[\w.-]+@)?([\w.-]+?)(?::\d+)?[:/](?!/)([\w./~-]+)")
_FORMS = {
    "github.com": ("/commit/{commit}", "/blob/{commit}/{path}#L{line}", "/pull/{number}"),
    "gitlab.com": ("/-/commit/{commit}", "/-/blob/{commit}/{path}#L{line}", "/-/merge_requests/{number}"),
    "codeberg.org": ("/commit/{commit}", "/src/commit/{commit}/{path}#L{line}", "/pulls/{number}"),
    "bitbucket.org": ("/commits/{commit}", "/src/{commit}/{path}#lines-{line}", "/pull-requests/{number}"),
}
"""By host where commits, files and pull requests are, behind the repository's own address."""


def repository_link(url: str) -> str:
    """The repository's page: an https address as it is, one for ssh where the host is known; else empty."""
    plain = url.removesuffix("/").removesuffix(".git")
    if plain.startswith(("https://", "http://")):
        return safe_link(plain)
    found = _SSH.fullmatch(plain)
    return f"https://{found[1]}/{found[2].lstrip('/')}" if found and found[1] in _FORMS else ""


def commit_link(url: str, commit: str) -> str:
    """A commit's page; empty where the host is not known."""
    return _filled(url, 0, commit=commit)


def file_link(url: str, commit: str, path: str, line: int) -> str:
    """A line of a file as a commit has it; empty where the host is not known."""
    return _filled(url, 1, commit=commit, path=quote(path), line=line)


def pull_link(url: str, number: int) -> str:
    """A pull request's page; empty where the host is not known."""
    return _filled(url, 2, number=number)


def _filled(url: str, which: int, **values: object) -> str:
    page = repository_link(url)
    host = page.partition("://")[2].partition("/")[0]
    if host not in _FORMS or not re.fullmatch(r"[0-9a-f]{7,64}", str(values.get("commit", "0" * 7))):
        return ""
    return safe_link(page + _FORMS[host][which].format(**values))
