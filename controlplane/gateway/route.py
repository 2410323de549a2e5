"""Our HTTPRoute: written from two slots, and read back into them. Pure; used by `router.py` and by `serinus render`.

One rule splits the traffic between two backendRefs, each with a filter so that the gateway counts it on its own. A
cohort has a second rule behind it, for everybody else. Beside the spec, in the same write, an annotation keeps what was
written: who is in which slot since when, with which weight. So a change by somebody else can be told from our own, and
nobody reads a counter across a change of its slot.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from canary.errors import BadInput, BugError
from canary.spec.models import Cohort, KServePlatform, ModelCanary, Variant
from controlplane.gateway.slots import Backend, Backends, Slot, Slots, place_of
from controlplane.kubernetes import names
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.resources import HTTP_ROUTE

SLOTS_ANNOTATION = f"{names.DOMAIN}/slots"
VARIANT_HEADER = "x-serinus-variant"
"""Request header that tells a model server as which variant it was asked. It also makes each slot a cluster."""
WEIGHTED_RULE = 0
"""Index of the rule that splits: it is part of the clusters' names (`…/rule/0/backend/1`), so it never changes."""
DEFAULT_GATEWAY = "kserve/kserve-ingress-gateway"
"""The Gateway that KServe itself uses when nothing else is configured."""
SERVICE_PORT = 80
"""Port of the Services that KServe makes for its predictors."""
ANY_PATH = {"path": {"type": "PathPrefix", "value": "/"}}
"""What the API server would add by itself; written out, so that a match that somebody adds is seen as one."""
MOST_COHORT_VALUES = 64
"""The Gateway API allows so many matches in one rule."""


@dataclass(frozen=True, slots=True)
class RouteState:
    """What an HTTPRoute says, and what its gateway says of it."""

    slots: Slots
    """As they are; a backendRef that is missing reads as a slot with weight 0."""
    written: Slots | None
    """As we wrote them last, from the annotation; None when there is none, or it cannot be read."""
    generation: int
    ours: bool
    """Whether we made it."""
    in_force: bool = False
    """Whether these very slots are what the gateway serves (perhaps answering 500 for a Service that is missing)."""
    behind: bool = False
    """Whether the gateway speaks of an older generation, and may still serve that one."""
    refused: bool = False
    """Whether the gateway has looked at this very generation and does not accept it."""
    unanswered: bool = False
    """Whether no controller has said anything of it yet."""
    problem: str = ""
    """One clause in the gateway's words; empty when all is well."""


def backends_of(plan: ModelCanary) -> Backends:
    """The Service of each arm."""
    spec = plan.spec
    return {"stable": _backend(plan, spec.stable), "canary": _backend(plan, spec.canary)}


def gateway_of(plan: ModelCanary, namespace: str) -> tuple[str, str]:
    """Namespace and name of the Gateway; one that is named without a namespace is in the rollout's own."""
    place, _, name = (_platform(plan).gateway or DEFAULT_GATEWAY).rpartition("/")
    return place or namespace, name


def host_of(plan: ModelCanary) -> str:
    """The host name of its route; empty where it has none."""
    return _platform(plan).hostname or ""


def http_route(plan: ModelCanary, namespace: str, slots: Slots, *, attached: bool = True) -> Object:
    """The whole object for these slots. Raises `BadInput` for a cohort that no rule can hold.

    One that is not `attached` hangs on no Gateway, and nobody is served through it.
    """
    gateway_namespace, gateway = gateway_of(plan, namespace)
    hostname = host_of(plan)
    parent = {
        "group": HTTP_ROUTE.group,
        "kind": "Gateway",
        "namespace": gateway_namespace,
        "name": gateway,
    }
    return {
        "apiVersion": HTTP_ROUTE.api_version,
        "kind": HTTP_ROUTE.kind,
        "metadata": {
            "name": plan.metadata.name,
            "namespace": namespace,
            "labels": names.labels(plan.metadata.name),
            "annotations": {SLOTS_ANNOTATION: annotation(slots)},
        },
        "spec": {
            "parentRefs": [parent] if attached else [],
            **({"hostnames": [hostname]} if hostname else {}),
            "rules": _rules(plan, slots),
        },
    }


