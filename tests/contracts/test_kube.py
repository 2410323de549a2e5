"""The API server in memory keeps what every implementation promises, and so does the real client on it over HTTP."""

from collections.abc import AsyncIterator, Callable

import pytest
from kubernetes.aio.client.configuration import Configuration

from controlplane.adapters.system_clock import SystemClock
from controlplane.kubernetes.api import Resource
from controlplane.kubernetes.client import KubeClient
from controlplane.kubernetes.cluster_config import ClusterConfig
from controlplane.kubernetes.resources import CONFIG_MAP, NAMESPACE
from testing.fake_apiserver.kube import MemoryKube
from tests.contracts.kube_promises import SAMPLE, UNKNOWN, KubePromises
from tests.controlplane.kubernetes.served import MemoryApi, listening


class TestMemoryKube(KubePromises):
    @pytest.fixture
    def kube(self, namespace: str) -> MemoryKube:
        kube = MemoryKube(SystemClock())
        kube.seed(NAMESPACE, {"metadata": {"name": namespace}})
        kube.missing.add(UNKNOWN)
        return kube

    @pytest.fixture
    def other(self, kube: MemoryKube) -> MemoryKube:
        return kube.acting_as("argocd")

    @pytest.fixture
    def namespace(self) -> str:
        return "models"

    @pytest.fixture
    def too_old(self, kube: MemoryKube) -> Callable[[], tuple[Resource, str]]:
        def compacted() -> tuple[Resource, str]:
            kube.compact()
            return CONFIG_MAP, "1"

        return compacted


class TestServedMemory(KubePromises):
    @pytest.fixture
    def memory(self, namespace: str) -> MemoryKube:
        kube = MemoryKube(SystemClock())
        kube.seed(NAMESPACE, {"metadata": {"name": namespace}})
        kube.missing.add(UNKNOWN)
        return kube

    @pytest.fixture
    async def host(self, memory: MemoryKube) -> AsyncIterator[str]:
        async with listening(MemoryApi(memory, SAMPLE, UNKNOWN)) as host:
            yield host

    @pytest.fixture
    async def kube(self, host: str) -> AsyncIterator[KubeClient]:
        client = KubeClient(ClusterConfig(Configuration(host=host)))
        yield client
        await client.close()

    @pytest.fixture
    async def other(self, host: str) -> AsyncIterator[KubeClient]:
        client = KubeClient(ClusterConfig(Configuration(host=host)), manager="argocd")
        yield client
        await client.close()

    @pytest.fixture
    def namespace(self) -> str:
        return "models"

    @pytest.fixture
    def too_old(self, memory: MemoryKube) -> Callable[[], tuple[Resource, str]]:
        def compacted() -> tuple[Resource, str]:
            memory.compact()
            return CONFIG_MAP, "1"

        return compacted
