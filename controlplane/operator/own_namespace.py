"""The namespace that holds our lease: once it is deleted nobody can lead, so nothing in it may wait for a leader.

Run by `operator.py` on every replica. An operator that carries out the rollouts of its own namespace alone would
otherwise leave finalizers behind that nobody is there to take off, and the namespace would never go. What lies in other
namespaces waits for whoever leads, as ever.
"""

from collections.abc import Callable

from canary.errors import ExternalError
from controlplane.kubernetes.api import Kube
from controlplane.kubernetes.cache import Cache
from controlplane.operator.finalizer import is_held, is_leaving, is_namespace_leaving, let_go
from controlplane.ports import Clock

LOOK_EVERY = 2.0
"""Seconds between two looks at the cache; the API server is only asked where something waits."""


async def release(
    kube: Kube, canaries: Cache, home: str, *, leads: Callable[[], bool], clock: Clock, say: Callable[[str], None]
) -> None:
    """Let go of what waits for a leader in `home`, once that is being deleted; for ever. `leads`: whether we do."""
    while True:
        await clock.sleep(LOOK_EVERY)
        held = [] if leads() else [each for each in canaries.items(home) if is_leaving(each) and is_held(each)]
        if not held:
            continue
        try:
            if not await is_namespace_leaving(kube, home):
                continue
            for object_ in held:
                await let_go(kube, object_)
        except ExternalError:  # it is looked at again
            continue
        say(f"Namespace {home} is being deleted with all that is in it: nothing serves on.")
