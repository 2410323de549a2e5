"""The two short forms of canary.yml, each of which means a full one.

    model, variants, traffic_split: 95/5            two prompts or models and the split between them
    deploy: {canary: {weight, cohort}, a_b: {…}}    one variant against another for a cohort

Called by `parse.py`. What a short form says holds; what it does not say comes from options, then from a settings file
(the fields of `spec`, and `metadata`), then from the defaults here. Every value keeps its place, so that faults point
into the file that they come from.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from canary.errors import Fault
from canary.spec.base import Model
from canary.spec.faults import faults_of
from canary.spec.metrics import did_you_mean
from canary.spec.models import CanarySpec, Variant
from canary.spec.reader import Node, of_python
from canary.spec.source import Place, quoted
from canary.spec.units import Share, Text, UnreadableNumber, share, show_share

Form = Literal["full", "variants", "deploy"]
LADDER = (0.05, 0.25, 0.75, 1.0)
"""The shares of traffic that follow the one a short form names, where they are above it."""
HOLD = "1h"
GATES = ("error_rate not worse than stable by 1pp", "latency p95 not worse than stable by 10%")
COHORT_HEADER = "x-cohort"
SETTINGS_KEYS = frozenset({"metadata", *(field.alias or name for name, field in CanarySpec.model_fields.items())})
"""What a settings file and options may say."""


def split(written: str) -> tuple[float, float]:
    """`95/5` as (0.95, 0.05). Raises `UnreadableNumber`."""
    found = re.fullmatch(r"\s*([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%?\s*/\s*([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%?\s*", written)
    if not found:
        raise UnreadableNumber(f"expected the two shares in percent, such as 95/5, got {quoted(written)}")
    stable, canary = Decimal(found[1]), Decimal(found[2])
    if stable + canary != 100:
        raise UnreadableNumber(f"the two shares make {stable + canary} %, expected 100 %")
    if not canary:
        raise UnreadableNumber("the second variant gets nothing; expected a share above 0, such as 95/5")
    if stable < canary:
        raise UnreadableNumber(
            f"the second variant is the new one and would begin with {canary} %; list the one in service first"
        )
    return float(stable / 100), float(canary / 100)


def _checked_split(written: str) -> str:
    split(written)
    return written


def _two(variants: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(variants) != 2:
        raise UnreadableNumber(f"expected two variants, the one in service and the new one, found {len(variants)}")
    return variants


class ShortVariant(Variant):
    """One of the two variants: a name, its prompt, and whatever else a variant of the full form may say."""

    name: Text
    prompt: Text | None = None
    """The system prompt, as text."""


class VariantsForm(Model):
    """Short form: two variants of one model and the split between them."""

    model: Text
    """The served model: its name, or where it is: `my-org/llama3-70b`."""
    variants: Annotated[
        tuple[ShortVariant, ...], AfterValidator(_two), Field(json_schema_extra={"minItems": 2, "maxItems": 2})
    ]
    """Two: the one in service first, then the new one."""
    traffic_split: Annotated[Text, AfterValidator(_checked_split), Field(alias="traffic_split")]
    """Shares of the two in percent, in their order: `95/5`."""


class DeployCanary(Model):
    """How much traffic the new variant gets, and whose."""

    weight: Annotated[Share, Field(gt=0)]
    """The new variant's first share of requests: `5%`."""
    cohort: Text | None = None
    """Only requests whose cohort header (`x-cohort`, or the settings' `cohort.header`) has this value take part."""


class ControlAndVariant(Model):
    """The two that are compared."""

    control: Text
    """The one in service."""
    variant: Text
    """The new one."""


class Deploy(Model):
    """What to put out."""

    canary: DeployCanary
    """How much traffic, and whose."""
    a_b: Annotated[ControlAndVariant, Field(alias="a_b")]
    """Which two."""


class DeployForm(Model):
    """Short form: one variant against another, for a cohort."""

    deploy: Deploy
    """What to put out."""


FORMS: Mapping[Form, type[Model]] = {"variants": VariantsForm, "deploy": DeployForm}


@dataclass(frozen=True, slots=True)
class _Said:
    """What a short form says, as parts of a full one."""

    place: Place
    spec: dict[str, Node]
    derived: dict[str, Any]
    """Guesses from what it says, which settings and options may overrule."""
    name: str
    """Name of the rollout unless `metadata` says another."""
    weight: Node
    """The canary's first share of traffic."""


