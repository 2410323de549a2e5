"""The stream over a real port: event lines once each, in order, from where the listener was; states in between."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from controlplane.adapters.sqlite_store import SqliteStore
from controlplane.api import stream
from controlplane.api.stream import MOST_WAITING, StreamChannel, StreamHub
from controlplane.readmodel.local import LocalRollout
from tests.controlplane.adapters.waiting import PATIENCE_S
from tests.controlplane.api import homes
from tests.controlplane.api.serving import Serving, until

PATH = "/api/v1/rollouts/support-llm/stream"


@contextmanager
def listening(served: Serving, last: str = "") -> Iterator[Iterator[tuple[str, str, Any]]]:
    """Messages as (event, id, data)."""
    headers = {"last-event-id": last} if last else {}
    with served.client() as client, client.stream("GET", PATH, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _messages(answer)


def _messages(answer: httpx2.Response) -> Iterator[tuple[str, str, Any]]:
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            if "data" in fields:
                yield fields.get("event", "message"), fields.get("id", ""), json.loads(fields["data"])
            fields = {}


def ids_until_state(messages: Iterator[tuple[str, str, Any]]) -> list[int]:
    """Numbers of the events before the next state."""
    numbers: list[int] = []
    for kind, id_, data in messages:
        if kind == "state":
            assert data["name"] == "support-llm"
            return numbers
        assert id_ == data["id"]
        numbers.append(int(id_.rsplit("/", 1)[1]))
    raise AssertionError("the stream ended before a state")


def test_a_new_listener_gets_the_whole_attempt_and_then_the_state(served: Serving) -> None:
    with listening(served) as messages:
        assert ids_until_state(messages) == [1, 2, 3, 4, 5, 6]


def test_a_listener_that_comes_back_gets_what_it_missed(served: Serving) -> None:
    with listening(served, "support-llm/3/4") as messages:
        assert ids_until_state(messages) == [5, 6]


def test_a_strange_last_id_means_everything(served: Serving) -> None:
    for last in ("nonsense", "support-llm/x/y", "a/b", "support-llm/0/0"):
        with listening(served, last) as messages:
            assert ids_until_state(messages) == [1, 2, 3, 4, 5, 6]


def test_what_happens_is_told_to_every_listener_once(own: Serving) -> None:
    """Two listeners, one of which comes later; then something happens."""
    with listening(own) as first, listening(own, "support-llm/3/6") as second:
        assert ids_until_state(first) == [1, 2, 3, 4, 5, 6]
        assert ids_until_state(second) == []
        rollout = homes.under_way(own.home)
        homes.happen(own.home, rollout, "something happened")
        for messages in (first, second):
            told = next((id_, data) for kind, id_, data in messages if kind == "event")
            assert (told[0], told[1]["message"]) == ("support-llm/3/7", "something happened")
            assert all(kind == "state" for kind, _, _ in (next(messages), next(messages)))


def test_a_newer_rollout_of_the_name_is_followed_from_its_first_event(own: Serving) -> None:
    with listening(own) as messages:
        ids_until_state(messages)
        homes.next_attempt(own.home)
        told = next(id_ for kind, id_, _ in messages if kind == "event")
        assert told == "support-llm/4/1"


def test_the_server_stops_although_streams_are_open(own: Serving) -> None:
    """Ctrl-C must not wait for browsers; the fixture fails when the server's thread goes on."""
    ended = threading.Event()

    def listen() -> None:
        with listening(own) as messages:
            ids_until_state(messages)
            ready.set()
            for _ in messages:
                pass
        ended.set()

    ready = threading.Event()
    thread = threading.Thread(target=listen)
    thread.start()
    assert ready.wait(PATIENCE_S)
    own.stop()
    thread.join(PATIENCE_S)
    assert ended.is_set()


async def test_a_listener_that_does_not_read_is_sent_away_and_the_others_stay(tmp_path: Path) -> None:
    """Memory is bounded: who is too far behind comes back and catches up."""
    channel = StreamChannel(LocalRollout("a", "a", Path(), SqliteStore(tmp_path / "unused.db")), lambda: 0.0)
    slow, quick = channel.add(), channel.add()
    for number in range(1, MOST_WAITING + 2):
        channel.send(b"x", (1, number))
        quick.get_nowait()
    waiting = [slow.get_nowait() for _ in range(slow.qsize())]
    assert waiting[-1] is None
    assert len(waiting) == MOST_WAITING
    channel.send(b"y", (1, 999))
    assert quick.get_nowait() == ((1, 999), b"y")
    assert slow.empty()


async def test_a_hub_that_is_closed_takes_nobody(served: Serving) -> None:
    hub = StreamHub(lambda: 0.0)
    hub.close()
    place = LocalRollout("a", "a", served.home, SqliteStore(served.home / "a" / "serinus.db"))
    assert [message async for message in hub.listen(place, "")] == [b"retry: 1000\n\n"]


async def test_what_nobody_follows_any_more_takes_no_turn(tmp_path: Path) -> None:
    """Who leaves must not slow down those who stay."""
    hub = StreamHub(lambda: 0.0)
    stores = [SqliteStore(tmp_path / "unused.db") for _ in range(3)]
    places = [LocalRollout(name, name, Path(), store) for name, store in zip("abc", stores, strict=True)]
    listeners = [hub.listen(place, "") for place in (*places, places[0])]
    for each in listeners:
        assert await anext(each) == b"retry: 1000\n\n"
    waiting = [asyncio.ensure_future(anext(each)) for each in listeners]
    await asyncio.sleep(0)
    assert hub.followed == 3
    for task in waiting[1:]:
        task.cancel()
    await asyncio.gather(*waiting[1:], return_exceptions=True)
    assert hub.followed == 1
    waiting[0].cancel()
    await asyncio.gather(waiting[0], return_exceptions=True)
    assert hub.followed == 0


def test_s9_one_address_may_follow_so_much_and_no_more(own: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever leaves makes room."""
    monkeypatch.setattr(stream, "MOST_OF_ONE", 2)
    with listening(own) as first:
        ids_until_state(first)
        with listening(own) as second, own.client() as client:
            ids_until_state(second)
            refused = client.get(PATH)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
            assert "follows too much" in refused.json()["detail"]
        until(lambda: follows(own))


def follows(served: Serving) -> bool:
    """Whether a stream is opened."""
    with served.client() as client, client.stream("GET", PATH) as answer:
        return answer.status_code == 200


async def test_s9_all_together_follow_no_more_than_a_server_bears(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MOST_FOLLOWERS", 3)
    hub = StreamHub(lambda: 0.0)
    hub.close()
    place = LocalRollout("any", "any", Path("nowhere"), SqliteStore(Path("nowhere")))
    following = [hub.listen(place, "", f"198.51.100.{number}") for number in range(3)]
    for each in following:
        assert not hub.is_full("203.0.113.9")
        await anext(each)
    assert hub.is_full("203.0.113.9")
    await following[0].aclose()
    assert not hub.is_full("203.0.113.9")
    for each in following:
        await each.aclose()
    assert not hub._followers
