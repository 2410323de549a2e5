"""A plan as text for people who watch, with what may be secret left out.

Used by the routes. Values of environment variables and of options that look like credentials are hidden: whoever may
watch a rollout need not know them.
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from canary.spec.stored import from_text
from canary.weights import Weights
from canary.wording import duration

HIDDEN = "(hidden)"
_SECRET = re.compile(r"key|token|secret|passw|credential|auth", re.IGNORECASE)


def plan_text(spec_text: str) -> str:
    """The stored plan as YAML, in the words of canary.yml."""
    plan = from_text(spec_text)
    data: dict[str, Any] = plan.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    spec = data["spec"]
    for stage, dumped in zip(plan.spec.stages, spec["stages"], strict=True):
        dumped["traffic"] = str(Weights.of_share(stage.traffic))
        if "hold" in dumped:
            dumped["hold"] = duration(stage.hold)
        if stage.gates:
            dumped["gates"] = [gate.text for gate in stage.gates]
    if plan.spec.gates:
        spec["gates"] = [gate.text for gate in plan.spec.gates]
    for arm in ("stable", "canary"):
        hide(spec.get(arm, {}))
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)


def looks_secret(name: str) -> bool:
    """Whether what has this name may be a credential."""
    return bool(_SECRET.search(name))


def hide(variant: dict[str, Any]) -> None:
    """In a variant as canary.yml has it, leave the names of variables and options, and hide their values."""
    if isinstance(variant.get("env"), Mapping):
        variant["env"] = dict.fromkeys(variant["env"], HIDDEN)
    if variant.get("command"):
        variant["command"] = _without_secrets(variant["command"])
    engine = variant.get("engine")
    if isinstance(engine, Mapping):
        variant["engine"] = {name: HIDDEN if _SECRET.search(name) else value for name, value in engine.items()}


def _without_secrets(command: list[str]) -> list[str]:
    shown, hide = [], False
    for word in command:
        option, equals, _ = word.partition("=")
        if hide:
            shown.append(HIDDEN)
            hide = False
        elif equals and _SECRET.search(option):
            shown.append(f"{option}={HIDDEN}")
        else:
            shown.append(word)
            hide = word.startswith("-") and bool(_SECRET.search(word)) and not equals
    return shown
