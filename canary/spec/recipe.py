"""How one replica's totals are made of its series: the profile's table, worked out once for a set of series.

Made by `samples.py` for a page that is read once, and kept by sources that read the same series again and again: labels
are looked at once, and a reading after that is arithmetic. Remembers no number.
"""

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from canary.snapshot import HistogramCounts, PodCounters
from canary.spec.source import quoted
from canary.spec.sources import Profile, Row

_KPI_PART = re.compile("^kpi_(events|of)/")
_FAILED_ANSWERS = ("empty_answers", "failed_streams")
"""Totals of answers with a good status that are failures; no answer is in both."""
NATIVE = "__native__"
"""Label of a series that was spelled out of a native histogram (`controlplane.adapters.prometheus_native`)."""
LARGEST = 2.0**63
"""No count is larger, and no sum of such numbers overflows."""
MOST_BUCKETS = 256
"""Bounds of one histogram. Envoy has 20, vLLM 30, a native histogram 73; a judge remembers each of them."""
MOST_PROBLEMS = 4
"""Clauses about one replica's series; whoever sends more nonsense is not quoted at length."""


def is_number(value: float) -> bool:
    """Whether a value can be counted with: not NaN, not infinite, and no larger than a counter can be."""
    return -LARGEST <= value <= LARGEST


class SeriesId(NamedTuple):
    """What a series is called: its name on the wire, and its labels."""

    name: str
    labels: Mapping[str, str]


Places = tuple[int, ...]
"""Positions in the list of values, in the order of the series."""


class _Histogram(NamedTuple):
    feeds: str
    bounds: tuple[float, ...]
    counts: tuple[Places, ...]
    """By bound, the places whose sum is its cumulative count."""


class Recipe:
    """Totals of one replica from the values of these series, in this order."""

    def __init__(self, series: Sequence[SeriesId], profile: Profile) -> None:
        """The first row of the profile that finds anything feeds its metric."""
        pool: dict[str, list[int]] = defaultdict(list)
        for place in _told_once(series):
            pool[series[place].name].append(place)
        self.problems: list[str] = []
        """What is wrong with these series, one clause each; the metrics that they feed are missing."""
        self._series = series
        self._requests: Places | None = None
        self._errors: Places | None = None
        """None where the series does not tell failed requests apart."""
        self._refused: Places | None = None
        self._throttled: Places = ()
        self._histograms: list[_Histogram] = []
        self._gauges: dict[str, Places] = {}
        self._levels: dict[str, Places] = {}
        self._totals: dict[str, Places] = {}
        for row in profile:
            found = [place for place in pool.get(row.wire_name, ()) if _matches(row.where, series[place].labels)]
            if found:
                self._take(row, found)

    def totals(self, values: Sequence[float]) -> PodCounters:
        """The running totals; `values` are numbers (`is_number`), one for each series."""
        requests = None if self._requests is None else _sum(values, self._requests)
        totals = {name: _sum(values, places) for name, places in self._totals.items()}
        garbled, broken = totals.pop("garbled_answers", 0.0), totals.pop("broken_answers", None)
        broken = None if broken is None else max(broken - garbled, 0.0)
        if "reset_streams" in totals or "cancelled" in totals:
            totals["cancelled"] = totals.get("cancelled", 0.0) + totals.pop("reset_streams", 0.0)
        gauges = {name: max(values[place] for place in places) for name, places in self._gauges.items()}
        errors = self._failed(values, requests)
        wrong = sum(totals.pop(name, 0.0) for name in _FAILED_ANSWERS)
        totals |= self._client_errors(values, requests, totals.pop("throttled_answers", 0.0))
        return PodCounters(
            requests=requests,
            errors=None if errors is None else errors + (broken or 0.0) + wrong,
            histograms={each.feeds: _counts(each, values) for each in self._histograms},
            kpis=_kpis(totals),
            totals={name: value for name, value in totals.items() if not name.startswith("kpi_")},
            started_at=gauges.pop("started_at", None),
            gauges=gauges,
            open=self._open(values),
            broken=broken,
        )

    def scraped(self, times: Sequence[float]) -> tuple[float, dict[str, float]]:
        """When the requests were scraped (without any, the newest series), and which series at another time.

        `times` has the scrape of each series, in their order; the answer is as `PodCounters` has it.
        """
        newest = max(times)
        if min(times) == newest:
            return newest, {}
        told = {each.feeds: [place for places in each.counts for place in places] for each in self._histograms}
        for name, places in self._totals.items():
            told.setdefault(_KPI_PART.sub("kpi/", name), []).extend(places)
        at = max((times[place] for place in self._requests or ()), default=newest)
        by_name = {name: max(times[place] for place in places) for name, places in told.items()}
        return at, {name: scraped for name, scraped in by_name.items() if scraped != at}

    def _take(self, row: Row, found: list[int]) -> None:
        if row.feeds == "requests":
            if self._requests is None:
                self._requests = () if row.kind == "nothing" else tuple(found)
                if row.failed:
                    self._errors = self._those(found, row.failed)
                if row.refused:
                    self._refused = self._those(found, row.refused)
                if row.throttled:
                    self._throttled = self._those(found, row.throttled)
        elif row.kind == "histogram":
            if all(each.feeds != row.feeds for each in self._histograms):
                histogram = self._histogram(row, found)
                if histogram is not None:
                    self._histograms.append(histogram)
        elif row.kind == "gauge":
            # Of several engines in one server the fullest is the one that hurts.
            self._gauges.setdefault(row.feeds, tuple(found))
        elif row.kind == "level":
            self._levels.setdefault(row.feeds, tuple(found))
        else:
            parts: dict[str, list[int]] = defaultdict(list)
            for place in found:
                value = self._series[place].labels.get(row.by, "")
                parts[f"{row.feeds}/{value}" if row.by else row.feeds].append(place)
            for name, places in parts.items():
                self._totals.setdefault(name, tuple(places))

    def _those(self, found: list[int], what: Mapping[str, str]) -> Places:
        return tuple(one for one in found if _matches(what, self._series[one].labels))

    def _client_errors(self, values: Sequence[float], requests: float | None, counted: float) -> dict[str, float]:
        """Client's errors, and apart from them what was refused for its rate; `counted`: such answers by a series.

        Nothing where the series does not tell them apart.
        """
        if self._refused is None:
            return {"client_errors": 0.0, "throttled": 0.0} if requests == 0 else {}
        refused, throttled = _sum(values, self._refused), _sum(values, self._throttled)
        return {"client_errors": max(refused - counted, 0.0), "throttled": throttled + counted}

    def _open(self, values: Sequence[float]) -> float | None:
        """As the proxy counts it, or else the server itself."""
        if "open" in self._levels:
            return _sum(values, self._levels["open"])
        if "running" not in self._levels:
            return None
        return _sum(values, (*self._levels["running"], *self._levels.get("waiting", ())))

    def _histogram(self, row: Row, found: list[int]) -> _Histogram | None:
        """Cumulative counts by upper bound in seconds, added over engines, on the bounds that all of them have.

        A bucket whose bound is no number is left out; None where no bucket is left, or where there are too many.
        """
        engines: dict[frozenset[tuple[str, str]], dict[float, int]] = defaultdict(dict)
        for place in found:
            labels = self._series[place].labels
            bound = _bound(labels.get("le", ""))
            if bound is None:
                self._complain(f"bucket bound {quoted(labels.get('le'))} of {row.series} is no number")
            else:
                engines[_rest(labels)][bound] = place
        series = list(engines.values())
        common = sorted(set.intersection(*map(set, series))) if series else []
        if len(common) > MOST_BUCKETS:
            self._complain(f"{row.series} has {len(common)} buckets, more than the {MOST_BUCKETS} that are read")
            return None
        if not common:
            return None
        # Rounded, so that 200 ms is 0.2 s and not its neighbour among the floats.
        bounds = tuple(round(bound * row.scale, 12) for bound in common)
        return _Histogram(row.feeds, bounds, tuple(tuple(each[bound] for each in series) for bound in common))

    def _complain(self, problem: str) -> None:
        if len(self.problems) < MOST_PROBLEMS and problem not in self.problems:
            self.problems.append(problem)

    def _failed(self, values: Sequence[float], requests: float | None) -> float | None:
        if requests is None:
            return None
        if self._errors is not None:
            return _sum(values, self._errors)
        return 0.0 if requests == 0 else None


