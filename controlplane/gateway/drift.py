"""Who else has changed our HTTPRoute, and what. Pure; asked by `router.py`.

What differs is found by comparing the route with what we wrote last, who did it by the API server's own record of who
owns which field. Decides nothing about it: repairing or pausing is the operator's policy.
"""

from collections.abc import Mapping
from typing import Any

from controlplane.gateway.route import differences
from controlplane.kubernetes.api import FIELD_MANAGER, Object

LONGEST_SHOWN = 80


def changed_by(route: Object, written: Object) -> str:
    """`kubectl-edit changed spec.rules[0].backendRefs[1].weight from 50000 to 500000`, or nothing.

    A difference that no other manager owns is our own: the plan was replaced, and its route is not written yet.
    """
    changes = list(differences(written["spec"], route.get("spec", {}), "spec", strict=True))
    managers = _others(route)
    if not changes or not managers:
        return ""
    path, before, after = changes[0]
    more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
    return f"{managers[-1]} changed {path} from {_shown(before)} to {_shown(after)}{more}"


def _others(route: Object) -> list[str]:
    """Other managers of fields of the spec, the one that wrote last at the end."""
    entries = [
        entry
        for entry in route["metadata"].get("managedFields", ())
        if entry.get("manager") != FIELD_MANAGER and _owns_spec(entry)
    ]
    return [str(entry["manager"]) for entry in sorted(entries, key=lambda entry: str(entry.get("time", "")))]


def _owns_spec(entry: Mapping[str, Any]) -> bool:
    return not entry.get("subresource") and "f:spec" in entry.get("fieldsV1", {})


def _shown(value: Any) -> str:
    """The value, cut where a whole list was changed."""
    text = "nothing" if value is None else str(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"
