"""Changes by others, told by the managers that a cluster notes beside every field."""

from typing import Any

from controlplane.kserve.drift import changed_fields, dotted, sentence
from controlplane.kubernetes.api import Object

MADE: Object = {
    "kind": "InferenceService",
    "spec": {
        "predictor": {"minReplicas": 1, "model": {"args": ["--a"], "resources": {"limits": {"memory": "1024Mi"}}}}
    },
}


def live(predictor: dict[str, Any], **owned: dict[str, Any]) -> Object:
    """What is there, and who owns which fields under `spec.predictor`."""
    fields = [
        {"manager": manager, "time": f"2026-11-21T09:00:0{index}Z", "fieldsV1": {"f:spec": {"f:predictor": paths}}}
        for index, (manager, paths) in enumerate(owned.items())
    ]
    return {"metadata": {"managedFields": fields}, "spec": {"predictor": predictor}}


def model(**fields: Any) -> dict[str, Any]:
    return {"minReplicas": 1, "model": {"args": ["--a"], **fields}}


def test_what_kserve_rewrites_is_nobodys_change() -> None:
    """Its webhook stores 1024Mi as 1Gi and adds a protocol version, under our own name."""
    stored = live(model(resources={"limits": {"memory": "1Gi"}}, protocolVersion="v2"), serinus={"f:model": {}})
    assert changed_fields(stored, MADE) == {}


def test_a_changed_field_has_a_name() -> None:
    changed = live(model(args=["--b"]), kubectl={"f:model": {"f:args": {}}})
    assert changed_fields(changed, MADE) == {("predictor", "model", "args"): "kubectl"}


def test_an_added_field_has_a_name() -> None:
    changed = live(model(runtimeVersion="2"), argocd={"f:model": {"f:runtimeVersion": {}}})
    assert changed_fields(changed, MADE) == {("predictor", "model", "runtimeVersion"): "argocd"}


def test_a_field_written_again_with_the_same_value_is_no_change() -> None:
    assert changed_fields(live(model(), argocd={"f:model": {"f:args": {}}}), MADE) == {}


def test_a_removed_field_is_missed_although_nobody_owns_it() -> None:
    changed = live({"minReplicas": 1, "model": {}}, kubectl={"f:timeout": {}})
    assert changed_fields(changed, MADE)["predictor", "model", "args"] == "kubectl"


def test_a_list_of_named_things_is_one_field() -> None:
    paths: dict[str, Any] = {"f:model": {"f:env": {".": {}, 'k:{"name":"A"}': {".": {}, "f:value": {}}}}}
    changed = live(model(env=[{"name": "A", "value": "1"}]), kubectl=paths)
    assert list(changed_fields(changed, MADE)) == [("predictor", "model", "env")]


def test_a_finalizer_is_not_a_change() -> None:
    """KServe's manager writes one on every InferenceService, after its webhook rewrote some values."""
    stored = live(model(resources={"limits": {"memory": "1Gi"}}))
    stored["metadata"]["managedFields"] = [
        {"manager": "kserve-manager", "fieldsV1": {"f:metadata": {"f:finalizers": {}}}}
    ]
    assert changed_fields(stored, MADE) == {}


def test_a_status_is_not_a_change() -> None:
    changed = live(model(args=["--b"]))
    changed["metadata"]["managedFields"] = [{"manager": "x", "subresource": "status", "fieldsV1": {"f:spec": {}}}]
    changed["spec"]["predictor"]["model"]["args"] = ["--a"]
    assert changed_fields(changed, MADE) == {}


def test_the_sentence_names_who_and_what() -> None:
    told = sentence(
        "InferenceService", "chat", {("predictor", "model"): "argocd", ("predictor", "x"): ""}, "it is left"
    )
    assert told == "InferenceService chat was changed by argocd (spec.predictor.model, spec.predictor.x); it is left."
    assert "by somebody" in sentence("InferenceService", "chat", {("predictor",): ""}, "it is left")
    assert dotted(("predictor", "model")) == "spec.predictor.model"
