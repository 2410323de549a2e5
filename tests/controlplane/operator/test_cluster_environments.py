"""From when on a rollout's numbers are read, and that nothing which one Prometheus does moves the tick of another's."""

import asyncio
import itertools
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from canary.errors import Unavailable
from canary.snapshot import Counters
from controlplane.adapters.bounded_http import BoundedAnswer, Take, TooSlow
from controlplane.evidence.discover import Choice
from controlplane.kserve.caches import Caches
from controlplane.operator.cluster_environments import ClusterEnvironments
from controlplane.operator.counters import OperatorCounters
from controlplane.operator.environments import ClusterSite
from controlplane.operator.metrics_profile import Question
from controlplane.operator.registry import RegisteredPrometheus, Registry
from controlplane.operator.ticker import Ticker
from controlplane.simulation.clock import EPOCH, VirtualClock, play
from testing.fake_apiserver.kube import MemoryKube
from tests.controlplane.evidence.scraped import TTFT, answer, gateway, places, server
from tests.controlplane.gateway.world import NAMESPACE, plan

KEY = (NAMESPACE, "chat")
PROMETHEUS = "http://127.0.0.1:9"


class Looker:
    """Says what counts as soon as the test lets it."""

    def __init__(self, choice: Choice) -> None:
        self.may_say = asyncio.Event()
        self._choice = choice

    async def __call__(self, question: Question) -> Choice:
        """The choice, in its time."""
        await self.may_say.wait()
        return self._choice


@asynccontextmanager
async def a_world(looker: Looker, told: list[str]) -> AsyncIterator[ClusterEnvironments]:
    clock = VirtualClock()
    world = ClusterEnvironments(
        MemoryKube(clock), Caches(), clock=clock, prometheus=PROMETHEUS, interval=1.0, find=looker
    )
    world.tell = lambda _key, _kind, _reason, sentence: told.append(sentence)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.run())
        await asyncio.sleep(0)
        yield world
        running.cancel()
    await world.close()


def profile_read(world: ClusterEnvironments) -> str | None:
    """What this rollout's numbers are read by; None while they are not."""
    places = world._fleets[PROMETHEUS].places(KEY)
    return places.profile if places else None


def test_the_best_witness_is_read_at_once_and_said_once_it_is_known() -> None:
    """A leader that takes over must see a canary that broke at its first tick, and not after a look around."""

    async def story() -> None:
        told: list[str] = []
        looker = Looker(Choice("envoy-gateway", "it is scraped"))
        async with a_world(looker, told) as world:
            world.open(plan(), NAMESPACE)
            assert profile_read(world) == "envoy-gateway"
            assert told == []
            looker.may_say.set()
            await asyncio.sleep(0.1)
        assert told == ["Numbers are read by the metrics profile envoy-gateway: it is scraped."]

    play(story())


def test_another_that_is_found_takes_its_place_as_long_as_nothing_was_counted() -> None:
    async def story() -> None:
        told: list[str] = []
        looker = Looker(Choice("istio", "a mesh counts"))
        async with a_world(looker, told) as world:
            world.open(plan(), NAMESPACE)
            looker.may_say.set()
            await asyncio.sleep(0.1)
            assert profile_read(world) == "istio"
        assert told == ["Numbers are read by the metrics profile istio: a mesh counts."]

    play(story())


class Played:
    """Prometheus servers behind the bounded client, by their host: what they do, and how long they take."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.asked: Counter[str] = Counter()

    def client(self, *, most_bytes: int, **_: Any) -> Any:
        """In place of the real one, with its bounds."""
        bounds[most_bytes] += 1
        return Client(self, most_bytes)


bounds: Counter[int] = Counter()


class Client:
    """One connection to it."""

    def __init__(self, played: Played, most_bytes: int) -> None:
        self._played, self._most_bytes = played, most_bytes

    async def post(
        self, url: str, *, seconds: float, form: Mapping[str, str], take: Take, **_: object
    ) -> BoundedAnswer:
        """An answer, if it comes in time and is not too large."""
        host = url.split("/")[2]
        self._played.asked[host] += 1
        takes, text = self._played.clock.now(), BAD.get(host)
        if host in {"hangs", "drips"}:
            await asyncio.sleep(seconds)
            raise TooSlow(f"no answer within {seconds:g} s")
        await asyncio.sleep(0.05)
        body = text if text is not None else self._good(takes)
        if len(body) > self._most_bytes:
            raise Unavailable("its answer is larger than that")
        take(len(body))
        return BoundedAnswer(200, body)

    def _good(self, now: float) -> str:
        """Both places of the route, the canary's failing from the fifth second on; and a page full of garbage."""
        elapsed = now - EPOCH
        failed = max(elapsed - 5, 0) * 20
        garbage = [server("vllm:time_to_first_token_seconds_bucket", "chat-int4-predictor-5f-x1", "1.7e308", le="abc")]
        return answer(
            [*gateway(0, [(now, elapsed * 80)]), *gateway(1, [(now, elapsed * 20)], [(now, failed)]), *garbage]
        )

    async def close(self) -> None:
        """Nothing to do."""


