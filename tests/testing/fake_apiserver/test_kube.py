"""What tests do to a server in memory, and what its clients then see."""

import asyncio

import pytest

from canary.errors import Conflict, Unavailable
from controlplane.kubernetes.api import KubeRequest, NotFound, Object, Rejected, TooManyRequests
from controlplane.kubernetes.resources import CONFIG_MAP, INFERENCE_SERVICE, MODEL_CANARY, NAMESPACE, POD
from controlplane.simulation.clock import VirtualClock
from testing.fake_apiserver.kube import Admission, MemoryKube
from tests.controlplane.kubernetes.stories import story


@pytest.fixture
def kube() -> MemoryKube:
    return MemoryKube(VirtualClock())


def an_isvc(name: str = "chat-v1", **spec: object) -> Object:
    return {"metadata": {"namespace": "models", "name": name}, "spec": spec}


async def test_what_others_made_is_there_whole_with_its_status(kube: MemoryKube) -> None:
    kube.seed(POD, {"metadata": {"namespace": "models", "name": "a"}, "status": {"phase": "Running"}})
    pod = await kube.get(POD, "models", "a")
    assert (pod["status"], pod["kind"], pod["metadata"]["uid"][:8]) == ({"phase": "Running"}, "Pod", "5e414005")
    kube.seed(POD, {"metadata": {"namespace": "models", "name": "a"}, "status": {"phase": "Failed"}})
    again = await kube.get(POD, "models", "a")
    assert again["status"] == {"phase": "Failed"}
    assert again["metadata"]["uid"] == pod["metadata"]["uid"]
    assert int(again["metadata"]["resourceVersion"]) > int(pod["metadata"]["resourceVersion"])


async def test_what_a_reader_does_to_an_object_stays_with_the_reader(kube: MemoryKube) -> None:
    applied = await kube.apply(INFERENCE_SERVICE, an_isvc(size=1))
    applied["spec"]["size"] = 2
    (await kube.list(INFERENCE_SERVICE)).items[0]["spec"]["size"] = 3
    assert (await kube.get(INFERENCE_SERVICE, "models", "chat-v1"))["spec"] == {"size": 1}


async def test_a_fault_hits_the_next_matching_request_and_nothing_else(kube: MemoryKube) -> None:
    kube.fail_next(TooManyRequests("later"), verb="patch", resource=INFERENCE_SERVICE, times=2)
    await kube.create(INFERENCE_SERVICE, an_isvc())
    await kube.apply(CONFIG_MAP, {"metadata": {"namespace": "models", "name": "a"}})
    for _ in range(2):
        with pytest.raises(TooManyRequests):
            await kube.apply(INFERENCE_SERVICE, an_isvc(size=2))
    assert (await kube.apply(INFERENCE_SERVICE, an_isvc(size=2)))["spec"] == {"size": 2}


async def test_a_write_whose_answer_is_lost_has_happened(kube: MemoryKube) -> None:
    kube.fail_next(Unavailable("reset"), verb="create", after=True)
    with pytest.raises(Unavailable):
        await kube.create(INFERENCE_SERVICE, an_isvc())
    assert await kube.get(INFERENCE_SERVICE, "models", "chat-v1")


@story
async def test_a_server_that_is_down_answers_nothing_and_breaks_its_watches() -> None:
    kube = MemoryKube(VirtualClock())
    watch = kube.watch(POD, None, "")
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(_error(anext(watch)))
        await asyncio.sleep(1)
        kube.stop()
    assert isinstance(waiting.result(), Unavailable)
    assert isinstance(await _error(kube.list(POD)), Unavailable)
    kube.down = False
    assert (await kube.list(POD)).items == []


async def _error(call: object) -> Exception | None:
    try:
        await call  # type: ignore[misc]  # - any awaitable
    except Exception as error:  # noqa: BLE001 - it is the result
        return error
    return None


