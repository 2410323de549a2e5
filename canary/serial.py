"""Rollouts and events as text, and back: what stores keep and what `-o json`, the API and the history print.

Called by the stores and by every interface. The stored form is for ourselves (it keeps `inf` and `NaN` as JavaScript
spells them); the line form is the contract of `docs/contracts.md`, section 1, and is strict JSON. Writes no files.
"""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json

from canary.rollout import Event, Rollout

_ROLLOUT = TypeAdapter(Rollout)
_EVENT = TypeAdapter(Event)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMES_AT_THE_END = ("harm_began", "decided", "zero")


def rollout_to_text(rollout: Rollout) -> str:
    """The whole state as one line of JSON."""
    return _text(_ROLLOUT.dump_python(rollout))


def rollout_from_text(text: str) -> Rollout:
    """The state that `rollout_to_text` wrote; raises ValueError for anything else.

    Fields that are missing take their defaults and fields that are unknown are left out, so a state written by the
    release before or after this one can be read.
    """
    return rollout_from_plain(from_json(text))


def rollout_from_plain(plain: Any) -> Rollout:
    """The state of which the text was loaded already, for stores that keep it as an object; raises ValueError."""
    return _ROLLOUT.validate_python(plain)


def event_to_text(event: Event) -> str:
    """One event as one line of JSON, as a store keeps it."""
    return _text(_EVENT.dump_python(event))


def event_from_text(text: str) -> Event:
    """The event that `event_to_text` wrote; raises ValueError for anything else."""
    return _EVENT.validate_python(from_json(text))


def event_line(event: Event) -> dict[str, Any]:
    """The event as other tools read it: strict JSON values, `at` as RFC 3339, numbers that are none as null.

    The last event carries its result beside the other keys, with its times as RFC 3339 too.
    """
    plain = _EVENT.dump_python(event)
    line = {"id": plain.pop("id"), "at": rfc3339(event.at)} | {key: plain[key] for key in plain if key != "at"}
    if event.event == "end":
        result = line["evidence"]
        times = {key: rfc3339(result[key]) for key in _TIMES_AT_THE_END if result.get(key) is not None}
        line |= {**result, **times, "evidence": {}}
    strict: dict[str, Any] = _finite(line)
    return strict


def rfc3339(seconds: float) -> str:
    """Seconds since the epoch as `2026-11-21T09:00:05.250Z`; milliseconds only where there are any."""
    moment = _EPOCH + timedelta(milliseconds=round(seconds * 1000))
    precision = "milliseconds" if moment.microsecond else "seconds"
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def _text(plain: Any) -> str:
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    """The same value with NaN and infinities as None: JSON has no word for them, and null means no data."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case str() | int() | None:  # most values are; whether something is a mapping takes ten times as long to tell
            return value
        case Mapping():
            return {key: _finite(inner) for key, inner in value.items()}
        case Sequence():
            return [_finite(inner) for inner in value]
        case _:
            return value
