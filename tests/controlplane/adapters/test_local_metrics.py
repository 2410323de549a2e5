"""Where the numbers come from: what the plan asks for, what the machine has, and what is said of it."""

from pathlib import Path

import pytest

from canary.errors import BadInput
from canary.spec.gates import Gate
from canary.spec.models import JudgeSettings, LocalPlatform, Profile, Stage, Variant
from controlplane.adapters.cost_source import CostedSource, rates_of
from controlplane.adapters.envoy import EnvoyRouter
from controlplane.adapters.local_metrics import open_metrics, pages_of
from controlplane.adapters.processes import ProcessPlatform
from controlplane.adapters.prometheus_server import find_prometheus
from controlplane.adapters.system_clock import SystemClock
from controlplane.adapters.warmup_source import WarmupSource
from tests.canary.story import plan

QUERY = Gate(text="q", metric="kpi/x", comparison="max", limit=1, better="lower", query="x", test="threshold")


class Bench:
    """What `open_metrics` is handed."""

    def __init__(self, folder: Path) -> None:
        self.said: list[str] = []
        self.clock = SystemClock()
        self.platform = ProcessPlatform(folder, now=self.clock.now)
        self.router = EnvoyRouter(folder / "envoy", listen="127.0.0.1:0", now=self.clock.now)
        self.folder = folder

    async def words(self, metrics: str, spec_gates: tuple[Gate, ...] = ()) -> str:
        """Where the numbers of such a plan come from."""
        local = LocalPlatform.model_validate({"metrics": metrics})
        spec = plan(Stage(traffic=0.5, gates=spec_gates), Stage(traffic=1.0))
        opened = open_metrics(
            local,
            spec,
            folder=self.folder,
            router=self.router,
            platform=self.platform,
            clock=self.clock,
            say=self.said.append,
            rates={},
        )
        async with opened as source:
            return source.words


async def test_prices_that_a_gate_is_judged_by_are_said(tmp_path: Path) -> None:
    """And only then: nobody else needs to know what a GPU costs."""
    local = LocalPlatform.model_validate({"metrics": "scrape"})
    gate = Gate(text="c", metric="cost_per_1m_tokens", comparison="max", limit=1, better="lower")
    profile = Profile.model_validate({"gpu": "L40S", "price": "$1.20", "count": 2})
    priced = plan(
        Stage(traffic=0.5, gates=(gate,)),
        Stage(traffic=1.0),
        stable=Variant(name="v1", profile=profile),
        canary=Variant(name="v2", profile=profile),
    )
    bench = Bench(tmp_path)
    opened = open_metrics(
        local,
        priced,
        folder=tmp_path,
        router=bench.router,
        platform=bench.platform,
        clock=bench.clock,
        say=bench.said.append,
        rates=rates_of(priced),
    )
    async with opened as metrics:
        assert isinstance(metrics.source, CostedSource)
        assert metrics.words.endswith("a replica of stable at $2.40 an hour and canary at $2.40 an hour")
    assert "$" not in await bench.words("scrape")


@pytest.fixture
def without_prometheus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that has none."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


async def test_scrape_is_scraped_directly_and_nothing_is_said(tmp_path: Path) -> None:
    """Nobody wanted Prometheus."""
    bench = Bench(tmp_path)
    assert "scraped every 1 s" in await bench.words("scrape")
    assert bench.said == []


async def test_auto_without_prometheus_scrapes_and_says_so(tmp_path: Path, without_prometheus: None) -> None:
    """Its absence is said and worked around, never hidden."""
    bench = Bench(tmp_path)
    assert "scraped every 1 s" in await bench.words("auto")
    assert len(bench.said) == 1
    assert "no Prometheus" in bench.said[0]


async def test_a_plan_that_wants_prometheus_is_refused_without_it(tmp_path: Path, without_prometheus: None) -> None:
    """Before anything is judged."""
    with pytest.raises(BadInput, match=r"platform\.local\.metrics"):
        await Bench(tmp_path).words("prometheus")


async def test_a_query_without_prometheus_is_refused(tmp_path: Path, without_prometheus: None) -> None:
    """It could never be decided."""
    with pytest.raises(BadInput, match="has PromQL"):
        await Bench(tmp_path).words("auto", (QUERY,))


@pytest.mark.skipif(find_prometheus() is None, reason="there is no Prometheus on this machine")
async def test_auto_takes_prometheus_where_it_is(tmp_path: Path) -> None:
    """And says so in words."""
    assert "Prometheus" in await Bench(tmp_path).words("auto")


def test_every_replica_has_the_page_that_its_variant_names(tmp_path: Path) -> None:
    """Before a replica is ready there is no page to read."""
    pages = pages_of(plan(), Bench(tmp_path).platform)
    assert pages() == {"stable": {}, "canary": {}}


@pytest.mark.parametrize("warmup", [0.0, 30.0])
async def test_a_warm_up_is_counted_from_readiness(tmp_path: Path, warmup: float) -> None:
    """And nothing is put in between for a plan without one."""
    bench = Bench(tmp_path)
    opened = open_metrics(
        LocalPlatform.model_validate({"metrics": "scrape"}),
        plan(Stage(traffic=1.0), judge=JudgeSettings(warmup=warmup)),
        folder=tmp_path,
        router=bench.router,
        platform=bench.platform,
        clock=bench.clock,
        say=bench.said.append,
        rates={},
    )
    async with opened as metrics:
        assert isinstance(metrics.source, WarmupSource) == (warmup > 0)
