"""What a commit wants: a plan for each canary.yml, or the reason why there is none. Pure: texts in, answers out.

Called by `controller.py` at each new commit. Every file is read for itself, so that a bad one stops no other. Decides
nothing about what runs.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from canary.errors import BugError, Fault, SpecError
from canary.quarantine import variant_digest
from canary.spec import Source, local_faults, parse_document, revision
from canary.spec.dialects import form_of, slug
from canary.spec.faults import place_of
from canary.spec.models import ModelCanary
from canary.spec.names import is_name
from canary.spec.parse import Document, in_order
from canary.spec.reader import Node, read
from canary.spec.source import quoted
from canary.yaml_edit import ARMS, is_no_op, raw_value
from controlplane.adapters.cost_source import dollars_an_hour
from controlplane.profiles.canary_check import checked
from profiles.catalogue import builtin

SETTINGS_NAME = "serinus.yml"
"""Completes a short form in the same folder, as it does on a disk."""


@dataclass(frozen=True, slots=True)
class DesiredRollout:
    """A file that can be understood."""

    path: str
    name: str
    """Of the rollout."""
    line: int
    """Where the canary stands in the file."""
    plan: ModelCanary | None
    """None for a file at rest, which names nothing to try."""
    arms: str
    """Digest of the two variants as the file writes them."""
    revision: str = ""
    variant: str = ""
    """Digest of what the canary runs."""


@dataclass(frozen=True, slots=True)
class FileError:
    """A file that cannot be used."""

    path: str
    line: int
    sentence: str
    """Every fault, as `serinus validate` says it."""


def for_this_machine(document: Document) -> Sequence[Fault]:
    """What is wrong with a plan for one machine. A commit's plan is carried out apart from the files beside it."""
    faults = local_faults(document, dollars_an_hour)
    if document.canary.spec.evaluation is None:
        return faults
    message = "is not run for plans from git yet; take evaluation out, and run `serinus eval run` before you merge"
    return *faults, place_of(document.root, ("spec", "evaluation"), key=True).fault("spec.evaluation", message)


def parse_file(
    path: str,
    text: bytes,
    settings: Source | None,
    faults_of: Callable[[Document], Sequence[Fault]] = for_this_machine,
) -> DesiredRollout | FileError:
    """What one file wants. `faults_of` says what is wrong with a plan where it is to be carried out."""
    root, _ = read(Source(path, text))
    if root is not None and is_no_op(root):
        name = _name_at_rest(root, settings)
        if name and not is_name(name):  # the form of a file with a plan in it is checked by its parser
            expected = "a name of at most 63 lower-case letters, digits, - and ., such as support-llm"
            return FileError(path, 1, f"{path}: metadata.name is {quoted(name)}; expected {expected}.")
        if name:
            return DesiredRollout(path, name, _line(root), None, arms_of(root))
    try:
        document = parse_document(text, path, settings)
    except SpecError as error:
        return _complaint(path, error.faults)
    if faults := in_order([*faults_of(document), *checked(document, builtin()).faults]):
        return _complaint(path, faults)
    if root is None:
        raise BugError(f"{path} was parsed and cannot be read; nothing was started")
    plan = document.canary
    return DesiredRollout(
        path, plan.metadata.name, _line(root), plan, arms_of(root), revision(plan), variant_digest(plan.spec)
    )


def arms_of(root: Node) -> str:
    """Digest of the two variants as a file writes them, the same for ever."""
    written = [raw_value(node) if (node := root.get(*path)) is not None else None for path in ARMS[form_of(root)]]
    return hashlib.sha256(json.dumps(written, sort_keys=True).encode()).hexdigest()[:16]


def resolve_ownership(
    found: Sequence[DesiredRollout], owners: Mapping[str, str], unreadable: AbstractSet[str] = frozenset()
) -> tuple[Mapping[str, DesiredRollout], Sequence[FileError]]:
    """One file for each rollout. Of two with one name, or one model in one place, the one that has it already keeps it;
    two new ones get nothing.

    `owners` names the path that each rollout came from until now; one that is `unreadable` now keeps its name as well.
    """
    by_name: dict[str, list[DesiredRollout]] = {}
    for each in found:
        by_name.setdefault(each.name, []).append(each)
    granted: dict[str, DesiredRollout] = {}
    complaints: list[FileError] = []
    for name, claimants in by_name.items():
        path = owners.get(name)
        if path in unreadable:
            complaints += [
                _claimed(each, f"{path}, which cannot be used now,", f"{path} keeps it") for each in claimants
            ]
            continue
        owner = claimants[0] if len(claimants) == 1 else _owner(claimants, path)
        if owner is not None:
            granted[name] = owner
        for each in claimants:
            if each is not owner:
                others = " and ".join(f"{other.path}:{other.line}" for other in claimants if other is not each)
                keeps = f"{owner.path} keeps it" if owner is not None else "neither is started"
                complaints.append(_claimed(each, others, keeps))
    for rivals in _with_one_model(granted.values()):
        new = [each for each in rivals if owners.get(each.name) != each.path]
        keeps = "neither is started" if new == rivals else "what has it already keeps it"
        for each in new:
            others = " and ".join(f"{other.path}:{other.line}" for other in rivals if other is not each)
            complaints.append(_claimed(each, others, keeps, what=_model_of(each)))
            del granted[each.name]
    return granted, complaints


def _with_one_model(wanted: Iterable[DesiredRollout]) -> Sequence[Sequence[DesiredRollout]]:
    """Those of different names that answer for one model in one place, where only one of them can."""
    by_model: dict[str, list[DesiredRollout]] = {}
    for each in wanted:
        if model := _model_of(each):
            by_model.setdefault(model, []).append(each)
    return [rivals for rivals in by_model.values() if len(rivals) > 1]


def _model_of(wanted: DesiredRollout) -> str:
    """The model and where it answers on this machine, as a clause; nothing where every rollout gets its own place."""
    local = wanted.plan.spec.platform.local if wanted.plan is not None else None
    if wanted.plan is None or local is None or local.listen.endswith(":0"):
        return ""
    return f"the model {quoted(wanted.plan.spec.model.name)} at {local.listen}"


def _claimed(each: DesiredRollout, others: str, keeps: str, what: str = "") -> FileError:
    what = what or f"the name {quoted(each.name)}"
    sentence = f"{each.path}:{each.line}: {what} is claimed by {others} too; {keeps}."
    return FileError(each.path, each.line, sentence)


def _owner(claimants: Sequence[DesiredRollout], path: str | None) -> DesiredRollout | None:
    return next((each for each in claimants if each.path == path), None)


def _name_at_rest(root: Node, settings: Source | None) -> str:
    """The rollout's name in a file that no plan can be made of, since it has nothing to try."""
    written = root.get("metadata", "name")
    if written is None and settings is not None:
        beside, _ = read(settings)
        written = beside.get("metadata", "name") if beside is not None else None
    if written is None and (model := root.get("model")) is not None:
        return slug(str(model.value))
    return str(written.value) if written is not None and isinstance(written.value, str) else ""


def _line(root: Node) -> int:
    node = root.get(*ARMS[form_of(root)][1])
    return (node.key or node.place).line if node is not None else 1


def _complaint(path: str, faults: Sequence[Fault]) -> FileError:
    return FileError(path, faults[0].line, "\n".join(str(fault) for fault in faults))
