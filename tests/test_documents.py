"""What the documents tell people to type is understood: by the command line itself, the Makefile and the chart.

Nothing is run. Lines of fenced blocks are parsed whole; where a line leaves something out (`…`, `[--option]`) and in
running text, its options have to exist.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click
import jsonschema
import pytest
import yaml

from controlplane.cli.main import serinus
from controlplane.kubectl.main import canary

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    [*(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")), *(ROOT / "docs").glob("*.md")]
)
SCHEMA = json.loads((ROOT / "charts" / "serinus" / "values.schema.json").read_text(encoding="utf-8"))
VALUES = yaml.safe_load((ROOT / "charts" / "serinus" / "values.yaml").read_text(encoding="utf-8"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
SHELL = frozenset({"", "sh", "bash", "console"})
"""Kinds of blocks that hold commands."""
HELM_FLAGS = frozenset(
    {"--install", "--namespace", "--create-namespace", "--set", "--set-string", "--set-json", "--values", "-f", "-n"}
    | {"--version", "--wait", "--reuse-values", "--reset-then-reuse-values", "--kube-version", "--show-only"}
)
BEGINS = re.compile(r"^(?:\$ )?(?:[A-Z_]+=\S* )*(serinus|kubectl canary|make|helm)\b")
OPTION = re.compile(r"(?<![\w-])(--?[a-z][a-z-]*)")
LEFT_OUT = re.compile(r"…|\[-|\| -")


class Line(NamedTuple):
    """One command as a document has it."""

    place: str
    """`docs/gitops.md:12`."""
    text: str


def blocks(document: Path) -> Iterator[tuple[int, str, str]]:
    """Number of the first line, kind and text of each fenced block."""
    inside: tuple[int, str] | None = None
    held: list[str] = []
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
        mark = line.strip()
        if not mark.startswith("```"):
            held.append(line)
        elif inside is None:
            inside, held = (number + 1, mark.removeprefix("```").strip()), []
        else:
            yield *inside, "\n".join(held)
            inside = None


def typed() -> list[Line]:
    """Every command of ours in a fenced block, with the lines that go on from it."""
    found = []
    for document in DOCUMENTS:
        for first, kind, text in blocks(document):
            if kind in SHELL:
                whole = text.replace("\\\n", " " * 2)
                lines = enumerate(whole.split("\n"), first)
                found += [Line(f"{document.relative_to(ROOT)}:{number}", line.strip()) for number, line in lines]
    return [line for line in found if BEGINS.match(line.text)]


def mentioned() -> list[Line]:
    """Every command of ours with options in running text."""
    return [
        Line(f"{document.relative_to(ROOT)}:{number}", text)
        for document in DOCUMENTS
        for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1)
        for text in re.findall(r"`((?:serinus|kubectl canary) [^`]*)`", line)
    ]


def words_of(text: str) -> list[str]:
    """The words of the first command of a line, without comments and what follows a pipe or goes into a file."""
    lexer = shlex.shlex(text.removeprefix("$ "), posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, "#"
    words = []
    for word in lexer:
        if word and set(word) <= set("|&;<>()"):
            break
        words.append(word)
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    return words


def command_of(words: list[str]) -> tuple[click.Command, click.Context, list[str]]:
    """The command that is meant, and what is left for it. Raises `click.UsageError` for one that does not exist."""
    command: click.Command = serinus
    name, *rest = words
    if words[0] == "kubectl":
        command, name, rest = canary, "kubectl canary", words[2:]
    context = click.Context(command)
    while isinstance(command, click.Group) and rest:
        context = command.make_context(name, rest, parent=context)
        found, inner, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        assert inner is not None
        name, command = found, inner
    return command, context, rest


def parsed(words: list[str]) -> None:
    """Raises `click.UsageError` where the command line would refuse this; a file need not be there."""
    command, context, rest = command_of(words)
    try:
        command.make_context(command.name, rest, parent=context)
    except click.BadParameter as error:
        if not (error.param is not None and isinstance(error.param.type, click.Path)):
            raise
    except click.exceptions.Exit:
        pass


def options_of(command: click.Command) -> set[str]:
    """All of a command's options, of its groups' too, which may stand anywhere in a text."""
    own = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    return own | {"--help", "-h", "--version"} | {name for each in canary.params for name in each.opts}


def name_only(words: list[str]) -> list[str]:
    """The words up to the first option or what is left out: the program and its command."""
    kept = []
    for word in words:
        if word.startswith(("-", "[", "…")):
            break
        kept.append(word)
    return kept


def unknown_options(text: str) -> set[str]:
    """Options in a text that its command does not have."""
    words = name_only(words_of(text.replace("'", "").replace('"', "")))
    if len(words) < (3 if words[0] == "kubectl" else 2):
        return set()  # the program alone, with what is true of all its commands
    command, _, _ = command_of(words)
    said = {each for each in OPTION.findall(text.partition("#")[0]) if each.startswith("--")}
    return said - options_of(command)


TYPED = typed()
PROGRAMS = [line for line in TYPED if words_of(line.text)[0] in {"serinus", "kubectl"}]


def test_r15_there_are_commands_in_the_documents() -> None:
    assert len(PROGRAMS) > 40
    assert {Path(line.place).name.partition(":")[0] for line in TYPED} >= {"README.md", "install.md", "gitops.md"}


@pytest.mark.parametrize("line", [pytest.param(each, id=each.place) for each in PROGRAMS])
def test_r15_the_command_line_understands_what_the_documents_say(line: Line) -> None:
    if LEFT_OUT.search(line.text):
        assert unknown_options(line.text) == set(), line
    else:
        parsed(words_of(line.text))


def test_r15_options_in_running_text_exist() -> None:
    assert {line: found for line in mentioned() if (found := unknown_options(line.text))} == {}


@pytest.mark.parametrize(
    "text",
    ["serinus run canary.yml --nonsense", "serinus nonsense", "kubectl canary get chat --nonsense"],
)
def test_r15_what_the_command_line_does_not_understand_is_noticed(text: str) -> None:
    with pytest.raises(click.UsageError):
        parsed(words_of(text))


def test_r15_the_makefile_has_what_the_documents_make() -> None:
    made = [line for line in TYPED if words_of(line.text)[0] == "make"]
    assert made
    for line in made:
        assert {word for word in words_of(line.text)[1:] if "=" not in word} <= TARGETS, line


def set_by(words: list[str]) -> dict[str, Any]:
    """The values that a helm command sets."""
    found: dict[str, Any] = {}
    for flag, value in zip(words, [*words[1:], ""], strict=True):
        if flag in {"--set", "--set-string", "--set-json"}:
            key, _, text = value.partition("=")
            inner = found
            *folders, last = key.split(".")
            for folder in folders:
                inner = inner.setdefault(folder, {})
            listed = re.sub(r"^\{(.*)\}$", r"[\1]", text) if flag == "--set" else text  # how helm writes a list
            inner[last] = yaml.safe_load(listed) if flag != "--set-string" else text
    return found


def property_at(path: str) -> Mapping[str, Any] | None:
    """What the chart's schema says of a value; None for one that does not exist."""
    at: Mapping[str, Any] = SCHEMA
    for key in path.split("."):
        if key == "*":
            break
        if key not in at.get("properties", {}):
            return None
        at = at["properties"][key]
    return at