@story
async def test_latency_is_time_before_any_effect() -> None:
    kube = MemoryKube(VirtualClock())
    kube.latency = 2.0
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(kube.create(INFERENCE_SERVICE, an_isvc()))
        await asyncio.sleep(1.9)
        assert not kube.objects(INFERENCE_SERVICE)
        await asyncio.sleep(0.2)
        assert kube.objects(INFERENCE_SERVICE)


async def test_a_webhook_may_refuse_a_write_before_anything_has_changed(kube: MemoryKube) -> None:
    seen: list[tuple[str, bool, bool]] = []

    def webhook(admission: Admission) -> None:
        seen.append((admission.verb, admission.before is not None, admission.after is not None))
        if admission.after and admission.after["spec"].get("size") == 13:
            raise Rejected('admission webhook "inferenceservice" denied the request: 13')

    kube.admit.append(webhook)
    first = await kube.apply(INFERENCE_SERVICE, an_isvc(size=1))
    with pytest.raises(Rejected, match="denied the request: 13"):
        await kube.apply(INFERENCE_SERVICE, an_isvc(size=13))
    assert await kube.get(INFERENCE_SERVICE, "models", "chat-v1") == first
    await kube.delete(INFERENCE_SERVICE, "models", "chat-v1")
    assert seen == [("create", False, True), ("patch", True, True), ("delete", True, False)]


async def test_a_webhook_may_add_defaults(kube: MemoryKube) -> None:
    def webhook(admission: Admission) -> None:
        if admission.after is not None:
            admission.after["spec"].setdefault("replicas", 1)

    kube.admit.append(webhook)
    assert (await kube.apply(INFERENCE_SERVICE, an_isvc(size=1)))["spec"] == {"size": 1, "replicas": 1}


async def test_a_deleted_namespace_takes_all_that_is_in_it(kube: MemoryKube) -> None:
    """But holds what a finalizer holds."""
    kube.seed(NAMESPACE, {"metadata": {"name": "models"}})
    held = an_isvc("held") | {"metadata": {"namespace": "models", "name": "held", "finalizers": ["serinus.dev/x"]}}
    kube.seed(INFERENCE_SERVICE, an_isvc(), held)
    kube.seed(INFERENCE_SERVICE, an_isvc("other") | {"metadata": {"namespace": "elsewhere", "name": "other"}})
    await kube.delete(NAMESPACE, None, "models")
    left = kube.objects(INFERENCE_SERVICE)
    assert left.keys() == {("models", "held"), ("elsewhere", "other")}
    assert left["models", "held"]["metadata"]["deletionTimestamp"]


async def test_an_object_of_another_kind_is_refused(kube: MemoryKube) -> None:
    with pytest.raises(Rejected, match="sent to the place of"):
        await kube.apply(INFERENCE_SERVICE, {"apiVersion": "v1", "kind": "Pod"} | an_isvc())


async def test_each_client_counts_its_own_requests(kube: MemoryKube) -> None:
    other = kube.acting_as("argocd")
    await other.create(INFERENCE_SERVICE, an_isvc())
    await kube.patch(INFERENCE_SERVICE, "models", "chat-v1", {"status": {"a": 1}}, subresource="status")
    with pytest.raises(NotFound):
        await kube.get(MODEL_CANARY, "models", "chat")
    assert kube.counts == {
        KubeRequest("patch", "serving.kserve.io", "inferenceservices/status"): 1,
        KubeRequest("get", "serinus.dev", "modelcanaries"): 1,
    }
    assert other.counts.total() == 1


async def test_an_object_that_is_gone_cannot_be_deleted_by_another_uid(kube: MemoryKube) -> None:
    """A second object of the same name is not the one that was meant."""
    first = await kube.create(INFERENCE_SERVICE, an_isvc())
    await kube.delete(INFERENCE_SERVICE, "models", "chat-v1")
    await kube.create(INFERENCE_SERVICE, an_isvc())
    with pytest.raises(Conflict):
        await kube.delete(INFERENCE_SERVICE, "models", "chat-v1", uid=first["metadata"]["uid"])
