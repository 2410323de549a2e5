"""What kubectl's users expect of `-o`: objects as JSON or YAML, names, and tables that fit.

Used by the verbs that show objects.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from controlplane.kubernetes.api import Object
from controlplane.kubernetes.resources import MODEL_CANARY

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

JSONPATH = "jsonpath="
_KUBECTLS_OWN = ("jsonpath-as-json", "jsonpath-file", "go-template", "go-template-file", "custom-columns")


class Shape(click.ParamType[str]):
    """How to print: one of some words, or `jsonpath=TEMPLATE` over what `-o json` prints."""

    name = "output"

    def __init__(self, *words: str) -> None:
        """`words`: those that are taken besides."""
        self.words = words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """As it was said; a usage error for what is not known, and for a template that cannot be read."""
        said = str(value)
        if said not in self.words and (why := self._wrong(said)):
            self.fail(why, param, ctx)
        return said

    def _wrong(self, said: str) -> str:
        from canary.errors import BadInput
        from controlplane.kubectl.jsonpath_template import template_of

        kind, _, template = said.partition("=")
        if kind in _KUBECTLS_OWN:
            return f"{kind} is not done here: `kubectl get mcan -o {said}` does it"
        if kind != "jsonpath":
            return f"{said!r} is none of {', '.join(self.words)} and jsonpath=TEMPLATE"
        if not template:
            return "jsonpath needs a template, such as jsonpath='{.status.phase}'"
        try:
            template_of(template)
        except BadInput as error:
            return str(error)
        return ""

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """What stands in the help."""
        return f"[{'|'.join(self.words)}|jsonpath=…]"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        """The words, and how a template begins."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(each) for each in (*self.words, JSONPATH) if each.startswith(incomplete)]


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
    """Print one object, or several, as `json`, `yaml`, `name` or by a jsonpath."""
    if output == "name":
        for each in [found] if isinstance(found, dict) else found:
            click.echo(name_of(each))
        return
    shown = found if isinstance(found, dict) else as_list(found)
    if output.startswith(JSONPATH):
        show_by_path(shown, output)
        return
    click.echo(as_json(shown) if output == "json" else as_yaml(shown))


def show_by_path(value: Any, output: str) -> None:
    """Print what a jsonpath finds in this, without a line's end of our own, as kubectl does."""
    from controlplane.kubectl.jsonpath import rendered

    click.echo(rendered(output.removeprefix(JSONPATH), value), nl=False)
