"""What people ask of a rollout, as annotations of its ModelCanary: `requests.serinus.dev/<id>`. Pure.

Written by `kubectl canary` and by `kubectl annotate`, read by `store.py`. An annotation needs no permission on the
status, is seen by everybody at once, and survives whatever happens to the operator. Anybody who may edit the object
writes what stands here, so it is read within bounds and never raises: what nobody can understand is None.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field

from canary.snapshot import OperatorRequest, Verb
from canary.spec.units import share

PREFIX = "requests.serinus.dev/"
MOST_GROUPS = 16
VERBS: Mapping[str, Verb] = {verb: verb for verb in get_args(Verb)}
MOST_REQUESTS = 20
"""Of one object at a time; more are understood by nobody, and the annotations of an object come to thousands."""
LONGEST_REQUEST = 4096
"""Characters of one annotation: a request is a line, with the groups of whoever asks."""
LONGEST_PERSON = 512
LATEST = 253_402_300_800.0
"""Seconds since the epoch: after this no calendar goes on."""
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


class _Said(BaseModel):
    """A request as JSON; what else stands beside is no business of ours."""

    model_config = ConfigDict(allow_inf_nan=False, coerce_numbers_to_str=True)

    verb: Verb
    id: str | None = None
    by: Annotated[str, Field(max_length=LONGEST_PERSON)] = "an annotation"
    at: Annotated[float, Field(ge=0, lt=LATEST)] = 0.0
    full: Any = False
    to: Any = None
    groups: Any = None


def annotation_of(request: OperatorRequest) -> tuple[str, str]:
    """Key and value of the annotation that says this."""
    by = request.by if len(request.by) <= LONGEST_PERSON else f"{request.by[: LONGEST_PERSON - 1]}…"
    said: dict[str, Any] = {"id": request.id, "verb": request.verb, "by": by, "at": request.at}
    if request.full:
        said["full"] = True
    if request.to is not None:
        said["to"] = request.to
    if request.groups:  # at the end, and in this form: request_policy.yaml reads it
        said["groups"] = list(request.groups)
    return _key(request.id), json.dumps(said, ensure_ascii=False)


def requests_in(object_: Mapping[str, Any]) -> dict[str, OperatorRequest | None]:
    """By annotation key what is asked for, oldest first; None for those that nobody can understand. Never raises."""
    asked = {
        key: value for key, value in (object_["metadata"].get("annotations") or {}).items() if key.startswith(PREFIX)
    }
    found = {
        key: _request(key.removeprefix(PREFIX), value) if number < MOST_REQUESTS else None
        for number, (key, value) in enumerate(sorted(asked.items()))
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
    if len(value) > LONGEST_REQUEST:
        return None
    try:
        said = _Said.model_validate_json(value)
        to = share(said.to) if said.to is not None else None
    except (ValueError, TypeError, ArithmeticError):
        return None
    if said.full is True and to is not None:
        return None  # two places to go to at once
    return OperatorRequest(said.id or id_, said.verb, said.by, said.at, said.full is True, to, _groups(said.groups))
