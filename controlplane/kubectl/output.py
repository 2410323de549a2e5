"""What kubectl's users expect of `-o`: objects as JSON or YAML, names, and tables that fit.

Used by the verbs that show objects.
"""

from collections.abc import Sequence

import click

from controlplane.cli import shape
from controlplane.cli.shape import show
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.resources import MODEL_CANARY


class Shape(shape.OutputShape):
    """How to print, for people who have kubectl at hand."""

    elsewhere = "kubectl get mcan"


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
    show(found if isinstance(found, dict) else as_list(found), output)
