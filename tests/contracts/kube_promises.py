"""What every implementation of `api.Kube` promises, as tests that a class inherits.

Run on the API server in memory by `test_kube.py` here and on a real one by `tests/cluster/test_kube.py`. The fixtures
`kube`, `other` (the same server under another field manager), `namespace` and `too_old` are the inheriting class's.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from canary.errors import Conflict
from controlplane.kubernetes.api import Exists, Kube, NotFound, Object, Rejected, Resource, ResourceExpired, WatchEvent
from controlplane.kubernetes.resources import CONFIG_MAP, NAMESPACE
from tests.contracts.nesting import depth_of, nested

SAMPLE = Resource("test.serinus.dev", "v1", "samples", "Sample")
UNKNOWN = Resource("nobody.serinus.dev", "v1", "nothings", "Nothing")
PATIENCE = 10.0
"""Seconds until what a server does in the background must have happened."""


def a_map(namespace: str, name: str = "settings", data: dict[str, str] | None = None, **meta: Any) -> Object:
    """A ConfigMap: a kind without status."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": namespace, "name": name, **meta},
        "data": {"a": "1"} if data is None else data,
    }


def a_sample(namespace: str, weight: int = 1, **meta: Any) -> Object:
    """A Sample: a custom resource with a status of its own, that no controller minds."""
    return {
        "apiVersion": SAMPLE.api_version,
        "kind": SAMPLE.kind,
        "metadata": {"namespace": namespace, "name": "chat", **meta},
        "spec": {"size": 3, "rules": [{"name": "v1", "weight": weight}]},
    }


def version_of(object_: Object) -> str:
    """The version of a state."""
    return str(object_["metadata"]["resourceVersion"])


async def heard(
    kube: Kube, namespace: str, version: str, *, enough: int, labels: str = "", of: Resource = CONFIG_MAP
) -> list[WatchEvent]:
    """The first events of a watch, bookmarks left out."""
    events = []
    async with asyncio.timeout(PATIENCE):
        async for event in kube.watch(of, namespace, version, labels=labels):
            if event.type != "BOOKMARK":
                events.append(event)
            if len(events) == enough:
                break
    return events


