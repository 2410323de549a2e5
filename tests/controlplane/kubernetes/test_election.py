"""One leader at a time, whatever happens to processes and to the API server. All in virtual time."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from canary.errors import Unavailable
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.election import DURATION_SECONDS, GIVE_UP, Election
from controlplane.kubernetes.resources import LEASE
from controlplane.simulation.clock import VirtualClock
from testing.fake_apiserver.kube import MemoryKube
from tests.controlplane.kubernetes.stories import story

FROZEN = 1e6
"""Seconds that a frozen server takes to answer: longer than anybody waits."""


class Replica:
    """One candidate with its own connection, and what its work did: (began, ended or None, fence)."""

    def __init__(self, server: MemoryKube, identity: str, ending: float = 0.0) -> None:
        self.kube = server.acting_as("serinus")
        self.told: list[str] = []
        self.terms: list[tuple[float, float | None, int]] = []
        self.election = Election(self.kube, "serinus", "leader", identity, clock=server.clock, tell=self.told.append)
        self._ending = ending
        """Seconds that its work needs to stop."""
        self.working = False

    async def run(self) -> None:
        """Lead whenever possible."""
        await self.election.lead(self.work)

    async def work(self, fence: int) -> None:
        """Lead until cancelled, then take a while to stop."""
        began, self.working = _now(), True
        try:
            await asyncio.Event().wait()
        finally:
            if self._ending:
                await asyncio.sleep(self._ending)
            self.working = False
            self.terms.append((began, _now(), fence))


class Cluster:
    """Candidates on one server; notes every moment at which two of them worked."""

    def __init__(self, tasks: asyncio.TaskGroup, clock: VirtualClock) -> None:
        self.server = MemoryKube(clock)
        self.replicas: list[Replica] = []
        self._tasks = tasks
        self._running: dict[str, asyncio.Task[None]] = {}

    def start(self, identity: str, *, ending: float = 0.0) -> Replica:
        """A new candidate."""
        replica = Replica(self.server, identity, ending)
        self.replicas.append(replica)
        self._running[identity] = self._tasks.create_task(replica.run())
        return replica

    async def stop(self, identity: str) -> None:
        """In order, as on SIGTERM."""
        self._running[identity].cancel()
        await asyncio.wait([self._running[identity]])

    def kill(self, replica: Replica) -> None:
        """As `kill -9` does it: no further word of it reaches the server."""
        replica.kube.down = True

    def lease(self) -> Object:
        """The Lease as it is now."""
        return self.server.objects(LEASE)["serinus", "leader"]

    async def pass_time(self, seconds: float) -> None:
        """Wait, and look many times a second whether more than one works."""
        end = _now() + seconds
        while _now() < end:
            await asyncio.sleep(0.05)
            working = [each for each in self.replicas if each.working]
            assert len(working) <= 1


@asynccontextmanager
async def cluster(jumps: Callable[[float], float] = lambda _t: 0.0) -> AsyncIterator[Cluster]:
    """An empty cluster whose candidates are stopped at the end; `jumps`: by how much its wall clocks are off, when."""
    async with asyncio.TaskGroup() as tasks:
        made = Cluster(tasks, VirtualClock(jumps))
        yield made
        for task in made._running.values():
            task.cancel()


def _now() -> float:
    return asyncio.get_running_loop().time()


@story
async def test_the_first_candidate_leads_at_once_and_others_wait() -> None:
    async with cluster() as made:
        a, b = made.start("a"), made.start("b")
        await made.pass_time(60)
        assert (a.working, b.working) == (True, False)
        assert b.election.holder == "a"
        assert (a.election.leading, a.election.certain, b.election.leading, b.election.certain) == (1, 1, 0, 0)


@story
async def test_the_lease_is_written_as_other_tools_expect_it() -> None:
    """UTC with microseconds, the seconds it lasts, who has it and how often it changed hands."""
    async with cluster() as made:
        made.start("a")
        await made.pass_time(5)
        spec = made.lease()["spec"]
        held = (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"])
        assert held == ("a", DURATION_SECONDS, 1)
        assert all(re.fullmatch(r"2026-01-01T00:00:0\d\.\d{6}Z", spec[name]) for name in ("acquireTime", "renewTime"))
        assert spec["renewTime"] > spec["acquireTime"]


@story
async def test_a_killed_leader_is_succeeded_within_ten_seconds() -> None:
    for killed_after in (0.1, 0.7, 1.3, 1.9, 2.1):
        async with cluster() as made:
            a = made.start("a")
            await made.pass_time(10)
            b = made.start("b")
            await made.pass_time(10 + killed_after)
            made.kill(a)
            await made.pass_time(10)
            assert b.working
            assert not a.working


@story
async def test_a_stopped_leader_is_succeeded_within_two_seconds() -> None:
    """It gives the lease back once its work has ended."""
    async with cluster() as made:
        a, b = made.start("a"), made.start("b")
        await made.pass_time(10)
        await made.stop("a")
        assert a.terms
        assert made.lease()["spec"]["holderIdentity"] == ""
        await made.pass_time(2)
        assert b.working


@story
async def test_a_renewal_under_way_at_the_stop_does_not_keep_the_lease() -> None:
    """Whose answer was not waited for, but which went through."""
    async with cluster() as made:
        a, b = made.start("a"), made.start("b")
        await made.pass_time(1)
        a.kube.fail_next(Unavailable("the answer was lost"), verb="patch", after=True)
        await made.pass_time(1.2)
        await made.stop("a")
        await made.pass_time(2)
        assert b.working


@story
async def test_r2_a_leader_on_a_frozen_server_stops_within_the_lease_by_its_own_clock() -> None:
    """No answer, no error, nothing: the server is stopped, or the network is gone."""
    async with cluster() as made:
        a = made.start("a")
        await made.pass_time(11)
        a.kube.latency = FROZEN
        frozen = _now()
        await made.pass_time(DURATION_SECONDS)
        assert not a.working
        assert a.terms[0][1] is not None
        assert a.terms[0][1] - frozen <= GIVE_UP * DURATION_SECONDS
        assert f"could not be renewed for {GIVE_UP * DURATION_SECONDS:g} s" in a.told[-1]


@story
async def test_slow_work_has_ended_before_it_is_said_that_the_lead_is_lost() -> None:
    async with cluster() as made:
        a = made.start("a", ending=1.5)
        await made.pass_time(5)
        a.kube.latency = FROZEN
        while a.election.leading:
            await made.pass_time(0.1)
            assert len(a.told) == (1 if a.working else 2)
        assert not a.working


@story
async def test_r2_a_partitioned_leader_and_its_successor_never_work_together() -> None:
    """The leader loses its connection for half a minute, again and again; the other one takes over each time."""
    async with cluster() as made:
        a, b = made.start("a", ending=1.0), made.start("b", ending=1.0)
        for cut in [a, b] * 3:
            await made.pass_time(15)
            cut.kube.latency = FROZEN
            await made.pass_time(25)
            cut.kube.latency = 0.0
        fences = sorted((began, fence) for each in (a, b) for began, _, fence in each.terms)
        assert [fence for _, fence in fences] == list(range(1, len(fences) + 1))
        assert len(fences) >= 6


@story
async def test_r2_every_term_has_a_higher_fence_even_if_the_lease_is_deleted() -> None:
    async with cluster() as made:
        a, b = made.start("a"), made.start("b")
        for _ in range(3):
            await made.pass_time(20)
            await made.server.delete(LEASE, "serinus", "leader")
        await made.pass_time(20)
        fences = [fence for _, fence in sorted((began, fence) for each in (a, b) for began, _, fence in each.terms)]
        assert fences == sorted(set(fences))
        assert made.lease()["spec"]["leaseTransitions"] > fences[-1]


@story
async def test_a_leader_whose_lease_was_taken_stops_at_the_next_renewal() -> None:
    async with cluster() as made:
        a = made.start("a")
        await made.pass_time(10)
        await made.server.patch(LEASE, "serinus", "leader", {"spec": {"holderIdentity": "thief"}})
        await made.pass_time(3)
        assert not a.working
        assert "thief has it" in a.told[-1]


@story
async def test_an_annotation_on_the_lease_does_not_end_the_lead() -> None:
    async with cluster() as made:
        a = made.start("a")
        await made.pass_time(10)
        await made.server.patch(LEASE, "serinus", "leader", {"metadata": {"annotations": {"seen": "yes"}}})
        await made.pass_time(20)
        assert a.working
        assert a.terms == []


@story
async def test_a_lost_answer_to_a_renewal_does_not_end_the_lead() -> None:
    async with cluster() as made:
        a = made.start("a")
        await made.pass_time(10)
        a.kube.fail_next(Unavailable("reset"), verb="patch", after=True)
        await made.pass_time(20)
        assert a.working
        assert a.terms == []


@story
async def test_a_short_outage_does_not_end_the_lead_and_is_told_while_it_lasts() -> None:
    async with cluster() as made:
        a = made.start("a")
        await made.pass_time(10)
        a.kube.down = True
        await made.pass_time(3)
        assert "connection refused" in a.election.problem
        a.kube.down = False
        await made.pass_time(20)
        assert a.terms == []
        assert a.election.problem == ""


@story
async def test_r14_a_follower_trusts_what_it_saw_and_no_ones_wall_clock() -> None:
    """A lease renewed long ago by its own words is waited for in full from when it was first seen."""
    async with cluster() as made:
        old = {"holderIdentity": "z", "leaseDurationSeconds": 8, "leaseTransitions": 41}
        times = {"acquireTime": "2001-01-01T00:00:00.000000Z", "renewTime": "2001-01-01T00:00:00.000000Z"}
        made.server.seed(LEASE, {"metadata": {"namespace": "serinus", "name": "leader"}, "spec": old | times})
        a = made.start("a")
        await made.pass_time(7.9)
        early = a.working
        await made.pass_time(0.3)
        assert (early, a.working) == (False, True)
        assert made.lease()["spec"]["leaseTransitions"] == 42


@story
async def test_a_candidate_waits_for_a_server_that_is_away_at_its_start() -> None:
    async with cluster() as made:
        a = made.start("a")
        a.kube.down = True
        await made.pass_time(60)
        assert "connection refused" in a.election.problem
        a.kube.down = False
        await made.pass_time(1)
        assert a.working


@story
async def test_work_that_fails_gives_the_lease_back_and_is_heard_of() -> None:
    server = MemoryKube(VirtualClock())
    election = Election(server, "serinus", "leader", "a", clock=server.clock)

    async def failing(_fence: int) -> None:
        await asyncio.sleep(5)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await election.lead(failing)
    assert server.objects(LEASE)["serinus", "leader"]["spec"]["holderIdentity"] == ""
    assert not election.leading


@story
async def test_work_that_is_done_ends_the_lead() -> None:
    server = MemoryKube(VirtualClock())
    election = Election(server, "serinus", "leader", "a", clock=server.clock)
    await election.lead(asyncio.sleep)
    assert server.objects(LEASE)["serinus", "leader"]["spec"]["holderIdentity"] == ""


@story
async def test_r2_no_more_than_one_of_many_candidates_wins_a_free_lease() -> None:
    """All find it free in the same moment; the server takes the first write."""
    async with cluster() as made:
        for number in range(10):
            replica = made.start(f"r{number}")
            replica.kube.latency = 0.05
        await made.pass_time(30)
        assert sum(each.working for each in made.replicas) == 1


@pytest.mark.parametrize("hours", [8, -8])
def test_r14_a_wall_clock_that_leaps_changes_no_leader(hours: int) -> None:
    """Only ages by a clock that nobody sets count, whatever the Lease's renewTime says."""

    @story
    async def leaps() -> None:
        async with cluster(lambda t: 3600.0 * hours if t > 30 else 0.0) as made:
            a, b = made.start("a"), made.start("b")
            await made.pass_time(60)
            assert (a.working, a.terms, b.terms) == (True, [], [])
            assert a.election.certain
            made.kill(a)
            await made.pass_time(2 * DURATION_SECONDS)
            assert (a.working, b.working) == (False, True)

    leaps()
