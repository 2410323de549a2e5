"""Times are written and read in UTC: no time zone of a machine, and no change of its local time, is in any of them."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from controlplane.alerts.channels.mail import message
from controlplane.kserve.pods import seconds
from controlplane.kubectl.listing import age
from controlplane.kubernetes.api import Object
from controlplane.operator.events import Notice, event_object
from controlplane.readmodel.operators import LEASE_NAME, told_by
from tests.controlplane.alerts.samples import BLIND

CHANGES = {
    "Europe/Berlin": (datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)),
    "America/New_York": (datetime(2026, 3, 8, 7, tzinfo=UTC), datetime(2026, 11, 1, 6, tzinfo=UTC)),
    "Australia/Lord_Howe": (datetime(2026, 4, 4, 15, tzinfo=UTC), datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
}
AROUND = [timedelta(minutes=minutes) for minutes in (-61, -31, -1, 0, 1, 29, 59, 61)]
MOMENTS = [(zone, change + by) for zone, changes in CHANGES.items() for change in changes for by in AROUND]


@pytest.fixture(params=MOMENTS, ids=lambda given: f"{given[0]}-{given[1]:%m%dT%H%M}")
def moment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[datetime]:
    """A time near a change of local time, on a machine that has that local time."""
    zone, at = request.param
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    yield at
    monkeypatch.undo()
    time.tzset()


def test_r14_what_is_written_names_the_moment_in_utc(moment: datetime) -> None:
    at = moment.timestamp()
    about: Object = {"metadata": {"name": "chat", "namespace": "models", "uid": "u", "resourceVersion": "1"}}
    event = event_object(Notice(about, "1", "Normal", "Promoted", "It is over.", at), "operator")
    assert datetime.fromisoformat(event["eventTime"]) == moment
    letter = message(replace(BLIND, at=at), "serinus@example.com", ["people@example.com"])
    assert parsedate_to_datetime(str(letter["Date"])) == moment


def test_r14_what_is_read_is_the_moment_that_was_written(moment: datetime) -> None:
    at, stamp = moment.timestamp(), f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    assert seconds(stamp) == at
    assert age(stamp, at + 90) == age("2026-01-01T00:00:00Z", datetime(2026, 1, 1, 0, 1, 30, tzinfo=UTC).timestamp())
    spec = {"holderIdentity": "a", "leaseDurationSeconds": 6, "renewTime": f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}"}
    lease: Object = {"metadata": {"name": LEASE_NAME, "namespace": "serinus"}, "spec": spec}
    assert told_by([lease], at + 1).running
    assert not told_by([lease], at + 1800).running
