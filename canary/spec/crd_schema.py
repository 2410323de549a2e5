"""From the models that read canary.yml to a structural schema: what the API server knows of a plan.

Used by `crd.py`. A structural schema says one type for each value, so where a file may hold several, a cluster holds
the plainest: texts are quoted where they look like numbers, shares and durations are texts. `crd_reading.py` says so
for a file before anybody applies it. Gates stay lines or mappings, and `ready` a path or a mapping, which no structural
schema can tell apart: what it can say of each is said, and the parser says the rest.
"""

from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic.alias_generators import to_camel

from canary.spec import alerts, criterion, evaluation, fingerprint, gates, models, names, pods, probe
from canary.spec.base import Model
from canary.spec.crd_rules import DEFAULTS, RULES, RULES_OF_FIELDS, TYPES_OF_FIELDS
from canary.spec.crd_types import ANYTHING, CrdValue, kind_of, text
from canary.spec.schema import sentences_of
from canary.spec.units import LONGEST_VALUE, show

Schema = dict[str, Any]
MOST_ENTRIES = 5_000
"""Entries of a mapping: as many values as a file may have."""
LINE = r"^\s*[A-Za-z][\s\S]*[0-9]"


def of_model(model: type[Model]) -> Schema:
    """The schema of one model and everything below it."""
    hints = get_type_hints(model, include_extras=True)
    properties: Schema = {}
    required: list[str] = []
    for name, about in model.model_fields.items():
        key = about.alias or to_camel(name)
        schema = {"description": _sentence(model, key), **_of_field(model, name, hints[name])}
        if (model, name) in DEFAULTS:
            schema["default"] = _as_written(hints[name], about.default)
        properties[key] = schema
        if about.is_required():
            required.append(key)
    made: Schema = {"type": "object", "description": _about(model), "properties": properties}
    return made | ({"required": required} if required else {}) | _rules(RULES.get(model, ()))


def _of_field(model: type[Model], name: str, annotation: Any) -> Schema:
    own = TYPES_OF_FIELDS.get((model, name))
    made = dict(own) if own is not None else of_type(annotation)
    rules = RULES_OF_FIELDS.get((model, name), ())
    return made | _rules(rules, made.get("x-kubernetes-validations", ()))


def of_type(annotation: Any) -> Schema:
    """The schema of a field's type."""
    plain = _without_none(annotation)
    if plain == gates.GateField:
        return _gate()
    if plain == criterion.CriterionField:
        return text(300)
    if plain == probe.Ready:
        return _text_or_mapping(probe.ReadinessProbe, names.LONGEST_PATH, names.HTTP_PATH)
    value = kind_of(plain)
    if value is not None:
        return dict(value.schema) | _rules(value.rules)
    bare, marks = (get_args(plain)[0], get_args(plain)[1:]) if get_origin(plain) is Annotated else (plain, ())
    if isinstance(bare, type) and issubclass(bare, Model):
        return of_model(bare)
    origin, parts = get_origin(bare), get_args(bare)
    if origin is Literal:
        return {"type": "string", "enum": list(parts)}
    if origin is tuple:
        extras = [getattr(mark, "json_schema_extra", None) for mark in marks]
        bounds: Schema = next((dict(extra) for extra in extras if extra), {})
        return {"type": "array", "items": of_type(parts[0]), **bounds, "x-kubernetes-list-type": "atomic"}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if parts[1] is Any:
            return {"type": "object", **ANYTHING}
        most = pods.MOST if any(getattr(mark, "func", None) in pods.BOUNDED for mark in marks) else MOST_ENTRIES
        return {"type": "object", "additionalProperties": of_type(parts[1]), "maxProperties": most}
    raise TypeError(f"a cluster knows no type for {annotation!r}")


def _gate() -> Schema:
    """A line or a mapping, with exactly one limit."""
    made = _text_or_mapping(gates.GateMapping, 300, LINE)
    # A limit is a text or a number; of a list or a mapping nothing is stored.
    made["properties"] |= {
        limit: {**made["properties"][limit], "maxLength": LONGEST_VALUE, "maxItems": 0, "maxProperties": 0}
        for limit in gates.LIMITS
    }
    return made | {
        "anyOf": [{"required": [limit]} for limit in gates.LIMITS],
        "description": "A line such as `latency p95 <= 200ms` or `error_rate not worse than stable by 0.1pp`, or a"
        " mapping with metric and exactly one of max, min, notWorseThan and drift. docs/canary-yml.md lists metrics.",
    }


def _text_or_mapping(model: type[Model], longest: int, pattern: str) -> Schema:
    """Either: bounds that are about texts bind texts only, and those about objects bind mappings only."""
    mapping = of_model(model)
    known = {key: _unruled(each) for key, each in mapping["properties"].items()}
    return {
        **ANYTHING,
        "maxLength": longest,
        "pattern": pattern,
        "maxItems": 0,
        "maxProperties": len(known),
        "properties": known,
        **({"required": mapping["required"]} if "required" in mapping else {}),
    }


def _unruled(schema: Schema) -> Schema:
    return {key: each for key, each in schema.items() if key != "x-kubernetes-validations"}


def _rules(rules: Any, before: Any = ()) -> Schema:
    made = [*before, *(rule.as_json() for rule in rules)]
    return {"x-kubernetes-validations": made} if made else {}


def _without_none(annotation: Any) -> Any:
    """`X` of `X | None`."""
    if get_origin(annotation) in {Union, UnionType}:
        parts = [part for part in get_args(annotation) if part is not NoneType]
        return parts[0] if len(parts) == 1 else annotation
    return annotation


def _as_written(annotation: Any, default: Any) -> Any:
    """A default as a person writes it."""
    value = kind_of(_without_none(annotation))
    return show(default, value.unit) if isinstance(value, CrdValue) and value.unit else default


def _sentence(model: type[Model], key: str) -> str:
    return _sentences().get(model.__name__, {}).get(key, "")


def _about(model: type[Model]) -> str:
    return " ".join((model.__doc__ or "").split())


@cache
def _sentences() -> dict[str, dict[str, str]]:
    return sentences_of(models, alerts, evaluation, fingerprint, gates, pods, probe)
