"""Which names the metrics have, where a plan does not say."""

import asyncio
import gc
import weakref
from collections.abc import Callable
from dataclasses import replace

import pytest

from canary.errors import Unavailable
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.evidence.discover import Choice, choose
from controlplane.evidence.metric_locations import Labels
from controlplane.operator.metrics_profile import CachedDiscovery, DiscoveredProfile, Question, search
from controlplane.simulation.clock import VirtualClock
from tests.virtual import in_virtual_time

API = PrometheusApi("http://p:9090", seconds=5)
QUESTION = Question(API, "models", ("envoy-gateway", "vllm"), "envoy-gateway", Labels())
VLLM = Choice("vllm", "the servers count")
NOTHING = Choice(None, "no metric that counts requests is there")


class Prometheus:
    """Answers one after the other; the last one for ever."""

    def __init__(self, *answers: Choice | Exception) -> None:
        self._answers = list(answers)
        self.looks = 0

    async def __call__(self, question: Question) -> Choice:
        """The next answer."""
        self.looks += 1
        await asyncio.sleep(0.1)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def wanted_by(taken: list[DiscoveredProfile]) -> Callable[[DiscoveredProfile], bool]:
    """A rollout that keeps what it is told and goes on waiting."""

    def take(found: DiscoveredProfile) -> bool:
        taken.append(found)
        return True

    return take


@in_virtual_time
async def test_what_is_found_at_once_is_taken_alone() -> None:
    taken: list[DiscoveredProfile] = []
    await search(QUESTION, Prometheus(VLLM), VirtualClock(), wanted_by(taken))
    assert taken == [DiscoveredProfile("vllm", "Numbers are read by the metrics profile vllm: the servers count.")]


@in_virtual_time
async def test_until_something_is_there_the_default_is_read_and_looked_again() -> None:
    """A Prometheus that is away, then one that has scraped nothing yet, then one that has."""
    taken: list[DiscoveredProfile] = []
    prometheus = Prometheus(Unavailable("Prometheus does not answer."), NOTHING, VLLM)
    await search(QUESTION, prometheus, VirtualClock(), wanted_by(taken))
    assert [found.profile for found in taken] == ["envoy-gateway", "envoy-gateway", "vllm"]
    assert taken[0].sentence == (
        "Numbers are read by the metrics profile envoy-gateway, this mode's default: Prometheus does not answer. "
        "platform.kserve.metricsProfile says another."
    )


@in_virtual_time
async def test_nobody_looks_on_for_a_rollout_that_has_numbers_or_is_over() -> None:
    prometheus = Prometheus(NOTHING)
    await search(QUESTION, prometheus, VirtualClock(), lambda _: False)
    assert prometheus.looks == 1


@in_virtual_time
async def test_hundreds_that_begin_at_once_look_once() -> None:
    """And once more after a while, and for another namespace."""
    prometheus, clock = Prometheus(VLLM), VirtualClock()
    looks = CachedDiscovery(prometheus, clock)
    await asyncio.gather(*(looks(QUESTION) for _ in range(200)))
    assert prometheus.looks == 1
    await looks(replace(QUESTION, namespace="other"))
    await clock.sleep(60)
    await looks(QUESTION)
    assert prometheus.looks == 3


@in_virtual_time
async def test_r14_a_clock_that_was_set_back_makes_no_old_answer_a_fresh_one() -> None:
    prometheus, clock = Prometheus(VLLM), VirtualClock(lambda t: -8 * 3600.0 if t > 30 else 0.0)
    looks = CachedDiscovery(prometheus, clock)
    await looks(QUESTION)
    await clock.sleep(60)
    await looks(QUESTION)
    assert prometheus.looks == 2


@in_virtual_time
async def test_s14_a_prometheus_that_hangs_keeps_nobody_from_looking_at_another() -> None:
    async def find(question: Question) -> Choice:
        if question.api is not API:
            await asyncio.sleep(1000)
        return VLLM

    looks, clock = CachedDiscovery(find, VirtualClock()), asyncio.get_running_loop()
    hanging = [replace(QUESTION, api=PrometheusApi("http://tenant", seconds=5), namespace=str(n)) for n in range(9)]
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(looks(each)) for each in hanging]
        await asyncio.sleep(1)
        before = clock.time()
        assert await looks(QUESTION) == VLLM
        assert clock.time() == before
        for each in waiting:
            each.cancel()


@pytest.mark.parametrize("cluster", ["xds_cluster", "httproute/kserve/other/rule/0"])
def test_an_envoy_gateway_that_is_scraped_will_count_our_route_once_there_is_one(cluster: str) -> None:
    """Before the first rollout it has no cluster of one backend alone, and the servers have counters already."""
    names = {"http_requests_total", "vllm:generation_tokens_total"}
    assert choose(names, {cluster}, ours_to_come=True).profile == "envoy-gateway"
    assert choose(names, {cluster}).profile == "vllm"
    assert choose(names, {"outbound|80||chat"}, ours_to_come=True).profile == "vllm"


def test_only_profiles_that_tell_the_variants_apart_are_chosen() -> None:
    names = {"http_requests_total", "istio_requests_total"}
    assert choose(names, set()).profile == "istio"
    assert choose(names, set(), among=("vllm", "kserve")).profile == "vllm"


@in_virtual_time
async def test_s14_a_prometheus_that_nobody_asks_any_more_is_forgotten() -> None:
    """Plans may name a new one at each edit."""
    looks = CachedDiscovery(Prometheus(VLLM), VirtualClock())
    api = PrometheusApi("http://q:9090", seconds=5)
    gone = weakref.ref(api)
    await looks(replace(QUESTION, api=api))
    del api
    gc.collect()
    assert gone() is None
