"""The reflector's cache ends equal to the server's state, whatever happens to lists and watches. In virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from canary.errors import Unavailable
from controlplane.kubernetes.api import SILENCE_SECONDS, KubeRequest, NotFound, Object, TooManyRequests
from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.reflector import MISSING_SECONDS, Reflector, without_managed_fields
from controlplane.kubernetes.resources import POD
from controlplane.simulation.clock import VirtualClock
from testing.fake_apiserver.kube import MemoryKube
from tests.controlplane.kubernetes.stories import story

LIST, WATCH = KubeRequest.of("list", POD), KubeRequest.of("watch", POD)


def a_pod(name: str, phase: str = "Pending", namespace: str = "models") -> Object:
    return {"metadata": {"namespace": namespace, "name": name, "labels": {"app": "chat"}}, "status": {"phase": phase}}


class Followed:
    """A server in memory with a reflector that follows its pods."""

    def __init__(self, kube: MemoryKube) -> None:
        self.kube = kube
        self.cache = Cache(POD)
        self.told: list[str] = []
        self.cache.on_change(self._tell)
        self.reflector = Reflector(kube, POD, self.cache, clock=kube.clock, uniform=lambda low, _high: low)

    def _tell(self, before: Object | None, after: Object | None) -> None:
        name = (after or before or {})["metadata"]["name"]
        sign = "+" if before is None else "-" if after is None else "~"
        self.told.append(f"{sign}{name}")

    @property
    def names(self) -> list[str]:
        return sorted(each["metadata"]["name"] for each in self.cache.items())

    def assert_equal(self) -> None:
        """The cache holds exactly what the server does."""
        held = {(each["metadata"]["namespace"], each["metadata"]["name"]): each for each in self.cache.items()}
        assert held == self.kube.objects(POD)


@asynccontextmanager
async def following(*names: str) -> AsyncIterator[Followed]:
    """A reflector that has synced, on a server with these pods."""
    kube = MemoryKube(VirtualClock())
    kube.seed(POD, *map(a_pod, names))
    followed = Followed(kube)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(followed.reflector.run())
        await followed.reflector.synced.wait()
        await asyncio.sleep(0.1)
        yield followed
        running.cancel()


@story
async def test_what_is_there_and_what_happens_reaches_the_cache() -> None:
    async with following("a", "b") as followed:
        assert followed.names == ["a", "b"]
        followed.kube.seed(POD, a_pod("c"), a_pod("a", "Running"))
        await followed.kube.delete(POD, "models", "b")
        await asyncio.sleep(0.1)
        followed.assert_equal()
        assert followed.told == ["+a", "+b", "+c", "~a", "-b"]


@story
async def test_a_quiet_server_is_asked_for_nothing_but_its_watch() -> None:
    """In an hour: one list, and a watch every five minutes."""
    async with following("a") as followed:
        await asyncio.sleep(3600)
        assert followed.kube.counts[LIST] == 1
        assert followed.kube.counts[WATCH] <= 13
        assert followed.reflector.problem == ""


@story
async def test_a_watch_that_ends_goes_on_where_it_was() -> None:
    """Without another list, and without telling anything twice."""
    async with following("a") as followed:
        followed.kube.break_watches()
        followed.kube.seed(POD, a_pod("b"))
        await asyncio.sleep(5)
        followed.assert_equal()
        assert followed.told == ["+a", "+b"]
        assert followed.kube.counts[LIST] == 1


@story
async def test_r3_a_broken_watch_is_opened_again_after_a_short_wait() -> None:
    async with following("a") as followed:
        followed.kube.break_watches(Unavailable("connection reset"))
        followed.kube.seed(POD, a_pod("b"))
        await asyncio.sleep(0.5)
        assert "connection reset" in followed.reflector.problem
        await asyncio.sleep(1)
        followed.assert_equal()
        assert followed.kube.counts[LIST] == 1


@story
async def test_r3_an_expired_watch_is_replaced_by_a_list_at_once() -> None:
    async with following("a", "b") as followed:
        followed.kube.compact(watches=True)
        await followed.kube.delete(POD, "models", "a")
        followed.kube.seed(POD, a_pod("c"))
        await asyncio.sleep(0.1)
        followed.assert_equal()
        assert followed.told == ["+a", "+b", "-a", "+c"]
        assert followed.kube.counts[LIST] == 2


@story
async def test_r3_a_version_that_is_gone_after_an_absence_is_listed_again() -> None:
    async with following("a", "b") as followed:
        followed.kube.stop()
        followed.kube.server.delete(POD, ("models", "a"))
        followed.kube.seed(POD, a_pod("c"))
        followed.kube.compact()
        await asyncio.sleep(20)
        assert followed.names == ["a", "b"]
        followed.kube.down = False
        await asyncio.sleep(40)
        followed.assert_equal()
        assert followed.told == ["+a", "+b", "-a", "+c"]


@story
async def test_r3_a_server_that_expires_every_watch_is_not_asked_in_a_fast_loop() -> None:
    async with following("a") as followed:
        followed.kube.server.version += 10
        for _ in range(600):
            followed.kube.compact(watches=True)
            await asyncio.sleep(0.1)
        assert followed.kube.counts[LIST] <= 60 / 0.8 + 2


@story
async def test_r3_a_silent_watch_is_given_up_and_nothing_is_lost() -> None:
    """A connection that died without a word: bookmarks are missed, then it is opened anew from the same version."""
    async with following("a") as followed:
        followed.kube.stalled = True
        followed.kube.seed(POD, a_pod("b"))
        await asyncio.sleep(SILENCE_SECONDS + 0.5)
        assert "not even a bookmark" in followed.reflector.problem
        followed.kube.stalled = False
        await asyncio.sleep(3)
        followed.assert_equal()
        assert followed.kube.counts[LIST] == 1


@story
async def test_bookmarks_count_as_signs_of_life_and_carry_the_version_on() -> None:
    """After hours of changes to other kinds the watch still goes on from where the server is."""
    async with following("a") as followed:
        followed.kube.server.version += 1000
        await asyncio.sleep(100)
        followed.kube.compact()
        followed.kube.break_watches()
        await asyncio.sleep(10)
        assert followed.kube.counts[LIST] == 1
        assert followed.kube.clock.now() - followed.reflector.heard_at < 61


@story
async def test_r3_a_busy_server_is_left_alone_as_long_as_it_asks() -> None:
    async with following("a") as followed:
        followed.kube.fail_next(TooManyRequests("too many requests", after=17.0), verb="watch")
        watches = followed.kube.counts[WATCH]
        followed.kube.break_watches()
        await asyncio.sleep(16)
        assert followed.kube.counts[WATCH] == watches + 1
        await asyncio.sleep(2)
        assert followed.kube.counts[WATCH] == watches + 2


@story
async def test_waits_between_failures_grow_to_half_a_minute() -> None:
    async with following("a") as followed:
        followed.kube.stop()
        watches = followed.kube.counts[WATCH]
        await asyncio.sleep(600)
        # 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, then every 30 seconds.
        assert 20 <= followed.kube.counts[WATCH] - watches <= 26


@story
async def test_r3_a_server_restored_from_a_backup_is_believed() -> None:
    """Its versions are smaller than before; the next bookmark says so, and a list is the truth."""
    async with following("a", "b") as followed:
        followed.kube.server.version += 500
        followed.kube.seed(POD, a_pod("a", "Running"))
        await asyncio.sleep(1)
        followed.kube.server.restore(2)
        followed.kube.server.seed(POD, a_pod("a", "Failed"))
        await asyncio.sleep(120)
        followed.assert_equal()
        assert "~a" in followed.told[-2:]


@story
async def test_a_kind_that_is_not_installed_is_an_empty_cache_and_found_later() -> None:
    kube = MemoryKube(VirtualClock())
    kube.missing.add(POD)
    followed = Followed(kube)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(followed.reflector.run())
        await followed.reflector.synced.wait()
        assert (followed.cache.synced, followed.cache.missing, followed.names) == (True, True, [])
        assert "could not find the requested resource" in followed.reflector.problem
        kube.missing.clear()
        kube.seed(POD, a_pod("a"))
        await asyncio.sleep(MISSING_SECONDS + 1)
        assert (followed.cache.missing, followed.names, followed.reflector.problem) == (False, ["a"], "")
        running.cancel()


@story
async def test_r3_one_mistaken_not_found_deletes_nothing() -> None:
    """Every reader would think its objects deleted; only the second in a row is believed."""
    async with following("a") as followed:
        followed.kube.fail_next(NotFound("404 page not found"), verb="watch")
        followed.kube.fail_next(NotFound("404 page not found"), verb="list")
        followed.kube.break_watches()
        await asyncio.sleep(100)
        assert followed.names == ["a"]
        assert followed.told == ["+a"]


@story
async def test_a_kind_that_was_uninstalled_empties_its_cache() -> None:
    async with following("a") as followed:
        followed.kube.missing.add(POD)
        followed.kube.break_watches()
        await asyncio.sleep(MISSING_SECONDS + 5)
        await asyncio.sleep(MISSING_SECONDS + 5)
        assert (followed.names, followed.cache.missing) == ([], True)


@story
async def test_r3_a_watch_that_ends_at_once_every_time_is_a_problem_with_growing_waits() -> None:
    async with following("a") as followed:
        watches = followed.kube.counts[WATCH]
        for _ in range(1000):
            followed.kube.break_watches()
            await asyncio.sleep(0.1)
        assert followed.kube.counts[WATCH] - watches < 20
        assert "ends watches as soon as" in followed.reflector.problem


@story
async def test_only_the_asked_namespace_and_labels_are_followed() -> None:
    kube = MemoryKube(VirtualClock())
    other = a_pod("c")
    other["metadata"]["labels"] = {"app": "mail"}
    kube.seed(POD, a_pod("a"), a_pod("b", namespace="elsewhere"), other)
    cache = Cache(POD)
    reflector = Reflector(kube, POD, cache, clock=kube.clock, namespace="models", labels="app=chat")
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(reflector.run())
        await reflector.synced.wait()
        kube.seed(POD, a_pod("d"), a_pod("e", namespace="elsewhere"))
        await asyncio.sleep(0.1)
        assert sorted(each["metadata"]["name"] for each in cache.items()) == ["a", "d"]
        running.cancel()


@story
async def test_what_nobody_reads_is_dropped_before_it_is_kept() -> None:
    kube = MemoryKube(VirtualClock())
    await kube.apply(POD, a_pod("a"))
    cache = Cache(POD)
    reflector = Reflector(kube, POD, cache, clock=kube.clock, slim=without_managed_fields)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(reflector.run())
        await reflector.synced.wait()
        await kube.apply(POD, a_pod("b"))
        await asyncio.sleep(0.1)
        assert len(cache) == 2
        assert all("managedFields" not in each["metadata"] for each in cache.items())
        assert "managedFields" in kube.objects(POD)["models", "a"]["metadata"]
        running.cancel()


@story
async def test_r3_one_object_that_cannot_be_slimmed_hides_no_other() -> None:
    """Neither in a list nor in a watch; what is left of it is who it is."""
    kube, said = MemoryKube(VirtualClock()), list[str]()
    kube.seed(POD, a_pod("a"), a_pod("bad"))
    cache = Cache(POD)
    cache.complain = said.append

    def slim(object_: Object) -> Object:
        if object_["metadata"]["name"] == "bad":
            raise KeyError("spec")
        return object_

    reflector = Reflector(kube, POD, cache, clock=kube.clock, slim=slim)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(reflector.run())
        await reflector.synced.wait()
        kube.seed(POD, a_pod("bad", "Running"), a_pod("z"))
        await asyncio.sleep(0.1)
        running.cancel()
    assert sorted(each["metadata"]["name"] for each in cache.items()) == ["a", "bad", "z"]
    bad = cache.get("models", "bad")
    assert bad is not None
    assert bad.keys() == {"apiVersion", "kind", "metadata"}
    assert said == ["Pod models/bad cannot be understood and is left out: KeyError('spec')"] * 2
    assert reflector.problem == ""


@story
async def test_r3_a_bug_at_an_answer_is_a_problem_and_no_end() -> None:
    """An answer of a shape that nobody expects, from a proxy for example; the next list is read as ever."""
    async with following("a") as followed:
        kube, list_ = followed.kube, followed.kube.list
        broken = True

        async def listed(*arguments: object, **given: object) -> object:
            if broken:
                raise TypeError("string indices must be integers")
            return await list_(*arguments, **given)  # type: ignore[arg-type]  # handed on as it came

        kube.list = listed  # type: ignore[method-assign,assignment]  # what a proxy does to an answer
        kube.compact(watches=True)
        kube.seed(POD, a_pod("b"))
        await asyncio.sleep(5)
        assert "a bug of ours, please report it: TypeError(" in followed.reflector.problem
        assert followed.names == ["a"]
        broken = False
        await asyncio.sleep(60)
        followed.assert_equal()
        assert followed.reflector.problem == ""


@story
async def test_s14_what_had_no_room_is_read_again_once_there_is_some_without_any_change_of_it() -> None:
    """Within a minute, by one list of that namespace alone; until then its server is not asked."""
    async with following() as it:
        it.cache.allowance.most = 30_000
        it.cache.complain = lambda _: None
        kubectl, text = it.kube.acting_as("kubectl"), "x" * 8_000
        for name in ("a", "b", "c"):
            await kubectl.create(POD, {**a_pod(name), "spec": {"text": text}})
        await kubectl.create(POD, {**a_pod("d", namespace="other"), "spec": {"text": text}})
        await asyncio.sleep(500)
        assert [each["metadata"]["name"] for each in it.cache.items() if "spec" in each] == ["a", "b", "d"]
        assert it.kube.counts[LIST] == 1
        await kubectl.delete(POD, "models", "a")
        await asyncio.sleep(61)
        it.assert_equal()
        assert it.told[-1] == "~c"
        await asyncio.sleep(500)
        assert it.kube.counts[LIST] == 2


@story
async def test_s14_what_went_while_it_was_read_again_does_not_come_back() -> None:
    """The list was made before it went, and arrives after that was said."""
    async with following("a") as it:
        pod = it.kube.objects(POD)["models", "a"]
        it.cache.drop(("models", "a"))
        it.cache.put_again(pod)
        assert it.names == []
