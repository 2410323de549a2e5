"""From when a replica's warm-up counts, on this machine."""

import itertools
import math

from canary.judge.feed import difference
from canary.snapshot import Counters, PodCounters
from canary.weights import Arm
from controlplane.adapters.warmup_source import WarmupSource
from testing.memory_metrics import MemoryMetrics

WARMUP = 25.0


class World:
    """One replica that was started at 0 s, and a clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ready: dict[str, float] = {}
        self.memory = MemoryMetrics(lambda: self.now)
        self.source = WarmupSource(self.memory, lambda: self.ready)

    async def read(self, at: float, requests: float) -> Counters:
        """What is read at this time."""
        self.now = at
        self.memory.put("canary", "canary-0", PodCounters(requests=requests, errors=0.0, started_at=0.5))
        return await self.source.read()


def counted(before: Counters, now: Counters) -> float | None:
    """Requests of the canary that the judge counts."""
    pods = difference(before, now, stage=0, weight=0.5, warmup=WARMUP).arms.get("canary", {})
    return pods["canary-0"].requests if pods else None


async def test_loading_uses_up_no_warm_up() -> None:
    """It loads for 30 s; what it answers in the first 25 s after that is left out, and the rest is not."""
    world = World()
    world.ready["canary-0"] = 30.0
    seen = [await world.read(at, requests=at - 30.0) for at in (31.0, 54.0, 56.0, 60.0)]
    assert [counted(*pair) for pair in itertools.pairwise(seen)] == [None, None, 4.0]


async def test_waiting_for_the_first_request_uses_up_no_warm_up() -> None:
    """As a canary does that is ready minutes before stable, or before somebody approves."""
    world = World()
    world.ready["canary-0"] = 30.0
    asked = {31.0: 0.0, 300.0: 0.0, 301.0: 1.0, 326.0: 26.0, 327.0: 27.0}
    seen = [await world.read(at, requests=requests) for at, requests in asked.items()]
    assert [counted(*pair) for pair in itertools.pairwise(seen)] == [None, None, None, 1.0]


async def test_a_replica_that_is_started_again_warms_up_again() -> None:
    world = World()
    world.ready["canary-0"] = 30.0
    seen = [await world.read(100.0, requests=70.0)]
    world.ready.clear()
    seen.append(await world.read(101.0, requests=71.0))
    world.ready["canary-0"] = 110.0
    asked = {111.0: 71.0, 112.0: 73.0, 130.0: 80.0, 138.0: 90.0, 139.0: 95.0}
    seen += [await world.read(at, requests=requests) for at, requests in asked.items()]
    assert [counted(*pair) for pair in itertools.pairwise(seen)] == [1.0, None, None, None, None, 5.0]


async def test_the_past_of_a_process_that_was_ready_before_is_no_warm_up() -> None:
    world = World()
    world.ready["canary-0"] = 110.0
    assert (await world.read(100.0, requests=70.0)).arms["canary"]["canary-0"].started_at == 0.5
    assert (await world.read(math.nextafter(110.0, 200.0), requests=70.0)).arms["canary"][
        "canary-0"
    ].started_at == 110.0


async def test_the_parts_by_label_are_warmed_like_the_whole() -> None:
    class Segmented:
        async def read(self) -> Counters:
            arms: dict[Arm, dict[str, PodCounters]] = {"canary": {"canary-0": PodCounters(started_at=1.0)}}
            return Counters(50.0, arms, segments={"tenant": {"acme": arms}})

    found = await WarmupSource(Segmented(), lambda: {"canary-0": 30.0}).read()
    assert found.segments["tenant"]["acme"]["canary"]["canary-0"].started_at == 30.0


async def test_looking_back_does_not_touch_what_is_known_of_now() -> None:
    """Stable's past is read while the rollout goes on."""
    pods: dict[Arm, dict[str, PodCounters]] = {"canary": {"canary-0": PodCounters(requests=0.0)}}
    later: dict[Arm, dict[str, PodCounters]] = {"canary": {"canary-0": PodCounters(requests=5.0)}}

    class Remembering:
        def __init__(self) -> None:
            self.readings = [Counters(40.0, pods), Counters(90.0, pods), Counters(91.0, later), Counters(92.0, later)]

        async def read(self) -> Counters:
            return self.readings.pop(0)

        async def between(self, start: float, end: float, most: int) -> list[Counters]:
            return [Counters(50.0, pods), Counters(60.0, later)]

    source = WarmupSource(Remembering(), lambda: {"canary-0": 30.0})
    began = []
    for _ in range(4):
        began.append((await source.read()).arms["canary"]["canary-0"].started_at)
        past = await source.between(0.0, 99.0, 10)
        assert [each.arms["canary"]["canary-0"].started_at for each in past] == [30.0, 50.0]
    assert began == [30.0, 30.0, 90.0, 90.0]
