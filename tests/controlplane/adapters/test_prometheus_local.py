"""The seconds before a new Prometheus knows anything, and the wait for its next scrape."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from canary.errors import Unavailable
from canary.observation import Counters
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
        self.source = LocalPrometheus(self.server, Script(*answers), clock=self.clock, interval=INTERVAL)
        return self.source


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with PageServer() as server:
        bench = Bench(tmp_path, server)
        yield bench
        await bench.source.close()


async def test_until_its_first_answer_the_same_counters_are_scraped_directly(bench: Bench) -> None:
    source = bench.answering(Unavailable("not yet"), 104.5)
    assert (await source.read()).arms["canary"]["canary-0"].requests == 7
    assert (await source.read()).at == 104.5


async def test_after_its_first_answer_silence_is_silence(bench: Bench) -> None:
    source = bench.answering(99.0, Unavailable("gone"), 101.5)
    await source.read()
    with pytest.raises(Unavailable, match="gone"):
        await source.read()
    assert (await source.read()).at == 101.5


async def test_a_reading_waits_for_the_scrape_that_is_due_and_asks_until_it_is_there(bench: Bench) -> None:
    source = bench.answering(100.0, 100.0, 100.0, 101.06)
    await source.read()
    assert (await source.read()).at == 101.06
    assert 101.0 < bench.clock.time < 101.2


async def test_a_scrape_that_does_not_come_is_waited_for_half_an_interval_and_no_longer(bench: Bench) -> None:
    """What is read then is as old as it says, and its age is judged elsewhere."""
    source = bench.answering(*[100.0] * 40)
    await source.read()
    bench.clock.time = 103.0
    assert (await source.read()).at == 100.0
    assert bench.clock.time == pytest.approx(103.5, abs=0.06)
