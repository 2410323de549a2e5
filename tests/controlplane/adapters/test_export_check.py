"""What is said of gates that no server on this machine can feed."""

import pytest

from canary.snapshot import Counters, PodCounters
from canary.spec.gates import gate
from canary.weights import Arm
from controlplane.adapters.export_check import ExportCheckSource, made_of
from testing.memory_metrics import MemoryMetrics

NAMES: dict[Arm, str] = {"stable": "v1", "canary": "v2"}
HISTOGRAM = {0.1: 0.0, float("inf"): 0.0}


class World:
    """Two servers whose pages are there from the start, and gates on them."""

    def __init__(self, *lines: str) -> None:
        self.now = 100.0
        self.said: list[str] = []
        self.pages: dict[Arm, dict[str, str]] = {
            "stable": {"stable-0": "http://127.0.0.1:1/metrics"},
            "canary": {"canary-0": "http://127.0.0.1:2/metrics"},
        }
        self.memory = MemoryMetrics(lambda: self.now)
        self.exports()
        gates = [gate(line) for line in lines]
        self.source = ExportCheckSource(self.memory, gates, pages=lambda: self.pages, names=NAMES, say=self.said.append)

    def exports(self, *, stable: PodCounters | None = None, canary: PodCounters | None = None) -> None:
        """What both have by now, besides what the proxy counts."""
        self.memory.put("stable", "stable-0", stable or PodCounters(requests=1.0))
        self.memory.put("canary", "canary-0", canary or PodCounters(requests=1.0))

    async def problem(self, after: float) -> str:
        """What is said to be missing so many seconds later."""
        self.now += after
        return (await self.source.read()).problem


async def test_a_metric_that_nobody_exports_is_said_once_with_what_was_looked_for_and_where() -> None:
    """Within 10 s of readiness; a page may take a moment until it is read."""
    world = World("ttft p95 <= 300ms")
    assert await world.problem(0.0) == await world.problem(4.0) == ""
    clause = (
        "neither v1 nor v2 exports ttft so far: looked for vllm:time_to_first_token_seconds "
        "on http://127.0.0.1:1/metrics and http://127.0.0.1:2/metrics"
    )
    assert await world.problem(2.0) == await world.problem(1.0) == clause
    assert len(world.said) == 1
    assert world.said[0].startswith(f"N{clause[1:]}.")
    pod = PodCounters(histograms={"ttft": HISTOGRAM})
    world.exports(stable=pod, canary=pod)
    assert await world.problem(1.0) == ""


async def test_one_that_stable_alone_lacks_matters_to_a_comparison_only() -> None:
    pod = PodCounters(histograms={"ttft": HISTOGRAM})
    for line, missing in (("ttft p95 <= 300ms", False), ("ttft p95 not worse than stable by 10%", True)):
        world = World(line)
        world.exports(canary=pod)
        await world.problem(0.0)
        assert ("v1 does not export ttft" in await world.problem(6.0)) is missing
        world.exports(stable=pod)
        assert "v2 does not export ttft" in await world.problem(1.0)


async def test_nothing_is_said_of_servers_that_are_not_ready() -> None:
    world = World("ttft p95 <= 300ms")
    await world.problem(0.0)
    pages = world.pages.pop("canary")
    assert await world.problem(60.0) == ""
    world.pages["canary"] = pages
    assert await world.problem(1.0) == ""
    assert await world.problem(6.0) != ""


async def test_the_past_is_handed_on_as_it_was() -> None:
    """A rollout that looks back says nothing about servers that were not there then."""

    class Remembering(MemoryMetrics):
        async def between(self, start: float, end: float, most: int) -> list[Counters]:
            return [Counters(start, {}), Counters(end, {})]

    world = World("ttft p95 <= 300ms")
    source = ExportCheckSource(
        Remembering(lambda: 0.0),
        [gate("ttft p95 <= 300ms")],
        pages=lambda: world.pages,
        names=NAMES,
        say=world.said.append,
    )
    assert await source.between(1.0, 99.0, 10) == [Counters(1.0, {}), Counters(99.0, {})]
    assert await world.source.between(1.0, 99.0, 10) == []
    assert world.said == []


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("ttft p95 <= 300ms", ("ttft",)),
        ("kv_cache_usage <= 90%", ("kv_cache_usage",)),
        ("latency p95 <= 300ms", ()),
        ("error_rate <= 1%", ()),
        ("kpi/csat >= 4", ()),
    ],
)
def test_only_what_servers_export_from_the_start_is_looked_for(line: str, parts: tuple[str, ...]) -> None:
    assert made_of(gate(line)) == parts
