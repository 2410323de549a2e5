"""Who changed our route, and what."""

from typing import Any

from canary.weights import WHOLE
from controlplane.gateway.drift import changed_by
from controlplane.gateway.route import http_route
from controlplane.gateway.slots import Backend, Slot
from controlplane.kubernetes.api import FIELD_MANAGER, Object
from tests.controlplane.gateway.world import NAMESPACE, plan

SPLIT = (Slot(Backend("v1", "chat-v1-predictor"), 950_000), Slot(Backend("v2", "chat-v2-predictor"), 50_000))
WRITTEN = http_route(plan(), NAMESPACE, SPLIT)


def manager(name: str, time: str = "2026-01-01T00:00:00Z", **more: Any) -> dict[str, Any]:
    return {"manager": name, "time": time, "operation": "Update", "fieldsV1": {"f:spec": {"f:rules": {}}}, **more}


def changed(weight: int, *managers: dict[str, Any]) -> Object:
    """The route with another weight of the second slot, and who owns fields of it."""
    route = http_route(plan(), NAMESPACE, (SPLIT[0], Slot(SPLIT[1].backend, weight)))
    route["metadata"]["managedFields"] = [manager(FIELD_MANAGER), *managers]
    return route


def test_a_change_is_named_with_its_field_and_its_manager() -> None:
    clause = changed_by(changed(500_000, manager("kubectl-edit")), WRITTEN)
    assert clause == "kubectl-edit changed spec.rules[0].backendRefs[1].weight from 50000 to 500000"


def test_the_manager_that_wrote_last_is_named() -> None:
    argo = manager("argocd-controller", "2026-01-02T00:00:00Z")
    assert changed_by(changed(1, argo, manager("kubectl-edit")), WRITTEN).startswith("argocd-controller changed")


def test_a_route_as_it_was_written_has_no_drift() -> None:
    """Others may own fields that say what we say, or that we do not speak of."""
    assert changed_by(changed(50_000, manager("kubectl-edit")), WRITTEN) == ""


def test_what_nobody_else_owns_was_changed_by_a_newer_plan_of_ours() -> None:
    assert changed_by(changed(WHOLE), WRITTEN) == ""


def test_a_gateway_that_writes_the_status_changes_nothing() -> None:
    assert changed_by(changed(1, manager("envoy-gateway", subresource="status")), WRITTEN) == ""


def test_several_changes_are_counted_and_long_ones_cut() -> None:
    route = changed(50_000, manager("kubectl-edit"))
    route["spec"]["hostnames"] = ["other.example.com"]
    route["spec"]["rules"] = []
    clause = changed_by(route, WRITTEN)
    assert clause.startswith("kubectl-edit changed spec.hostnames[0] from chat.example.com to other.example.com")
    assert clause.endswith(" and 1 more")
    del route["spec"]["hostnames"]
    route["spec"]["rules"] = [{"x": "y" * 200}]
    assert len(changed_by(route, WRITTEN)) < 250
