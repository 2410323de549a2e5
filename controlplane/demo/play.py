"""Acts the demo out: real processes, a real Envoy, real requests; afterwards nothing is left running.

Called by `serinus demo`. The rollouts are carried out by `controlplane.program` as any other; the demo adds the load,
makes one canary sick, and counts.
"""

import asyncio
import copy
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from canary.format import share
from canary.rollout import Event, Rollout
from canary.snapshot import Snapshot
from canary.spec.models import ModelCanary
from controlplane.adapters.state_dir import locked
from controlplane.adapters.system_clock import SystemClock
from controlplane.demo import knobs
from controlplane.demo.script import ACTS, MODEL, TROUBLE, ScriptedRollout
from controlplane.demo.story import Counted, Scene, keys_of_the_end
from controlplane.program import Audience, Serving, run_rollout, stop_all
from controlplane.sample.load import SampleLoad, Stats
from controlplane.view.watcher import Watcher

Extra = Callable[[Event], Mapping[str, Any]]
OpenView = Callable[[ModelCanary, Extra], Watcher]


class Demo:
    """Two rollouts under one load."""

    def __init__(self, world: Path, *, rate: float, open_view: OpenView, say: Callable[[str], None]) -> None:
        self._world = world
        self._rate = rate
        self._open_view = open_view
        self._say = say
        self._clock = SystemClock()
        self._load: SampleLoad | None = None
        self._doors_open, self._stop_load = asyncio.Event(), asyncio.Event()
        self._users: asyncio.Task[None] | None = None
        self.numbers_from = ""
        """Where the metrics came from, in words."""

    @property
    def stats(self) -> Stats:
        """What became of all requests so far."""
        return self._load.stats if self._load else Stats()

    async def play(self, acts: Sequence[ScriptedRollout] = ACTS) -> list[Scene]:
        """Play the acts in order, while each ends as it should. Raises `ExternalError` where this machine cannot."""
        scenes: list[Scene] = []
        async with asyncio.TaskGroup() as background:
            for act in acts:
                scenes.append(await self._act(act, background))
                if not scenes[-1].as_planned:
                    break
            self._stop_load.set()
            if self._users is not None and self._load is None:
                self._users.cancel()  # nothing was ever served, and they would wait for ever
        return scenes

    async def _act(self, act: ScriptedRollout, background: asyncio.TaskGroup) -> Scene:
        plan = act.plan()
        before = copy.deepcopy(self.stats)
        self._say(f"{act.number} of {len(ACTS)}: {act.title}.")

        def extra(event: Event) -> Mapping[str, Any]:
            if event.event != "end":
                return {}
            return keys_of_the_end(Counted.between(before, self.stats), trouble.began)

        view = self._open_view(plan, extra)
        trouble = Trouble(act, view.say, self._clock.now)

        def serving(at: Serving) -> None:
            if not self.numbers_from:
                view.say(f"Clients connect to http://{at.address}. Metrics: {at.metrics}.")
                self._users = background.create_task(self._send(at.address))
            self.numbers_from = at.metrics
            trouble.replicas = at.replicas

        def update(rollout: Rollout, seen: Snapshot) -> None:
            view.update(rollout, seen)
            if seen.stable.usable:
                self._doors_open.set()
            if trouble.is_due(rollout):
                background.create_task(trouble.begin())

        audience = Audience(say=view.say, event=view.event, update=update, serving=serving)
        try:
            rollout = await self._carry_out(plan, audience)
        finally:
            view.close()
        return Scene(act, plan.spec, rollout, Counted.between(before, self.stats), trouble.began)

    async def _carry_out(self, plan: ModelCanary, audience: Audience) -> Rollout:
        """One rollout, to its end. The demo of GitOps has it brought by a commit instead."""
        return await run_rollout(plan, state=self._world, keep=True, audience=audience)

    async def _send(self, address: str) -> None:
        """The users: from the moment when stable serves until the last act is over."""
        host, _, port = address.rpartition(":")
        await self._doors_open.wait()  # knocking earlier would count as stable's failures
        await knobs.until_served(address)
        self._load = SampleLoad(host, int(port), rate=self._rate, model=MODEL)
        await self._load.run(self._stop_load)


class Trouble:
    """Makes a canary sick once, at the moment that the script says."""

    def __init__(self, act: ScriptedRollout, say: Callable[[str], None], now: Callable[[], float]) -> None:
        self._act = act
        self._say = say
        self._now = now
        self._told = False
        self.replicas: Callable[[], Mapping[Any, Mapping[str, str]]] = dict
        """Addresses of the ready replicas by arm and name."""
        self.began: float | None = None
        """When the canary had become sick."""

    def is_due(self, rollout: Rollout) -> bool:
        """Whether the moment has come; true once."""
        due = not self._told and self._act.trouble_begins(rollout)
        self._told = self._told or due
        return due

    async def begin(self) -> None:
        """Turn the knobs of every replica of the canary."""
        for address in self.replicas().get("canary", {}).values():
            await knobs.turn(address, TROUBLE)
        self.began = self._now()
        self._say(
            f"{self._act.canary} is sick from now on: slow, and {share(TROUBLE['error_rate'])} of its answers fail."
        )


@asynccontextmanager
async def held_world(folder: Path) -> AsyncIterator[Path]:
    """An empty folder for the demo's world, held for it alone; whatever serves from it is stopped, before and after.

    What is left in it afterwards are logs and the rollouts' history. Raises `BadInput` when another demo holds it.
    """
    with locked(folder):
        world = folder / "world"
        await stop_all(world)  # of a demo that was killed
        await asyncio.to_thread(shutil.rmtree, world)
        try:
            yield world
        finally:
            await asyncio.shield(stop_all(world))
