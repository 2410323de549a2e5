"""What an earlier build left in the middle of a rollout is taken up by this one and comes to the right end.

`tests/golden/earlier_build` was written by the build before the judge's state had a version and histories a kind of
their own: a cluster with a canary at half of the traffic, and a store of one machine. The other way round, a build
refuses in words what a newer one wrote: `tests/controlplane/adapters/test_sqlite_store.py` for one machine, and
`tests/cluster/test_upgrade.py` on a real API server.
"""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from canary.rollout import Phase
from canary.spec.models import Stage
from canary.weights import Weights
from controlplane.adapters.sqlite_store import SqliteStore
from controlplane.kubernetes import resources
from controlplane.kubernetes.api import Resource
from controlplane.kubernetes.resources import CONFIG_MAP, EVENT, MODEL_CANARY, POD, ROLLOUT_HISTORY
from controlplane.operator.event_log import EVENTS
from controlplane.simulation.clock import EPOCH, play
from tests.canary.story import ERRORS, plan
from tests.controlplane.operator.cluster import NAME, PLACE, Cluster
from tests.controlplane.reconcile.desk import Desk

EARLIER = Path(__file__).parents[1] / "golden" / "earlier_build"
PLAN = plan(
    Stage(traffic=0.05, hold=10, gates=(ERRORS,)),
    Stage(traffic=0.5, hold=30, gates=(ERRORS,)),
    Stage(traffic=1.0),
)
"""What was carried out on one machine."""
KINDS = {each.kind: each for each in vars(resources).values() if isinstance(each, Resource)}


def left_behind() -> Cluster:
    """The cluster as the earlier build left it, a moment later."""
    kept = json.loads((EARLIER / "cluster_analyzing.json").read_text())
    cluster = Cluster()
    cluster.clock._jumped = lambda _t: kept["at"] - EPOCH + 5.0
    for each in kept["objects"]:
        cluster.kube.seed(KINDS[each["kind"]], each["object"])
    cluster.numbers._totals, cluster.numbers._at = dict(kept["totals"]), kept["at"]
    return cluster


@pytest.mark.parametrize("bad", [False, True], ids=["good", "bad"])
def test_r10_a_rollout_that_an_earlier_build_began_in_a_cluster_comes_to_the_right_end(bad: bool) -> None:
    """No pod is made anew, no attempt begun, no event lost."""

    async def story() -> None:
        cluster, stop = left_behind(), asyncio.Event()
        before = json.loads(json.dumps(cluster.kube.objects(CONFIG_MAP)[PLACE, f"{NAME}-history"]["data"][EVENTS]))
        pods = {name: pod["metadata"]["uid"] for (_, name), pod in cluster.kube.objects(POD).items()}
        attempt, shares = cluster.status()["state"]["attempt"], cluster.shares()
        cluster.numbers.broken = bad
        async with asyncio.TaskGroup() as tasks:
            living = tasks.create_task(cluster.live())
            tasks.create_task(cluster.operator(earlier_histories=True).run(stop))
            await asyncio.sleep(1.0)
            assert cluster.shares() == shares
            await cluster.until(cluster.at_rest)
            stop.set()
            living.cancel()
        assert (cluster.status()["result"], cluster.status()["state"]["attempt"]) == (
            "rolled_back" if bad else "promoted",
            attempt,
        )
        left = {name: pod["metadata"]["uid"] for (_, name), pod in cluster.kube.objects(POD).items()}
        assert left.items() <= pods.items()
        history = cluster.kube.objects(ROLLOUT_HISTORY)[PLACE, NAME]["data"][EVENTS].splitlines()
        assert history[: len(before.splitlines())] == before.splitlines()
        numbers = [int(json.loads(line)["id"].rpartition("/")[2]) for line in history]
        assert numbers == list(range(1, len(numbers) + 1))
        assert not [each for each in cluster.said if "bug of ours" in each], cluster.said

    play(story())


def test_r10_a_state_in_a_cluster_that_only_a_newer_build_can_read_stays_as_it_is_and_is_said() -> None:
    """By an Event of the object as well; and traffic stays where it is."""

    async def story() -> None:
        cluster, stop = left_behind(), asyncio.Event()
        kept = dict(cluster.status()["state"]) | {"phase": "Rehearsing", "rehearsal": {"round": 1}}
        canary = cluster.kube.objects(MODEL_CANARY)[PLACE, NAME]
        cluster.kube.seed(MODEL_CANARY, canary | {"status": canary["status"] | {"state": kept}})
        shares = cluster.shares()
        async with asyncio.TaskGroup() as tasks:
            living = tasks.create_task(cluster.live())
            tasks.create_task(cluster.operator(earlier_histories=True).run(stop))
            await asyncio.sleep(60.0)
            assert (cluster.shares(), cluster.status()["state"]) == (shares, kept)
            stop.set()
            living.cancel()
        [told] = [each for each in cluster.kube.objects(EVENT).values() if each["reason"] == "StateUnreadable"]
        assert told["regarding"]["name"] == NAME
        assert "Run that operator again and the rollout goes on" in told["note"]

    play(story())


@pytest.mark.parametrize("bad", [False, True], ids=["good", "bad"])
async def test_r10_a_rollout_that_an_earlier_build_kept_on_one_machine_comes_to_the_right_end(
    bad: bool, tmp_path: Path
) -> None:
    """The file is brought to the present format; weights, attempt and events go on."""
    file = tmp_path / "serinus.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript((EARLIER / "store.sql").read_text())
    desk, store = Desk(PLAN), SqliteStore(file)
    desk.store = store  # type: ignore[assignment]  # the real one
    desk.clock.time = 1019.0
    stored = await store.load("desk")
    assert stored is not None
    await desk.platform.run("stable", desk.spec.stable)
    await desk.platform.run("canary", desk.spec.canary)
    await desk.router.set_endpoints(desk.platform.addresses(), desk.platform.endpoints())
    await desk.router.set_weights(Weights.of_share(0.5))
    desk.restart()
    await desk.passes(1)
    assert (desk.rollout.phase, desk.rollout.stage, desk.rollout.attempt) == (Phase.ANALYZING, 1, 1)
    if bad:
        desk.platform.lose("canary", "exit status 1")
    await desk.until(Phase.ROLLED_BACK if bad else Phase.SUCCEEDED)
    numbers = [event.seq for event in await store.history("desk", 1)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > stored.rollout.events
    await store.close()
