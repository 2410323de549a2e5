"""What people ask of a rollout, as annotations of its ModelCanary: `requests.serinus.dev/<id>`. Pure.

Written by `kubectl canary` and by `kubectl annotate`, read by `store.py`. An annotation needs no permission on the
status, is seen by everybody at once, and survives whatever happens to the operator.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, get_args

from canary.observation import OperatorRequest, Verb
from canary.spec.units import share

PREFIX = "requests.serinus.dev/"
MOST_GROUPS = 16
VERBS: Mapping[str, Verb] = {verb: verb for verb in get_args(Verb)}
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def annotation_of(request: OperatorRequest) -> tuple[str, str]:
    """Key and value of the annotation that says this."""
    said: dict[str, Any] = {"id": request.id, "verb": request.verb, "by": request.by, "at": request.at}
    if request.full:
        said["full"] = True
    if request.to is not None:
        said["to"] = request.to
    if request.groups:  # at the end, and in this form: request_policy.yaml reads it
        said["groups"] = list(request.groups)
    return _key(request.id), json.dumps(said, ensure_ascii=False)


def requests_in(object_: Mapping[str, Any]) -> dict[str, OperatorRequest | None]:
    """By annotation key what is asked for, oldest first; None for those that nobody can understand."""
    found = {
        key: _request(key.removeprefix(PREFIX), value)
        for key, value in (object_["metadata"].get("annotations") or {}).items()
        if key.startswith(PREFIX)
    }
    return dict(sorted(found.items(), key=lambda item: item[1].at if item[1] else 0.0))


def _key(id_: str) -> str:
    return PREFIX + (id_ if _NAME.fullmatch(id_) else hashlib.sha256(id_.encode()).hexdigest()[:32])


def _groups(said: Any) -> tuple[str, ...]:
    """The groups for which somebody speaks; none where that is no list of texts."""
    listed = said[:MOST_GROUPS] if isinstance(said, list) else []
    return tuple(each for each in listed if isinstance(each, str))


def _request(id_: str, value: str) -> OperatorRequest | None:
    """The request; the bare word that a person types (`kubectl annotate … requests.serinus.dev/1=pause`) will do."""
    if value in VERBS:
        return OperatorRequest(id_, VERBS[value], "an annotation", 0.0)
    try:
        match json.loads(value):
            case {"full": True, "to": to} if to is not None:
                return None  # two places to go to at once
            case {"verb": str(verb)} as said if verb in VERBS:
                return OperatorRequest(
                    str(said.get("id", id_)),
                    VERBS[verb],
                    str(said.get("by", "an annotation")),
                    float(said.get("at", 0.0)),
                    said.get("full") is True,
                    share(said["to"]) if said.get("to") is not None else None,
                    _groups(said.get("groups")),
                )
    except (ValueError, TypeError):
        return None
    return None
