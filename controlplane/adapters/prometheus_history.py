"""What Prometheus remembers: raw counters scrape by scrape, over a span of the past, in answers of bounded size.

Used by the metric sources for the port `MetricHistory`. Where there are not too many scrapes they come as they were,
with their own times; a longer span is sampled evenly. Says nothing about what series mean, and differences nothing.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

from canary.errors import ExternalError
from canary.staleness import STALE_INTERVALS
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.adapters.prometheus_gates import duration
from controlplane.adapters.prometheus_native import spelled_out
from controlplane.adapters.prometheus_series import Point, PrometheusSeries

POINTS_AN_ANSWER = 50_000
"""About two megabytes: what any Prometheus answers within its limits, and what is parsed in a blink."""
FIRST_ANSWER_STEPS = 60
"""Before it is known how many series there are."""
MOST_STEPS = 10_000
"""Prometheus itself refuses more than 11 000 points of one series."""
MOST_BYTES_OF_READINGS = 1024 * 1024
"""Of a gate's own query: one number for each variant at each moment."""
MOST_POINTS = 1_000_000
"""Points of one span: 8000 series at 120 times; they take a hundred megabytes."""

Labels = Mapping[str, str]


class Scrape(NamedTuple):
    """One moment: when requests were counted, and the newest point of each series by then."""

    at: float
    points: Mapping[int, Point]
    """By the number of the series; what was older than three intervals is left out."""


class Past(NamedTuple):
    """A span of the past."""

    series: Sequence[Labels]
    scrapes: Sequence[Scrape]
    """Oldest first."""


async def past(
    api: PrometheusApi,
    selectors: Iterable[str],
    *,
    besides: Iterable[str] = (),
    counts: Callable[[Labels], bool],
    start: float,
    end: float,
    interval: float,
    most: int,
) -> Past:
    """Scrapes after `start` until `end`, at most about so many, of the series that any of the selectors selects.

    `counts` says whether a series counts requests: a moment is a scrape when such a series was read. Raises as
    `PrometheusApi.query` does; an answer that is not whole is none. What `besides` selects is extra: where it cannot be
    had, it is missing.
    """
    step = max(interval, (end - start) / max(most, 1))
    found: dict[frozenset[tuple[str, str]], list[Point]] = {}
    for selector in selectors:
        await _gather(api, selector, found, start, end, step, exact=step == interval)
    for selector in besides:
        with suppress(ExternalError):
            await _gather(api, selector, found, start, end, step, exact=step == interval)
    labels, points = [dict(key) for key in found], list(found.values())
    times = {at for each, pairs in zip(labels, points, strict=True) if counts(each) for at, _ in pairs if at > start}
    scrapes = []
    for at in _moments(sorted(times), interval / 2):
        scrapes.append(_scrape(at, points, STALE_INTERVALS * step))
        await asyncio.sleep(0)
    return Past(labels, scrapes)


async def _gather(
    api: PrometheusApi,
    selector: str,
    found: dict[frozenset[tuple[str, str]], list[Point]],
    start: float,
    end: float,
    step: float,
    *,
    exact: bool,
) -> None:
    """Add the series of one selector, answer by answer; each covers as many steps as its size allows."""
    begin, steps, room = start, FIRST_ANSWER_STEPS, MOST_POINTS - sum(map(len, found.values()))
    while begin < end:
        until = min(begin + steps * step, end)
        answer = await _answer(api, selector, begin, until, None if exact else step)
        for each in answer:
            known = found.setdefault(frozenset(each.metric.items()), [])
            new = [point for point in each.points if not known or point[0] > known[-1][0]]
            known += new
            room -= len(new)
        if room < 0:
            raise ExternalError(
                f"Prometheus on {api.url} remembers more than {MOST_POINTS} points of it: too many to read."
            )
        begin = until
        steps = max(1, min(POINTS_AN_ANSWER // max(len(answer), 1), MOST_STEPS))


async def readings(
    api: PrometheusApi, query: str, moments: Sequence[float], interval: float
) -> Mapping[float, list[PrometheusSeries]]:
    """What a query would have answered at each of these moments (oldest first), as vectors."""
    if not moments:
        return {}
    step = max(interval, min((later - earlier for earlier, later in pairwise(moments)), default=interval))
    step = max(step, (moments[-1] - moments[0]) / MOST_STEPS)
    answer = await api.query_range(
        query, start=moments[0], end=moments[-1] + step, step=step, most_bytes=MOST_BYTES_OF_READINGS
    )
    vectors: dict[float, list[PrometheusSeries]] = {at: [] for at in moments}
    for each in answer:
        times = [at for at, _ in each.points]
        for moment in moments:
            place = bisect_right(times, moment + step / 2) - 1
            if place >= 0 and times[place] > moment - step:
                vectors[moment].append(PrometheusSeries(metric=each.metric, value=each.points[place]))
    return vectors


async def _answer(
    api: PrometheusApi, selector: str, begin: float, until: float, step: float | None
) -> Sequence[PrometheusSeries]:
    if step is None:
        return await api.counters(f"{selector}[{duration(until - begin)}]", at=until)
    return spelled_out(await api.query_range(selector, start=begin + step, end=until, step=step))


def _moments(times: Sequence[float], apart: float) -> list[float]:
    """Times that belong to one round of scrapes are one moment: the last of them."""
    moments: list[float] = []
    first = float("-inf")
    for at in times:
        if at - first < apart:
            moments[-1] = at
        else:
            moments.append(at)
            first = at
    return moments


def _scrape(at: float, points: Sequence[Sequence[Point]], stale: float) -> Scrape:
    newest: dict[int, Point] = {}
    for number, pairs in enumerate(points):
        place = bisect_right(pairs, at, key=lambda point: point[0]) - 1
        if place >= 0 and pairs[place][0] > at - stale:
            newest[number] = pairs[place]
    return Scrape(at, newest)
