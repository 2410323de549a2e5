"""Keeps credentials out of what people and other programs see: in plans by name, in texts by what they look like.

Used by every face that shows a variant (page, diff, report), by logs and by traces. Whoever handles a secret keeps it
out of every sentence; the patterns are the second line of defence, for texts from outside (an answer of a proxy, the
last words of a server) that carry one nobody knew of. Prompts are content, and are shown.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

GONE = "<redacted>"
HIDDEN = "(hidden)"
_NAME = r"(?:key|token(?!i[sz])|secret|passw|passphrase|credential|auth|signature)"
_LOOKS_SECRET = re.compile(_NAME, re.IGNORECASE)
_AMOUNT = re.compile(r"\d{1,7}(\.\d+)?")
"""`--max-num-batched-tokens 8192` is about tokens and no token."""
_PATTERNS = (
    (re.compile(r"(?P<keep>\b[a-z][a-z0-9+.-]*://)[^\s/@]+@", re.IGNORECASE), rf"\g<keep>{GONE}@"),
    (re.compile(r"(?P<keep>\b(?:bearer|basic|token)\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\g<keep>{GONE}"),
    (
        re.compile(
            r"(?P<keep>(?:^|[?&;\s\"'])(?:[\w-]*(?:token|secret|password|passwd|api[_-]?key|signature|routing_key|sig))"
            r"[\"']?\s*[=:]\s*[\"']?)[^\s&;\"',}]+",
            re.IGNORECASE,
        ),
        rf"\g<keep>{GONE}",
    ),
    (re.compile(r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|sk-|hf_|AKIA)[A-Za-z0-9_-]{8,}"), GONE),
    (re.compile(r"(?P<keep>hooks\.slack\.com/services/)\S+"), rf"\g<keep>{GONE}"),
    (re.compile(r"(?P<keep>discord(?:app)?\.com/api/webhooks/)\S+"), rf"\g<keep>{GONE}"),
)
_IN_A_SCRIPT = re.compile(
    rf"(?P<option>--?[\w-]*{_NAME}[\w-]*|\b\w*{_NAME}\w*(?==))(?P<between>\s+|=)(?P<value>\"[^\"]*\"|'[^']*'|[^\s;&|]+)",
    re.IGNORECASE,
)
"""An option or a variable, and its value, in a word of a command that is a script itself (`sh -c`)."""
SHORTEST = 4
"""Characters of a value that is looked for in texts; a shorter one is in every other word."""


def redacted(text: str) -> str:
    """The text without passwords in addresses, authorization headers, named secrets and known kinds of tokens."""
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def looks_secret(name: str) -> bool:
    """Whether what has this name may be a credential."""
    return bool(_LOOKS_SECRET.search(name))


def hidden(variant: Mapping[str, Any]) -> dict[str, Any]:
    """A variant as canary.yml has it, without what may be a credential; that there is one stays.

    Gone are the values of all variables of `env`, those of options, engine flags and other fields with a name that
    looks like a credential's, and what looks like one anywhere else.
    """
    shown = {key: _shown(key, value) for key, value in variant.items()}
    if isinstance(env := variant.get("env"), Mapping):
        shown["env"] = dict.fromkeys(env, HIDDEN)
    if isinstance(command := variant.get("command"), Sequence) and not isinstance(command, str):
        shown["command"] = [word for word, _ in _words(command)]
    if isinstance(prompt := variant.get("systemPrompt"), Mapping):
        shown["systemPrompt"] = dict(prompt)
    return shown


def hidden_plan(plan: Mapping[str, Any]) -> dict[str, Any]:
    """A whole plan without what may be a credential: both variants as `hidden` has them, labels and annotations by
    their names, and everything else by what it looks like. References to secrets are names, and stay.
    """
    shown: dict[str, Any] = _each_redacted(plan)
    for holder, key in ((shown.get("metadata"), "labels"), (shown.get("metadata"), "annotations")):
        if isinstance(holder, dict) and isinstance(holder.get(key), dict):
            holder[key] = _shown("", holder[key])
    for arm in ("stable", "canary"):
        if isinstance(plan["spec"].get(arm), Mapping):
            shown["spec"][arm] = hidden(plan["spec"][arm])
    return shown


def secrets_of(command: Sequence[str], env: Mapping[str, str]) -> frozenset[str]:
    """The values that `hidden` hides for the sake of their names, for texts in which a server may repeat them."""
    found = [value for _, values in _words(command) for value in values]
    found += [value for name, value in env.items() if looks_secret(name)]
    return frozenset(value for value in found if len(value) >= SHORTEST)


def without(text: str, secrets: Iterable[str]) -> str:
    """The text without these values, and without what looks like a credential."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return redacted(text)


def _shown(name: str, value: Any) -> Any:
    """A value as it may be shown, by the name of its field."""
    match value:
        case Mapping():
            return {key: _shown(key, inner) for key, inner in value.items()}
        case str() if _is_secret(name, value):
            return HIDDEN
        case str():
            return redacted(value)
        case list() | tuple():
            return [_shown(name, inner) for inner in value]
        case None | bool():
            return value
        case _:
            return HIDDEN if _is_secret(name, str(value)) else value


def _each_redacted(value: Any) -> Any:
    match value:
        case str():
            return redacted(value)
        case Mapping():
            return {key: _each_redacted(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_each_redacted(inner) for inner in value]
        case _:
            return value


def _words(command: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each word of a command as it may be shown, and the secret values that stood in it."""
    option = ""
    for word in command:
        name, equals, value = word.partition("=")
        if option and not word.startswith("-"):
            yield (HIDDEN, [word]) if _is_secret(option, word) else (redacted(word), [])
            option = ""
            continue
        option = ""
        if any(space in word for space in " \t\n"):
            yield _script(word)
        elif equals and _is_secret(name, value):
            yield f"{name}={HIDDEN}", [value]
        else:
            yield redacted(word), []
            option = word if word.startswith("-") and not equals and looks_secret(word) else ""


def _script(word: str) -> tuple[str, list[str]]:
    """A word that is a script, such as that of `sh -c`."""
    values: list[str] = []

    def hide(found: re.Match[str]) -> str:
        value = found["value"].strip("\"'")
        if not _is_secret(found["option"], value) or (found["between"] != "=" and value.startswith("-")):
            return found[0]
        values.append(value)
        return f"{found['option']}{found['between']}{HIDDEN}"

    return redacted(_IN_A_SCRIPT.sub(hide, word)), values


def _is_secret(name: str, value: str) -> bool:
    """Whether this is a credential by its name, and no amount of tokens."""
    if not looks_secret(name):
        return False
    return not (_AMOUNT.fullmatch(value) and re.search("tokens?", name, re.IGNORECASE))
