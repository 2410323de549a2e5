"""The past as Prometheus tells it: scrape by scrape, in answers of bounded size, and evenly where there is too much."""

import json
import math
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from canary.errors import ExternalError
from controlplane.adapters import prometheus_history
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.adapters.prometheus_history import Past, past, readings
from tests.controlplane.adapters.pages import PageServer, Query

REQUESTS, OTHER = {"__name__": "requests", "pod": "a"}, {"__name__": "tokens", "pod": "a"}


class Remembering(PageServer):
    """Answers from a table of raw points, as Prometheus would: ranges of samples, and grids of the newest ones."""

    def __init__(self) -> None:
        super().__init__()
        self.points: list[tuple[Mapping[str, str], list[tuple[float, float]]]] = []

    def path_of(self, path: str, fields: Query) -> str:
        """Answer for real."""
        query = fields["query"][0]
        if path.endswith("query_range"):
            start, end, step = (float(fields[name][0]) for name in ("start", "end", "step"))
            grid = [start + step * index for index in range(math.floor((end - start) / step + 1e-9) + 1)]
            result = [(labels, [(at, _newest(points, at)) for at in grid]) for labels, points in self.points]
            result = [(labels, [(at, value) for at, value in points if value is not None]) for labels, points in result]
        else:
            end = float(fields["time"][0])
            found = re.search(r"\[(\d+)ms]$", query)
            assert found is not None
            start = end - int(found[1]) / 1000
            result = [(labels, [each for each in points if start <= each[0] <= end]) for labels, points in self.points]
        series = [
            {"metric": labels, "values": [[at, str(value)] for at, value in points]}
            for labels, points in result
            if points
        ]
        self.put(path, json.dumps({"status": "success", "data": {"resultType": "matrix", "result": series}}))
        return path


def _newest(points: list[tuple[float, float]], at: float) -> float | None:
    values = [value for then, value in points if at - 300 < then <= at]
    return values[-1] if values else None


@pytest.fixture
async def server() -> AsyncIterator[Remembering]:
    async with Remembering() as server:
        yield server


async def _past(server: Remembering, start: float, end: float, **more: Any) -> Past:
    api = PrometheusApi(server.url(""), seconds=2)
    try:
        return await past(
            api,
            ["{x}"],
            counts=lambda labels: labels["__name__"] == "requests",
            **{"start": start, "end": end, "interval": 1.0, "most": 1000, **more},
        )
    finally:
        await api.close()


def _told(found: Past) -> list[tuple[float, dict[str, float]]]:
    return [
        (scrape.at, {found.series[number]["__name__"]: value for number, (_, value) in scrape.points.items()})
        for scrape in found.scrapes
    ]


async def test_every_scrape_is_told_with_its_own_time_and_what_was_newest_by_then(server: Remembering) -> None:
    server.points = [
        (REQUESTS, [(10.1, 1.0), (11.1, 2.0), (12.1, 3.0)]),
        (OTHER, [(10.6, 50.0), (11.6, 60.0)]),
    ]
    assert _told(await _past(server, 10.1, 12.5)) == [
        (11.1, {"requests": 2.0, "tokens": 50.0}),
        (12.1, {"requests": 3.0, "tokens": 60.0}),
    ]


async def test_what_is_older_than_three_intervals_is_not_there(server: Remembering) -> None:
    server.points = [(REQUESTS, [(float(at), float(at)) for at in range(10, 20)]), (OTHER, [(11.0, 50.0)])]
    named = [(at, "tokens" in values) for at, values in _told(await _past(server, 10.0, 16.0))]
    assert named == [(11.0, True), (12.0, True), (13.0, True), (14.0, False), (15.0, False), (16.0, False)]


async def test_proxies_that_are_scraped_one_after_the_other_make_one_moment(server: Remembering) -> None:
    second = {**REQUESTS, "pod": "b"}
    server.points = [
        (REQUESTS, [(10.0, 1.0), (11.0, 2.0)]),
        (second, [(10.3, 5.0), (11.3, 6.0)]),
    ]
    found = await _past(server, 9.0, 12.0)
    assert [(scrape.at, [value for _, value in scrape.points.values()]) for scrape in found.scrapes] == [
        (10.3, [1.0, 5.0]),
        (11.3, [2.0, 6.0]),
    ]


async def test_answers_are_bounded_and_nothing_is_lost_or_told_twice_between_them(
    server: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus_history, "POINTS_AN_ANSWER", 40)
    times = [10.0 + at for at in range(200)]
    server.points = [(REQUESTS, [(at, at) for at in times]), (OTHER, [(at, -at) for at in times])]
    told = _told(await _past(server, 9.0, 209.0))
    assert told == [(at, {"requests": at, "tokens": -at}) for at in times]
    spans = [re.search(r"\[(\d+)ms]", asked.fields["query"][0]) for asked in server.asked]
    assert [int(span[1]) for span in spans if span] == [60_000, *[20_000] * 7]


async def test_a_long_span_is_told_evenly_and_within_the_budget(server: Remembering) -> None:
    server.points = [(REQUESTS, [(float(at), float(at)) for at in range(1000, 8200)])]
    found = await _past(server, 1000.0, 8199.0, most=100)
    assert 99 <= len(found.scrapes) <= 101
    assert all(abs(value - scrape.at) <= 1 for scrape in found.scrapes for _, value in scrape.points.values())


async def test_a_past_that_is_not_whole_is_none(server: Remembering) -> None:
    class Partial(Remembering):
        def path_of(self, path: str, fields: Query) -> str:
            path = super().path_of(path, fields)
            body = json.loads(self.pages[path].body) | {"warnings": ["a store is down"]}
            self.put(path, json.dumps(body))
            return path

    async with Partial() as partial:
        partial.points = [(REQUESTS, [(10.0, 1.0)])]
        with pytest.raises(ExternalError, match="may not be whole"):
            await _past(partial, 9.0, 12.0)


async def test_nothing_in_that_time_is_nothing(server: Remembering) -> None:
    assert (await _past(server, 9.0, 12.0)).scrapes == []


async def test_a_gates_query_is_answered_for_each_moment(server: Remembering) -> None:
    server.points = [({"variant": "bf16"}, [(10.0, 1.0), (11.0, 2.0), (12.0, 3.0)])]
    api = PrometheusApi(server.url(""), seconds=2)
    told = await readings(api, "own", [10.4, 11.4, 12.4], 1.0)
    await api.close()
    assert {at: [each.points[-1][1] for each in found] for at, found in told.items()} == {
        10.4: [1],
        11.4: [2],
        12.4: [3],
    }
    assert [asked.path for asked in server.asked] == ["/api/v1/query_range"]
