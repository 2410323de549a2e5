"""Rollouts of an operator hear new numbers together, and come to what each would have come to by itself."""

import asyncio
import functools
from collections.abc import Sequence

import pytest

from canary import judge
from canary.judge import Heard
from controlplane.operator.hearing import TOGETHER, Hearing
from controlplane.simulation.clock import play
from tests.controlplane.operator.town import Town


class Ear:
    """Hears when it is told to."""

    def __init__(self, *, due: bool = True, lowers: bool = False, alarmed: bool = False) -> None:
        self.evidence_due, self.lowers, self.alarmed = due, lowers, alarmed

    async def listen(self) -> None:
        self.evidence_due = False

    def heard(self) -> Heard | None:
        return None


def due(ears: Sequence[Ear]) -> int:
    return sum(ear.evidence_due for ear in ears)


async def test_the_first_takes_others_along_that_have_something_to_hear() -> None:
    hearing, ears = Hearing(), [Ear() for _ in range(2 * TOGETHER)]
    for ear in ears:
        hearing.join(ear)
    await hearing.hear(ears[-1])
    assert not ears[-1].evidence_due
    assert due(ears) == TOGETHER
    ears[0].evidence_due = True
    await hearing.hear(next(ear for ear in ears if ear.evidence_due))
    assert due(ears) == 1


async def test_one_that_takes_traffic_back_does_not_wait_for_others() -> None:
    hearing, other, urgent = Hearing(), Ear(), Ear(lowers=True)
    hearing.join(other)
    hearing.join(urgent)
    await hearing.hear(urgent)
    assert other.evidence_due
    assert not urgent.evidence_due


async def test_those_whose_numbers_look_bad_hear_them_without_the_others() -> None:
    hearing, others, alarmed = Hearing(), [Ear() for _ in range(3)], [Ear(alarmed=True) for _ in range(2)]
    for ear in (*others, *alarmed):
        hearing.join(ear)
    await hearing.hear(alarmed[0])
    assert (due(alarmed), due(others)) == (0, 3)
    alarmed[1].evidence_due = True
    await hearing.hear(others[0])
    assert (due(alarmed), due(others)) == (1, 0)


async def test_who_has_left_hears_nothing_with_the_others() -> None:
    hearing, gone, first = Hearing(), Ear(), Ear()
    hearing.join(gone)
    hearing.join(first)
    hearing.leave(gone)
    await hearing.hear(first)
    assert gone.evidence_due


def _ended(names: Sequence[str]) -> dict[str, list[tuple[float, str, str]]]:
    """What happened to rollouts that went on side by side, the second one broken."""

    async def played() -> dict[str, list[tuple[float, str, str]]]:
        town = Town()
        office = town.office()
        town.place(names[1]).broken_since = town.clock.now()
        async with asyncio.TaskGroup() as tasks:
            living = tasks.create_task(office.live())
            for name in names:
                await town.apply(name)
            for name in names:
                await town.until(functools.partial(town.at_rest, name))
            living.cancel()
        assert office.tally.bugs == 0, town.said
        return {
            name: [(event.at, event.event, event.message) for event in rollout.history]
            for name in names
            if (rollout := town.rollout(name)) is not None
        }

    return play(played())


def test_rollouts_side_by_side_are_judged_together_and_end_as_they_would_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    together: list[int] = []
    ahead = judge.ahead

    def counted(heard: Sequence[Heard]) -> None:
        together.append(len(heard))
        ahead(heard)

    names = [f"model-{number}" for number in range(4)]
    monkeypatch.setattr(judge, "ahead", counted)
    heard_together = _ended(names)
    monkeypatch.setattr(judge, "ahead", lambda _: None)
    assert heard_together == _ended(names)
    assert max(together) == len(names)
    assert {history[-1][1] for history in heard_together.values()} == {"end"}
