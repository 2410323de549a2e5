"""From text to a plan: `parse` gives a `ModelCanary`, or raises every fault of the file at once.

Called by the commands, the git sync and the operator. Touches no disk: whoever calls it has read the text, and the
settings file beside a short form if there is one.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from canary.errors import Fault, SpecError
from canary.spec import dialects
from canary.spec.checks import faults_between
from canary.spec.decidable import not_here
from canary.spec.draft import draft
from canary.spec.faults import faults_of
from canary.spec.gates import Gate
from canary.spec.models import ModelCanary, Stage
from canary.spec.reader import Node, of_python, read
from canary.spec.source import Place, Source

FAULTS_SHOWN = 50
"""A file with more faults than this has one reason, not many."""


@dataclass(frozen=True, slots=True)
class Document:
    """A plan with the places of its parts, for faults that are found later."""

    canary: ModelCanary
    root: Node
    """The full form, whatever the file's own form was."""
    form: dialects.Form


def parse(
    text: str | bytes, file: str, settings: Source | None = None, options: Mapping[str, Any] | None = None
) -> ModelCanary:
    """The plan of a canary.yml. Raises `SpecError` with every fault.

    `settings` and `options` complete a short form, in the field names of `spec` (and `metadata`): what the file says
    holds, then the options, then the settings, then defaults. A full form stands alone and takes nothing from them.
    """
    return parse_document(text, file, settings, options).canary


def parse_document(
    text: str | bytes, file: str, settings: Source | None = None, options: Mapping[str, Any] | None = None
) -> Document:
    """Like `parse`, with the places of everything."""
    root, faults = _tree(Source(file, text))
    form = dialects.form_of(root)
    if form != "full":
        root, more = dialects.full_form(root, form, *_completions(settings, options, faults))
        faults += more
    return understood(root, form, faults)


def understood(root: Node, form: dialects.Form, faults: list[Fault]) -> Document:
    """The plan of a full form's tree. Raises `SpecError` with its faults and those that were found before."""
    try:
        canary = ModelCanary.model_validate(root.plain(), by_alias=True, by_name=False)
    except ValidationError as error:
        faults += faults_of(error, root, ModelCanary)
    faults += faults_between(draft(root))
    if faults:
        raise SpecError(in_order(faults))
    return Document(_resolved(canary), root, form)


def revision(canary: ModelCanary) -> str:
    """Digest of what makes one plan different from another: 16 hexadecimal digits, the same for ever.

    Labels, annotations and who is told do not count. Defaults do not either, so a field that is added later changes
    nothing.
    """
    said = canary.model_dump(
        mode="json",
        by_alias=True,
        exclude_defaults=True,
        exclude={"metadata": {"labels", "annotations"}, "spec": {"alerts"}},
    )
    return hashlib.sha256(json.dumps(said, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


def _tree(source: Source) -> tuple[Node, list[Fault]]:
    """The tree of a file that is YAML; otherwise its faults are all there is to say."""
    root, faults = read(source)
    if root is None:
        raise SpecError(in_order(list(faults)))
    return root, list(faults)


def _completions(
    settings: Source | None, options: Mapping[str, Any] | None, faults: list[Fault]
) -> tuple[Node | None, Node | None]:
    """The trees of the settings file and of the options; the former's faults are added."""
    beside = None
    if settings is not None:
        beside, more = read(settings)
        faults += more
    return beside, of_python(options, Place(Source("options", ""))) if options else None


def _resolved(canary: ModelCanary) -> ModelCanary:
    """What is said once for the whole plan, put where it counts: common gates into stages, `onBreach` into gates."""
    spec = canary.spec

    def told(gate: Gate) -> Gate:
        said = "on_breach" in gate.model_fields_set
        return gate if said else gate.model_copy(update={"on_breach": spec.on_breach})

    def complete(stage: Stage) -> Stage:
        own = {gate.text for gate in stage.gates}
        common = tuple(
            gate for gate in spec.gates if gate.text not in own and not not_here(gate, stage.traffic, stage.hold)
        )
        return stage.model_copy(update={"gates": tuple(told(gate) for gate in stage.gates + common)})

    stages = tuple(complete(stage) for stage in spec.stages)
    return canary.model_copy(update={"spec": spec.model_copy(update={"stages": stages})})


def in_order(faults: list[Fault]) -> tuple[Fault, ...]:
    """In the order of the file, each once, and not more than anybody reads."""
    once: dict[tuple[str, int, int, str, str], Fault] = {}
    for fault in faults:
        # The same text may be read for two fields (a settings file); where no text is shown, only the path tells.
        field = "" if fault.excerpt else fault.path
        once.setdefault((fault.file, fault.line, fault.column, field, fault.message), fault)
    ordered = sorted(once.values(), key=lambda fault: (fault.file, fault.line, fault.column))
    if len(ordered) <= FAULTS_SHOWN:
        return tuple(ordered)
    last = ordered[FAULTS_SHOWN - 1]
    more = Fault(last.file, last.line, last.column, "", f"and {len(ordered) - FAULTS_SHOWN} more faults")
    return (*ordered[:FAULTS_SHOWN], more)
