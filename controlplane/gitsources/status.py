"""The status of a GitSource: where it is, which files are not used and why, and what waits to be written. Pure.

Written by `source_controller.py` when anything of it changes, never because time goes by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from canary.errors import BadInput, Conflict, ExternalError, Unavailable
from canary.yaml_edit import CannotEdit
from controlplane.adapters.dial_policy import NotDialled
from controlplane.gitops.commit_writer import ProtectedBranch
from controlplane.gitops.desired import FileError
from controlplane.gitops.git import GitFailed, GitFailureKind
from controlplane.gitops.git_state import GitState
from controlplane.gitsources.secret_files import NoSecret
from controlplane.kubernetes.api import Exists, NotFound, Object, Rejected, ResourceExpired, TooManyRequests
from controlplane.kubernetes.consent import NotAllowed
from controlplane.operator.conditions import DRIFTED, with_times
from controlplane.operator.shape import are_objects, in_shape, is_text, is_whole

MOST_FAULTS = 20
LONGEST = 1024
"""Characters of one message."""
REASONS: Mapping[GitFailureKind, str] = {
    GitFailureKind.CREDENTIALS: "CredentialsRefused",
    GitFailureKind.DOWN: "HostDown",
    GitFailureKind.MISSING: "NoSuchRepository",
    GitFailureKind.TOO_LARGE: "TooLarge",
    GitFailureKind.REFUSED: "HostRefuses",
}


PROBLEMS: Mapping[type[ExternalError | BadInput], str] = {
    NoSecret: "NoSecret",
    ProtectedBranch: "Protected",
    Unavailable: "Unavailable",
    Conflict: "Conflict",
    CannotEdit: "CannotEdit",
    NotFound: "NotFound",
    Exists: "Exists",
    Rejected: "Refused",
    ResourceExpired: "Gone",
    TooManyRequests: "Busy",
    NotAllowed: "NotAllowed",
    NotDialled: "NotDialled",
}
"""Reasons of conditions by the error behind them: a contract with whoever waits for one, whatever a class is called."""


@dataclass(frozen=True, slots=True)
class SourceDrift:
    """What others changed of ModelCanaries that git owns."""

    left: Sequence[str] = ()
    """A sentence for each that is not as git says, and stays so."""
    repaired: str = ""
    """What was put back last, as a sentence."""


@dataclass(frozen=True, slots=True)
class SourceSnapshot:
    """What came of a look at the branch."""

    state: GitState
    files: int
    """ModelCanaries in the cluster that come from it."""
    complaints: Sequence[FileError]
    problem: ExternalError | BadInput | None
    waits: str
    """What was said last of a commit that waits to be written."""
    drift: SourceDrift = SourceDrift()


SHAPE = {"version": is_whole, "observedGeneration": is_whole, "state": is_text, "conditions": are_objects}


def status_in(object_: Object) -> dict[str, Any]:
    """The status of a GitSource; empty where there is none, or none that we wrote: then git is asked what it knows."""
    told = object_.get("status")
    return told if isinstance(told, dict) and in_shape(told, SHAPE) == told else {}


def conditions_of(look: SourceSnapshot) -> list[dict[str, Any]]:
    """The conditions, without times."""
    return [_ready(look), _valid(look.complaints), _written(look), _drifted(look.drift)]


def status_of(look: SourceSnapshot, before: Mapping[str, Any], generation: int, now: float) -> dict[str, Any]:
    """The whole status but for its version and state."""
    found = [{"path": each.path, "line": each.line, "message": _short(each.sentence)} for each in look.complaints]
    return {
        "observedGeneration": generation,
        "commit": look.state.head,
        "files": look.files,
        "faults": found[:MOST_FAULTS],
        "waiting": len(look.state.writings) + len(look.state.proposals),
        "conditions": with_times(conditions_of(look), before.get("conditions") or (), generation, now),
    }


def stopped(reason: str, sentence: str, before: Mapping[str, Any], generation: int, now: float) -> dict[str, Any]:
    """The status of a source that is not followed, and why."""
    ready = condition("Ready", "False", reason, sentence)
    others = [each for each in before.get("conditions") or () if each.get("type") != "Ready"]
    stamped = with_times([ready], before.get("conditions") or (), generation, now)
    return {**before, "observedGeneration": generation, "conditions": [*stamped, *others]}


def condition(kind: str, truth: str, reason: str, message: str) -> dict[str, Any]:
    """One condition, without its time."""
    return {"type": kind, "status": truth, "reason": reason, "message": _short(message)}


def reason_of(problem: ExternalError | BadInput) -> str:
    """A word in CamelCase for what is wrong."""
    cause = problem.__cause__
    if isinstance(cause, GitFailed):
        return REASONS.get(cause.why, "CannotFollow")
    if "(any more)" in str(problem):
        return "BranchMissing"
    return PROBLEMS.get(type(problem), "CannotFollow")


def _ready(look: SourceSnapshot) -> dict[str, Any]:
    if look.problem is not None:
        return condition("Ready", "False", reason_of(look.problem), str(look.problem))
    if not look.state.head:
        return condition("Ready", "Unknown", "Empty", "The repository is empty; the first commit is waited for.")
    sentence = f"{look.files} ModelCanar{'y is' if look.files == 1 else 'ies are'} as {look.state.head[:7]} says."
    return condition("Ready", "True", "UpToDate", sentence)


def _valid(complaints: Sequence[FileError]) -> dict[str, Any]:
    if not complaints:
        return condition("Valid", "True", "AllFilesUsed", "Every file that matches is used.")
    first = complaints[0].sentence.partition("\n")[0]
    more = f" And {len(complaints) - 1} more." if len(complaints) > 1 else ""
    return condition("Valid", "False", "FilesNotUsed", f"{first}{more} Everything else goes on.")


def _written(look: SourceSnapshot) -> dict[str, Any]:
    if look.state.writings:
        names = ", ".join(each.name for each in look.state.writings[:5])
        said = look.waits or f"A commit for {names} is being made."
        return condition("Written", "False", "Waiting", said)
    if look.state.proposals:
        urls = ", ".join(each.url or each.branch for each in look.state.proposals[:5])
        return condition("Written", "False", "Proposed", f"Waits for somebody to merge {urls}.")
    return condition("Written", "True", "NothingWaits", "Every end of a rollout is in git.")


def _drifted(drift: SourceDrift) -> dict[str, Any]:
    if drift.left:
        return condition(DRIFTED, "True", "ChangedByOthers", " ".join(drift.left))
    if drift.repaired:
        return condition(DRIFTED, "False", "PutBack", drift.repaired)
    return condition(DRIFTED, "False", "AsCommitted", "Nobody else has changed what comes from git.")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
