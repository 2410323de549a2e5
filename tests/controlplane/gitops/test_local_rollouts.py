"""The rollouts of this machine: one at a time for each name, replaced and left without anything being begun twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from canary.errors import BadInput, ExternalError
from canary.judge import compile_gates
from canary.machine import begin
from canary.rollout import Phase, Rollout
from canary.spec import revision
from canary.spec.models import ModelCanary
from canary.spec.parse import parse
from controlplane.adapters.system_clock import SystemClock
from controlplane.gitops.local_rollouts import LocalRollouts
from controlplane.program import Audience, Controls
from tests.controlplane.gitops.town import file
from tests.virtual import in_virtual_time


def plan(canary: str, name: str = "chat") -> ModelCanary:
    return parse(file(name, canary), "canary.yml")


class Machine:
    """Refuses until it is told not to; then goes on until it is left."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.open: list[str] = []
        self.finishes: set[str] = set()
        """Canaries whose rollouts are over at once."""
        self.refuses = asyncio.Event()
        self.error: Exception = ExternalError("The port is in use.")

    async def __call__(
        self, plan: ModelCanary, *, state: Path, keep: bool, audience: Audience, controls: Controls
    ) -> Rollout:
        """One rollout."""
        name = plan.spec.canary.name
        self.begun.append(name)
        if self.refuses.is_set():
            raise self.error
        if name in self.finishes:
            rollout = begin(
                compile_gates(plan.spec), name=plan.metadata.name, revision=revision(plan), attempt=1, now=0.0
            )
            return replace(rollout, phase=Phase.SUCCEEDED, result="promoted")
        assert plan.metadata.name not in self.open
        self.open.append(plan.metadata.name)
        await controls.leave.wait()
        self.open.remove(plan.metadata.name)
        return begin(compile_gates(plan.spec), name=plan.metadata.name, revision=revision(plan), attempt=1, now=0.0)


class Yard:
    """A fleet with that machine."""

    def __init__(self, folder: Path) -> None:
        self.machine = Machine()
        self.said: list[str] = []
        self.faults: list[ExternalError] = []
        """What goes wrong when ends are told, in turn."""
        self.ended: list[str] = []
        self.fleet = LocalRollouts(
            lambda name: folder / name,
            self.machine,
            clock=SystemClock(),
            audience=lambda _plan: Audience(),
            ended=self._ended,
            say=self.said.append,
        )

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[LocalRollouts]:
        """The fleet at work; it leaves at the end of the block."""
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            self.fleet.open(tasks)
            yield self.fleet
            self.fleet.leave()

    async def begun(self, *canaries: str) -> None:
        """Wait until exactly these were begun."""
        while self.machine.begun != list(canaries):  # noqa: ASYNC110 - the fleet tells nobody
            await asyncio.sleep(0.005)

    async def _ended(self, name: str, rollout: Rollout, withdrawn: bool) -> None:
        if self.faults:
            raise self.faults.pop()
        assert rollout.finished
        self.ended.append(name)


@in_virtual_time
async def test_a_newer_plan_takes_the_place_of_an_older_one_and_never_runs_beside_it(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    async with yard.busy() as fleet:
        fleet.start(plan("v2"))
        fleet.start(plan("other", "other"))
        await yard.begun("v2", "other")
        fleet.start(plan("v3"))
        fleet.start(plan("v4"))
        assert fleet.wants("chat") == revision(plan("v4"))
        await yard.begun("v2", "other", "v4")
    assert not fleet.is_running("chat")


@pytest.mark.parametrize("error", [ExternalError("The port is in use."), ExceptionGroup("two", [BadInput("Held.")])])
@in_virtual_time
async def test_a_plan_that_is_replaced_while_it_waits_is_not_tried_again(tmp_path: Path, error: Exception) -> None:
    """What follows it begins at once."""
    yard = Yard(tmp_path)
    yard.machine.error = error
    yard.machine.refuses.set()
    async with yard.busy() as fleet:
        fleet.start(plan("v2"))
        await yard.begun("v2")
        await asyncio.sleep(0.05)
        yard.machine.refuses.clear()
        fleet.start(plan("v3"))
        await yard.begun("v2", "v3")
    assert len(yard.said) == 1
    assert yard.said[0].endswith("It is tried again.")


@in_virtual_time
async def test_an_end_that_cannot_be_noted_down_is_told_again_before_the_next_plan_begins(tmp_path: Path) -> None:
    """Otherwise a rollback would never reach git."""
    yard = Yard(tmp_path)
    yard.machine.finishes = {"v2"}
    yard.faults = [ExternalError("The disk is full."), ExternalError("The disk is full.")]
    async with yard.busy() as fleet:
        fleet.start(plan("v2"))
        await asyncio.sleep(0)
        fleet.start(plan("v3"))
        await yard.begun("v2", "v3")
        assert yard.ended == ["chat"]
    assert yard.said == ["chat: its end could not be noted down: The disk is full. That is tried again."] * 2


@in_virtual_time
async def test_leaving_while_something_waits_begins_nothing_more(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    yard.machine.refuses.set()
    async with yard.busy() as fleet:
        fleet.start(plan("v2"))
        await yard.begun("v2")
        await asyncio.sleep(0.05)
    assert yard.machine.begun == ["v2"]


async def test_a_plan_that_could_never_begin_is_withdrawn_without_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to give back and nobody to tell."""
    monkeypatch.setattr("controlplane.gitops.local_rollouts.FIRST_WAIT", 0.3)
    yard = Yard(tmp_path)
    yard.machine.refuses.set()
    async with yard.busy() as fleet:
        fleet.start(plan("v2"))
        await yard.begun("v2")
        fleet.withdraw("chat", "its file is gone")
        assert fleet.wants("chat") == ""
        while fleet.is_running("chat"):  # noqa: ASYNC110 - the fleet tells nobody
            await asyncio.sleep(0.005)