FLOOD = answer({"metric": {"a": f"{number}"}, "values": [[1, "2"]]} for number in range(100_000))
BAD = {
    "sends-series": FLOOD,
    "sends-60-mib": " " * 60 * 1024 * 1024,
    "sends-4-mib": answer([])[:-3] + '{"metric":{' * 300_000,
    "sends-garbage": answer([{"metric": {"foo": "x"}, "values": [[1, "2"]]}]).replace('"foo":"x"', "foo"),
    "sends-numbers": answer([{"metric": {"pod": 7}, "values": [["x", None]]}]),
    "sends-lists": '{"status":[],"data":{}}',
}
HOSTILE = ("hangs", "drips", *BAD)


def _read_by(
    hosts: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[tuple[float, Counters]], Counter[str]]:
    """What a rollout of the operator's own Prometheus was told at each tick of 20 s, and when; and who was asked."""
    told: list[tuple[float, Counters]] = []
    asked: Counter[str] = Counter()

    async def story() -> None:
        nonlocal asked
        clock = VirtualClock()
        played = Played(clock)
        monkeypatch.setattr("controlplane.operator.cluster_environments.BoundedHttp", played.client)
        registry = Registry.of("http://own", addresses="private")
        world = ClusterEnvironments(MemoryKube(clock), Caches(), clock=clock, prometheus=registry, interval=1.0)
        own = world._fleets["http://own"]
        own.register(("shop", "chat"), places(gates=[TTFT]))
        for host in hosts:
            fleet = world._fleet_on(registry.find("chat", "mallory", f"http://{host}"))
            fleet.register(("mallory", host), places("chat", namespace="mallory"))

        async def tell() -> None:
            told.append((clock.now(), own.newest(("shop", "chat"))))

        ticker = Ticker(world.tick, period=world.period, tally=OperatorCounters(), say=pytest.fail)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(world.run())
            await asyncio.sleep(0)
            ticking = tasks.create_task(ticker.run(tell))
            await clock.sleep(20.5)
            ticking.cancel()
            running.cancel()
        asked = played.asked
        await world.close()

    play(story())
    return told, asked


def test_s14_nothing_that_prometheus_servers_of_plans_do_moves_the_tick_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same numbers at the same times as alone, so a bad canary is taken back at the very same tick."""
    alone, _ = _read_by((), monkeypatch)
    together, asked = _read_by(HOSTILE, monkeypatch)
    assert len(alone) == 21
    assert together == alone
    assert all(at - counters.at == pytest.approx(0.05) for at, counters in together)
    assert alone[-1][1].arms["canary"]["envoy-a/backend/1@100.000"].errors
    assert "bucket bound" in alone[-1][1].problem or "not numbers" in alone[-1][1].problem
    assert asked.keys() == {"own", *HOSTILE}, "and everybody is asked"
    assert asked["hangs"] <= 5, "one question at a time"
    assert bounds[4 * 1024 * 1024] >= len(HOSTILE), "and may send far less than the operator's own"


def test_r4_a_rollout_of_a_plans_own_prometheus_hears_its_numbers_as_they_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not at the next tick of the others."""
    heard: list[float] = []

    async def story() -> None:
        clock = VirtualClock()
        monkeypatch.setattr("controlplane.operator.cluster_environments.BoundedHttp", Played(clock).client)
        registry = Registry.of("http://own", addresses="private")
        world = ClusterEnvironments(MemoryKube(clock), Caches(), clock=clock, prometheus=registry, interval=1.0)
        kept = plan()
        kept = kept.model_copy(deep=True)
        kserve = kept.spec.platform.kserve
        assert kserve is not None
        object.__setattr__(kserve, "prometheus", "http://theirs")
        object.__setattr__(kserve, "metrics_profile", "envoy-gateway")
        world.news = lambda keys: heard.append(clock.now() - began) if KEY in keys else None
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(world.run())
            await asyncio.sleep(0)
            world.open(kept, NAMESPACE)
            began = clock.now()
            await world.tick()
            await clock.sleep(0.5)
            running.cancel()
        await world.close()

    play(story())
    assert heard == [pytest.approx(0.05)]


