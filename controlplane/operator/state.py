"""A rollout's whole state as the JSON object that stands in a status, and back: the same rollout, to the last bit.

Used by `store.py`. A status is strict JSON, which has no word for infinity and NaN, so these are written as objects of
one reserved key. Reads what a release before or after this one wrote, like `canary.serial`.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from canary.rollout import Rollout
from canary.serial import rollout_from_text, rollout_to_text

NUMBER = "serinus.dev/number"
"""The one key of an object that stands for a number that JSON cannot write."""
DISMISSED = "dismissed"
"""Beside the rollout's own fields: ids of requests that were meant for an attempt before this one."""


def state_of(rollout: Rollout, dismissed: tuple[str, ...] = ()) -> dict[str, Any]:
    """The rollout as an object of strict JSON. `dismissed`: requests that no attempt will answer any more."""
    state: dict[str, Any] = _strict(json.loads(rollout_to_text(rollout)))
    return state | {DISMISSED: list(dismissed)} if dismissed else state


def rollout_of(state: Mapping[str, Any]) -> Rollout:
    """The rollout that `state_of` was given; raises ValueError for anything else."""
    return rollout_from_text(json.dumps(_loose(state)))


def dismissed_in(state: Mapping[str, Any]) -> tuple[str, ...]:
    """The requests that were meant for an earlier attempt."""
    return tuple(str(each) for each in state.get(DISMISSED, ()))


def _strict(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return {NUMBER: str(value)}
        case dict():
            return {key: _strict(inner) for key, inner in value.items()}
        case list():
            return [_strict(inner) for inner in value]
        case _:
            return value


def _loose(value: Any) -> Any:
    match value:
        case {"serinus.dev/number": str(number)} if len(value) == 1:
            return float(number)
        case Mapping():
            return {key: _loose(inner) for key, inner in value.items() if key != DISMISSED}
        case list():
            return [_loose(inner) for inner in value]
        case _:
            return value
