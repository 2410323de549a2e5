"""What a commit that has to be made does to its file: the edit itself, what was good before, and how to know it again.

Used by `commit_outbox.py`, which pushes it, and by `pull_requests.py`, which proposes it. Reads the store and writes
nothing.
"""

from collections.abc import Callable

from canary.spec.reader import SIZE_LIMIT
from canary.yaml_edit import CannotEdit, Written, is_no_op, promoted, rolled_back
from controlplane.gitops.bare_repository import BareRepository
from controlplane.gitops.commit_log import CommitInfo
from controlplane.gitops.desired import arms_of
from controlplane.gitops.git_state import PendingCommit

DOES = {"promote": "makes the canary stable", "put back": "puts the file back"}
"""What a commit of each kind does, as a clause."""


def edited(text: bytes, writing: PendingCommit, before: str | None) -> bytes | None:
    """The file as it should be; None where it does not speak of the same two variants any more.

    `before`: what was good, as `last_at_rest` finds it. Raises `CannotEdit`.
    """
    mark = "\ufeff" if text.startswith(b"\xef\xbb\xbf") else ""
    decoded = _decoded(text)
    if decoded is None or _arms(decoded) != writing.arms:
        return None
    after = promoted(decoded) if writing.kind == "promote" else rolled_back(decoded, before)
    return f"{mark}{after}".encode()


async def last_at_rest(store: BareRepository, writing: PendingCommit, head: str | None, path: str) -> str | None:
    """The newest version of a file before `head` that names nothing to try: what was good. Promotions need none."""
    if head is None or writing.kind != "put back":
        return None
    for commit in await store.versions(head, path):
        text = await store.file(commit, path, limit=SIZE_LIMIT)
        if text is not None and (decoded := _decoded(text)) is not None and _is_at_rest(decoded):
            return decoded
    return None


def mark_of(writing: PendingCommit) -> Callable[[CommitInfo], bool]:
    """Knows the commit of a writing by its trailers."""

    def is_it(facts: CommitInfo) -> bool:
        return facts.trailer("Serinus-Rollout") == writing.rollout and facts.trailer("Serinus-Began") == writing.began

    return is_it


def _arms(text: str) -> str:
    try:
        return arms_of(Written.of(text).root)
    except CannotEdit:
        return ""


def _is_at_rest(text: str) -> bool:
    try:
        return is_no_op(Written.of(text).root)
    except CannotEdit:
        return False


def _decoded(text: bytes) -> str | None:
    """The characters of a file without its byte order mark; None for what is not UTF-8."""
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
