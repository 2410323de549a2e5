"""What the canary has that stable has not: field by field, for the page's panel, `kubectl canary diff` and its report.

Compares two variants as their owner wrote them. What may be a credential is hidden, though not that it differs.
"""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any

from canary.spec.models import CanarySpec
from controlplane.observability.redact import hidden
from controlplane.readmodel.panels import Cell, Panel, cell

DIGEST = 12
"""Letters of a variant's digest that people read."""
LONGEST_VALUE = 400
MOST_LINES = 60
"""Lines of a long text's difference that are shown; the plan has all of it."""


def changes(stable: Mapping[str, Any], canary: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By dotted field what each variant has there (None for nothing), fields that are the same left out."""
    before, after = dict(_fields(stable)), dict(_fields(canary))
    was, is_ = dict(_fields(hidden(stable))), dict(_fields(hidden(canary)))
    return {
        field: {"stable": was.get(field), "canary": is_.get(field)}
        for field in dict.fromkeys([*before, *after])
        if before.get(field) != after.get(field)
    }


def versions_panel(spec: CanarySpec) -> Panel:
    """Both variants side by side: what differs first, then what is the same."""
    variants = {arm: _variant(spec, arm) for arm in ("stable", "canary")}
    changed = list(changes(variants["stable"], variants["canary"]))
    for arm, variant in variants.items():
        variants[arm] = hidden(variant)
        variants[arm]["digest"] = _digest(variants[arm])
    stable, canary = dict(_fields(variants["stable"])), dict(_fields(variants["canary"]))
    if stable["digest"] != canary["digest"]:
        changed.append("digest")
    rows: list[list[Cell]] = []
    for field in sorted(dict.fromkeys([*changed, *stable, *canary]), key=lambda each: each not in changed):
        rows += _row(field, stable.get(field), canary.get(field), differs=field in changed)
    count = len([field for field in changed if field not in {"name", "digest"}])
    same = "Stable and canary are the same but for their names."
    return Panel(
        id="versions",
        title="Versions: what the canary changes",
        columns=["Field", "Stable", "Canary"],
        rows=rows,
        note=f"{count} {'field differs' if count == 1 else 'fields differ'}, marked ≠." if count else same,
    )


def _variant(spec: CanarySpec, arm: str) -> dict[str, Any]:
    """A variant as canary.yml has it, with where its weights are."""
    variant = getattr(spec, arm)
    plain: dict[str, Any] = variant.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if variant.uri is None and spec.model.uri is not None:
        plain["uri"] = str(spec.model.uri)
    return plain


def _digest(variant: Mapping[str, Any]) -> str:
    """Of all that makes it what it is but its name; secrets are left out, so that nobody can guess them from it."""
    text = json.dumps({key: value for key, value in variant.items() if key != "name"}, sort_keys=True)
    return f"sha256:{sha256(text.encode()).hexdigest()[:DIGEST]}"


def _row(field: str, stable: Any, canary: Any, *, differs: bool) -> Iterable[list[Cell]]:
    """A row, or one for each changed line of a long text."""
    name = cell(field, "busy", "≠") if differs else cell(field, "quiet", "=")
    before, after = _words(stable), _words(canary)
    if not differs or ("\n" not in before and "\n" not in after):
        return [[name, cell(_short(before)), cell(_short(after))]]
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1))[2:]
    rows = [
        [cell(""), cell(line[1:] if line[0] != "+" else ""), cell(line[1:] if line[0] != "-" else "")]
        for line in lines[:MOST_LINES]
        if not line.startswith("@@")
    ]
    rows[:1] = [[name, *rows[0][1:]]] if rows else []
    if len(lines) > MOST_LINES:
        rows.append([cell(""), cell(f"… {len(lines) - MOST_LINES} more lines; the plan has them"), cell("")])
    return rows


def _words(value: Any) -> str:
    match value:
        case None:
            return "–"
        case str():
            return value
        case list():
            return " ".join(map(str, value))
        case _:
            return json.dumps(value, ensure_ascii=False)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def _fields(value: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _fields(inner, f"{path}{key}.")
        elif inner is not None:
            yield f"{path}{key}", inner
