"""Nothing waits for a leader in a namespace whose deletion takes the lease away."""

import asyncio
from contextlib import suppress
from typing import Any

from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.resources import MODEL_CANARY, NAMESPACE
from controlplane.operator.finalizer import FINALIZER
from controlplane.operator.own_namespace import LOOK_EVERY, release
from controlplane.simulation.clock import VirtualClock, play
from testing.fake_apiserver.kube import MemoryKube
from tests.controlplane.operator.town import NAME, PLACE, a_canary, a_spec


def _finalizers(*, leads: bool, namespace_goes: bool, home: str = PLACE) -> tuple[list[str], list[str]]:
    """What is left on a deleted ModelCanary after a few looks, and what was said."""
    said: list[str] = []

    async def story() -> list[str]:
        clock = VirtualClock()
        kube = MemoryKube(clock)
        meta: dict[str, Any] = {"name": PLACE, **({"deletionTimestamp": "now"} if namespace_goes else {})}
        kube.seed(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        object_ = a_canary(spec=a_spec())
        object_["metadata"] |= {"finalizers": [FINALIZER, "other.example.com/theirs"], "deletionTimestamp": "now"}
        kube.seed(MODEL_CANARY, object_)
        canaries = Cache(MODEL_CANARY)
        canaries.replace([kube.objects(MODEL_CANARY)[PLACE, NAME]])
        work = release(kube, canaries, home, leads=lambda: leads, clock=clock, say=said.append)
        with suppress(TimeoutError):
            async with asyncio.timeout(1.5 * LOOK_EVERY):
                await work
        return list(kube.objects(MODEL_CANARY)[PLACE, NAME]["metadata"]["finalizers"])

    return play(story()), said


def test_what_waits_in_a_namespace_that_goes_is_let_go_by_whoever_is_there() -> None:
    left, said = _finalizers(leads=False, namespace_goes=True)
    assert left == ["other.example.com/theirs"]
    assert said == [f"Namespace {PLACE} is being deleted with all that is in it: nothing serves on."]


def test_a_leader_does_it_in_order_and_other_deletions_wait_for_one() -> None:
    kept = [FINALIZER, "other.example.com/theirs"]
    assert _finalizers(leads=True, namespace_goes=True) == (kept, [])
    assert _finalizers(leads=False, namespace_goes=False) == (kept, [])
    assert _finalizers(leads=False, namespace_goes=True, home="elsewhere") == (kept, [])
