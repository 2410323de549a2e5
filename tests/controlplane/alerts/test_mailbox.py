"""One channel's delivery: in the background, told once what is wrong, and never the end of anything else."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from canary.alert import SEVERITIES, AlertNotice
from canary.errors import Unavailable
from controlplane.alerts import delivery_queue as pace
from controlplane.alerts.channel import DeliveryRejected
from controlplane.alerts.delivery_log import DeliveryLog
from controlplane.alerts.delivery_queue import Queue
from controlplane.alerts.mailbox import Mailbox
from tests.controlplane.alerts.samples import BLIND, ROLLED_BACK, SEES_AGAIN
from tests.virtual import in_virtual_time

NOW = BLIND.at + 100


class Fake:
    """A channel that does what `next_does` says, in turn, then delivers."""

    name = "fake (x)"
    keyed = True
    repeats: float | None = None

    def __init__(self, *next_does: Exception | str) -> None:
        self.next_does = list(next_does)
        self.sent: list[AlertNotice] = []
        self.tries = 0
        self.arrived = asyncio.Event()

    async def send(self, alert: AlertNotice) -> None:
        self.tries += 1
        does = self.next_does.pop(0) if self.next_does else None
        if isinstance(does, Exception):
            raise does
        if does == "hang":
            await asyncio.Event().wait()
        self.sent.append(alert)
        self.arrived.set()

    async def resolve(self, alert: AlertNotice) -> None:
        await self.send(alert)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_RETRY", "AFTER_REFUSAL", "SOON"):
        monkeypatch.setattr(pace, name, 0.01)


@asynccontextmanager
async def a_mailbox(
    channel: Fake, tmp_path: Path, said: list[str], now: Callable[[], float] = lambda: NOW
) -> AsyncIterator[Mailbox]:
    ledger = DeliveryLog(tmp_path / "alerts.jsonl", now=now, say=said.append)
    await ledger.open()
    queue = Queue(channel.keyed, channel.repeats, lambda: 1.0)
    mailbox = Mailbox(channel, set(SEVERITIES), name="fake", ledger=ledger, queue=queue, now=now, say=said.append)
    await mailbox.open()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(mailbox.run())
        try:
            async with asyncio.timeout(10):
                yield mailbox
        finally:
            running.cancel()


async def test_an_alert_is_delivered_and_not_again(tmp_path: Path, said: list[str]) -> None:
    channel = Fake()
    async with a_mailbox(channel, tmp_path, said) as mailbox:
        mailbox.put(BLIND)
        await mailbox.empty(5)
        mailbox.put(BLIND)
        mailbox.put(SEES_AGAIN)
        await mailbox.empty(5)
    assert channel.sent == [BLIND, SEES_AGAIN]
    assert said == []


async def test_an_outage_is_said_once_and_so_is_its_end(tmp_path: Path, said: list[str]) -> None:
    channel = Fake(*(Unavailable("nobody listens there") for _ in range(4)))
    async with a_mailbox(channel, tmp_path, said) as mailbox:
        mailbox.put(BLIND)
        await mailbox.empty(5)
    assert channel.sent == [BLIND]
    assert said == [
        "Alerts to fake (x) do not arrive: nobody listens there. It is tried again; the rollout does not wait for it.",
        "Alerts to fake (x) arrive again.",
    ]


async def test_a_refusal_names_what_to_correct(tmp_path: Path, said: list[str]) -> None:
    channel = Fake(DeliveryRejected("it answers 404: it is not there (any more)"))
    async with a_mailbox(channel, tmp_path, said) as mailbox:
        mailbox.put(BLIND)
        await mailbox.empty(5)
    assert channel.sent == [BLIND]
    assert "404: it is not there (any more). Correct that" in said[0]


async def test_what_does_not_arrive_is_written_down_for_whoever_looks_on(tmp_path: Path, said: list[str]) -> None:
    async with a_mailbox(Fake(Unavailable("no route"), Unavailable("no route")), tmp_path, said) as mailbox:
        mailbox.put(BLIND)
        await mailbox.empty(5)
    lines = [json.loads(line) for line in (tmp_path / "alerts.jsonl").read_text().split("\n") if line]
    assert [line["said"] for line in lines if "failed" in line] == ["no route. It is tried again"]
    assert "delivered" in lines[-1]


async def test_a_bug_in_a_channel_ends_nothing_and_shows_no_value(tmp_path: Path, said: list[str]) -> None:
    channel = Fake(KeyError("MARKER"))
    async with a_mailbox(channel, tmp_path, said) as mailbox:
        mailbox.put(BLIND)
        await mailbox.empty(5)
    assert channel.sent == [BLIND]
    assert "a bug of ours, KeyError" in said[0]
    assert "MARKER" not in "".join(said)


async def test_what_is_left_is_said_and_told_after_the_next_start(tmp_path: Path, said: list[str]) -> None:
    async with a_mailbox(Fake("hang"), tmp_path, said) as mailbox:
        mailbox.put(BLIND)
        await mailbox.empty(0.05)
    assert said == ["1 alert to fake (x) could not be delivered yet; the next start with this state tries again."]
    again = Fake()
    async with a_mailbox(again, tmp_path, said) as mailbox:
        mailbox.put(BLIND)
        await mailbox.empty(5)
    assert again.sent == [BLIND]


async def test_what_was_told_before_a_restart_is_not_told_again(tmp_path: Path, said: list[str]) -> None:
    async with a_mailbox(Fake(), tmp_path, said) as mailbox:
        mailbox.put(ROLLED_BACK)
        await mailbox.empty(5)
    again = Fake()
    async with a_mailbox(again, tmp_path, said) as mailbox:
        mailbox.put(ROLLED_BACK)
        mailbox.put(ROLLED_BACK, replayed=True)
        await mailbox.empty(5)
    assert again.sent == []


async def test_what_stands_is_repeated_after_a_restart_where_receivers_forget(tmp_path: Path, said: list[str]) -> None:
    async with a_mailbox(Fake(), tmp_path, said) as mailbox:
        mailbox.put(BLIND)
        await mailbox.empty(5)
    again = Fake()
    again.repeats = 0.02
    async with a_mailbox(again, tmp_path, said) as mailbox:
        mailbox.put(BLIND, replayed=False)
        while len(again.sent) < 3:
            again.arrived.clear()
            await again.arrived.wait()
        mailbox.put(SEES_AGAIN)
        await mailbox.empty(5)
    assert {alert.id for alert in again.sent[:-1]} == {BLIND.id}
    assert again.sent[-1] == SEES_AGAIN


async def test_what_happened_before_a_channel_was_set_up_is_not_its_business(tmp_path: Path, said: list[str]) -> None:
    """But what happens now is, even if the clock was set back meanwhile."""
    channel = Fake()
    async with a_mailbox(channel, tmp_path, said) as mailbox:
        mailbox.put(ROLLED_BACK, replayed=True)
        mailbox.put(BLIND)
        await mailbox.empty(5)
    assert channel.sent == [BLIND]


async def test_old_news_is_not_told_after_a_restart(tmp_path: Path, said: list[str]) -> None:
    late = replace(ROLLED_BACK, at=NOW - pace.WORTH_TELLING - 1)
    channel = Fake()
    async with a_mailbox(channel, tmp_path, said) as mailbox:
        mailbox._since = 0.0
        mailbox.put(late, replayed=True)
        mailbox.put(replace(SEES_AGAIN, at=late.at), replayed=True)
        await mailbox.empty(5)
    assert [alert.state for alert in channel.sent] == ["resolved"]
    assert said == []


async def test_a_bug_in_the_queue_ends_this_channel_and_nothing_else(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rollout waits for nobody here, and neither does its end."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("MARKER")

    monkeypatch.setattr(Queue, "next", broken)
    async with a_mailbox(Fake(), tmp_path, said) as mailbox:
        mailbox.put(BLIND)
        await mailbox.empty(5)
    (sentence,) = said
    assert "a bug of ours, ZeroDivisionError" in sentence
    assert "MARKER" not in sentence


@pytest.mark.parametrize("hours", [8, -8])
def test_r14_a_wall_clock_that_leaps_repeats_nothing_sooner_or_later(hours: int, tmp_path: Path) -> None:
    @in_virtual_time
    async def leaps() -> None:
        loop, channel, times = asyncio.get_running_loop(), Fake(), list[float]()
        channel.repeats = 2.0

        def now() -> float:
            return NOW + loop.time() + (3600.0 * hours if loop.time() > 5 else 0.0)

        async with a_mailbox(channel, tmp_path, [], now) as mailbox:
            mailbox.put(BLIND)
            while len(times) < 5:
                await channel.arrived.wait()
                channel.arrived.clear()
                times.append(loop.time())
        assert [round(later - earlier, 1) for earlier, later in pairwise(times)] == [2.0] * 4

    leaps()
