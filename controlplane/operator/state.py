"""A rollout's whole state as the JSON object that stands in a status, and back: the same rollout, to the last bit.

Used by `store.py`. A status is strict JSON, which has no word for infinity and NaN, so these are written as objects of
one reserved key. Reads what a release before or after this one wrote, like `canary.serial`.
"""

import json
import zlib
from collections.abc import Mapping
from math import inf, isfinite, nan
from typing import Any

from pydantic_core import from_json, to_json

from canary.rollout import Rollout
from canary.serial import rollout_from_plain, rollout_to_text

NUMBER = "serinus.dev/number"
"""The one key of an object that stands for a number that JSON cannot write."""
_NUMBERS = tuple(
    (to_json({NUMBER: str(value)}), word) for value, word in ((inf, b"Infinity"), (-inf, b"-Infinity"), (nan, b"NaN"))
)
"""How such a number stands in a text, and how a text has it that is only for ourselves."""
DISMISSED = "dismissed"
"""Beside the rollout's own fields: ids of requests that were meant for an attempt before this one."""


PACKED = "packed"
"""In place of everything but `LOOKED_AT`, in a state as it is kept in memory: never in one that is written."""
LOOKED_AT = ("attempt", "events", "announced", "answered", "weights", DISMISSED)
"""What is looked at without taking a rollout up; the judge's memory and the history are a hundred times as large."""


def state_of(rollout: Rollout, dismissed: tuple[str, ...] = ()) -> dict[str, Any]:
    """The rollout as an object of strict JSON. `dismissed`: requests that no attempt will answer any more."""
    state: dict[str, Any] = _strict(json.loads(rollout_to_text(rollout)))
    return state | {DISMISSED: list(dismissed)} if dismissed else state


def rollout_of(state: Mapping[str, Any]) -> Rollout:
    """The rollout that `state_of` was given; raises ValueError for anything else."""
    text = to_json(_unpacked(state))
    for written, number in _NUMBERS:  # hundreds of states are read a second: none is walked through in Python
        text = text.replace(written, number)
    return rollout_from_plain(from_json(text))


def packed(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same state in a tenth of the memory, for `rollout_of` and for whoever looks at `LOOKED_AT`."""
    if PACKED in state:
        return state
    light = {name: state[name] for name in LOOKED_AT if name in state}
    rest = {name: value for name, value in state.items() if name not in light}
    return light | {PACKED: zlib.compress(to_json(rest), zlib.Z_BEST_SPEED)}


def dismissed_in(state: Mapping[str, Any]) -> tuple[str, ...]:
    """The requests that were meant for an earlier attempt."""
    return tuple(str(each) for each in state.get(DISMISSED, ()))


def _unpacked(state: Mapping[str, Any]) -> Mapping[str, Any]:
    blob = state.get(PACKED)
    if not isinstance(blob, bytes):
        return state
    return {**from_json(zlib.decompress(blob)), **{name: state[name] for name in LOOKED_AT if name in state}}


def _strict(value: Any) -> Any:
    match value:
        case float() if not isfinite(value):
            return {NUMBER: str(value)}
        case dict():
            return {key: _strict(inner) for key, inner in value.items()}
        case list():
            return [_strict(inner) for inner in value]
        case _:
            return value
