"""Is the canary really the model that was meant? Compares what silently changes answers: tokenizer, chat template,
stop tokens, …

A pure function, usable as a gate: two fingerprints, a policy and what the canary.yml declares go in, differences with
a verdict come out. Reading model directories and endpoints is the shell's (`controlplane.profiles.identity`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from profiles.errors import Malformed

Action = Literal["block", "warn", "allow"]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What identifies a served model beyond its weights. None is not known; digests say how they were taken:
    `file:…`, `probe:…`.
    """

    tokenizer: str | None = None
    """Digest of the tokenizer's files, or of the tokens that an endpoint makes of fixed texts."""
    chat_template: str | None = None
    """Digest of the template, or of the tokens that an endpoint makes of a fixed conversation."""
    generation_config: str | None = None
    """Sampling defaults, as canonical JSON."""
    stop_tokens: str | None = None
    """Token ids that end an answer."""
    quantization_config: str | None = None
    engine_version: str | None = None
    context_length: int | None = None


FIELDS = tuple(field.name for field in fields(Fingerprint))
POLICY: Mapping[str, Action] = {
    "tokenizer": "block",
    "chat_template": "block",
    "generation_config": "warn",
    "stop_tokens": "block",
    "quantization_config": "block",
    "engine_version": "warn",
    "context_length": "block",
}
"""What a difference does that nobody declared."""
WHY: Mapping[str, str] = {
    "tokenizer": "the same text becomes other tokens: answers, lengths and prices are not comparable",
    "chat_template": "the same conversation becomes another prompt, so the comparison is of prompts, not of models",
    "generation_config": "sampling defaults differ, so answers differ where requests leave them open",
    "stop_tokens": "answers end elsewhere: too long, or cut",
    "quantization_config": "the weights are stored in another way than the plan says",
    "engine_version": "another engine changes speed, defaults and sometimes answers",
    "context_length": "long requests that stable answers would be refused",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """One field in which canary and stable differ, or cannot be compared."""

    field: str
    stable: str
    canary: str
    action: Action
    why: str
    harmless: bool = False
    """Whether it takes nothing away that stable gives."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All differences, and the verdict that follows."""

    differences: tuple[Difference, ...]
    unknown: tuple[str, ...]
    """Fields that at least one side does not tell, or that were taken in different ways."""

    @property
    def verdict(self) -> Literal["pass", "warn", "block"]:
        """The hardest action among the differences."""
        actions = {difference.action for difference in self.differences}
        return "block" if "block" in actions else "warn" if "warn" in actions else "pass"


def compare(
    stable: Fingerprint,
    canary: Fingerprint,
    policy: Mapping[str, Action] = POLICY,
    declared: frozenset[str] = frozenset(),
) -> Comparison:
    """Differences between the variants. What the plan declares (`declared`, field names) is no silent change and is
    allowed.

    A longer context of the canary only warns: it refuses nothing that stable answers.
    """
    for name in (*policy, *declared):
        if name not in FIELDS:
            raise Malformed(f"{name!r} is no field of a fingerprint; expected one of {', '.join(FIELDS)}")
    found, unknown = [], []
    for name in FIELDS:
        before, after = getattr(stable, name), getattr(canary, name)
        if before is None or after is None or taken(before) != taken(after):
            unknown.append(name)
        elif before != after:
            found.append(difference(name, before, after, policy, declared))
    return Comparison(tuple(found), tuple(unknown))


def together(comparisons: Sequence[Comparison]) -> Comparison:
    """Comparisons of the same two variants by different sources, such as their files and their endpoints, as one.

    A field is known as soon as one source tells it, and differs as soon as it does in one.
    """
    found = {one.field: one for comparison in reversed(comparisons) for one in comparison.differences}
    unknown = [name for name in FIELDS if all(name in comparison.unknown for comparison in comparisons)]
    return Comparison(tuple(found[name] for name in FIELDS if name in found), tuple(unknown))


def difference(
    name: str, before: Any, after: Any, policy: Mapping[str, Action], declared: frozenset[str]
) -> Difference:
    """One difference with what it does."""
    action: Action = policy.get(name, POLICY[name])
    why, harmless = WHY[name], name == "context_length" and after > before
    if harmless:
        action, why = ("warn" if action == "block" else action), "the canary admits longer requests than stable"
    if name in declared:
        action, why = "allow", "declared in the plan"
    return Difference(name, str(before), str(after), action, why, harmless)


def taken(value: object) -> str:
    """How a digest was taken; empty for plain values."""
    text = str(value)
    return text.split(":", 1)[0] if text.startswith(("file:", "probe:")) else ""


def sentences(comparison: Comparison) -> list[str]:
    """The comparison for people, worst first."""
    order = {"block": 0, "warn": 1, "allow": 2}
    lines = [
        f"{one.action}: {one.field.replace('_', ' ')} differs ({short(one.stable)} → {short(one.canary)}): {one.why}"
        for one in sorted(comparison.differences, key=lambda one: order[one.action])
    ]
    lines += [f"unknown: {name.replace('_', ' ')} could not be compared" for name in comparison.unknown]
    return lines


def short(text: str, length: int = 60) -> str:
    """A value that may be long, cut."""
    return text if len(text) <= length else text[: length - 1] + "…"
