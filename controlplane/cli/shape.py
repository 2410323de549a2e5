"""What people expect of `-o`: JSON or YAML as kubectl prints them. What picks fields out of it is left to other tools.

Used by the verbs of `serinus` and of `kubectl canary` that show something to other programs.
"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_KUBECTLS_OWN = (
    "jsonpath",
    "jsonpath-as-json",
    "jsonpath-file",
    "go-template",
    "go-template-file",
    "custom-columns",
    "custom-columns-file",
)


class OutputShape(click.ParamType[str]):
    """How to print: one of some words."""

    name = "output"
    elsewhere: ClassVar[str] = ""
    """The command that knows the shapes which are not done here; empty where there is none."""

    def __init__(self, *words: str) -> None:
        """`words`: those that are taken besides."""
        self.words = words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """As it was said; a usage error for what is not known, with what to use instead where there is something."""
        said = str(value)
        if said not in self.words and (why := self._wrong(said)):
            self.fail(why, param, ctx)
        return said

    def _wrong(self, said: str) -> str:
        kind = said.partition("=")[0]
        if kind not in _KUBECTLS_OWN:
            return f"{said!r} is none of {', '.join(self.words)}"
        instead = "pipe `-o json` into a tool such as jq"
        if self.elsewhere:
            instead = f"use `{self.elsewhere} -o {said}`, or {instead}"
        return f"{kind} is not done here: {instead}"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """What stands in the help."""
        return f"[{'|'.join(self.words)}]"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        """The words."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(each) for each in self.words if each.startswith(incomplete)]


def watched(shape: OutputShape, shown: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options of `get`: `watch`, and `output` in one of these shapes. `shown`: what json and yaml are of."""

    def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
        words = f"json, yaml: {shown}; with -w, json is one event a line."
        command = click.option("-o", "--output", type=shape, default="screen", help=words)(command)
        return click.option(
            "-w", "--watch", is_flag=True, help="Continue until the rollout ends; Ctrl-C changes nothing."
        )(command)

    return with_options


def must_have_an_end(output: str, *, watch: bool) -> None:
    """A usage error where what is watched should be written in a shape that is only complete at its end."""
    if watch and output not in {"screen", "json"}:
        raise click.UsageError(f"-w shows a screen or, with -o json, events; -o {output} has no end to write.")


def as_json(value: Any) -> str:
    """As kubectl prints it."""
    return json.dumps(value, indent=4, ensure_ascii=False)


def as_yaml(value: Any) -> str:
    """As kubectl prints it."""
    import yaml

    plain = json.loads(json.dumps(value))  # an event's phase and reason are more than words
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120)).rstrip("\n")


def show(value: Any, output: str) -> None:
    """Print this as `json` or `yaml`."""
    click.echo(as_json(value) if output == "json" else as_yaml(value))