def leaves(values: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Paths of all values that are set."""
    for key, value in values.items():
        deeper = isinstance(value, dict) and "properties" in (property_at(f"{before}{key}") or {})
        yield from leaves(value, f"{before}{key}.") if deeper else [f"{before}{key}"]


def test_r15_the_chart_takes_what_helm_is_told() -> None:
    told = [line for line in TYPED if words_of(line.text)[0] == "helm"]
    ours = [line for line in told if "charts/serinus" in line.text or "dashboard.enabled" in line.text]
    assert len(ours) >= 3
    for line in ours:
        words = words_of(line.text)
        assert {word.partition("=")[0] for word in words if word.startswith("-")} <= HELM_FLAGS, line
        missing = {path for path in leaves(set_by(words)) if property_at(path) is None}
        assert missing == set(), line
        jsonschema.validate(merged(VALUES, set_by(words)), SCHEMA)


def merged(values: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Values with others over them, as helm does it."""
    both = {**values}
    for key, value in more.items():
        old = both.get(key)
        both[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return both


def test_r15_the_values_that_are_explained_exist() -> None:
    """The table of docs/install.md: `dashboard.enabled`, `.readOnly` are two values of `dashboard`."""
    rows = re.findall(r"^\| (`[^|]*`) \|", (ROOT / "docs" / "install.md").read_text(encoding="utf-8"), re.MULTILINE)
    found = 0
    for row in rows:
        first, *others = re.findall(r"`([^`]*)`", row)
        if first.partition(".")[0] not in SCHEMA["properties"] or "/" in first:
            continue
        names = [first, *(f"{first.rpartition('.')[0]}{each}" if each.startswith(".") else each for each in others)]
        assert [each for each in names if property_at(each) is None] == [], row
        found += len(names)
    assert found > 20


def test_r15_snippets_of_values_are_values() -> None:
    """Blocks of YAML that begin with a value of the chart."""
    for document in DOCUMENTS:
        for number, kind, text in blocks(document):
            begins = re.match(r"(?:#.*\n)*([a-zA-Z]+):", text)
            is_values = kind in {"yaml", "yml"} and begins is not None and begins[1] in SCHEMA["properties"]
            values = yaml.safe_load(text) if is_values else None
            if isinstance(values, dict) and values.keys() <= SCHEMA["properties"].keys() - {"resources", "git"}:
                jsonschema.validate(merged(VALUES, values), SCHEMA, format_checker=None)
                assert [path for path in leaves(values) if property_at(path) is None] == [], (document.name, number)
