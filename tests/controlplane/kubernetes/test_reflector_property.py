"""Any interleaving of changes, faults and waiting ends with a cache that equals the server, told of consistently."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from canary.errors import Unavailable
from controlplane.kubernetes.api import NotFound, Object, ResourceExpired, TooManyRequests
from controlplane.kubernetes.cache import Cache, Key, key_of
from controlplane.kubernetes.reflector import Reflector
from controlplane.kubernetes.resources import POD
from controlplane.simulation.clock import VirtualClock, play
from testing.fake_apiserver.kube import MemoryKube

NAMES = st.sampled_from("ab")
ERRORS = st.sampled_from(
    [Unavailable("reset"), ResourceExpired("too old"), NotFound("404"), TooManyRequests("later", after=3.0)]
)
CHANGES = st.one_of(
    st.tuples(st.just("put"), NAMES, st.integers(0, 3)),
    st.tuples(st.just("delete"), NAMES, st.none()),
)
WAITS = st.tuples(st.just("wait"), st.sampled_from([0.0, 0.01, 1.0, 61.0, 301.0]), st.none())
FAULTS = st.one_of(
    st.tuples(st.just("break"), st.one_of(st.none(), ERRORS), st.none()),
    st.tuples(st.just("fail"), st.sampled_from(["list", "watch"]), ERRORS),
    st.tuples(st.just("compact"), st.booleans(), st.none()),
    st.tuples(st.sampled_from(["down", "up", "stall", "go on", "others"]), st.none(), st.none()),
)
STEPS = st.one_of(CHANGES, WAITS, FAULTS)
LONG_ENOUGH = 600.0
"""Seconds within which every wait of the reflector is over, that for a missing kind twice included."""


class Mirror:
    """What a listener makes of the changes that it is told."""

    def __init__(self) -> None:
        self.objects: dict[Key, Object] = {}

    def tell(self, before: Object | None, after: Object | None) -> None:
        """Each change begins where the one before ended."""
        key = key_of(after or before or {})
        assert self.objects.get(key) == before
        assert (before, after) != (None, None)
        if after is None:
            del self.objects[key]
        else:
            self.objects[key] = after


@settings(max_examples=200, deadline=None)
@given(st.lists(STEPS, min_size=3, max_size=30))
def test_r3_the_cache_ends_equal_to_the_server_whatever_happened(steps: list[tuple[str, object, object]]) -> None:
    play(_story(steps))


async def _story(steps: list[tuple[str, object, object]]) -> None:
    kube = MemoryKube(VirtualClock())
    cache, mirror = Cache(POD), Mirror()
    cache.on_change(mirror.tell)
    reflector = Reflector(kube, POD, cache, clock=kube.clock, uniform=lambda low, _high: low)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(reflector.run())
        for step in steps:
            await _take(kube, *step)
        kube.down = kube.stalled = False
        await asyncio.sleep(LONG_ENOUGH)
        running.cancel()
    held = {key_of(each): each for each in cache.items()}
    assert held == kube.objects(POD)
    assert held == mirror.objects
    assert reflector.problem == ""


async def _take(kube: MemoryKube, what: str, first: object, second: object) -> None:
    match what, first, second:
        case "put", str(name), int(number):
            kube.seed(POD, {"metadata": {"namespace": "models", "name": name}, "spec": {"number": number}})
        case "delete", str(name), _:
            if ("models", name) in kube.objects(POD):
                kube.server.delete(POD, ("models", name))
        case "wait", float(seconds), _:
            await asyncio.sleep(seconds)
        case "break", None | Exception() as error, _:
            kube.break_watches(error)
        case "fail", str(verb), Exception() as error:
            kube.fail_next(error, verb=verb)
        case "compact", bool(watches), _:
            kube.compact(watches=watches)
        case "others", _, _:
            kube.server.version += 7
        case (("down" | "up"), _, _):
            kube.stop() if what == "down" else setattr(kube, "down", False)
        case (("stall" | "go on"), _, _):
            kube.stalled = what == "stall"
        case unknown:
            raise AssertionError(unknown)
