"""What a ModelCanary tells of its rollout's surroundings: its conditions, and the commit that it came with.

Used by the places of a cluster. Pure. Its pods are told by `pods.py`; its routes are not read: the operator has put
what matters of them into the conditions.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from canary.rollout import Rollout
from controlplane.gitsources.provenance import annotations
from controlplane.kserve.pods import seconds
from controlplane.kubernetes.api import Object
from controlplane.view.facts import Commit, Condition, GitOrigin, Replica, RolloutFacts
from controlplane.view.weblinks import commit_link, file_link, repository_link

BAD = {"Accepted": "False", "Ready": "False", "Degraded": "True", "Blind": "True", "Drifted": "True"}
"""By condition the status that nobody wishes for; Unknown is on the way."""


def cluster_facts(
    object_: Object, rollout: Rollout, replicas: tuple[Replica, ...] | None = None, unseen: str = ""
) -> RolloutFacts:
    """What is known around this rollout from its resource, and the pods that somebody has found for it."""
    return RolloutFacts(
        replicas=replicas,
        unseen=unseen,
        conditions=tuple(_conditions((object_.get("status") or {}).get("conditions") or ())),
        origin=_origin(object_, rollout),
        runs="pod",
    )


def _conditions(told: Iterable[Any]) -> Iterable[Condition]:
    for each in told:
        kind, status = str(each.get("type", "")), str(each.get("status", "Unknown"))
        yield Condition(
            of="ModelCanary",
            type=kind,
            status=status,
            reason=str(each.get("reason", "")),
            message=str(each.get("message", "")),
            since=_moment(each.get("lastTransitionTime")),
            good=BAD.get(kind) != status,
        )


@lru_cache(maxsize=4096)
def _moment(stamp: object) -> float | None:
    try:
        return seconds(stamp) if isinstance(stamp, str) else None
    except ValueError:
        return None


def _origin(object_: Object, rollout: Rollout) -> GitOrigin | None:
    """Where it came from, as the git source wrote it on the resource; None for what somebody applied by hand."""
    said = annotations(object_) if object_ else {}
    if "path" not in said or "repository" not in said:
        return None
    url, commit, path = said["repository"], said.get("commit", ""), said["path"]
    line = int(said["line"]) if said.get("line", "").isdecimal() else 1
    return GitOrigin(
        repository=repository_link(url) or url,
        path=path,
        line=line,
        commit=Commit(commit, said.get("subject", ""), commit_link(url, commit)),
        author=said.get("author", ""),
        file_link=file_link(url, commit, path, line),
        ours=said.get("revision", rollout.revision) in {"", rollout.revision},
    )
