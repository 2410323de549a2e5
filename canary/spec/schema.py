"""The JSON Schema (2020-12) of canary.yml, for editors: made from the models, so that it cannot fall behind them.

Printed by `serinus schema`. Whatever the parser accepts, the schema accepts; the parser refuses more (checks between
fields, unknown metrics), with better words. Descriptions are the sentences under the fields of the models.
"""

import ast
import inspect
from types import ModuleType
from typing import Any

from pydantic.json_schema import models_json_schema

from canary.spec import alerts, dialects, evaluation, fingerprint, gates, models, pods, probe
from canary.spec.base import Model

IDENTIFIER = "https://serinus.dev/schemas/canary.json"
FORMS: tuple[type[Model], ...] = (models.ModelCanary, dialects.VariantsForm, dialects.DeployForm)


def json_schema() -> dict[str, Any]:
    """One schema for all three forms."""
    _, schema = models_json_schema([(form, "validation") for form in FORMS], by_alias=True)
    # The normalised forms stand for what a program hands over; no file can hold them.
    definitions = {name: each for name, each in schema["$defs"].items() if name not in {"Gate", "Criterion"}}
    sentences = sentences_of(models, alerts, evaluation, fingerprint, gates, pods, probe, dialects)
    for name, definition in definitions.items():
        _describe(definition, sentences.get(name, {}))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": IDENTIFIER,
        "title": "canary.yml",
        "description": "How a new variant of a model gets its traffic: stage by stage, judged all the while.",
        "oneOf": [{"$ref": f"#/$defs/{form.__name__}"} for form in FORMS],
        "$defs": definitions,
    }


def _describe(definition: dict[str, Any], sentences: dict[str, str]) -> None:
    """Put the sentence of each field on its property; drop the titles and defaults that help nobody."""
    for key, of_property in definition.get("properties", {}).items():
        of_property.pop("title", None)
        # Defaults are base units (0.05, 604800.0), which is not how anybody writes them; the sentences name them.
        of_property.pop("default", None)
        if key in sentences:
            of_property["description"] = sentences[key]


def sentences_of(*modules: ModuleType) -> dict[str, dict[str, str]]:
    """Class name to key in the file to the docstring under the field, inherited ones included."""
    classes = [node for module in modules for node in ast.parse(inspect.getsource(module)).body]
    own = {node.name: dict(_documented(node)) for node in classes if isinstance(node, ast.ClassDef)}
    return {name: _by_key(model, own) for model in _models(*modules) if (name := model.__name__) in own}


def _models(*modules: ModuleType) -> set[type[Model]]:
    """The models that stand in these modules."""
    values = [value for module in modules for value in vars(module).values()]
    return {value for value in values if inspect.isclass(value) and issubclass(value, Model)}


def _by_key(model: type[Model], own: dict[str, dict[str, str]]) -> dict[str, str]:
    """The sentences of a model's fields; a subclass's own comes before an inherited one."""
    by_field = {field: doc for each in reversed(model.__mro__) for field, doc in own.get(each.__name__, {}).items()}
    return {
        model.model_fields[field].alias or field: doc for field, doc in by_field.items() if field in model.model_fields
    }


def _documented(node: ast.ClassDef) -> list[tuple[str, str]]:
    """Fields of a class with the string that follows each."""
    pairs = zip(node.body, node.body[1:], strict=False)
    return [
        (field.target.id, inspect.cleandoc(doc.value.value))
        for field, doc in pairs
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(doc, ast.Expr)
        and isinstance(doc.value, ast.Constant)
        and isinstance(doc.value.value, str)
    ]
