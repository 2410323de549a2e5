"""What a ModelCanary asks for, and whether anything is left to do. Pure; asked by the controller at every change.

Reading a spec costs a millisecond or two, so a thousand ModelCanaries at rest are told from the others by their status
alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from canary.errors import Fault, SpecError
from canary.quarantine import objection
from canary.rollout import FINISHED, Phase
from canary.spec import revision
from canary.spec.cluster import cluster_faults, cluster_notes
from canary.spec.models import ModelCanary
from canary.spec.resource import at_rest, document_of, omitted, without_lines
from canary.spec.stored import from_text
from controlplane.adapters.cost_source import dollars_an_hour
from controlplane.kubernetes.api import Object
from controlplane.operator.conditions import QUEUED, TIDYING
from controlplane.operator.finalizer import is_leaving
from controlplane.operator.request_annotations import requests_in
from controlplane.ports import Stored
from controlplane.profiles.canary_check import checked
from profiles.catalogue import Catalogue, builtin

SHOWN_FAULTS = 5
_FINISHED = frozenset(phase.value for phase in FINISHED)


@dataclass(frozen=True, slots=True)
class ParsedSpec:
    """A spec, understood."""

    generation: int
    plan: ModelCanary | None
    """None where it has faults, or names nothing to try."""
    revision: str = ""
    faults: tuple[str, ...] = ()
    """The first of them, a sentence each."""
    notes: tuple[str, ...] = ()
    """What is no fault, and good to know: a sentence each."""
    resting: bool = False
    """Whether there is nothing to try: stable and canary say the same."""
    queued: str = ""
    """Why it does not begin yet, though nothing is wrong with it, as a sentence."""


def read(object_: Object, known: Catalogue | None = None) -> ParsedSpec:
    """The plan of a ModelCanary, or what is wrong with it. `known`: GPUs and models, the package's own if left out."""
    generation = int(object_["metadata"].get("generation", 0))
    if at_rest(object_):
        return ParsedSpec(generation, None, resting=True)
    if why := omitted(object_):
        return ParsedSpec(generation, None, faults=tuple(each if each.endswith(".") else f"{each}." for each in why))
    try:
        document = document_of(object_)
    except SpecError as error:
        return ParsedSpec(generation, None, faults=_sentences(error.faults))
    found = checked(document, known or builtin())
    price = partial(dollars_an_hour, known=known)
    if faults := without_lines((*cluster_faults(document, price), *found.faults)):
        return ParsedSpec(generation, None, faults=_sentences(faults))
    notes = _sentences((*cluster_notes(document), *found.warnings))
    return ParsedSpec(generation, document.canary, revision(document.canary), notes=notes)


def held_back(stored: Stored | None, plan: ModelCanary, retry: str) -> str:
    """Why an edited plan is not begun by itself, as a sentence; empty where it may be. `retry` is what begins it.

    Raises `ExternalError` where the earlier plan cannot be read.
    """
    if stored is None or not stored.rollout.finished:
        return ""
    return objection(stored.rollout, from_text(stored.spec_text).spec, plan.spec, retry)


def _sentences(faults: Sequence[Fault]) -> tuple[str, ...]:
    """The first faults, one sentence each, and how many more there are."""
    said = [f"{fault.path}: {fault.message}" if fault.path else fault.message for fault in faults]
    said = [each if each.endswith(".") else f"{each}." for each in said]
    more = len(said) - SHOWN_FAULTS
    return (*said[:SHOWN_FAULTS], *([f"And {more} more."] if more > 0 else []))


def is_tidying(object_: Object) -> bool:
    """Whether a finished rollout has something left to put away, as its status says."""
    conditions = (object_.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == "Progressing" and each.get("reason") == TIDYING for each in conditions)


def is_refused(object_: Object) -> bool:
    """Whether its status says that the spec cannot be carried out."""
    conditions = (object_.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == "Accepted" and each.get("status") == "False" for each in conditions)


def is_queued(object_: Object) -> bool:
    """Whether its status says that it waits for others of its namespace."""
    conditions = (object_.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == QUEUED and each.get("status") == "True" for each in conditions)


def is_under_way(object_: Object) -> bool:
    """Whether its status says that a rollout was begun and something of it is left to be done."""
    phase = (object_.get("status") or {}).get("phase")
    return phase is not None and (phase not in _FINISHED or is_tidying(object_))


def may_begin(object_: Object) -> bool:
    """Whether a rollout may begin that is not under way: what it is can only be said once its spec was read."""
    return is_queued(object_) or not is_at_rest(object_)


def is_at_rest(object_: Object) -> bool:
    """Whether nothing is left to be done for it, as far as its metadata and status tell."""
    status: Mapping[str, Any] = object_.get("status") or {}
    if is_leaving(object_) or requests_in(object_):
        return False
    if status.get("observedGeneration") != object_["metadata"].get("generation", 0):
        return False
    if not status.get("version"):
        return True  # it was looked at, and nothing was begun: it has faults, or names nothing to try
    if status.get("phase") not in _FINISHED or is_tidying(object_):
        return False
    state = status.get("state") or {}
    told: bool = state.get("announced") == state.get("events")
    return told and (is_refused(object_) or str(status["phase"]) != Phase.SUPERSEDED.value)