def annotation(slots: Slots) -> str:
    """What was written: JSON, a list of one mapping a slot."""
    kept = [
        {"variant": slot.backend.variant, "service": slot.service, "weight": slot.weight, "since": round(slot.since, 3)}
        for slot in slots
    ]
    return json.dumps(kept)


def read_route(route: Object, gateway: tuple[str, str]) -> RouteState:
    """The state of an HTTPRoute with regard to this Gateway (namespace, name). Never raises for what it holds."""
    metadata = route["metadata"]
    written = _written(metadata.get("annotations", {}).get(SLOTS_ANNOTATION, ""))
    generation = int(metadata.get("generation", 0))
    answer = _answer(route, gateway, generation)
    return RouteState(
        slots=_slots(route, written),
        written=written,
        generation=generation,
        ours=metadata.get("labels", {}).get(names.MANAGED_BY) == "serinus" or written is not None,
        in_force=answer.in_force,
        behind=answer.behind,
        refused=answer.refused,
        unanswered=answer.unanswered,
        problem=answer.problem,
    )


def under_gateway(state: RouteState, named: tuple[str, str], gateway: Object | None) -> RouteState:
    """The state with regard to the Gateway itself: one that is gone serves nothing, whatever the route's status says.

    Envoy Gateway leaves that status as it was, observed generation and all (seen with 1.9.1).
    """
    if gateway is None:
        gone = f"gateway {'/'.join(named)} does not exist, so nobody is served through it"
        return replace(state, in_force=False, behind=False, refused=False, problem=gone)
    if state.unanswered:
        return replace(state, problem=_silent(named, gateway))
    conditions = {each["type"]: each for each in gateway.get("status", {}).get("conditions", ())}
    programmed = conditions.get("Programmed", {})
    if state.problem or programmed.get("status") != "False":
        return state
    return replace(state, problem=f"gateway {'/'.join(named)} is not programmed: {_words(programmed)}")


def differences(wanted: Any, found: Any, path: str, *, strict: bool = False) -> Iterator[tuple[str, Any, Any]]:
    """Where an object says otherwise than we want: path, wanted, found.

    What we do not speak of may be anything, as servers add fields of their own; unless `strict`.
    """
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for key in [*wanted, *(key for key in found if strict and key not in wanted)]:
            yield from differences(wanted.get(key), found.get(key), f"{path}.{key}", strict=strict)
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for index, value in enumerate(wanted):
            yield from differences(value, found[index], f"{path}[{index}]", strict=strict)
    elif wanted != found:
        yield path, wanted, found


def _platform(plan: ModelCanary) -> KServePlatform:
    platform = plan.spec.platform.kserve
    if platform is None:
        raise BugError(f"{plan.metadata.name} has no route: its platform is not kserve")
    return platform


def _backend(plan: ModelCanary, variant: Variant) -> Backend:
    service = variant.inference_service or names.service_name(plan.metadata.name, variant.name)
    return Backend(variant.name, names.predictor(service))


def _rules(plan: ModelCanary, slots: Slots) -> list[dict[str, Any]]:
    """The weighted rule and, where only a cohort takes part, the one for everybody else."""
    weighted: dict[str, Any] = {
        "timeouts": {"request": "0s"},  # else Envoy ends a stream after 15 seconds
        "backendRefs": [
            {**_reference(slot.service), "weight": slot.weight, "filters": [_named(slot.backend.variant)]}
            for slot in slots
        ],
    }
    cohort = plan.spec.cohort
    if cohort is None:
        return [{"matches": [ANY_PATH], **weighted}]
    others = _for_others(slots, backends_of(plan))
    return [
        {"matches": _matches(cohort), **weighted},
        {
            "matches": [ANY_PATH],
            "timeouts": {"request": "0s"},
            "filters": [_named(others.variant)],
            "backendRefs": [_reference(others.service)],
        },
    ]


def _matches(cohort: Cohort) -> list[dict[str, Any]]:
    if len(cohort.values) > MOST_COHORT_VALUES:
        raise BadInput(
            f"The cohort has {len(cohort.values)} values, and a rule of an HTTPRoute can hold {MOST_COHORT_VALUES}. "
            "The route stays as it is; let the clients send one header that says who takes part."
        )
    return [
        {**ANY_PATH, "headers": [{"type": "Exact", "name": cohort.header, "value": value}]} for value in cohort.values
    ]


