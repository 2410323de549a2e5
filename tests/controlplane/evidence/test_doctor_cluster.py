"""Each thing that can be wrong with a cluster has its sentence, and says what to do."""

import json
from typing import Any

import pytest

from canary.errors import Unavailable
from controlplane.evidence.doctor_cluster import MAY_I, WHO_AM_I, Check, clock_check, kserve_settings, of_cluster
from controlplane.kubernetes.api import Object, Resource
from controlplane.kubernetes.resources import (
    CONFIG_MAP,
    CUSTOM_RESOURCE_DEFINITION,
    DEPLOYMENT,
    GATEWAY,
    NODE,
    POD,
)
from testing.fake_apiserver.kube import MemoryKube
from tests.controlplane.reconcile.desk import Hand

GATEWAY_NAME = "kserve/kserve-ingress-gateway"


class Cluster(MemoryKube):
    """A cluster in order, whose parts a test takes away."""

    def __init__(self) -> None:
        super().__init__(Hand())
        self.refuses: set[tuple[str, str]] = set()
        """Plural and verb."""
        self.namespaces: set[str | None] = set()
        self.says_it_is = "1970-01-01T00:16:40Z"
        names = ("modelcanaries.serinus.dev", "inferenceservices.serving.kserve.io")
        versions = {"versions": [{"name": "v1alpha1", "served": True}]}
        self.seed(
            CUSTOM_RESOURCE_DEFINITION,
            *({"metadata": {"name": name}, "spec": versions} for name in names),
            {
                "metadata": {
                    "name": "httproutes.gateway.networking.k8s.io",
                    "annotations": {"gateway.networking.k8s.io/bundle-version": "v1.6.1"},
                },
                "spec": versions,
            },
        )
        self.controller(ready=1)
        self.seed(
            CONFIG_MAP, _named("inferenceservice-config", data={"deploy": '{"defaultDeploymentMode":"Standard"}'})
        )
        self.gateway("True")
        self.seed(NODE, {"metadata": {"name": "n"}, "status": {"allocatable": {"nvidia.com/gpu": "4", "cpu": "8"}}})
        self.pod("p", gpus=1)

    def controller(self, ready: int) -> None:
        """KServe's controller."""
        labels = {"control-plane": "kserve-controller-manager"}
        spec = {"template": {"spec": {"containers": [{"image": "kserve/kserve-controller:v0.20.0"}]}}}
        self.seed(DEPLOYMENT, _named("manager", labels=labels, spec=spec, status={"readyReplicas": ready}))

    def gateway(self, programmed: str, message: str = "") -> None:
        """The gateway's own word."""
        conditions = [{"type": "Programmed", "status": programmed, "message": message}]
        spec = {"gatewayClassName": "eg"}
        self.seed(GATEWAY, _named("kserve-ingress-gateway", spec=spec, status={"conditions": conditions}))

    def pod(self, name: str, gpus: int, phase: str = "Running") -> None:
        """A pod that holds GPUs."""
        containers = [{"resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}]
        self.seed(POD, _named(name, spec={"nodeName": "n", "containers": containers}, status={"phase": phase}))

    async def create(self, resource: Resource, object_: Object) -> Object:
        """Reviews are answered and not kept."""
        if resource == WHO_AM_I:
            return {
                "metadata": {"creationTimestamp": self.says_it_is},
                "status": {"userInfo": {"username": "ada"}},
            }
        if resource == MAY_I:
            asked = object_["spec"]["resourceAttributes"]
            self.namespaces.add(asked.get("namespace"))
            return {"metadata": {}, "status": {"allowed": (asked["resource"], asked["verb"]) not in self.refuses}}
        return await super().create(resource, object_)


def _named(name: str, *, labels: dict[str, str] | None = None, **more: Any) -> Object:
    return {"metadata": {"namespace": "kserve", "name": name, "labels": labels or {}}, **more}


async def _checks(cluster: Cluster, namespace: str | None = None) -> dict[str, Check]:
    found = await of_cluster(cluster, cluster.clock, namespace=namespace, gateway=GATEWAY_NAME)
    return {check.about: check for check in found}


async def test_a_cluster_in_order_has_no_problem_and_every_part_its_sentence() -> None:
    found = await _checks(Cluster())
    assert {about: check.state for about, check in found.items()} == {
        "API server": "ok",
        "clocks": "ok",
        "permissions": "ok",
        "ModelCanary": "ok",
        "KServe": "ok",
        "KServe's mode": "ok",
        "restarts": "note",
        "gateway": "ok",
        "GPUs": "ok",
    }
    assert "v0.20.0" in found["KServe"].says
    assert "v1.6.1" in found["gateway"].says
    assert found["GPUs"].says == "nvidia.com/gpu: 3 of 4 free."
    assert all(check.says.endswith(".") for check in found.values())


async def test_missing_permissions_are_named_by_kind_and_verb() -> None:
    cluster = Cluster()
    cluster.refuses = {("httproutes", "patch"), ("leases", "create")}
    check = (await _checks(cluster, "shop"))["permissions"]
    assert check.says == "Missing in shop: httproutes: patch; leases: create."
    assert check.do
    assert cluster.namespaces == {"shop", None}, "kinds without a namespace are asked for without"


@pytest.mark.parametrize(
    ("name", "about", "says"),
    [
        ("modelcanaries.serinus.dev", "ModelCanary", "is not installed"),
        ("inferenceservices.serving.kserve.io", "KServe", "no InferenceService kind"),
        ("httproutes.gateway.networking.k8s.io", "gateway", "no HTTPRoute kind"),
    ],
)
async def test_a_kind_that_is_not_installed_is_said(name: str, about: str, says: str) -> None:
    cluster = Cluster()
    await cluster.delete(CUSTOM_RESOURCE_DEFINITION, None, name)
    check = (await _checks(cluster))[about]
    assert check.state == "problem"
    assert says in check.says
    assert check.do


async def test_a_gateway_that_is_not_there_or_not_programmed_is_said_in_its_own_words() -> None:
    cluster = Cluster()
    cluster.gateway("False", "no addresses")
    assert "not programmed: no addresses" in (await _checks(cluster))["gateway"].says
    await cluster.delete(GATEWAY, "kserve", "kserve-ingress-gateway")
    assert "there is none" in (await _checks(cluster))["gateway"].says


async def test_kserve_without_a_ready_controller_refuses_every_write() -> None:
    cluster = Cluster()
    cluster.controller(ready=0)
    assert "refuses every write" in (await _checks(cluster))["KServe"].says


async def test_gpus_that_are_all_taken_leave_none_for_a_canary() -> None:
    cluster = Cluster()
    cluster.pod("done", gpus=4, phase="Succeeded")
    assert (await _checks(cluster))["GPUs"].state == "ok"
    cluster.pod("busy", gpus=3)
    assert (await _checks(cluster))["GPUs"].state == "problem"


async def test_what_cannot_be_looked_at_is_said_and_hides_nothing_else() -> None:
    cluster = Cluster()
    cluster.fail_next(Unavailable("the API server did not answer"), verb="list", resource=NODE)
    found = await _checks(cluster)
    assert "could not be looked at: the API server did not answer" in found["GPUs"].says
    assert found["gateway"].state == "ok"


@pytest.mark.parametrize(("skew", "state"), [(0.4, "ok"), (-6.5, "problem"), (7.0, "problem"), (5.5, "ok")])
def test_clocks_that_differ_by_seconds_are_a_problem(skew: float, state: str) -> None:
    """One that is read in whole seconds gets one of them."""
    assert clock_check("its clock", skew, coarse=1.0).state == state


def test_kserves_settings_are_read_for_what_they_mean_to_us() -> None:
    data = {
        "deploy": json.dumps({"defaultDeploymentMode": "Serverless"}),
        "inferenceService": json.dumps({"serviceAnnotationDisallowedList": ["argocd.argoproj.io/tracking-id"]}),
    }
    mode, restarts = kserve_settings(data)
    assert (mode.state, "Serverless is its default" in mode.says) == ("note", True)
    assert "except argocd.argoproj.io/tracking-id" in restarts.says
    assert kserve_settings({"deploy": "{"})[0].state == "note"
