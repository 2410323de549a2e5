"""KServe's controller for LLMInferenceServices over an API server in memory: Deployments, pods, routes, and the group.

Behaves as the real controller was seen to (`docs/kserve.md`). Each member has a route of its own that leads to the
whole group, and a gateway takes the oldest one's word. A member that is not ready is left out of the others' routes,
and so is one that was written a moment ago. The gateway serves what the routes say at every step; a step at which
requests would be lost is an `AssertionError`.
"""

from collections.abc import Mapping
from typing import Any

from controlplane.kserve.caches import LLM_LABEL, Caches
from controlplane.kserve.llm_service import ROUTE, WORKLOAD_SERVICE
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.resources import DEPLOYMENT, HTTP_ROUTE, LLM_INFERENCE_SERVICE, POD
from testing.fake_apiserver.kube import MemoryKube

PART = {"app.kubernetes.io/part-of": "llminferenceservice"}


class FakeLlm:
    """Everything that a real cluster does with LLMInferenceServices."""

    def __init__(self, kube: MemoryKube, *, load_s: float = 0.0) -> None:
        """A pod is ready `load_s` seconds after it was made."""
        self._kube = kube
        self._now = kube.clock.now
        self._load_s = load_s
        self._pods = 0
        self._members: dict[str, Object] = {}
        """As they were at the last step, in the order in which they were made."""
        self._answers = ""
        """The member whose route the gateway takes."""
        self.asleep = False
        """Leave the routes as they are."""
        self.deaf = False
        """Have a gateway that takes no route any more."""
        self.shares: list[float] = []
        """The second member's share of the group, each time that it became another one."""
        self.served: list[Mapping[str, int]] = []
        """What the route that answers gave whom, each time that it became something else."""

    def step(self) -> None:
        """Bring everything to where it would be now."""
        services = list(self._kube.objects(LLM_INFERENCE_SERVICE).values())
        ready = {each["metadata"]["name"]: self._serve(each) for each in services}
        if self.asleep:
            return
        self._note([_member(each) for each in services if ready[each["metadata"]["name"]]])
        services.sort(key=lambda each: (each["metadata"]["creationTimestamp"], each["metadata"]["name"]))
        before, self._members = self._members, {each["metadata"]["name"]: each for each in services}
        written = {name for name, each in self._members.items() if before.get(name, each)["spec"] != each["spec"]}
        for each in services:
            self._accept(each)
        for each in services:
            fits = [other for other in services if other is each or self._fits(each, other, written)]
            self._route(each, sorted(fits, key=lambda member: str(member["metadata"]["name"])))
        self._collect()
        self._answer()

    def feed(self, caches: Caches) -> None:
        """What reflectors do."""
        for cache in caches.all():
            cache.replace(list(self._kube.objects(cache.resource).values()))

    def _note(self, members: list[dict[str, Any]]) -> None:
        total = sum(each["weight"] for each in members)
        if len(members) == 2:
            assert total, "all weights of the group are zero"
            share = members[1]["weight"] / total
            if not self.shares or self.shares[-1] != share:
                self.shares.append(share)

    def _route(self, service: Object, members: list[Object]) -> None:
        """The member's own route over these members, and the group in its status."""
        meta, model = service["metadata"], service["spec"]["model"]["name"]
        name, namespace = meta["name"] + ROUTE, meta["namespace"]
        backends = [
            {"name": each["name"] + WORKLOAD_SERVICE, "port": 8000, "weight": each["weight"]}
            for each in map(_member, members)
        ]
        own = {"name": meta["name"] + WORKLOAD_SERVICE, "port": 8000, "weight": 1}
        rules = [
            {"matches": [_prefix(f"/publishers/{namespace}/models/{model}")], "backendRefs": backends},
            {"matches": [_prefix(f"/{namespace}/{meta['name']}")], "backendRefs": [own]},
        ]
        given = (service["spec"]["router"]["route"].get("http") or {}).get("spec", {}).get("rules", rules)
        rules = [{**rule, "matches": each["matches"]} for rule, each in zip(rules, given, strict=True)]
        found = self._kube.objects(HTTP_ROUTE).get((namespace, name))
        if found is None or found["spec"]["rules"] != rules:
            self._kube.seed(
                HTTP_ROUTE,
                {"metadata": {"name": name, "namespace": namespace}, "spec": {"rules": rules}}
                if found is None
                else {**found, "spec": {"rules": rules}},
            )
        group = {"name": service["spec"]["router"]["route"]["group"], "members": [_member(each) for each in members]}
        if (service.get("status") or {}).get("router") != {"group": group}:
            self._kube.seed(LLM_INFERENCE_SERVICE, {**service, "status": {"router": {"group": group}}})

    def _accept(self, service: Object) -> None:
        """The gateway takes the route as it was left by the step before."""
        meta = service["metadata"]
        found = self._kube.objects(HTTP_ROUTE).get((meta["namespace"], meta["name"] + ROUTE))
        if found is None or self.deaf:
            return
        accepted = {"type": "Accepted", "status": "True", "observedGeneration": found["metadata"]["generation"]}
        status = {"parents": [{"controllerName": "fake", "conditions": [accepted]}]}
        if found.get("status") != status:
            self._kube.seed(HTTP_ROUTE, {**found, "status": status})

    def _collect(self) -> None:
        """The routes of members that are gone."""
        for key in self._kube.objects(HTTP_ROUTE):
            name = key[1].removesuffix(ROUTE)
            if name not in self._members:
                assert name != self._answers or not self._members, f"the route of {name} answers, and is gone"
                self._kube.server.delete(HTTP_ROUTE, key)

    def _answer(self) -> None:
        """Whom the gateway gives requests for the model: the oldest route that fits has the word."""
        for name, service in self._members.items():
            route = self._kube.objects(HTTP_ROUTE)[service["metadata"]["namespace"], name + ROUTE]
            rule = route["spec"]["rules"][0]
            if "headers" in rule["matches"][0]:  # that nobody sends
                continue
            given = {each["name"].removesuffix(WORKLOAD_SERVICE): each["weight"] for each in rule["backendRefs"]}
            if self._is_up(service) and any(_member(each)["weight"] for each in self._members.values()):
                assert sum(given.values()), f"the route of {name} answers, and gives nobody anything"
            assert given.keys() <= self._members.keys(), f"the route of {name} leads to a member that is gone"
            self._answers = name
            if not self.served or self.served[-1] != given:
                self.served.append(given)
            return

    def _fits(self, service: Object, other: Object, written: set[str]) -> bool:
        """Whether the member's route names the other one as well."""
        same = other["spec"]["model"]["name"] == service["spec"]["model"]["name"]
        return same and other["metadata"]["name"] not in written and self._is_up(other)

    def _is_up(self, service: Object) -> bool:
        name = service["metadata"]["name"]
        mine = [pod for pod in self._kube.objects(POD).values() if pod["metadata"]["labels"][LLM_LABEL] == name]
        return len(mine) >= service["spec"]["replicas"] and all(pod["status"]["conditions"] for pod in mine)

    def _serve(self, service: Object) -> bool:
        """The Deployment and its pods; answers whether all of them are ready."""
        meta, replicas = service["metadata"], service["spec"]["replicas"]
        name = f"{meta['name']}-kserve"
        owner = [{"kind": service["kind"], "name": meta["name"], "uid": meta["uid"]}]
        if (meta["namespace"], name) not in self._kube.objects(DEPLOYMENT):
            made = {"name": name, "namespace": meta["namespace"], "ownerReferences": owner, "labels": PART}
            self._kube.seed(DEPLOYMENT, {"metadata": made, "spec": {"replicas": replicas}})
        mine = [pod for pod in self._kube.objects(POD).values() if pod["metadata"]["labels"][LLM_LABEL] == meta["name"]]
        for _ in range(replicas - len(mine)):
            self._pods += 1
            labels, annotations = {LLM_LABEL: meta["name"], **PART}, {"made": repr(self._now())}
            made = {"name": f"{name}-{self._pods}", "namespace": meta["namespace"], "labels": labels}
            made |= {"annotations": annotations, "ownerReferences": owner}
            container = {"name": "main", "ports": [{"containerPort": 8000}]}
            status: dict[str, Any] = {"podIP": f"10.0.0.{self._pods}", "conditions": []}
            spec = {"containers": [container], "nodeName": "node"}
            self._kube.seed(POD, {"metadata": made, "spec": spec, "status": status})
        for pod in mine:
            if self._now() >= float(pod["metadata"]["annotations"]["made"]) + self._load_s:
                told = {"type": "Ready", "status": "True", "lastTransitionTime": pod["metadata"]["creationTimestamp"]}
                if pod["status"]["conditions"] != [told]:
                    self._kube.seed(POD, {**pod, "status": {**pod["status"], "conditions": [told]}})
        return self._is_up(service)


def _member(service: Object) -> dict[str, Any]:
    return {"name": service["metadata"]["name"], "weight": service["spec"]["router"]["route"]["weight"]}


def _prefix(path: str) -> dict[str, Any]:
    return {"path": {"type": "PathPrefix", "value": path}}
