"""The operator asks what the variants are before the canary gets traffic, beside its passes and never in them."""

import asyncio
from typing import Any

from canary.snapshot import FingerprintDifference, FingerprintStatus
from controlplane.kubernetes.resources import EVENT
from controlplane.simulation.clock import play
from tests.controlplane.operator.town import Town, a_spec

OTHER = FingerprintDifference("chat_template", "probe:aa", "probe:bb", "the same conversation becomes another prompt")


class Telling:
    """Both variants tell this, after so long."""

    def __init__(self, *differences: FingerprintDifference, after: float = 1.0) -> None:
        self._differences, self._after = differences, after
        self.asked = 0

    async def compare(self) -> FingerprintStatus:
        self.asked += 1
        await asyncio.sleep(self._after)
        return FingerprintStatus(0.0, 0.0, True, self._differences, ("chat_template",))


def rolled_out(identity: Telling, **fingerprint: Any) -> Town:
    """A town after the rollout of a plan with these settings."""

    async def played() -> Town:
        town = Town()
        town.place().identity = identity
        office = town.office()
        async with asyncio.TaskGroup() as tasks:
            living = tasks.create_task(office.live())
            await town.apply(spec={**a_spec(), "fingerprint": fingerprint})
            await town.until(town.at_rest)
            living.cancel()
        assert office.tally.bugs == 0, town.said
        return town

    return play(played())


def test_another_model_gets_no_request_and_kubernetes_hears_why() -> None:
    town = rolled_out(Telling(OTHER), policy="block")
    assert [weights.share for _, weights in town.place().router.history if weights.canary] == []
    assert (town.status()["phase"], town.status()["result"]) == ("RolledBack", "failed")
    notes = [each["note"] for each in town.kube.objects(EVENT).values() if each["reason"] == "FingerprintBlocked"]
    assert "chat template differs" in notes[0]


def test_a_warning_is_an_event_and_the_canary_is_promoted() -> None:
    town = rolled_out(Telling(OTHER))
    assert town.status()["result"] == "promoted"
    assert "FingerprintDiffers" in {each["reason"] for each in town.kube.objects(EVENT).values()}


def test_a_model_that_agrees_is_asked_once() -> None:
    identity = Telling(after=5.0)
    assert rolled_out(identity, policy="block").status()["result"] == "promoted"
    assert identity.asked == 1


def test_a_question_that_hangs_holds_up_neither_the_passes_nor_the_rollout_for_ever() -> None:
    town = rolled_out(Telling(OTHER, after=3600.0), policy="block")
    assert town.status()["result"] == "promoted"
