"""One rollout's numbers of the past, read from Prometheus' memory with the same owners and the same table as ticks use.

Called by `shared_prometheus.py` for a rollout that is taken up again. Who stood in a route's places is known as it is
now, and since when: what was counted there before is somebody else's and is left out.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence

from canary.errors import ExternalError
from canary.snapshot import Counters
from canary.spec.models import Gate
from canary.spec.sources import PROFILES
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.adapters.prometheus_gates import arms_by_name, own_numbers, query_of
from controlplane.adapters.prometheus_history import past, readings
from controlplane.adapters.prometheus_series import PrometheusSeries
from controlplane.evidence.metric_locations import Labels, MetricLocations
from controlplane.evidence.promql_selectors import family_of, selectors
from controlplane.evidence.rollout_series import RolloutSeries
from controlplane.evidence.series_attribution import SeriesOwners

_KEY = ("", "")


async def history(
    api: PrometheusApi,
    places: MetricLocations,
    labels: Labels,
    start: float,
    end: float,
    *,
    interval: float,
    most: int,
) -> list[Counters]:
    """Totals after `start` until `end`, oldest first, about `most` at most; raises as `PrometheusApi.query` does."""
    owners, ledger = SeriesOwners(labels), RolloutSeries(places)
    owners.put(_KEY, places, places.slots())
    selected = selectors([places], labels)
    counting = {family_of(row) for row in PROFILES[places.profile] if row.feeds == "requests"}
    found = await past(
        api,
        [selected[family] for family in selected if family in counting],
        besides=[selected[family] for family in selected if family not in counting],
        counts=lambda series: series.get("__name__") in ledger.request_names and owners.of(series) is not None,
        start=start,
        end=end,
        interval=interval,
        most=most,
    )
    gates = [gate for gate in places.gates if gate.asks]
    moments = [scrape.at for scrape in found.scrapes]
    answers = await asyncio.gather(*(_answers(api, gate, moments, interval) for gate in gates))
    variants = arms_by_name(places.variants)
    cells = [ledger.cell(owner, series) if (owner := owners.of(series)) else None for series in found.series]
    told: list[Counters] = []
    for scrape in found.scrapes:
        ledger.begin()
        for number, (at, value) in scrape.points.items():
            cell = cells[number]
            if cell is not None:
                cell.put(at, value)
        if math.isfinite(ledger.at):
            own = own_numbers(
                [(gate, vectors.get(scrape.at, [])) for gate, vectors in zip(gates, answers, strict=True)], variants
            )
            arms = ledger.totals()
            proxied, parts = ledger.proxied, ledger.segments(arms)
            told.append(
                Counters(
                    at=ledger.at,
                    arms=arms,
                    readings=own.readings,
                    counted=own.counted,
                    proxied=proxied,
                    segments=parts,
                )
            )
        await asyncio.sleep(0)
    return told


async def _answers(
    api: PrometheusApi, gate: Gate, moments: Sequence[float], interval: float
) -> Mapping[float, list[PrometheusSeries]]:
    """What a gate's own query would have answered; nothing where that cannot be had, which costs nothing else."""
    try:
        return await readings(api, query_of(gate), moments, interval)
    except ExternalError:
        return {}
