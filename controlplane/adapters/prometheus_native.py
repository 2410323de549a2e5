"""Native histograms in Prometheus' answers, spelled out as the classic series that they would be.

Used by whatever reads counters: `X_bucket` at fixed bounds, `X_count` and `X_sum`, each marked as native. Everything
after that reads one kind of series. Which of the two is read where a server has both, `canary.spec.recipe` says. What a
count at a bound is, `canary.spec.native` says. Asks nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from canary.spec import native
from canary.spec.recipe import NATIVE
from canary.spec.sources import IN_MILLISECONDS
from controlplane.adapters.prometheus_series import NativeSeries, Point, PrometheusSeries


def spelled_out(answer: Iterable[PrometheusSeries], *, newest: bool = False) -> list[PrometheusSeries]:
    """The same answer with every native histogram as classic series; of these only the `newest` point, if asked."""
    found: list[PrometheusSeries] = []
    for series in answer:
        points = series.histograms or ([series.histogram] if series.histogram else [])
        found += _classic(series, points[-1:] if newest else points) if points else [series]
    return found


def _classic(series: PrometheusSeries, points: Sequence[tuple[float, NativeSeries]]) -> Iterator[PrometheusSeries]:
    """The series of one native histogram, each with the points at which it is known."""
    bounds = native.bounds(milliseconds=series.name in IN_MILLISECONDS)
    by_bound: dict[str, list[Point]] = defaultdict(list)
    for at, histogram in points:
        for le, count in _counts(histogram, bounds):
            by_bound[le].append((at, count))
    labels = {**series.metric, NATIVE: "1"}
    for le, counts in by_bound.items():
        yield _series({**labels, "__name__": f"{series.name}_bucket", "le": le}, counts)
    yield _series({**labels, "__name__": f"{series.name}_count"}, [(at, each.count) for at, each in points])
    yield _series({**labels, "__name__": f"{series.name}_sum"}, [(at, each.sum) for at, each in points])


def _counts(histogram: NativeSeries, bounds: tuple[native.Bound, ...]) -> Iterator[tuple[str, float]]:
    """Cumulative counts by bound; of one with custom buckets no more than that it is no number."""
    told = native.cumulative([native.Bucket(*bucket) for bucket in histogram.buckets], bounds)
    if told is None:
        yield "+Inf", float("nan")
        return
    for bound, count in told:
        yield bound.le, count
    yield "+Inf", histogram.count


def _series(metric: Mapping[str, str], points: list[Point]) -> PrometheusSeries:
    """Without checking again what was checked."""
    return PrometheusSeries.model_construct(
        metric=dict(metric), value=None, values=points, histogram=None, histograms=[]
    )
