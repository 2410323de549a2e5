"""The API server in memory keeps what every implementation promises."""

from collections.abc import Callable

import pytest

from controlplane.adapters.system_clock import SystemClock
from controlplane.kubernetes.api import Resource
from controlplane.kubernetes.memory import MemoryKube
from controlplane.kubernetes.resources import CONFIG_MAP, NAMESPACE
from tests.contracts.kube_promises import UNKNOWN, KubePromises


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
