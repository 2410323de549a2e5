"""What somebody else wrote into a ModelCanary, told from defaults, and how it comes into git's name."""

from typing import Any

import pytest

from controlplane.gitsources.drift import changes, handed_over, says_the_same, with_defaults
from controlplane.gitsources.provenance import MANAGER

MADE: dict[str, Any] = {
    "spec": {
        "platform": {"kserve": {"hostname": "m.example.com"}},
        "canary": {"name": "v2", "engine": {"seed": 2}},
        "gates": [{"metric": "error_rate", "max": "5%"}],
    }
}


def live(spec: dict[str, Any], *entries: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "chat", "managedFields": [owned(MANAGER, {}, "Apply"), *entries]}, "spec": spec}


def owned(manager: str, fields: dict[str, Any], operation: str = "Update", **more: Any) -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "fieldsV1": {"f:spec": fields}, **more}


def test_what_the_api_server_adds_is_nobodys_change() -> None:
    kept = with_defaults(MADE["spec"])
    assert kept["platform"]["kserve"]["onDrift"] == "repair"
    assert kept["canary"]["replicas"] == 1
    assert kept != MADE["spec"]
    assert says_the_same(live(kept), MADE)
    assert says_the_same(live(MADE["spec"]), MADE)
    assert not changes(live({**kept, "addedByANewerSchema": 1}), MADE)


@pytest.mark.parametrize(
    ("spec", "fields", "path"),
    [
        ({"canary": {"name": "v3", "engine": {"seed": 2}}}, {"f:canary": {"f:name": {}}}, ("canary", "name")),
        ({"onBreach": "pause"}, {"f:onBreach": {}}, ("onBreach",)),
        ({"gates": []}, {"f:gates": {}}, ("gates",)),
        ({"canary": {"name": "v2"}}, {"f:canary": {".": {}}}, ("canary",)),
    ],
)
def test_a_changed_an_added_and_a_removed_field_are_named_with_their_writer(
    spec: dict[str, Any], fields: dict[str, Any], path: tuple[str, ...]
) -> None:
    object_ = live({**MADE["spec"], **spec}, owned("kubectl-edit", fields))
    assert not says_the_same(object_, MADE)
    assert changes(object_, MADE) == {path: "kubectl-edit"}


def test_a_field_that_is_gone_and_that_nobody_owns_is_told_without_a_name() -> None:
    spec = {key: value for key, value in MADE["spec"].items() if key != "gates"}
    assert changes(live(spec), MADE) == {("gates",): ""}


def test_who_wrote_the_same_as_the_file_or_the_status_has_changed_nothing() -> None:
    same = owned("kubectl", {"f:gates": {}})
    status = {**owned("serinus", {"f:gates": {}}), "subresource": "status"}
    assert not changes(live(MADE["spec"], same, status), MADE)


def test_fields_of_the_spec_come_into_gits_name_and_all_others_stay_with_their_owners() -> None:
    theirs = owned("kubectl-edit", {"f:canary": {"f:name": {}}, "f:gates": {}})
    theirs["fieldsV1"]["f:metadata"] = {"f:labels": {"f:team": {}}}
    object_ = live(MADE["spec"], theirs, owned("argocd", {"f:stages": {}}))
    object_["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"] = {"f:canary": {"f:engine": {}}}
    entries = handed_over(object_)
    assert entries is not None
    assert [each["manager"] for each in entries] == [MANAGER, "kubectl-edit"]
    assert entries[0]["fieldsV1"]["f:spec"] == {
        "f:canary": {"f:engine": {}, "f:name": {}},
        "f:gates": {},
        "f:stages": {},
    }
    assert entries[1]["fieldsV1"] == {"f:metadata": {"f:labels": {"f:team": {}}}}


def test_what_is_all_gits_already_needs_no_handing_over() -> None:
    assert handed_over(live(MADE["spec"], owned("serinus", {}, subresource="status"))) is None


def test_a_resource_that_git_never_wrote_gets_its_first_entry() -> None:
    object_ = {"metadata": {"managedFields": [owned("kubectl", {"f:gates": {}})]}, "spec": {}}
    (entry,) = handed_over(object_) or []
    assert (entry["manager"], entry["operation"]) == (MANAGER, "Apply")
    assert entry["fieldsV1"] == {"f:spec": {"f:gates": {}}}
