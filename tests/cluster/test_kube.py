"""The client keeps the same promises on a real API server as the one in memory does."""

from collections.abc import AsyncIterator, Callable

import pytest

from controlplane.kubernetes.access import Access
from controlplane.kubernetes.client import KubeClient
from tests.cluster.bed import Light
from tests.contracts.kube_promises import SAMPLE, KubePromises

FREE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
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


class TestKubeClient(KubePromises):
    @pytest.fixture(scope="class", autouse=True)
    def samples(self, light: Light) -> None:
        """The server knows the suite's own kind."""
        light.apply(DEFINITION)
        light.kubectl("wait", "--for=condition=Established", f"crd/{NAME}", "--timeout=30s")

    @pytest.fixture
    async def kube(self, light: Light, namespace: str) -> AsyncIterator[KubeClient]:
        client = KubeClient(await Access.find(kubeconfig=str(light.kubeconfig)))
        yield client
        await client.close()

    @pytest.fixture
    async def other(self, light: Light, namespace: str) -> AsyncIterator[KubeClient]:
        client = KubeClient(await Access.find(kubeconfig=str(light.kubeconfig)), manager="argocd")
        yield client
        await client.close()

    @pytest.fixture
    def too_old(self) -> Callable[[], str]:
        """Servers keep the changes since their start at most: version 1 is from before."""
        return lambda: "1"
