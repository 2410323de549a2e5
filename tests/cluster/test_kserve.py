"""Variants on the real KServe: the same promises as in memory, and trouble as real pods show it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from canary.snapshot import VariantStatus
from canary.spec import parse_document
from canary.spec.models import ModelCanary
from canary.weights import Arm
from controlplane.kserve.caches import Caches
from controlplane.kserve.standard import KServeStandard
from controlplane.kubernetes.client import KubeClient
from controlplane.kubernetes.reflector import Reflector
from controlplane.kubernetes.resources import LLM_INFERENCE_SERVICE
from tests.cluster.bed import Bed, Light, Node
from tests.controlplane.kserve.worlds import RealTime

PLAN = """\
apiVersion: serinus.dev/v1alpha1
kind: ModelCanary
metadata: {name: chat, namespace: NAMESPACE}
spec:
  model: {name: chat}
  platform: {kserve: {gateway: kserve/kserve-ingress-gateway, hostname: chat.example.com}}
  stable: {name: v1, runtime: serinus-sim, uri: "hf://example/v1", resources: {cpu: 50m, memory: 64Mi}STABLE}
  canary: {name: v2, runtime: serinus-sim, uri: "hf://example/v2", resources: {cpu: 50m, memory: 64Mi}CANARY}
  stages: [{traffic: 5%}, {traffic: 100%}]
