"""Signing in under load: whoever tries tokens keeps nobody out, and what is no token goes nowhere.

In virtual time, on an API server that takes its time; `test_reviews.py` has who may see and do what.
"""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from controlplane.api import reviews
from controlplane.api.guard import SESSION
from controlplane.api.problem import HttpProblem
from controlplane.api.reviews import ReviewDoor
from controlplane.kubernetes.api import Object, Resource
from controlplane.simulation.clock import VirtualClock
from tests.controlplane.api.clusters import EDITOR, EXPIRED, VIEWER, People, ReviewingKube, jwt, showing
from tests.controlplane.kubectl.desk import under_way
from tests.virtual import in_virtual_time


class BusyKube(ReviewingKube):
    """An API server that takes its time over each review, and what it was asked."""

    def __init__(self) -> None:
        super().__init__(VirtualClock())
        self.people = People()
        self.reviewed: list[str] = []

    async def create(self, resource: Resource, object_: Object) -> Object:
        self.reviewed.append(object_["spec"]["token"])
        await asyncio.sleep(0.02)
        return await super().create(resource, object_)


class Entrance:
    """A door in virtual time, and how long each of those who came has stood before it."""

    def __init__(self) -> None:
        self.kube = BusyKube()
        self.door = ReviewDoor(self.kube, VirtualClock().now)
        self.outcomes: Counter[object] = Counter()

    async def come(self, token: str, sender: str) -> float:
        """Seconds until there is an answer."""
        began = VirtualClock().now()
        try:
            caller = await self.door.admit(Headers({"authorization": f"Bearer {token}"}), sender)
            self.outcomes["let in" if caller else "unknown"] += 1
        except HttpProblem as refused:
            self.outcomes[refused.problem.status] += 1
        return VirtualClock().now() - began


@in_virtual_time
async def test_s9_a_person_signs_in_at_once_while_one_address_tries_tokens_by_the_thousand() -> None:
    entrance = Entrance()
    async with asyncio.TaskGroup() as tasks:
        for number in range(3000):
            tasks.create_task(entrance.come(jwt(f"bogus {number}"), "198.51.100.1"))
        await asyncio.sleep(0.001)
        waited = await entrance.come(EDITOR, "203.0.113.9")
    assert waited <= 0.021
    assert entrance.outcomes == {"let in": 1, "unknown": reviews.BURST, 429: 3000 - reviews.BURST}
    assert len(entrance.kube.reviewed) == reviews.BURST + 1


@in_virtual_time
async def test_s9_a_person_waits_behind_one_token_of_each_address_and_not_behind_all() -> None:
    """100 addresses with ten tokens each: in the order of their coming it would be 2.5 s."""
    entrance = Entrance()
    async with asyncio.TaskGroup() as tasks:
        for number in range(1000):
            tasks.create_task(entrance.come(jwt(f"bogus {number}"), f"198.51.100.{number % 100}"))
        await asyncio.sleep(0.001)
        waited = await entrance.come(EDITOR, "203.0.113.9")
    assert waited <= 0.3
    assert entrance.outcomes == {"let in": 1, "unknown": 1000}


@in_virtual_time
async def test_s9_who_was_known_is_asked_about_first_and_at_nobodys_expense(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also behind an address that they share with whoever tries tokens, and after more of these than are kept."""
    monkeypatch.setattr(reviews, "MOST_KEPT", 100)
    entrance = Entrance()
    await entrance.come(VIEWER, "198.51.100.1")
    async with asyncio.TaskGroup() as tasks:
        for number in range(500):
            tasks.create_task(entrance.come(jwt(f"bogus {number}"), f"198.51.{number // 250}.{number % 250}"))
        await asyncio.sleep(0.001)
        assert await entrance.come(VIEWER, "198.51.100.1") == 0.0
        await asyncio.sleep(0.02)
        entrance.door._known = {key: (0.0, person) for key, (_, person) in entrance.door._known.items()}
        assert await entrance.come(VIEWER, "198.51.100.1") <= 0.041
    assert len(entrance.door._bogus) == 100
    assert len(entrance.door._known) == 1


@in_virtual_time
async def test_s9_a_token_that_opens_nothing_is_asked_about_once_in_a_while() -> None:
    entrance = Entrance()
    for _ in range(100):
        await entrance.come(EXPIRED, "198.51.100.1")
    assert len(entrance.kube.reviewed) == 1
    await asyncio.sleep(reviews.FRESH_NO)
    await entrance.come(EXPIRED, "198.51.100.1")
    assert len(entrance.kube.reviewed) == 2
    assert EXPIRED.encode() not in repr(entrance.door._bogus).encode()


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        f"{EDITOR}.",
        f"{EDITOR} ",
        f"{EDITOR}=",
        f"{EDITOR}\x00",
        f"{EDITOR}é",
        EDITOR.replace(".", "..", 1),
        EDITOR.partition(".")[2] + ".x",
        EDITOR + "x" * reviews.LONGEST,
        "bm90aGluZw.e30.x",
        "W10.e30.x",
        "MQ.e30.x",
    ],
)
async def test_s9_what_is_no_token_is_not_sent_on(token: str) -> None:
    kube = BusyKube()
    door = ReviewDoor(kube, lambda: 0.0)
    assert await door.opened(token, "", "198.51.100.1") is None
    assert kube.reviewed == []


@given(
    st.text(st.characters(codec="utf-8"), max_size=40)
    | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*", fullmatch=True)
)
def test_s9_any_text_is_a_token_or_none(text: str) -> None:
    assert reviews.is_token(text) in {True, False}
    assert reviews.is_token(jwt(text))


def test_s9_whoever_tries_too_often_is_told_when_to_come_again() -> None:
    """On the page too. Somebody who is known, at the same address, is not kept out."""
    showing_it = showing(under_way, sign_in=True)
    with showing_it as own, own.client("") as client, own.client(VIEWER) as known:
        assert known.get(SESSION).status_code == 200
        answers = [client.get(SESSION, headers={"authorization": f"Bearer {jwt(f'x {n}')}"}) for n in range(40)]
        assert Counter(each.status_code for each in answers).keys() == {401, 429}
        assert answers[-1].headers["retry-after"] == "5"
        assert "try again soon" in answers[-1].json()["detail"]
        page = client.post("/sign-in", data={"token": jwt("y")}, headers={"origin": own.url})
        assert (page.status_code, "try again soon" in page.text) == (429, True)
        assert known.get(SESSION).status_code == 200
