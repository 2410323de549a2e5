"""What was told is known after a restart, whatever a crash left of the file."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.alerts import delivery_log as module
from controlplane.alerts.delivery_log import DeliveryLog
from tests.controlplane.alerts.samples import BLIND, ROLLED_BACK, SEES_AGAIN


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def opened(tmp_path: Path, said: list[str]) -> Callable[[], DeliveryLog]:
    """Ledgers on one file, as one start after the other has them."""
    times = iter(range(100, 10_000))
    return lambda: DeliveryLog(tmp_path / "state" / "alerts.jsonl", now=lambda: float(next(times)), say=said.append)


async def test_what_was_told_is_known_after_a_restart(opened: Callable[[], DeliveryLog]) -> None:
    ledger = opened()
    await ledger.open()
    assert not ledger.has("slack", BLIND)
    await ledger.note("slack", BLIND)
    again = opened()
    await again.open()
    for each in (ledger, again):
        assert each.has("slack", BLIND)
        assert not each.has("slack", SEES_AGAIN)
        assert not each.has("teams", BLIND)
        assert not each.has("slack", ROLLED_BACK)


async def test_something_newer_of_the_same_fact_covers_what_was_before(opened: Callable[[], DeliveryLog]) -> None:
    ledger = opened()
    await ledger.note("slack", SEES_AGAIN)
    assert ledger.has("slack", BLIND)


async def test_the_same_numbers_after_the_state_was_deleted_are_something_new(
    opened: Callable[[], DeliveryLog],
) -> None:
    """Attempts are counted from 1 again, and a rollback must not be taken for the one of last week."""
    ledger = opened()
    await ledger.note("slack", ROLLED_BACK)
    assert not ledger.has("slack", replace(ROLLED_BACK, at=ROLLED_BACK.at + 1000, number=5))


async def test_a_channel_is_told_from_when_it_was_set_up(opened: Callable[[], DeliveryLog]) -> None:
    ledger = opened()
    since = await ledger.since("slack")
    assert await ledger.since("slack") == since
    assert await ledger.since("teams") > since
    again = opened()
    await again.open()
    assert await again.since("slack") == since


@pytest.mark.parametrize("rubbish", ['{"channel": "slack", "ke', "\n\n", "[1]\n", '{"channel": 5}\n', "\x00\xff\n"])
async def test_a_line_that_a_crash_cut_off_costs_only_itself(opened: Callable[[], DeliveryLog], rubbish: str) -> None:
    ledger = opened()
    await ledger.note("slack", BLIND)
    with ledger.file.open("a") as file:
        file.write(rubbish)
    again = opened()
    await again.open()
    await again.note("slack", ROLLED_BACK)
    last = opened()
    await last.open()
    assert last.has("slack", BLIND)
    assert last.has("slack", ROLLED_BACK)


async def test_a_long_file_is_written_anew_with_what_matters(
    opened: Callable[[], DeliveryLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_LINES", 6)
    ledger = opened()
    since = await ledger.since("slack")
    for number in range(1, 8):
        await ledger.note("slack", replace(BLIND, number=number))
    again = opened()
    await again.open()
    assert len(again.file.read_text().splitlines()) == 2
    last = opened()
    await last.open()
    assert last.has("slack", replace(BLIND, number=7))
    assert not last.has("slack", replace(BLIND, number=8))
    assert await last.since("slack") == since


async def test_a_file_that_cannot_be_written_is_said_once_and_alerts_go_on(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "file").write_text("")
    ledger = DeliveryLog(tmp_path / "file" / "alerts.jsonl", now=lambda: 1.0, say=said.append)
    await ledger.open()
    await ledger.note("slack", BLIND)
    await ledger.note("slack", ROLLED_BACK)
    assert ledger.has("slack", BLIND)
    (sentence,) = said
    assert "after a restart some may be sent again" in sentence