"""


def plan(namespace: str, stable: str = "", canary: str = "") -> ModelCanary:
    """A plan for the sample server; more fields of a variant begin with a comma."""
    text = PLAN.replace("NAMESPACE", namespace).replace("STABLE", stable).replace("CANARY", canary)
    return parse_document(text, "canary.yml").canary


class Follower:
    """A platform over a real cluster, its caches followed by reflectors, and what people would do beside it."""

    def __init__(self, bed: Bed, kube: KubeClient, caches: Caches, whole: ModelCanary, namespace: str) -> None:
        self.bed, self.kube, self.caches, self.plan, self.namespace = bed, kube, caches, whole, namespace
        self.platform = KServeStandard(
            kube, caches, whole, namespace=namespace, now=time.time, may_stop=lambda _arm: True
        )

    async def run(self, *arms: Arm) -> None:
        """What the loop says at every pass."""
        for arm in arms or ("stable", "canary"):
            await self.platform.run(arm, self.plan.spec.stable if arm == "stable" else self.plan.spec.canary)

    async def until(
        self, arm: Arm, what: Callable[[VariantStatus], bool], *, seconds: float = 90, running: bool = True
    ) -> tuple[VariantStatus, float]:
        """The first look of this kind, and how long it took; the loop goes on meanwhile."""
        begun = time.monotonic()
        while not what(seen := (await self.platform.seen())[arm]):
            assert time.monotonic() - begun < seconds, f"after {seconds:g} s: {seen}"
            if running:
                await self.run()
            await asyncio.sleep(0.05)
        return seen, time.monotonic() - begun

    def generation(self, name: str) -> int:
        """How often the Deployment was changed."""
        found = self.bed.get("deployment", f"{name}-predictor", self.namespace)
        assert found is not None
        return int(found["metadata"]["generation"])

    def patch(self, name: str, patch: str, manager: str) -> None:
        """Somebody else edits an InferenceService."""
        words = ("patch", "inferenceservice", name, "-n", self.namespace, "--type=merge", "-p", patch)
        self.bed.kubectl(*words, f"--field-manager={manager}")


@asynccontextmanager
async def following(bed: Bed, namespace: str, whole: ModelCanary) -> AsyncIterator[Follower]:
    """The platform of a plan, once its caches know the cluster."""
    caches = Caches()
    async with AsyncExitStack() as stack:
        kube = await KubeClient.connect(kubeconfig=str(Path(bed.kubeconfig)))
        stack.push_async_callback(asyncio.sleep, 0.1)  # closed sockets are let go in the loop's next turns
        stack.push_async_callback(kube.close)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        followed = [
            Reflector(kube, cache.resource, cache, clock=RealTime())
            for cache in caches.all()
            if cache.resource != LLM_INFERENCE_SERVICE
        ]
        running = [tasks.create_task(each.run()) for each in followed]
        try:
            for each in followed:
                await each.synced.wait()
            yield Follower(bed, kube, caches, whole, namespace)
        finally:
            for task in running:
                task.cancel()


def complete(seen: VariantStatus) -> bool:
    return seen.complete


async def test_both_arms_come_up_and_go_and_nothing_is_written_meanwhile(light: Light, namespace: str) -> None:
    """The real webhooks rewrite what we send: that must not look like a change by somebody else."""
    async with following(light, namespace, plan(namespace, ", env: {A: '1'}", ", engine: {maxNumSeqs: 8}")) as cluster:
        await cluster.run()
        await cluster.until("stable", complete)
        await cluster.until("canary", complete)
        versions = {name: light.get("inferenceservice", name, namespace) for name in ("chat-v1", "chat-v2")}
        for _ in range(5):
            await cluster.run()
        assert cluster.platform.drift() == ()
        for name, before in versions.items():
            after = light.get("inferenceservice", name, namespace)
            assert after is not None
            assert before is not None
            assert after["metadata"]["generation"] == before["metadata"]["generation"]
        await cluster.platform.stop("canary")
        await cluster.until("canary", lambda seen: seen.problem == "not running", running=False)
        assert cluster.platform.gone("canary")
        assert (await cluster.platform.seen())["stable"].complete


async def test_a_runtime_of_our_own_is_accepted_and_goes_with_its_variant(light: Light, namespace: str) -> None:
    """Rendered vLLM arguments pass the real schema and webhooks; the pods only pretend to run them."""
    text = PLAN.replace("NAMESPACE", namespace).replace("STABLE", "")
    vllm = "name: v2, uri: 'hf://meta-llama/Llama-3.1-8B-Instruct', profile: {gpu: L40S}, quantization: fp8"
    lines = [f"  canary: {{{vllm}}}" if line.startswith("  canary:") else line for line in text.splitlines()]
    whole = parse_document("\n".join(lines), "canary.yml").canary
    async with following(light, namespace, whole) as cluster:
        await cluster.run()
        await cluster.until("canary", complete)
        made = light.get("deployment", "chat-v2-predictor", namespace)
        assert made is not None
        words = made["spec"]["template"]["spec"]["containers"][0]["args"]
        assert words[:2] == ["--port=8080", "--model=/mnt/models"]
        assert "--quantization=fp8_per_tensor" in words
        assert cluster.platform.drift() == ()
        await cluster.platform.stop("canary")
        await cluster.until("canary", lambda seen: seen.problem == "not running", running=False)
        assert not light.find("servingruntimes", namespace)


async def test_an_edit_by_somebody_else_is_named_and_put_back_on_the_canary_only(light: Light, namespace: str) -> None:
    async with following(light, namespace, plan(namespace)) as cluster:
        await cluster.run()
        await cluster.until("stable", complete)
        await cluster.until("canary", complete)
        stable = cluster.generation("chat-v1")
        patch = '{"spec":{"predictor":{"model":{"args":["--other"]}}}}'
        for name in ("chat-v1", "chat-v2"):
            cluster.patch(name, patch, "argocd")
        begun = time.monotonic()
        while len({each.arm for each in cluster.platform.drift()}) < 2:
            assert time.monotonic() - begun < 10
            await asyncio.sleep(0.02)
        assert {each.manager for each in cluster.platform.drift() if each.kind == "InferenceService"} == {"argocd"}
        await cluster.run()
        for name, args in (("chat-v1", ["--other"]), ("chat-v2", None)):
            found = light.get("inferenceservice", name, namespace)
            assert found is not None
            assert found["spec"]["predictor"]["model"].get("args") == args
        assert cluster.generation("chat-v1") == stable + 1, "by argocd, and by nobody else"


async def test_an_edited_runtime_is_named_and_put_back_on_the_canary_only(light: Light, namespace: str) -> None:
    """It is a template of pods as well: KServe restarts all that use it."""
    vllm = "uri: 'hf://meta-llama/Llama-3.1-8B-Instruct', profile: {gpu: L40S}"
    variants = {
        "  stable": f"{{name: v1, {vllm}, engine: {{maxNumSeqs: 8}}}}",
        "  canary": f"{{name: v2, {vllm}, quantization: fp8}}",
    }
    lines = [
        f"{key}: {variants[key]}" if (key := line.split(":")[0]) in variants else line
        for line in PLAN.replace("NAMESPACE", namespace).splitlines()
    ]
    async with following(light, namespace, parse_document("\n".join(lines), "canary.yml").canary) as cluster:
        await cluster.run()
        await cluster.until("canary", complete)
        made = {name: _args(light, namespace, name) for name in ("chat-v1", "chat-v2")}
        patch = [{"op": "add", "path": "/spec/containers/0/args/-", "value": "--enforce-eager"}]
        for name in made:
            words = ("patch", "servingruntime", name, "-n", namespace, "--type=json", "-p", json.dumps(patch))
            light.kubectl(*words, "--field-manager=kubectl-edit")

        def named() -> set[tuple[str, str]]:
            found = cluster.platform.drift()
            return {(each.arm, each.manager) for each in found if each.kind == "ServingRuntime"}

        begun = time.monotonic()
        while named() != {("stable", "kubectl-edit"), ("canary", "kubectl-edit")}:
            assert time.monotonic() - begun < 10, cluster.platform.drift()
            await asyncio.sleep(0.02)
        await cluster.run()
        assert _args(light, namespace, "chat-v2") == made["chat-v2"]
        assert _args(light, namespace, "chat-v1") == [*made["chat-v1"], "--enforce-eager"]


def _args(bed: Bed, namespace: str, runtime: str) -> list[str]:
    """The arguments that a ServingRuntime gives its server."""
    found = bed.get("servingruntime", runtime, namespace)
    assert found is not None
    return list(found["spec"]["containers"][0]["args"])


async def test_a_webhook_that_refuses_is_quoted(light: Light, namespace: str) -> None:
    """KServe wants names that begin with a letter; the plan's own checks say so earlier."""
    whole = plan(namespace)
    whole = whole.model_copy(update={"metadata": whole.metadata.model_copy(update={"name": "3chat"})})
    async with following(light, namespace, whole) as cluster:
        with pytest.raises(Exception, match="3chat-v2"):
            await cluster.run("canary")
        seen = (await cluster.platform.seen())["canary"]
        assert seen.hopeless
        assert "the cluster refuses it" in seen.problem


