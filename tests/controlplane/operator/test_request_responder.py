"""What nobody understands is answered on the object that holds it, and concerns no other rollout."""

import asyncio

import pytest

from controlplane.kubernetes.resources import EVENT, MODEL_CANARY
from controlplane.operator.request_annotations import MOST_REQUESTS, PREFIX
from controlplane.operator.request_responder import refusal
from controlplane.simulation.clock import play
from tests.controlplane.operator.test_request_annotations import BOMBS
from tests.controlplane.operator.town import NAME, PLACE, Office, Town, plays

OTHER = "other"


def annotated(value: str, key: str = f"{PREFIX}1") -> dict[str, object]:
    return {"metadata": {"annotations": {key: value}}}


@pytest.mark.parametrize("bomb", BOMBS)
def test_s14_one_annotation_ends_nobodys_rollout(bomb: str) -> None:
    """Neither while it runs, nor at the start of the next operator: a broken canary is taken back all the while."""

    async def story() -> None:
        town = Town()
        first = town.office()
        await town.apply()
        await town.apply(OTHER)
        async with asyncio.TaskGroup() as tasks:
            living = tasks.create_task(first.live())
            await town.until(lambda: town.status().get("stage") == 0 and bool(town.status(OTHER)))
            await town.kube.patch(MODEL_CANARY, PLACE, OTHER, annotated(BOMBS[bomb]))
            await asyncio.sleep(0.3)
            assert not living.done()
            living.cancel()
        await town.kube.patch(MODEL_CANARY, PLACE, OTHER, annotated(BOMBS[bomb], f"{PREFIX}2"))
        second = town.office()
        async with asyncio.TaskGroup() as tasks:
            living = tasks.create_task(second.live())
            town.place().broken_since = town.clock.now()
            await town.until(town.at_rest)
            await town.until(lambda: town.at_rest(OTHER))
            await asyncio.sleep(1)
            living.cancel()
        assert town.status()["phase"] == "RolledBack"
        assert town.status(OTHER)["phase"] == "Succeeded"
        told = [each for each in town.kube.objects(EVENT).values() if each["reason"] == "RequestRefused"]
        assert {each["regarding"]["name"] for each in told} == {OTHER}
        assert all("asks for nothing that is known" in each["note"] for each in told)
        left = town.kube.objects(MODEL_CANARY)[PLACE, OTHER]["metadata"].get("annotations") or {}
        assert not any(key.startswith(PREFIX) for key in left)
        assert not [each for each in town.said if "bug of ours" in each]

    play(story())


@plays
async def test_s14_thousands_of_annotations_are_one_event(town: Town, office: Office) -> None:
    """Events of all rollouts wait in one line, which a thousand of one would fill."""
    await town.apply()
    await town.until(lambda: town.status().get("phase") == "Analyzing")
    many = {f"{PREFIX}{number:05}": "frobnicate" for number in range(3_000)}
    await town.kube.patch(MODEL_CANARY, PLACE, NAME, {"metadata": {"annotations": many}})
    await asyncio.sleep(2)
    told = [each["note"] for each in town.kube.objects(EVENT).values() if each["reason"] == "RequestRefused"]
    assert len(told) == 1
    assert "and 2997 more ask for nothing that is known" in told[0]
    assert not town.kube.objects(MODEL_CANARY)[PLACE, NAME]["metadata"].get("annotations")


def test_the_sentence_names_the_first_and_counts_the_rest() -> None:
    assert refusal(["a"]).startswith("The annotation a asks for nothing that is known; expected promote, pause,")
    assert refusal(["a"]).endswith("It was removed.")
    said = refusal([f"{PREFIX}{number}" for number in range(MOST_REQUESTS)])
    assert "and 17 more ask for nothing" in said
    assert said.endswith("They were removed.")