def form_of(root: Node) -> Form:
    """Which of the three forms a file has, by its keys."""
    if isinstance(root.value, dict):
        if "variants" in root.value or "traffic_split" in root.value:
            return "variants"
        if "deploy" in root.value:
            return "deploy"
    return "full"


def full_form(root: Node, form: Form, settings: Node | None, options: Node | None) -> tuple[Node, list[Fault]]:
    """The full form that a short one means, and the faults of the short form and of what completes it."""
    faults = _faults_of_form(root, FORMS[form])
    said = _of_variants(root) if form == "variants" else _of_deploy(root)
    beside = Node(said.place, {})
    for completion in (settings, options):
        faults += _faults_of_completion(completion)
        beside = _merged(beside, completion)
    metadata = _merged(of_python({"name": said.name}, said.place), beside.get("metadata"))
    return Node(said.place, {"metadata": metadata, "spec": _spec(said, beside)}), faults


def _spec(said: _Said, beside: Node) -> Node:
    """What the file says, completed from settings and options, and from the defaults of short forms."""
    defaults = {**said.derived, "model": {"name": said.name, **said.derived.get("model", {})}}
    if not _has_gates(beside) and _first_share(said.weight) < 1:
        defaults["gates"] = list(GATES)
    completed = _merged(of_python(defaults, said.place), _without_metadata(beside))
    merged = _merged(completed, Node(said.place, said.spec))
    entries = dict(merged.value) if isinstance(merged.value, dict) else {}
    if merged.get("cohort", "header") is not None and merged.get("cohort", "in") is None:
        # Settings may name the header for short forms with a cohort; this one has none.
        del entries["cohort"]
    entries["stages"] = _stages(said.weight, beside.get("stages"))
    return replace(merged, value=entries)


def slug(written: str) -> str:
    """A name that Kubernetes accepts: `bot_v1_2026` becomes `bot-v1-2026`, `my-org/Llama3` becomes `llama3`."""
    last = written.rstrip("/").rpartition("/")[2].lower()
    return re.sub(r"[^a-z0-9.]+", "-", last)[:63].strip("-.") or "unnamed"


def _of_variants(root: Node) -> _Said:
    spec: dict[str, Node] = {}
    for role, index in (("stable", 0), ("canary", 1)):
        variant = root.get("variants", index)
        if variant is not None and isinstance(variant.value, dict):
            spec[role] = _variant(variant)
        else:
            spec[role] = of_python({"name": role}, variant.place if variant else root.place)
    model, name, derived = root.get("model"), "unnamed", {}
    if model is not None and isinstance(model.value, str):
        name = slug(model.value)
        spec["model"] = Node(model.place, {"name": Node(model.place, str(model.value), model.key)}, model.key)
        if re.fullmatch(r"[\w.-]+/[\w.-]+", model.value):
            derived = {"model": {"uri": f"hf://{model.value}"}}
    return _Said(root.place, spec, derived, name, _weight(root.get("traffic_split"), root))


def _variant(short: Node) -> Node:
    """A variant of the full form: its name made fit, its prompt where the full form has it."""
    assert isinstance(short.value, dict)  # noqa: S101 - the caller has looked
    entries = dict(short.value)
    prompt = entries.pop("prompt", None)
    if prompt is not None:
        entries["systemPrompt"] = Node(prompt.place, {"text": prompt}, prompt.key)
    return replace(short, value={**entries, **_named(entries.get("name"))})


def _of_deploy(root: Node) -> _Said:
    spec: dict[str, Node] = {}
    names = []
    for role, key in (("stable", "control"), ("canary", "variant")):
        written = root.get("deploy", "a_b", key)
        named = _named(written) or {"name": of_python(role, root.place)}
        spec[role] = Node(written.place if written else root.place, named)
        names.append(str(named["name"].value))
    derived: dict[str, Any] = {}
    cohort = root.get("deploy", "canary", "cohort")
    if cohort is not None and isinstance(cohort.value, str):
        spec["cohort"] = Node(cohort.place, {"in": Node(cohort.place, (cohort,), cohort.key)}, cohort.key)
        derived["cohort"] = {"header": COHORT_HEADER}
    name = slug("-to-".join(names))
    return _Said(root.place, spec, derived, name, _weight(root.get("deploy", "canary", "weight"), root))