async def test_real_pods_serve_and_their_model_is_read_back(node: Node, namespace: str) -> None:
    async with following(node, namespace, plan(namespace)) as cluster:
        await cluster.run()
        await cluster.until("stable", complete)
        await cluster.until("canary", complete)
        served = cluster.platform.served("canary")
        assert served is not None
        assert served.uri == "hf://example/v2"
        assert len(served.digests) <= 1
        (address,) = cluster.platform.endpoints()["canary"].values()
        assert address.endswith(":8080")
        assert cluster.platform.drift() == ()


TROUBLE: dict[str, tuple[str, str, float]] = {
    "crash": (", env: {CRASH_AFTER: '0.2'}", "crashed", 60),
    "gpus": (", profile: {gpu: L40S, count: 8}", "no GPU left (asks for 8, at most ", 15),
    "image": (", image: 'localhost/nothing:here'", "the image localhost/nothing:here cannot be pulled", 30),
    "account": (", serviceAccount: nobody", "its pods may not be made", 30),
    "loading": (", env: {LOAD_SECONDS: '600'}", "loading for", 30),
}


@pytest.mark.parametrize("kind", TROUBLE)
async def test_trouble_of_real_pods_is_told_apart(node: Node, namespace: str, kind: str) -> None:
    """Each by its own words, long before KServe says anything else than MinimumReplicasUnavailable."""
    more, words, seconds = TROUBLE[kind]
    async with following(node, namespace, plan(namespace, canary=more)) as cluster:
        await cluster.run("canary")
        seen, _ = await cluster.until("canary", lambda seen: seen.problem.startswith(words), seconds=seconds)
        assert not seen.usable
        assert not seen.hopeless


@pytest.mark.parametrize(("kind", "seconds"), [("crash", 60), ("oom", 60)])
async def test_a_server_that_ends_again_and_again_is_given_up(
    node: Node, namespace: str, kind: str, seconds: float
) -> None:
    """Within a minute, so that its GPUs are free again."""
    more = {"crash": ", env: {CRASH_AFTER: '0.2'}", "oom": ""}[kind]
    whole = plan(namespace, canary=more)
    if kind == "oom":
        small = whole.spec.canary.model_copy(update={"resources": {"cpu": "50m", "memory": "7Mi"}})
        whole = whole.model_copy(update={"spec": whole.spec.model_copy(update={"canary": small})})
    async with following(node, namespace, whole) as cluster:
        await cluster.run("canary")
        seen, _ = await cluster.until("canary", lambda seen: seen.hopeless, seconds=seconds)
        assert ("crashed 3 times (exit code 1" if kind == "crash" else "OOMKilled") in seen.problem


def test_the_sample_plan_is_a_plan() -> None:
    """The tests above stand on it."""
    spec: Any = plan("models").spec
    assert (spec.stable.runtime, spec.canary.uri) == ("serinus-sim", "hf://example/v2")
