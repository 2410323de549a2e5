"""The seconds before a new Prometheus knows anything, and the wait for its next scrape."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from canary.errors import Unavailable
from canary.snapshot import Counters
from controlplane.adapters import prometheus_local
from controlplane.adapters.prometheus import PrometheusSource
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.adapters.prometheus_local import LocalPrometheus
from controlplane.adapters.prometheus_server import PrometheusServer
from tests.controlplane.adapters.pages import PageServer, envoy_page

INTERVAL = 1.0


class Script(PrometheusSource):
    """A Prometheus whose answers, one a question, are written down beforehand; a number is the time of a scrape."""

    def __init__(self, *answers: float | Exception) -> None:
        api = PrometheusApi("http://127.0.0.1:0", seconds=1)
        super().__init__(api, interval=INTERVAL, names={"stable": "v1", "canary": "v2"})
        self._answers_to_come = list(answers)

    async def read(self) -> Counters:
        """The next answer."""
        answer = self._answers_to_come.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Counters(at=answer, arms={})


class HandClock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Bench:
    """An idle program in place of Prometheus, a page in place of Envoy."""

    def __init__(self, folder: Path, server: PageServer) -> None:
        program = folder / "prometheus"
        program.write_text("#!/bin/sh\nexec sleep 60\n", encoding="utf-8")
        program.chmod(0o755)
        self.clock = HandClock()
        self.said: list[str] = []
        self.pages = server
        self.server = PrometheusServer(
            folder,
            program=program,
            envoy=lambda: server.address,
            pages=dict,
            names={"stable": "v1", "canary": "v2"},
            interval=INTERVAL,
        )
        server.put("/stats/prometheus", envoy_page({"canary-0": {"200": 7}}))
        self.source = self.answering()

    def answering(self, *answers: float | Exception) -> LocalPrometheus:
        self.source = LocalPrometheus(
            self.server, Script(*answers), clock=self.clock, interval=INTERVAL, say=self.said.append
        )
        return self.source


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with PageServer() as server:
        bench = Bench(tmp_path, server)
        yield bench
        await bench.source.close()


async def test_until_its_first_answer_the_same_counters_are_scraped_directly(bench: Bench) -> None:
    source = bench.answering(Unavailable("not yet"), 100.5)
    assert (await source.read()).arms["canary"]["canary-0"].requests == 7
    assert (await source.read()).at == 100.5


async def test_while_prometheus_is_silent_the_same_counters_are_scraped_directly(bench: Bench) -> None:
    source = bench.answering(99.0, Unavailable("gone"), 100.9)
    await source.read()
    assert (await source.read()).arms["canary"]["canary-0"].requests == 7
    assert (await source.read()).at == 100.9
    assert bench.said == [], "a moment is no trouble"


async def test_where_the_proxy_is_silent_too_silence_is_silence(bench: Bench) -> None:
    source = bench.answering(99.0, Unavailable("gone"))
    await source.read()
    await bench.pages.stop()
    with pytest.raises(Unavailable, match=r"Envoy's metrics on .* cannot be read"):
        await source.read()


async def test_a_trouble_that_lasts_is_said_once_with_its_cause_and_so_is_its_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus_local, "MISSED_INTERVALS", 0.1)
    source = bench.answering(100.0, *[Unavailable("it hangs")] * 3, 103.1)
    await source.read()
    for _ in range(3):
        assert (await source.read()).arms["canary"]["canary-0"].requests == 7
        await asyncio.sleep(0.11)
    (said,) = bench.said
    assert said.startswith("Prometheus has nothing new (it hangs): Envoy and the servers are scraped directly")
    assert said.endswith(f"Its log is {bench.server.log}.")
    bench.clock.time = 103.1
    assert (await source.read()).at == 103.1
    assert bench.said[1:] == ["Prometheus stores what it scrapes again, and is read again."]


@pytest.mark.parametrize("ahead", [8 * 3600.0, 30.0])
async def test_r14_a_prometheus_whose_newest_scrape_lies_ahead_is_not_read(bench: Bench, ahead: float) -> None:
    """The clock was set back, and it refuses what is older than what it has, for as long as that takes."""
    source = bench.answering(100.0, *[100.0] * 11, *[100.0] * 11)
    await source.read()
    bench.clock.time = 100.0 - ahead
    first, second = await source.read(), await source.read()
    assert 100.0 - ahead < first.at < second.at < 100.0
    assert second.arms["canary"]["canary-0"].requests == 7


async def test_a_reading_waits_for_the_scrape_that_is_due_and_asks_until_it_is_there(bench: Bench) -> None:
    source = bench.answering(100.0, 100.0, 100.0, 101.06)
    await source.read()
    assert (await source.read()).at == 101.06
    assert 101.0 < bench.clock.time < 101.2


async def test_a_scrape_that_does_not_come_is_waited_for_half_an_interval_and_no_longer(bench: Bench) -> None:
    """What is read then is as old as it says; where two more are missing, it is scraped directly."""
    source = bench.answering(*[100.0] * 40)
    await source.read()
    bench.clock.time = 101.2
    assert (await source.read()).at == 100.0
    assert bench.clock.time == pytest.approx(101.7, abs=0.06)
    bench.clock.time = 103.0
    assert (await source.read()).at == bench.clock.time == pytest.approx(103.5, abs=0.06)