def test_s14_a_prometheus_that_no_plan_names_any_more_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of edits of one plan leave one connection, and what others read stays as it is."""

    async def story() -> None:
        clock = VirtualClock()
        played = Played(clock)
        monkeypatch.setattr("controlplane.operator.cluster_environments.BoundedHttp", played.client)
        closed: list[str] = []

        async def close(client: Client) -> None:
            closed.append("one")

        monkeypatch.setattr(Client, "close", close)
        registry = Registry.of("http://own", addresses="private")
        world = ClusterEnvironments(MemoryKube(clock), Caches(), clock=clock, prometheus=registry, interval=1.0)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(world.run())
            await asyncio.sleep(0)

            def opened(host: str, namespace: str = NAMESPACE) -> ClusterSite:
                address = {} if host == "own" else {"prometheus": f"http://{host}"}
                return world.open(plan(kserve={**address, "metricsProfile": "envoy-gateway"}), namespace)

            stays, own = opened("theirs", "other"), opened("own", "third")
            site = opened("host-0")
            for number in range(1, 200):
                later = opened(f"host-{number}")  # a standby may have one open while the leader's is not closed yet
                await world.tick()
                site.close()
                site = later
            assert set(world._fleets) == {"http://own", "http://theirs", "http://host-199"}
            assert world._fleets["http://host-199"].places(KEY) is not None
            again = opened("host-199")
            site.close()
            assert world._fleets["http://host-199"].places(KEY) is not None, "somebody else has it open still"
            again.close()
            stays.close()
            own.close()
            assert set(world._fleets) == {"http://own"}
            assert closed == [], "an answer may be on its way"
            await clock.sleep(60)
            assert len(closed) == 201
            running.cancel()
        await world.close()

    play(story())


def test_s14_addresses_out_of_plans_share_what_they_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificates that all the world trusts are most of what a connection takes."""
    made: list[int] = []
    create = ssl.create_default_context

    def context(**given: Any) -> ssl.SSLContext:
        made.append(1)
        return create(**given)

    monkeypatch.setattr(ssl, "create_default_context", context)

    async def story() -> None:
        clock = VirtualClock()
        registry = Registry.of("https://own", addresses="public")
        world = ClusterEnvironments(MemoryKube(clock), Caches(), clock=clock, prometheus=registry, interval=1.0)
        for number in range(20):
            kserve = {"prometheus": f"https://host-{number}.example.com", "metricsProfile": "envoy-gateway"}
            world.open(plan(kserve=kserve), NAMESPACE)
        await world.close()

    play(story())
    assert len(made) == 2, "one is the operator's own"


def test_s14_a_prometheus_that_only_some_may_name_has_less_room_for_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a tenant's own, and what all of them send at once has to fit in the operator's memory."""

    async def story() -> None:
        clock = VirtualClock()
        monkeypatch.setattr("controlplane.operator.cluster_environments.BoundedHttp", Played(clock).client)
        named = {
            "some": RegisteredPrometheus(url="http://some", namespaces=(NAMESPACE,)),
            "all": RegisteredPrometheus(url="http://all"),
        }
        registry = Registry.of("http://own", named=named)
        bounds.clear()
        world = ClusterEnvironments(MemoryKube(clock), Caches(), clock=clock, prometheus=registry, interval=1.0)
        for name in named:
            world.open(plan(kserve={"prometheus": name, "metricsProfile": "envoy-gateway"}), NAMESPACE)
        await world.close()

    play(story())
    assert bounds == {64 * 2**20: 2, 16 * 2**20: 1}


def test_s14_one_of_the_registry_that_sends_too_much_takes_no_memory_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All namespaces may name either; what both send at once has to fit in the operator's memory."""
    told: list[Counters] = []
    refused: list[str] = []
    most = 0

    async def story() -> None:
        nonlocal most
        clock = VirtualClock()
        monkeypatch.setattr("controlplane.operator.cluster_environments.BoundedHttp", Played(clock).client)
        monkeypatch.setattr("controlplane.operator.cluster_environments.MOST_MEMORY_OF_NAMED", 8 * 2**20)
        named = {
            "bad": RegisteredPrometheus(url="http://sends-series"),
            "good": RegisteredPrometheus(url="http://good"),
        }
        registry = Registry.of("http://own", named=named)
        world = ClusterEnvironments(MemoryKube(clock), Caches(), clock=clock, prometheus=registry, interval=1.0)
        bad, good = (world._fleet_on(registry.find("chat", NAMESPACE, name)) for name in named)
        bad.register(("mallory", "chat"), places(namespace="mallory"))
        good.register(("shop", "chat"), places())
        for _ in range(10):
            await asyncio.gather(bad.tick(), good.tick())
            most = max(most, world._memory.taken)
            told.append(good.newest(("shop", "chat")))
            with pytest.raises(Unavailable) as failed:
                bad.newest(("mallory", "chat"))
            refused.append(str(failed.value))
            await clock.sleep(1)
        bad.close()
        good.close()
        assert world._memory.taken == 0
        await world.close()

    play(story())
    assert all(each.problem == "" for each in told)
    assert [later.at - before.at for before, later in itertools.pairwise(told)] == [pytest.approx(1.05)] * 9
    assert all("all that are read at once may take 8 MiB of memory" in each for each in refused)
    assert most <= 16 * 2**20
