"""The status of a ModelCanary in a shape that its readers may rely on, whoever wrote it. Pure.

Used by whatever keeps or lists ModelCanaries; GitSources are looked at by the same means. The schema of the resource
says the same, but another one may be installed, and the rollout's own state has none. What has another type than ours
is left out, so the rollout cannot be read (`store.stored_in` says so, of this one alone); nothing here judges what the
values mean. A state that is not in shape stays one that cannot be read: a rollout is under way there, and none may
begin beside it.
"""

from collections.abc import Callable, Mapping
from typing import Any

Fits = Callable[[Any], bool]


def is_whole(value: Any) -> bool:
    """Whether it is a whole number that the API server can count to."""
    return isinstance(value, int) and abs(value) < 2**63


def is_text(value: Any) -> bool:
    """Whether it is a text."""
    return isinstance(value, str)


def are_objects(value: Any) -> bool:
    """Whether it is a list of objects."""
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _are_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(is_whole(each) for each in value.values())


STATUS: Mapping[str, Fits] = {
    **dict.fromkeys(("observedGeneration", "version", "fence", "stage", "stages", "attempt"), is_whole),
    **dict.fromkeys(("phase", "reason", "message", "revision", "result", "plan", "weight", "weightSeen"), is_text),
    **dict.fromkeys(("stageText", "verdict", "since", "began", "weightServed"), is_text),
    **dict.fromkeys(("conditions", "gates", "history", "slots"), are_objects),
    **dict.fromkeys(("state", "served"), _is_object),
}
STATE: Mapping[str, Fits] = {
    **dict.fromkeys(("attempt", "events", "announced"), is_whole),
    **dict.fromkeys(("answered", "dismissed"), _are_texts),
    "weights": _are_counts,
}
"""Of the rollout's own state, what is looked at without reading the rest."""
UNREADABLE = -1
"""In place of a version that is none: no write is made over a status that nobody understands."""


def status_in(object_: Mapping[str, Any]) -> dict[str, Any]:
    """The status of an object; empty where there is none, or none that is one."""
    told = object_.get("status")
    if not isinstance(told, dict):
        return {}
    status = in_shape(told, STATUS)
    if "version" in told and "version" not in status:
        status |= {"version": UNREADABLE, "state": {}}
    elif "state" in told and in_shape(status.get("state"), STATE) != told["state"]:
        status["state"] = {}
    return status


def shaped(object_: dict[str, Any]) -> dict[str, Any]:
    """The same object with its status in shape."""
    return {**object_, "status": status_in(object_)} if "status" in object_ else object_


def in_shape(value: object, known: Mapping[str, Fits]) -> dict[str, Any]:
    """What has the type that it should have, and what nobody here knows."""
    if not isinstance(value, dict):
        return {}
    return {name: each for name, each in value.items() if name not in known or known[name](each)}