def _named(written: Node | None) -> dict[str, Node]:
    """The `name` of a variant, made fit for Kubernetes."""
    if written is None or not isinstance(written.value, str):
        return {}
    return {"name": replace(written, value=slug(written.value))}


def _weight(written: Node | None, root: Node) -> Node:
    """The canary's first share; the first of the ladder where the file's own is at fault (which is said already)."""
    if written is None:
        return of_python(LADDER[0], root.place)
    try:
        text = str(written.value)
        first = split(text)[1] if "/" in text else share(written.value)
    except UnreadableNumber:
        first = LADDER[0]
    return replace(written, value=show_share(first))


def _stages(weight: Node, beside: Node | None) -> Node:
    """The named share first, then the settings' stages above it, or the rest of the ladder."""
    first = _first_share(weight)
    if beside is None:
        plan = [first, *(each for each in LADDER if each > first)]
        return of_python([{"traffic": show_share(each), "hold": HOLD} for each in plan], weight.place)
    if not isinstance(beside.value, tuple) or not beside.value:
        return beside
    shares = [_share(stage.get("traffic")) for stage in beside.value]
    # The first stage is the settings' one of the same share, or else their first one with the file's share.
    like = beside.value[shares.index(first) if first in shares else 0]
    others = like.value if isinstance(like.value, dict) else {}
    following = [stage for stage, each in zip(beside.value, shares, strict=True) if each is None or each > first]
    return replace(beside, value=(replace(like, value={**others, "traffic": weight}), *following))


def _first_share(weight: Node) -> float:
    """The share that a short form names."""
    share = _share(weight)
    return LADDER[0] if share is None else share


def _share(node: Node | None) -> float | None:
    """The share that a value means, or None where it means none."""
    try:
        return share(node.value) if node is not None else None
    except UnreadableNumber:
        return None


def _has_gates(beside: Node) -> bool:
    """Whether the settings or options say what to judge by."""
    stages = beside.get("stages")
    listed = stages.value if stages is not None and isinstance(stages.value, tuple) else ()
    return beside.get("gates") is not None or any(stage.get("gates") is not None for stage in listed)


def _merged(lower: Node, upper: Node | None) -> Node:
    """`upper` completed by `lower`; only mappings are merged, lists are taken whole."""
    if upper is None:
        return lower
    if not isinstance(lower.value, dict) or not isinstance(upper.value, dict):
        return upper
    entries = {**lower.value}
    for key, child in upper.value.items():
        entries[key] = _merged(lower.value[key], child) if key in lower.value else child
    return replace(upper, value=entries)


def _without_metadata(beside: Node) -> Node:
    """What settings and options say of `spec`; a malformed file (which is said already) says nothing."""
    known = beside.value if isinstance(beside.value, dict) else {}
    return replace(beside, value={key: node for key, node in known.items() if key in SETTINGS_KEYS - {"metadata"}})


def _faults_of_form(root: Node, model: type[Model]) -> list[Fault]:
    """What is wrong with the short form itself, in the words of the short form."""
    try:
        model.model_validate(root.plain(), by_alias=True, by_name=False)
    except ValidationError as error:
        return [_pointed_to_settings(fault) for fault in faults_of(error, root, model)]
    return []


def _pointed_to_settings(fault: Fault) -> Fault:
    """A field of the full form in a short one: say where it belongs."""
    if fault.path in SETTINGS_KEYS and fault.message.startswith("unknown key"):
        return replace(
            fault, message="does not stand in a short form; put it into serinus.yml beside it, or write the full form"
        )
    return fault


def _faults_of_completion(completion: Node | None) -> list[Fault]:
    """Keys of a settings file that mean nothing; everything else shows when the full form is checked."""
    if completion is None:
        return []
    if not isinstance(completion.value, dict):
        return [completion.place.fault("", "expected a mapping of spec fields, such as platform, stages or gates")]
    unknown = [(key, node) for key, node in completion.value.items() if key not in SETTINGS_KEYS]
    return [
        (node.key or node.place).fault(key, f"unknown key{did_you_mean(key, SETTINGS_KEYS)}") for key, node in unknown
    ]
