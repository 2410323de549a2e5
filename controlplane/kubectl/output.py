"""What kubectl's users expect of `-o`: objects as JSON or YAML, names, and tables that fit.

Used by the verbs that show objects.
"""

import json
from collections.abc import Sequence
from typing import Any

import click

from controlplane.kubernetes.api import Object
from controlplane.kubernetes.resources import MODEL_CANARY

GAP = "   "


def as_json(value: Any) -> str:
    """As kubectl prints it."""
    return json.dumps(value, indent=4, ensure_ascii=False)


def as_yaml(value: Any) -> str:
    """As kubectl prints it."""
    import yaml

    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)).rstrip("\n")


def name_of(object_: Object) -> str:
    """`modelcanary.serinus.dev/chat`."""
    return f"{MODEL_CANARY.kind.lower()}.{MODEL_CANARY.group}/{object_['metadata']['name']}"


def as_list(objects: Sequence[Object]) -> Object:
    """Several objects as one, as kubectl prints them."""
    return {"apiVersion": "v1", "items": list(objects), "kind": "List", "metadata": {"resourceVersion": ""}}


def show_objects(found: Object | Sequence[Object], output: str) -> None:
    """Print one object, or several, as `json`, `yaml` or `name`."""
    if output == "name":
        for each in [found] if isinstance(found, dict) else found:
            click.echo(name_of(each))
        return
    shown = found if isinstance(found, dict) else as_list(found)
    click.echo(as_json(shown) if output == "json" else as_yaml(shown))


def table(head: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> list[str]:
    """Lines of columns; the last one is cut where the line would be wider than `width`."""
    lines = [head, *rows] if head else list(rows)
    if not lines:
        return []
    wide = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    made = [GAP.join(f"{cell:<{size}}" for cell, size in zip(line, wide, strict=True)).rstrip() for line in lines]
    if width is None:
        return made
    return [line if len(line) <= width else f"{line[: width - 1]}…" for line in made]
