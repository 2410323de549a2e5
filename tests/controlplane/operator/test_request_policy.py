"""Whether requests are verified: found by the policy's very text, and what the whole operator makes of it."""

import asyncio
from typing import Any

import pytest

from canary.errors import Unavailable
from canary.snapshot import OperatorRequest, Verb
from controlplane.kubernetes.api import Rejected
from controlplane.kubernetes.resources import EVENT, MODEL_CANARY
from controlplane.operator.request_annotations import annotation_of
from controlplane.operator.request_policy import EVERY, NAME, RequestPolicy, expected
from controlplane.operator.store import stored_in
from controlplane.simulation.clock import VirtualClock
from testing.fake_apiserver.kube import MemoryKube
from tests.controlplane.operator.cluster import NAME as CANARY
from tests.controlplane.operator.cluster import PLACE, Cluster, a_canary, plays

LONG_AGO = "2020-01-01T00:00:00Z"
STAGES = [{"traffic": "5%", "hold": "1s", "approve": "ml-leads"}, {"traffic": "100%", "hold": "1s"}]


def install(kube: MemoryKube, **changed: Any) -> None:
    """The policy and its binding, as the chart does it."""
    for resource, wanted in expected().items():
        meta = {**wanted["metadata"], "creationTimestamp": LONG_AGO}
        kube.seed(resource, {**wanted, "metadata": meta, "spec": {**wanted["spec"], **changed}})


async def found(kube: MemoryKube, said: list[str]) -> RequestPolicy:
    policy = RequestPolicy(kube, VirtualClock(), said.append)
    assert await policy.look()
    return policy


async def test_the_policy_that_is_installed_is_found_and_said_once() -> None:
    kube, said = MemoryKube(VirtualClock()), list[str]()
    install(kube)
    policy = await found(kube, said)
    assert await policy.look()
    assert policy.in_force
    assert said == ["Who a request is from is verified by the API server."]


async def test_s14_only_this_very_policy_counts() -> None:
    """One that warns, that somebody has hollowed out, that is half there or was made this moment vouches for nobody."""
    for change in ({"failurePolicy": "Ignore"}, {"validationActions": ["Warn"]}, {"matchConditions": [{"x": "false"}]}):
        kube, said = MemoryKube(VirtualClock()), list[str]()
        install(kube, **change)
        assert not (await found(kube, said)).in_force
        assert "is not as this operator knows it" in said[0]
    kube, said = MemoryKube(VirtualClock()), list[str]()
    assert not (await found(kube, said)).in_force
    assert "ValidatingAdmissionPolicy requests.serinus.dev is not there" in said[0]
    first, second = expected()
    install(kube)
    await kube.delete(second, None, NAME)
    assert not (await found(kube, said)).in_force
    for resource in (first, second):
        await kube.delete(resource, None, NAME)
        await kube.create(resource, expected()[resource])
    assert not (await found(kube, said)).in_force
    assert "has only just been made" in said[-1]
    kube.fail_next(Rejected("forbidden"))
    assert not (await found(kube, said)).in_force
    assert "may not be read" in said[-1]


async def test_what_is_known_stays_while_the_api_server_is_away() -> None:
    kube = MemoryKube(VirtualClock())
    install(kube)
    policy = await found(kube, [])
    kube.fail_next(Unavailable("away"))
    assert not await policy.look()
    assert policy.in_force


async def ask(cluster: Cluster, verb: Verb, by: str, *groups: str, **more: Any) -> str:
    """Somebody's request, and the operator's answer."""
    id_ = f"{verb}-{by}-{len(groups)}{len(more)}"
    key, value = annotation_of(OperatorRequest(id_, verb, by, cluster.clock.now(), groups=groups, **more))
    patch = {"metadata": {"annotations": {key: value}}}
    await cluster.kube.acting_as("kubectl").patch(MODEL_CANARY, PLACE, CANARY, patch)

    def answered() -> list[str]:
        return [each["note"] for each in cluster.kube.objects(EVENT).values() if each["note"].startswith(by)]

    await cluster.until(lambda: bool(answered()), seconds=10)
    return answered()[-1]


def identities(cluster: Cluster) -> list[tuple[str, str]]:
    """Who asked, and whether that is verified, by the rollout's own record."""
    stored = stored_in(cluster.kube.objects(MODEL_CANARY)[PLACE, CANARY])
    assert stored is not None
    told = [each.evidence for each in stored.rollout.history if each.event == "operator"]
    return [(str(each["by"]), str(each["identity"])) for each in told]


@plays
async def test_s14_only_the_group_that_a_plan_names_may_approve_or_skip_that_stage(cluster: Cluster) -> None:
    """And whoever is refused is told who may."""
    stop = asyncio.Event()
    install(cluster.kube)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(cluster.operator().run(stop))
        await cluster.kube.acting_as("kubectl").apply(MODEL_CANARY, a_canary(stages=STAGES))
        await cluster.until(lambda: cluster.status().get("phase") == "AwaitingApproval")
        no = "which only members of ml-leads may: nothing was changed."
        assert await ask(cluster, "approve", "bob") == f"bob asked to approve, {no}"
        assert await ask(cluster, "approve", "eve", "developers") == f"eve asked to approve, {no}"
        assert await ask(cluster, "promote", "tom", "developers") == f"tom asked to promote, {no}"
        assert await ask(cluster, "promote", "joe", full=True) == f"joe asked to promote to 100 %, {no}"
        assert await ask(cluster, "promote", "max", to=1.0) == f"max asked to promote to 100 %, {no}"
        assert cluster.status()["phase"] == "AwaitingApproval"
        assert (await ask(cluster, "approve", "ann", "ml-leads")).startswith("ann approved.")
        await cluster.until(cluster.at_rest)
        stop.set()
    assert cluster.status()["result"] == "promoted"


@plays
async def test_s14_without_the_policy_a_name_is_shown_as_what_its_sender_wrote(cluster: Cluster) -> None:
    """In the sentence and in the record; the plan's group cannot be asked for then, and the log says so."""
    async with cluster.operated(stages=STAGES):
        await cluster.until(lambda: cluster.status().get("phase") == "AwaitingApproval")
        assert (await ask(cluster, "approve", "ceo")).startswith("ceo (unverified) approved.")
        assert ("ceo", "unverified") in identities(cluster)
    assert any("Who a request is from cannot be verified" in each for each in cluster.said)


@plays
async def test_s14_a_policy_that_goes_or_comes_counts_from_the_next_look_on(cluster: Cluster) -> None:
    stop = asyncio.Event()
    install(cluster.kube)
    async with asyncio.TaskGroup() as tasks:
        operator = cluster.operator()
        tasks.create_task(operator.run(stop))
        await cluster.until(lambda: operator.leading)
        assert operator.policy.in_force, "known before anybody leads"
        await cluster.kube.acting_as("admin").delete(next(iter(expected())), None, NAME)
        await cluster.until(lambda: not operator.policy.in_force, seconds=2 * EVERY)
        install(cluster.kube)
        await cluster.until(lambda: operator.policy.in_force, seconds=2 * EVERY)
        stop.set()


@pytest.mark.parametrize("groups", [(), ("ml-leads",), ("a", "b")])
def test_groups_stand_last_in_a_request_where_the_policy_looks_for_them(groups: tuple[str, ...]) -> None:
    value = annotation_of(OperatorRequest("1", "promote", "ann", 1.0, full=True, groups=groups))[1]
    listed = ", ".join(f'"{group}"' for group in groups)
    assert value.endswith(f', "groups": [{listed}]}}' if groups else '"full": true}')