async def gone(kube: Kube, namespace: str, name: str) -> bool:
    """Whether a ConfigMap disappears in time."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await kube.get(CONFIG_MAP, namespace, name)
            except NotFound:
                return True
            await asyncio.sleep(0.05)


class KubePromises:
    """The suite; one class of a test file per implementation inherits it."""

    async def test_what_was_applied_is_there(self, kube: Kube, namespace: str) -> None:
        applied = await kube.apply(SAMPLE, a_sample(namespace))
        assert await kube.get(SAMPLE, namespace, "chat") == applied
        assert applied["spec"]["rules"][0]["weight"] == 1
        assert applied["metadata"]["uid"]
        assert applied["metadata"]["creationTimestamp"].endswith("Z")

    async def test_applying_the_same_again_changes_nothing(self, kube: Kube, namespace: str) -> None:
        """Not even its version, so that watchers hear nothing."""
        first = await kube.apply(SAMPLE, a_sample(namespace))
        assert await kube.apply(SAMPLE, a_sample(namespace)) == first

    async def test_a_contested_field_is_a_conflict_that_names_owner_and_field(
        self, kube: Kube, other: Kube, namespace: str
    ) -> None:
        before = await other.apply(SAMPLE, a_sample(namespace, 1))
        with pytest.raises(Conflict, match=r'conflict with "argocd": \.spec\.rules'):
            await kube.apply(SAMPLE, a_sample(namespace, 2), force=False)
        assert await kube.get(SAMPLE, namespace, "chat") == before

    async def test_two_contested_fields_are_listed(self, kube: Kube, other: Kube, namespace: str) -> None:
        await other.apply(CONFIG_MAP, a_map(namespace, data={"a": "1", "b": "2"}))
        with pytest.raises(Conflict, match=r'conflicts with "argocd":\n- \.data\.a\n- \.data\.b'):
            await kube.apply(CONFIG_MAP, a_map(namespace, data={"a": "3", "b": "4"}), force=False)

    async def test_a_field_changed_by_a_patch_belongs_to_who_patched_it(
        self, kube: Kube, other: Kube, namespace: str
    ) -> None:
        await kube.apply(CONFIG_MAP, a_map(namespace))
        await other.patch(CONFIG_MAP, namespace, "settings", {"data": {"a": "9"}})
        with pytest.raises(Conflict, match=r'conflict with "argocd" using v1.*: \.data\.a'):
            await kube.apply(CONFIG_MAP, a_map(namespace), force=False)

    async def test_force_takes_a_field_over(self, kube: Kube, other: Kube, namespace: str) -> None:
        await other.apply(CONFIG_MAP, a_map(namespace, data={"a": "1"}))
        assert (await kube.apply(CONFIG_MAP, a_map(namespace, data={"a": "2"})))["data"] == {"a": "2"}
        with pytest.raises(Conflict, match='"serinus"'):
            await other.apply(CONFIG_MAP, a_map(namespace, data={"a": "3"}), force=False)

    async def test_the_same_value_may_have_two_owners(self, kube: Kube, other: Kube, namespace: str) -> None:
        await other.apply(CONFIG_MAP, a_map(namespace), force=False)
        await kube.apply(CONFIG_MAP, a_map(namespace), force=False)
        await other.apply(CONFIG_MAP, a_map(namespace, data={}), force=False)
        assert (await kube.get(CONFIG_MAP, namespace, "settings"))["data"] == {"a": "1"}

    async def test_a_field_left_out_of_the_next_apply_is_removed(self, kube: Kube, namespace: str) -> None:
        await kube.apply(CONFIG_MAP, a_map(namespace, data={"a": "1", "b": "2"}, labels={"x": "1", "y": "2"}))
        left = await kube.apply(CONFIG_MAP, a_map(namespace, data={"b": "2"}, labels={"y": "2"}))
        assert (left["data"], left["metadata"]["labels"]) == ({"b": "2"}, {"y": "2"})

    async def test_fields_of_others_are_left_alone_by_an_apply(self, kube: Kube, other: Kube, namespace: str) -> None:
        await kube.apply(CONFIG_MAP, a_map(namespace, data={"a": "1"}))
        await other.patch(CONFIG_MAP, namespace, "settings", {"data": {"b": "2"}})
        assert (await kube.apply(CONFIG_MAP, a_map(namespace, data={"a": "3"})))["data"] == {"a": "3", "b": "2"}

    async def test_fields_that_were_handed_over_are_left_out_by_the_next_apply(
        self, kube: Kube, other: Kube, namespace: str
    ) -> None:
        """A write may say who owns what: so what somebody added can be taken away again by one apply."""
        await kube.apply(CONFIG_MAP, a_map(namespace, data={"a": "1", "c": "3"}))
        live = await other.patch(CONFIG_MAP, namespace, "settings", {"data": {"a": "9", "b": "2"}})
        mine = next(each for each in live["metadata"]["managedFields"] if each["operation"] == "Apply")
        both = {**mine, "fieldsV1": {"f:data": {"f:a": {}, "f:b": {}, "f:c": {}}}}
        patch: list[dict[str, Any]] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": version_of(live)},
            {"op": "replace", "path": "/metadata/managedFields", "value": [both]},
        ]
        assert (await kube.patch(CONFIG_MAP, namespace, "settings", patch))["data"]["a"] == "9"
        after = await kube.apply(CONFIG_MAP, a_map(namespace, data={"a": "1", "c": "3"}))
        assert after["data"] == {"a": "1", "c": "3"}
        assert len(after["metadata"]["managedFields"]) == 1

    async def test_an_apply_from_a_stale_version_is_a_conflict(self, kube: Kube, namespace: str) -> None:
        first = await kube.apply(CONFIG_MAP, a_map(namespace))
        await kube.apply(CONFIG_MAP, a_map(namespace, data={"a": "2"}))
        with pytest.raises(Conflict):
            await kube.apply(CONFIG_MAP, a_map(namespace, data={"a": "3"}, resourceVersion=version_of(first)))

    async def test_a_name_that_is_taken_exists(self, kube: Kube, namespace: str) -> None:
        created = await kube.create(CONFIG_MAP, a_map(namespace))
        with pytest.raises(Exists, match="already exists"):
            await kube.create(CONFIG_MAP, a_map(namespace, data={"a": "2"}))
        assert await kube.get(CONFIG_MAP, namespace, "settings") == created

    async def test_a_generated_name_is_its_own(self, kube: Kube, namespace: str) -> None:
        drafts = [a_map(namespace) for _ in range(2)]
        for each in drafts:
            each["metadata"] = {"namespace": namespace, "generateName": "chat-"}
        names = {(await kube.create(CONFIG_MAP, each))["metadata"]["name"] for each in drafts}
        assert len(names) == 2
        assert all(name.startswith("chat-") for name in names)

    @pytest.mark.parametrize("name", ["Upper", "under_score", "-dash", "a" * 254])
    async def test_a_name_that_cannot_be_is_refused(self, kube: Kube, namespace: str, name: str) -> None:
        with pytest.raises(Rejected, match=name[:50]):
            await kube.create(CONFIG_MAP, a_map(namespace, name))

    @pytest.mark.parametrize("name", ["../other/configmaps/settings", "..", "a/b", "a%2fb", "A", "a?x=y", "a#b", ""])
    async def test_s14_a_name_that_leads_elsewhere_is_refused_by_every_verb(
        self, kube: Kube, namespace: str, name: str
    ) -> None:
        """And nothing is read, written or deleted by it: it would be with our permissions, not with its author's."""
        there = await kube.create(CONFIG_MAP, a_map(namespace))
        for asked in (
            kube.get(CONFIG_MAP, namespace, name),
            kube.get(CONFIG_MAP, f"{namespace}/configmaps/{name}", "settings"),
            kube.list(CONFIG_MAP, f"../{name}"),
            kube.apply(CONFIG_MAP, a_map(namespace, name)),
            kube.patch(CONFIG_MAP, namespace, name, {"data": {"a": "2"}}),
            kube.patch(CONFIG_MAP, namespace, "settings", {"data": {"a": "2"}}, subresource=f"../{name}"),
            kube.delete(CONFIG_MAP, namespace, name),
        ):
            with pytest.raises(Rejected, match=r"cannot be the name of|is invalid"):
                await asked
        with pytest.raises(Rejected, match="cannot be the name of"):
            await anext(aiter(kube.watch(CONFIG_MAP, f"../{name}", version_of(there))))
        assert await kube.get(CONFIG_MAP, namespace, "settings") == there

    async def test_a_label_that_is_too_long_is_refused_and_nothing_is_made(self, kube: Kube, namespace: str) -> None:
        with pytest.raises(Rejected, match="63"):
            await kube.apply(CONFIG_MAP, a_map(namespace, labels={"x": "y" * 64}))
        with pytest.raises(NotFound):
            await kube.get(CONFIG_MAP, namespace, "settings")

    async def test_what_is_not_there_is_not_found(self, kube: Kube, namespace: str) -> None:
        with pytest.raises(NotFound, match="settings"):
            await kube.get(CONFIG_MAP, namespace, "settings")
        with pytest.raises(NotFound, match="settings"):
            await kube.patch(CONFIG_MAP, namespace, "settings", {"data": {"a": "1"}})

    async def test_a_kind_that_the_server_does_not_know_is_not_found(self, kube: Kube, namespace: str) -> None:
        with pytest.raises(NotFound):
            await kube.list(UNKNOWN)
        with pytest.raises(NotFound):
            await kube.get(UNKNOWN, namespace, "any")
        with pytest.raises(NotFound):
            await anext(aiter(kube.watch(UNKNOWN, namespace, "1")))

    async def test_a_merge_patch_removes_by_null(self, kube: Kube, namespace: str) -> None:
        await kube.create(CONFIG_MAP, a_map(namespace, data={"a": "1", "b": "2"}))
        patched = await kube.patch(CONFIG_MAP, namespace, "settings", {"data": {"a": None, "c": "3"}})
        assert patched["data"] == {"b": "2", "c": "3"}

    async def test_a_merge_patch_of_a_stale_version_is_a_conflict(self, kube: Kube, namespace: str) -> None:
        first = await kube.create(CONFIG_MAP, a_map(namespace))
        await kube.patch(CONFIG_MAP, namespace, "settings", {"data": {"a": "2"}})
        stale = {"metadata": {"resourceVersion": version_of(first)}, "data": {"a": "3"}}
        with pytest.raises(Conflict):
            await kube.patch(CONFIG_MAP, namespace, "settings", stale)

    async def test_a_patch_that_changes_nothing_keeps_the_version(self, kube: Kube, namespace: str) -> None:
        first = await kube.create(CONFIG_MAP, a_map(namespace))
        assert await kube.patch(CONFIG_MAP, namespace, "settings", {"data": {"a": "1"}}) == first

    async def test_a_json_patch_is_carried_out_in_order(self, kube: Kube, namespace: str) -> None:
        await kube.create(CONFIG_MAP, a_map(namespace, annotations={"serinus.dev/x.y": "2"}))
        operations = [
            {"op": "test", "path": "/data/a", "value": "1"},
            {"op": "replace", "path": "/data/a", "value": "9"},
            {"op": "remove", "path": "/metadata/annotations/serinus.dev~1x.y"},
            {"op": "add", "path": "/data/b", "value": "3"},
        ]
        patched = await kube.patch(CONFIG_MAP, namespace, "settings", operations)
        assert patched["data"] == {"a": "9", "b": "3"}
        assert not patched["metadata"].get("annotations")

    async def test_a_json_patch_whose_test_fails_is_a_conflict_and_changes_nothing(
        self, kube: Kube, namespace: str
    ) -> None:
        before = await kube.create(CONFIG_MAP, a_map(namespace))
        operations = [
            {"op": "replace", "path": "/data/a", "value": "9"},
            {"op": "test", "path": "/metadata/uid", "value": "another"},
        ]
        with pytest.raises(Conflict):
            await kube.patch(CONFIG_MAP, namespace, "settings", operations)
        assert await kube.get(CONFIG_MAP, namespace, "settings") == before

    async def test_a_tested_patch_whose_path_is_gone_is_a_conflict(self, kube: Kube, namespace: str) -> None:
        """Somebody removed it meanwhile: read again, decide again."""
        await kube.create(CONFIG_MAP, a_map(namespace))
        operations = [
            {"op": "test", "path": "/metadata/annotations/requests.serinus.dev~1q1", "value": "{}"},
            {"op": "remove", "path": "/metadata/annotations/requests.serinus.dev~1q1"},
        ]
        with pytest.raises(Conflict):
            await kube.patch(CONFIG_MAP, namespace, "settings", operations)

    async def test_an_untested_patch_that_cannot_be_carried_out_is_refused(self, kube: Kube, namespace: str) -> None:
        await kube.create(CONFIG_MAP, a_map(namespace))
        with pytest.raises(Rejected):
            await kube.patch(CONFIG_MAP, namespace, "settings", [{"op": "remove", "path": "/data/z"}])

    async def test_a_first_status_can_be_written_on_the_condition_that_there_is_none(
        self, kube: Kube, namespace: str
    ) -> None:
        await kube.apply(SAMPLE, a_sample(namespace))
        first: list[dict[str, Any]] = [
            {"op": "test", "path": "/status", "value": None},
            {"op": "add", "path": "/status", "value": {"version": 1}},
        ]
        written = await kube.patch(SAMPLE, namespace, "chat", first, subresource="status")
        assert written["status"] == {"version": 1}
        with pytest.raises(Conflict):
            await kube.patch(SAMPLE, namespace, "chat", first, subresource="status")

    async def test_r3_a_status_is_compared_and_swapped_whatever_else_was_edited(
        self, kube: Kube, other: Kube, namespace: str
    ) -> None:
        await kube.apply(SAMPLE, a_sample(namespace, 1))
        await kube.patch(SAMPLE, namespace, "chat", {"status": {"version": 1}}, subresource="status")
        await other.patch(SAMPLE, namespace, "chat", {"metadata": {"annotations": {"a": "b"}}})

        def swap(old: int, new: int) -> list[dict[str, Any]]:
            return [
                {"op": "test", "path": "/status/version", "value": old},
                {"op": "replace", "path": "/status", "value": {"version": new}},
            ]

        swapped = await kube.patch(SAMPLE, namespace, "chat", swap(1, 2), subresource="status")
        assert swapped["status"] == {"version": 2}
        with pytest.raises(Conflict):
            await kube.patch(SAMPLE, namespace, "chat", swap(1, 3), subresource="status")

    async def test_the_status_and_the_rest_are_written_apart(self, kube: Kube, namespace: str) -> None:
        both: dict[str, Any] = {"status": {"version": 1}, "spec": {"host": "chat"}}
        await kube.apply(SAMPLE, a_sample(namespace) | {"status": {"version": 0}})
        rest = await kube.patch(SAMPLE, namespace, "chat", both)
        assert "status" not in rest
        assert rest["spec"]["host"] == "chat"
        both["spec"]["host"] = "other"
        status = await kube.patch(SAMPLE, namespace, "chat", both, subresource="status")
        assert status["status"] == {"version": 1}
        assert status["spec"] == rest["spec"]

    async def test_the_generation_counts_changes_of_the_spec_alone(self, kube: Kube, namespace: str) -> None:
        async def patched(patch: dict[str, Any], subresource: str = "") -> int:
            after = await kube.patch(SAMPLE, namespace, "chat", patch, subresource=subresource)
            return int(after["metadata"]["generation"])

        assert (await kube.apply(SAMPLE, a_sample(namespace)))["metadata"]["generation"] == 1
        assert await patched({"metadata": {"labels": {"a": "b"}}}) == 1
        assert await patched({"status": {"version": 1}}, "status") == 1
        assert await patched({"spec": {"host": "chat"}}) == 2

    async def test_deleting_what_is_not_there_is_done_already(self, kube: Kube, namespace: str) -> None:
        await kube.delete(CONFIG_MAP, namespace, "settings")

    async def test_only_the_very_object_is_deleted_where_its_uid_is_given(self, kube: Kube, namespace: str) -> None:
        created = await kube.create(CONFIG_MAP, a_map(namespace))
        with pytest.raises(Conflict, match="UID"):
            await kube.delete(CONFIG_MAP, namespace, "settings", uid="5e41f123-0000-4000-8000-000000000000")
        assert await kube.get(CONFIG_MAP, namespace, "settings") == created
        await kube.delete(CONFIG_MAP, namespace, "settings", uid=created["metadata"]["uid"])
        assert await gone(kube, namespace, "settings")

    async def test_a_finalizer_holds_a_deleted_object_until_it_is_removed(self, kube: Kube, namespace: str) -> None:
        await kube.create(CONFIG_MAP, a_map(namespace, finalizers=["serinus.dev/test"]))
        await kube.delete(CONFIG_MAP, namespace, "settings")
        held = await kube.get(CONFIG_MAP, namespace, "settings")
        assert held["metadata"]["deletionTimestamp"]
        await kube.patch(CONFIG_MAP, namespace, "settings", {"metadata": {"finalizers": None}})
        assert await gone(kube, namespace, "settings")

    async def test_what_an_object_owns_goes_with_it(self, kube: Kube, namespace: str) -> None:
        owner = await kube.create(CONFIG_MAP, a_map(namespace, "owner"))
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
        await kube.create(CONFIG_MAP, a_map(namespace, "owned", ownerReferences=[reference]))
        await kube.create(CONFIG_MAP, a_map(namespace, "free"))
        await kube.delete(CONFIG_MAP, namespace, "owner")
        assert await gone(kube, namespace, "owned")
        assert await kube.get(CONFIG_MAP, namespace, "free")

    @pytest.mark.parametrize(
        ("selector", "found"),
        [
            ("", "abc"),
            ("app=chat", "ab"),
            ("app==chat,tier!=canary", "a"),
            ("app!=chat", "c"),
            ("tier", "ab"),
            ("!tier", "c"),
            ("tier in (canary, shadow)", "b"),
            ("tier notin (canary),app", "ac"),
            ("serinus.dev/rollout=x", "c"),
        ],
    )
    async def test_a_list_holds_what_the_selector_says(
        self, kube: Kube, namespace: str, selector: str, found: str
    ) -> None:
        labels = {
            "a": {"app": "chat", "tier": "stable"},
            "b": {"app": "chat", "tier": "canary"},
            "c": {"app": "mail", "serinus.dev/rollout": "x"},
        }
        for name, each in labels.items():
            await kube.create(CONFIG_MAP, a_map(namespace, name, labels=each | {"test": "lists"}))
        listing = await kube.list(CONFIG_MAP, namespace, labels=f"test=lists,{selector}" if selector else "test=lists")
        assert "".join(each["metadata"]["name"] for each in listing.items) == found

    async def test_listed_objects_are_whole_and_of_all_namespaces(self, kube: Kube, namespace: str) -> None:
        """With kind and version, which real servers leave out of lists."""
        created = await kube.create(CONFIG_MAP, a_map(namespace))
        listing = await kube.list(CONFIG_MAP)
        assert created in listing.items
        assert int(listing.version) >= int(version_of(created))

    async def test_a_kind_without_namespaces_is_read_without_one(self, kube: Kube, namespace: str) -> None:
        assert (await kube.get(NAMESPACE, None, namespace))["metadata"]["name"] == namespace
        assert namespace in {each["metadata"]["name"] for each in (await kube.list(NAMESPACE)).items}

    async def test_a_watch_tells_all_changes_after_its_version_in_order(self, kube: Kube, namespace: str) -> None:
        await kube.create(CONFIG_MAP, a_map(namespace, "before", labels={"t": "w"}))
        version = (await kube.list(CONFIG_MAP, namespace, labels="t=w")).version
        await kube.create(CONFIG_MAP, a_map(namespace, labels={"t": "w"}))
        await kube.patch(CONFIG_MAP, namespace, "settings", {"data": {"a": "2"}})
        await kube.delete(CONFIG_MAP, namespace, "settings")
        events = await heard(kube, namespace, version, enough=3, labels="t=w")
        assert [event.type for event in events] == ["ADDED", "MODIFIED", "DELETED"]
        assert [event.object["data"]["a"] for event in events] == ["1", "2", "2"]
        versions = [int(version_of(event.object)) for event in events]
        assert versions == sorted(set(versions))
        assert versions[0] > int(version)

    async def test_a_watch_tells_what_happens_while_it_is_open(self, kube: Kube, namespace: str) -> None:
        version = (await kube.list(CONFIG_MAP, namespace)).version
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(heard(kube, namespace, version, enough=1, labels="t=w"))
            await asyncio.sleep(0.2)
            await kube.create(CONFIG_MAP, a_map(namespace, labels={"t": "w"}))
        assert [(event.type, event.object["kind"]) for event in watching.result()] == [("ADDED", "ConfigMap")]

    @pytest.mark.parametrize("levels", [250, 600])
    async def test_r3_an_object_of_any_depth_hides_no_other(self, kube: Kube, namespace: str, levels: int) -> None:
        """In no answer, list or watch; what is too deep in it is left out, and the rest of it is there."""

        def named(name: str, **spec: Any) -> Object:
            return a_sample(namespace) | {"metadata": {"namespace": namespace, "name": name}, "spec": spec}

        version = (await kube.list(SAMPLE, namespace)).version
        first, last = await kube.create(SAMPLE, named("aaa", size=1)), named("zzz", size=3)
        deep = await kube.create(SAMPLE, named("deep", size=2, engine=nested(levels)))
        last = await kube.create(SAMPLE, last)
        listed = {each["metadata"]["name"]: each for each in (await kube.list(SAMPLE, namespace)).items}
        assert (listed["aaa"], listed["zzz"]) == (first, last)
        told = {
            each.object["metadata"]["name"]: each.object
            for each in await heard(kube, namespace, version, enough=3, of=SAMPLE)
        }
        assert (told["aaa"], told["zzz"]) == (first, last)
        for found in (deep, listed["deep"], told["deep"], await kube.get(SAMPLE, namespace, "deep")):
            assert found["spec"]["size"] == 2
            assert found["metadata"]["uid"]
            assert 190 < depth_of(found["spec"]["engine"]) < 200
        patched = await kube.patch(SAMPLE, namespace, "deep", {"spec": {"size": 4}})
        assert patched["spec"]["size"] == 4

    async def test_what_stops_matching_a_watch_is_deleted_for_it(self, kube: Kube, namespace: str) -> None:
        version = (await kube.list(CONFIG_MAP, namespace)).version
        await kube.create(CONFIG_MAP, a_map(namespace, labels={"app": "chat"}))
        for app in ("mail", "chat"):
            await kube.patch(CONFIG_MAP, namespace, "settings", {"metadata": {"labels": {"app": app}}})
        events = await heard(kube, namespace, version, enough=3, labels="app=chat")
        assert [event.type for event in events] == ["ADDED", "DELETED", "ADDED"]

    async def test_r3_a_version_that_is_too_old_to_go_on_from_is_gone(
        self, kube: Kube, namespace: str, too_old: Callable[[], tuple[Resource, str]]
    ) -> None:
        await kube.create(CONFIG_MAP, a_map(namespace))
        kind, version = too_old()
        with pytest.raises(ResourceExpired):
            await heard(kube, namespace, version, enough=1, of=kind)
