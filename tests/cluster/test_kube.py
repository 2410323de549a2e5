"""The client keeps the same promises on a real API server as the one in memory does, and what only a real one shows."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from canary.errors import ExternalError
from controlplane.adapters.system_clock import SystemClock
from controlplane.kubectl.client import ThinClient
from controlplane.kubectl.kubeconfig import find
from controlplane.kubernetes import client as client_module
from controlplane.kubernetes.api import KubeRequest, Object, Rejected, Resource, TooManyRequests
from controlplane.kubernetes.cache import Cache, key_of
from controlplane.kubernetes.client import KubeClient
from controlplane.kubernetes.cluster_config import ClusterConfig
from controlplane.kubernetes.election import Election
from controlplane.kubernetes.reflector import Reflector, without_managed_fields
from controlplane.kubernetes.resources import CONFIG_MAP, HTTP_ROUTE, LEASE
from tests.cluster.bed import Light
from tests.contracts.kube_promises import PATIENCE, SAMPLE, KubePromises, a_map, a_sample

FREE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
VALIDATING_WEBHOOK = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    namespaced=False,
)
RESOURCE_QUOTA = Resource("", "v1", "resourcequotas", "ResourceQuota")
NAME = f"{SAMPLE.plural}.{SAMPLE.group}"
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": NAME},
    "spec": {
        "group": SAMPLE.group,
        "scope": "Namespaced",
        "names": {"plural": SAMPLE.plural, "singular": "sample", "kind": SAMPLE.kind},
        "versions": [
            {
                "name": SAMPLE.version,
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": FREE, "status": FREE}}},
            }
        ],
    },
}


@pytest.fixture(scope="module", autouse=True)
def samples(light: Light) -> None:
    """The server knows the suite's own kind."""
    light.apply(DEFINITION)
    light.kubectl("wait", "--for=condition=Established", f"crd/{NAME}", "--timeout=30s")