def _for_others(slots: Slots, backends: Backends) -> Backend:
    """Who serves those outside the cohort: stable, until its slot is at rest because it goes away."""
    if place_of(slots, backends["stable"].service) is not None:
        return backends["stable"]
    return max(slots, key=lambda slot: slot.weight).backend


def _reference(service: str) -> dict[str, Any]:
    return {"group": "", "kind": "Service", "name": service, "port": SERVICE_PORT}


def _named(variant: str) -> dict[str, Any]:
    header = {"name": VARIANT_HEADER, "value": variant}
    return {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [header]}}


def _slots(route: Object, written: Slots | None) -> Slots:
    """The weighted rule's first two backendRefs; names of variants and times are taken from what we wrote."""
    rules = route.get("spec", {}).get("rules") or [{}]
    references = list(rules[WEIGHTED_RULE].get("backendRefs") or [])[:2]
    found = [_slot(reference, index, written) for index, reference in enumerate(references)]
    while len(found) < 2:
        backend = found[0].backend if found else written[len(found)].backend if written else Backend("", "")
        found.append(Slot(backend, 0))
    return found[0], found[1]


def _slot(reference: Mapping[str, Any], index: int, written: Slots | None) -> Slot:
    service, weight = str(reference.get("name", "")), int(reference.get("weight", 1))
    if written is not None and written[index].service == service:
        return Slot(written[index].backend, weight, written[index].since)
    return Slot(Backend(service, service), weight)


def _written(text: str) -> Slots | None:
    try:
        first, second = [
            Slot(Backend(str(each["variant"]), str(each["service"])), int(each["weight"]), float(each["since"]))
            for each in json.loads(text)
        ]
    except (ValueError, TypeError, KeyError):
        return None
    return first, second


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the gateway says of a route; fields as in `RouteState`."""

    problem: str = ""
    in_force: bool = False
    behind: bool = False
    refused: bool = False
    unanswered: bool = False


def _answer(route: Object, gateway: tuple[str, str], generation: int) -> _Answer:
    named = "/".join(gateway)
    answers = [each for each in route.get("status", {}).get("parents", ()) if _is_from(each, route, gateway)]
    if not answers:
        silent = f"no controller has accepted it yet: gateway {named} may be missing, or its class be handled by nobody"
        return _Answer(silent, unanswered=True)
    conditions = _conditions(answers)
    accepted, resolved = conditions.get("Accepted", {}), conditions.get("ResolvedRefs", {})
    if int(accepted.get("observedGeneration", generation)) < generation:
        not_yet = f"gateway {named} has not taken the last change yet (generation {generation})"
        return _Answer(not_yet, behind=True)
    if accepted.get("status") != "True":
        return _Answer(f"gateway {named} does not accept it: {_words(accepted)}", refused=True)
    if resolved.get("status") == "False":
        return _Answer(f"gateway {named} cannot reach all of it: {_words(resolved)}", in_force=True)
    return _Answer(in_force=True)


def _silent(named: tuple[str, str], gateway: Object) -> str:
    """Why nobody may have answered, from what the Gateway says of its own controller."""
    which = f"gateway {'/'.join(named)} (class {gateway.get('spec', {}).get('gatewayClassName') or 'unknown'})"
    conditions = {each["type"]: each for each in gateway.get("status", {}).get("conditions", ())}
    accepted = conditions.get("Accepted", {})
    if accepted.get("status") == "True":
        return f"no controller has accepted it yet, though one did accept {which}: it seems not to be running"
    if accepted.get("status") == "False":
        return f"no controller has accepted it yet, nor its {which}: {_words(accepted)}"
    return f"no controller has accepted it yet, nor its {which}: no running controller seems to handle that class"


def _conditions(answers: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """By type; where several listeners answer, the best answer counts, for one that serves is enough."""
    found = [{each["type"]: each for each in answer.get("conditions", ())} for answer in answers]
    return max(found, key=lambda conditions: conditions.get("Accepted", {}).get("status") == "True")


def _is_from(answer: Mapping[str, Any], route: Object, gateway: tuple[str, str]) -> bool:
    reference = answer.get("parentRef", {})
    place = reference.get("namespace", route["metadata"].get("namespace", ""))
    return (place, reference.get("name")) == gateway


def _words(condition: Mapping[str, Any]) -> str:
    reason, message = condition.get("reason", "no reason given"), str(condition.get("message", "")).rstrip(".")
    return f"{reason} ({message})" if message else str(reason)