def _bound(le: str) -> float | None:
    """A bucket's upper bound; None for what is no number, and for what no time or size can be."""
    try:
        bound = float(le)
    except ValueError:
        return None
    return bound if 0 <= bound <= LARGEST or bound == math.inf else None


def _rest(labels: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """The labels of a histogram, without those of its parts."""
    return frozenset((label, value) for label, value in labels.items() if label not in {"le", NATIVE})


def _told_once(series: Sequence[SeriesId]) -> list[int]:
    """Places of the series, without the native twin of what a server counts classically too.

    A classic histogram that has nothing but its total is none.
    """
    places = list(range(len(series)))
    if not any(NATIVE in each.labels for each in series):
        return places
    classic = {
        (each.name, _rest(each.labels))
        for each in series
        if NATIVE not in each.labels and each.labels.get("le") != "+Inf"
    }
    return [
        p for p in places if NATIVE not in series[p].labels or (series[p].name, _rest(series[p].labels)) not in classic
    ]


def _matches(where: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(re.fullmatch(pattern, labels.get(label, "")) for label, pattern in where.items())


def _sum(values: Sequence[float], places: Places) -> float:
    return values[places[0]] if len(places) == 1 else math.fsum(values[place] for place in places)


def _counts(histogram: _Histogram, values: Sequence[float]) -> HistogramCounts:
    return {bound: _sum(values, places) for bound, places in zip(histogram.bounds, histogram.counts, strict=True)}


def _kpis(totals: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Pairs of events and what they are counted among; half a pair says nothing."""
    names = [name.removeprefix("kpi_events/") for name in totals if name.startswith("kpi_events/")]
    return {
        name: (totals[f"kpi_events/{name}"], totals[f"kpi_of/{name}"]) for name in names if f"kpi_of/{name}" in totals
    }
