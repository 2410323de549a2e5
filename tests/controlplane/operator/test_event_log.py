"""Histories in a kind of their own: what is kept, how it grows, and what an earlier build left elsewhere."""

import json
from typing import Any

import pytest

from canary.errors import ExternalError
from controlplane.adapters.system_clock import SystemClock
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.resources import CONFIG_MAP, MODEL_CANARY, ROLLOUT_HISTORY
from controlplane.operator.event_log import ALERTS, EVENTS, LONGEST_LINE, EventLog, said_in
from testing.fake_apiserver.kube import MemoryKube
from tests.canary.rollouts import an_event
from tests.controlplane.operator.town import NAME, PLACE, a_canary


def _owned() -> tuple[MemoryKube, Object]:
    kube = MemoryKube(SystemClock())
    kube.seed(MODEL_CANARY, a_canary())
    return kube, kube.objects(MODEL_CANARY)[PLACE, NAME]


def _left_by_an_earlier_build(kube: MemoryKube, *numbers: int) -> None:
    """A ConfigMap with these events of the first attempt, and an alert."""
    lines = [json.dumps({"attempt": 1, **_plain(number)}, separators=(",", ":")) for number in numbers]
    data = {EVENTS: "".join(f"{line}\n" for line in lines), ALERTS: '{"id":"sent/1"}\n'}
    kube.seed(CONFIG_MAP, {"metadata": {"namespace": PLACE, "name": f"{NAME}-history"}, "data": data})


def _plain(number: int) -> dict[str, Any]:
    from canary.serial import event_to_text

    told: dict[str, Any] = json.loads(event_to_text(an_event(number)))
    return told


async def test_s10_a_history_is_no_config_map_so_that_nobody_needs_a_right_on_those() -> None:
    """Neither to write it, nor to read it, nor to grow it."""
    kube, owner = _owned()
    books = EventLog(kube, PLACE)
    for number in (1, 2):
        books.note(NAME, 1, [an_event(number)])
        await books.flush(NAME, owner)
    assert [event.id for event in await books.read(NAME, 1)] == [an_event(1).id, an_event(2).id]
    assert {asked.resource for asked in kube.counts} == {"rollouthistories"}
    (book,) = kube.objects(ROLLOUT_HISTORY).values()
    assert book["metadata"]["ownerReferences"][0]["uid"] == owner["metadata"]["uid"]


async def test_what_an_earlier_build_kept_is_taken_over_once_with_its_alerts() -> None:
    kube, owner = _owned()
    _left_by_an_earlier_build(kube, 1, 2)
    books = EventLog(kube, PLACE, earlier=True)
    assert len(await books.read(NAME, 1)) == 2
    assert await books.lines(NAME, ALERTS) == ['{"id":"sent/1"}']
    books.note(NAME, 1, [an_event(2), an_event(3)])
    await books.flush(NAME, owner)
    (book,) = kube.objects(ROLLOUT_HISTORY).values()
    assert [json.loads(line)["id"] for line in book["data"][EVENTS].splitlines()] == [an_event(n).id for n in (1, 2, 3)]
    assert book["data"][ALERTS] == '{"id":"sent/1"}\n'
    before = sum(count for asked, count in kube.counts.items() if asked.resource == "configmaps")
    books.note(NAME, 1, [an_event(4)])
    await books.flush(NAME, owner)
    assert len(await books.read(NAME, 1)) == 4
    assert sum(count for asked, count in kube.counts.items() if asked.resource == "configmaps") == before


async def test_nobody_looks_into_config_maps_without_being_asked_to() -> None:
    kube, owner = _owned()
    _left_by_an_earlier_build(kube, 1, 2)
    books = EventLog(kube, PLACE)
    books.note(NAME, 1, [an_event(3)])
    await books.flush(NAME, owner)
    assert [event.id for event in await books.read(NAME, 1)] == [an_event(3).id]


async def test_an_attempt_of_an_earlier_build_is_still_shown_beside_a_newer_history() -> None:
    """To people, who may read ConfigMaps by rights of their own; by an operator that took nothing over."""
    kube, owner = _owned()
    _left_by_an_earlier_build(kube, 1, 2)
    mine = EventLog(kube, PLACE)
    mine.note(NAME, 2, [an_event(1)])
    await mine.flush(NAME, owner)
    assert len(await EventLog(kube, PLACE, earlier=True).read(NAME, 1)) == 2
    assert len(await EventLog(kube, PLACE, earlier=True).read(NAME, 2)) == 1


async def test_a_cluster_without_the_kind_says_whose_turn_it_is() -> None:
    kube, owner = _owned()
    kube.missing.add(ROLLOUT_HISTORY)
    books = EventLog(kube, PLACE)
    books.note(NAME, 1, [an_event(1)])
    with pytest.raises(ExternalError, match="applies manifests/crd"):
        await books.flush(NAME, owner)
    assert books.waiting(NAME) == 1


FOREIGN = {
    "no JSON": "nonsense",
    "a list": "[1, 2]",
    "a number": "5",
    "no event": '{"attempt":1,"id":"chat/1/9"}',
    "deep": '{"attempt":1,"id":' + "[" * 20_000,
    "long": '{"attempt":1,"id":"' + "x" * LONGEST_LINE + '"}',
    "an event at no time": '{"attempt":1,"id":5,"at":1e999}',
}


@pytest.mark.parametrize("line", FOREIGN.values(), ids=FOREIGN)
async def test_s14_a_line_that_is_not_ours_hides_no_event_and_keeps_none_from_being_written(line: str) -> None:
    """Whoever may edit a history may write anything into it."""
    kube, owner = _owned()
    books = EventLog(kube, PLACE)
    books.note(NAME, 1, [an_event(1)])
    await books.flush(NAME, owner)
    kept = kube.objects(ROLLOUT_HISTORY)[PLACE, NAME]["data"]
    text = f"{line}\n{kept[EVENTS]}{line}\n"
    await kube.acting_as("admin").patch(ROLLOUT_HISTORY, PLACE, NAME, {"data": {EVENTS: text}})
    books.note(NAME, 1, [an_event(2)])
    await books.flush(NAME, owner)
    assert [each.id for each in await EventLog(kube, PLACE).read(NAME, 1)] == ["chat/1/1", "chat/1/2"]


def test_what_a_line_says_is_an_object_or_nothing() -> None:
    assert said_in('{"a": 1}') == {"a": 1}
    for name in ("no JSON", "a list", "a number", "deep", "long"):
        assert said_in(FOREIGN[name]) is None