class TestKubeClient(KubePromises):
    @pytest.fixture
    async def kube(self, light: Light, namespace: str) -> AsyncIterator[KubeClient]:
        client = KubeClient(await ClusterConfig.find(kubeconfig=str(light.kubeconfig)))
        yield client
        await client.close()

    @pytest.fixture
    async def other(self, light: Light, namespace: str) -> AsyncIterator[KubeClient]:
        client = KubeClient(await ClusterConfig.find(kubeconfig=str(light.kubeconfig)), manager="argocd")
        yield client
        await client.close()

    @pytest.fixture
    def too_old(self) -> Callable[[], tuple[Resource, str]]:
        """A server has a kind's changes since it follows the kind: of one that was defined later, version 1 is older.

        Of its own kinds it may have every change since its first start, and then no version is too old.
        """
        return lambda: (HTTP_ROUTE, "1")

    async def test_a_list_of_several_pages_is_whole(
        self, kube: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(client_module, "PAGE", 5)
        names = [f"page-{number:02}" for number in range(13)]
        for name in names:
            await kube.create(CONFIG_MAP, a_map(namespace, name, labels={"t": "pages"}))
        listing = await kube.list(CONFIG_MAP, namespace, labels="t=pages")
        assert [each["metadata"]["name"] for each in listing.items] == names

    async def test_s14_objects_too_large_for_one_page_are_listed_in_more(
        self, kube: KubeClient, namespace: str
    ) -> None:
        """The server takes another limit at each page."""
        names = [f"large-{number:02}" for number in range(14)]
        for name in names:
            await kube.create(CONFIG_MAP, a_map(namespace, name, {"text": "x" * 900_000}, labels={"t": "large"}))
        listing = await kube.list(CONFIG_MAP, namespace, labels="t=large", slim=without_managed_fields)
        assert [each["metadata"]["name"] for each in listing.items] == names
        assert kube.counts[KubeRequest.of("list", CONFIG_MAP)] > 14 * 900_000 / client_module.MOST_BYTES + 1

    @pytest.mark.parametrize("levels", [250, 9_000])
    async def test_r3_an_object_as_deep_as_the_server_takes_it_hides_no_other(
        self, kube: KubeClient, light: Light, namespace: str, levels: int
    ) -> None:
        """Written by another program than ours; listed and watched by a reflector and by the plugin's client."""
        cache = Cache(SAMPLE)
        reflector = Reflector(kube, SAMPLE, cache, clock=SystemClock(), namespace=namespace)
        thin = ThinClient(find(kubeconfig=str(light.kubeconfig), context=None))
        await kube.create(SAMPLE, a_sample(namespace))
        whole = asyncio.Event()
        cache.on_change(lambda _before, _after: whole.set() if len(cache) == 4 else None)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(reflector.run())
            await reflector.synced.wait()
            for name in ("deep", "deeper"):
                meta = f'{{"name": "{name}", "namespace": "{namespace}"}}'
                spec = '{"a":' * levels + "1" + "}" * levels
                text = f'{{"apiVersion": "{SAMPLE.api_version}", "kind": "Sample", "metadata": {meta}, "spec": {spec}}}'
                await asyncio.to_thread(light.kubectl, "create", "-f", "-", stdin=text)
            await kube.create(SAMPLE, a_sample(namespace) | {"metadata": {"namespace": namespace, "name": "zzz"}})
            async with asyncio.timeout(PATIENCE):
                await whole.wait()
            running.cancel()
        assert reflector.problem == ""
        for client in (kube, thin):
            names = [each["metadata"]["name"] for each in (await client.list(SAMPLE, namespace)).items]
            assert names == ["chat", "deep", "deeper", "zzz"]
        await thin.close()

    async def test_a_webhook_that_does_not_answer_is_busy_and_not_a_refusal(
        self, kube: KubeClient, namespace: str
    ) -> None:
        """KServe's own is down for some seconds at each of its restarts: that must fail no canary."""
        name = f"away-{namespace}"
        await kube.create(VALIDATING_WEBHOOK, a_webhook(name, namespace))
        try:
            await comes_to(kube, namespace, TooManyRequests)
        finally:
            await kube.delete(VALIDATING_WEBHOOK, None, name)

    async def test_what_quota_forbids_is_refused_in_the_servers_words(self, kube: KubeClient, namespace: str) -> None:
        quota = {"metadata": {"namespace": namespace, "name": "none"}, "spec": {"hard": {"count/configmaps": "0"}}}
        await kube.create(RESOURCE_QUOTA, quota)
        assert "exceeded quota" in str(await comes_to(kube, namespace, Rejected))

    async def test_a_reflector_follows_a_real_server(self, kube: KubeClient, namespace: str) -> None:
        cache = Cache(CONFIG_MAP)
        reflector = Reflector(kube, CONFIG_MAP, cache, clock=SystemClock(), namespace=namespace, labels="t=follow")
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(reflector.run())
            await reflector.synced.wait()
            for name in ("a", "b", "c"):
                await kube.create(CONFIG_MAP, a_map(namespace, name, labels={"t": "follow"}))
            await kube.patch(CONFIG_MAP, namespace, "a", {"data": {"a": "2"}})
            await kube.delete(CONFIG_MAP, namespace, "b")
            there = {key_of(each): each for each in (await kube.list(CONFIG_MAP, namespace, labels="t=follow")).items}
            await until(lambda: {key_of(each): each for each in cache.items()} == there)
            running.cancel()
        assert {name for _, name in there} == {"a", "c"}

    async def test_a_lease_is_held_given_back_and_taken_over(
        self, kube: KubeClient, other: KubeClient, namespace: str
    ) -> None:
        fences: list[tuple[str, int]] = []

        async def led(client: KubeClient, identity: str) -> None:
            async def work(fence: int) -> None:
                fences.append((identity, fence))
                await asyncio.Event().wait()

            await Election(client, namespace, "leader", identity, clock=SystemClock()).lead(work)

        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(led(kube, "a"))
            await until(lambda: bool(fences))
            second = tasks.create_task(led(other, "b"))
            await asyncio.sleep(3)  # Over a renewal.
            assert fences == [("a", 1)]
            first.cancel()
            await until(lambda: len(fences) == 2)
            second.cancel()
        assert fences == [("a", 1), ("b", 2)]
        lease = await kube.get(LEASE, namespace, "leader")
        assert not lease["spec"].get("holderIdentity")


async def until(condition: Callable[[], bool]) -> None:
    """Return once it holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - a real server sets no event of ours
            await asyncio.sleep(0.05)


async def comes_to(kube: KubeClient, namespace: str, expected: type[ExternalError]) -> ExternalError:
    """The error of making a ConfigMap, once what was set up is in force; until then it succeeds."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await kube.create(CONFIG_MAP, {"metadata": {"namespace": namespace, "generateName": "try-"}})
            except expected as error:
                return error
            await asyncio.sleep(0.1)


def a_webhook(name: str, namespace: str) -> Object:
    """One that nobody answers, for the ConfigMaps of one namespace."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    webhook = {
        "name": "away.serinus.dev",
        "clientConfig": {"url": "https://127.0.0.1:9/validate"},
        "rules": [rule],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "timeoutSeconds": 2,
        "admissionReviewVersions": ["v1"],
    }
    return {"metadata": {"name": name}, "webhooks": [webhook]}
