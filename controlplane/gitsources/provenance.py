"""Where a ModelCanary comes from, as its annotations say, and the line about it for people. Pure.

Written by `cluster_rollouts.py`; read by `kubectl canary` and by whoever shows a rollout.
"""

from collections.abc import Mapping
from typing import Any

ANNOTATION = "git.serinus.dev/"
"""Before each of `repository`, `commit`, `author`, `subject`, `path`, `line`, `revision` and `digest`.

Alerts name the commit, so it has a name of its own: `controlplane.kubernetes.names.COMMIT`.
"""
MANAGER = "serinus-git"
"""Field manager of what comes from git; the operator's own is `serinus`."""
SOURCE = "git.serinus.dev/source"
"""Label: the GitSource that a ModelCanary comes from."""


def source_of(object_: Mapping[str, Any]) -> tuple[str, str]:
    """Namespace and name of the GitSource that a ModelCanary comes from; the name is empty for one that does not.

    The namespace is the object's own: a label is written by whoever may write the object.
    """
    meta = object_["metadata"]
    return str(meta["namespace"]), str((meta.get("labels") or {}).get(SOURCE, ""))


def annotations(object_: Mapping[str, Any]) -> Mapping[str, str]:
    """Repository, commit, author, subject, path, line, revision and digest; empty for one that is not from git."""
    said = object_["metadata"].get("annotations") or {}
    return {key.removeprefix(ANNOTATION): value for key, value in said.items() if key.startswith(ANNOTATION)}


def origin_line(object_: Mapping[str, Any]) -> str:
    """`4f2c1e9 by Ann, apps/chat/canary.yml:11: Try v2`; empty for one that is not from git."""
    said = annotations(object_)
    if not said.get("commit") or not said.get("path"):
        return ""
    subject = f": {said['subject']}" if said.get("subject") else ""
    return f"{said['commit'][:7]} by {said.get('author') or 'nobody'}, {said['path']}:{said.get('line', '1')}{subject}"
