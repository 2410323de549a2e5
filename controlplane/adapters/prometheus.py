"""Running totals from a Prometheus: raw counters at their newest scrape, and the answers of user-written queries.

Behind the ports `MetricSource` and `MetricHistory`. Counters are asked for as raw samples of a short range, so each
comes with the time when it was scraped; what is older than three scrape intervals is not there at all. Differences,
rates and quantiles are left to the judge: a rate that Prometheus extrapolates is not a count.

The proxy and the replicas are asked for apart: what a replica says of itself is extra, and nothing that it says, nor
how much, keeps the proxy's counters of its requests from counting or adds to them.

A gate's own query (`prometheus_gates.py`) without a usable answer leaves its reading out and says why; counters are not
touched by it.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence

from canary.errors import ExternalError
from canary.snapshot import Counters, clauses
from canary.spec.labels import labels_of
from canary.spec.models import Gate
from canary.spec.recipe import is_number
from canary.spec.samples import Replica, Sample, by_labels, pods, segments, unrouted
from canary.spec.sources import ENVOY, PROFILES, SERVERS, UNROUTED, asked_names, by_label, wire_names
from canary.staleness import STALE_INTERVALS
from canary.weights import Arm
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.adapters.prometheus_gates import arms_by_name, duration, own_numbers, query_of
from controlplane.adapters.prometheus_history import Past, Scrape, past, readings
from controlplane.adapters.prometheus_series import PrometheusSeries

PROXY_JOB, REPLICAS_JOB, PAGES_JOB = "serinus-proxy", "serinus-replicas", "serinus-page"
"""What a Prometheus of ours calls our proxy's target, those of the replicas, and each further page, with its number."""
_PROFILE = PROFILES["envoy"]
NO_NUMBERS = "(NaN, infinite, or native histograms with buckets of their own)"


class PrometheusSource:
    """Reads everything in one round: a query for the proxy, one for the replicas, one for each gate with a query."""

    def __init__(
        self,
        api: PrometheusApi,
        *,
        interval: float,
        names: Mapping[Arm, str],
        gates: Sequence[Gate] = (),
    ) -> None:
        """`interval`: seconds between scrapes; `names`: the variants'."""
        self.api = api
        self._window = STALE_INTERVALS * interval
        self._variants = arms_by_name(names)
        self._gates = {gate.text: gate for gate in gates if gate.asks}
        self._labels = labels_of(gates)
        self._interval = interval
        own = (*SERVERS, *by_label(())) if self._labels else SERVERS
        self._counted = wire_names(ENVOY) | UNROUTED
        """What only the proxy may say,"""
        self._own = wire_names(own)
        """and what replicas say of themselves."""
        self._proxy = _selector(PROXY_JOB, asked_names(ENVOY) | UNROUTED)
        self._replicas = _selector(REPLICAS_JOB, asked_names(own))
        self._counts_requests = frozenset(row.wire_name for row in ENVOY if row.feeds == "requests")

    async def read(self) -> Counters:
        """The newest totals; raises `Unavailable` when Prometheus is down, `ExternalError` when it has none of use."""
        since = f"[{duration(self._window)}]"
        requests, (own, unread), answers = await asyncio.gather(
            self.api.counters(self._proxy + since), self._replicas_own(self._replicas + since), self._answers()
        )
        at = self._scraped_at(requests)
        proxied = _samples(requests, self._counted)
        samples = [*proxied, *_samples(own, self._own)]
        told = own_numbers(answers, self._variants)
        missing = sum(not is_number(sample.value) for sample in samples)
        arms, problems = pods(samples, _PROFILE, by_labels, at)
        return Counters(
            at=at,
            arms=arms,
            segments=segments(samples, _PROFILE, by_labels, self._labels, arms),
            readings=told.readings,
            counted=told.counted,
            unrouted=unrouted(proxied),
            problem=clauses(
                [
                    f"{missing} series in Prometheus are not numbers {NO_NUMBERS}" if missing else "",
                    unread,
                    *problems,
                    *told.problems,
                ]
            ),
        )

    async def between(self, start: float, end: float, most: int) -> list[Counters]:
        """Totals as they were after `start` until `end`, about `most` of them at most; raises as `read` does."""
        found = await past(
            self.api,
            [self._proxy],
            besides=[self._replicas],
            counts=lambda labels: labels.get("__name__") in self._counts_requests,
            start=start,
            end=end,
            interval=self._interval,
            most=most,
        )
        moments = [scrape.at for scrape in found.scrapes]
        asked = [readings(self.api, query_of(gate), moments, self._interval) for gate in self._gates.values()]
        answers = dict(zip(self._gates, await asyncio.gather(*asked), strict=True))
        return [self._then(found, scrape, answers) for scrape in found.scrapes]

    def _then(
        self, found: Past, scrape: Scrape, answers: Mapping[str, Mapping[float, list[PrometheusSeries]]]
    ) -> Counters:
        """The totals at one moment of the past."""
        samples = [
            Sample(labels["__name__"], labels, value, at)
            for labels, at, value in ((found.series[number], *point) for number, point in scrape.points.items())
            if labels.get("__name__") in (self._own if labels.get("job") == REPLICAS_JOB else self._counted)
        ]
        own = ((self._gates[gate], vectors[scrape.at]) for gate, vectors in answers.items())
        told = own_numbers(own, self._variants)
        return Counters(
            at=scrape.at,
            arms=(arms := pods(samples, _PROFILE, self._owner_then, scrape.at).arms),
            segments=segments(samples, _PROFILE, self._owner_then, self._labels, arms),
            readings=told.readings,
            counted=told.counted,
            unrouted=unrouted(samples),
        )

    def _owner_then(self, labels: Mapping[str, str]) -> Replica | None:
        """Whose a series of the past is: who won as the canary is the next plan's stable, and has kept its name."""
        variant, replica = labels.get("variant"), labels.get("replica")
        if variant is None or replica is None:
            return by_labels(labels)
        arm = self._variants.get(variant)
        return (arm, replica) if arm else None

    def _scraped_at(self, series: Sequence[PrometheusSeries]) -> float:
        """When the requests were counted: whatever else was scraped later waits for its turn."""
        times = [each.points[-1][0] for each in series if each.name in self._counts_requests and each.points]
        if times:
            return max(times)
        if series:
            raise ExternalError(
                f"Prometheus on {self.api.url} has no count of requests younger than {self._window:g} s: "
                f"it does not reach the proxy."
            )
        raise ExternalError(
            f"Prometheus on {self.api.url} has no sample younger than {self._window:g} s: it scrapes nothing of ours."
        )

    async def _replicas_own(self, query: str) -> tuple[list[PrometheusSeries], str]:
        """What the replicas say of themselves, or the clause why that is missing."""
        try:
            return await self.api.counters(query), ""
        except ExternalError as error:
            return [], f"no data from the replicas' own metrics pages: {error}"

    async def _answers(self) -> list[tuple[Gate, list[PrometheusSeries] | ExternalError]]:
        """The answer to each gate's own PromQL."""
        answers = await asyncio.gather(*(self._answer(gate) for gate in self._gates.values()))
        return list(zip(self._gates.values(), answers, strict=True))

    async def _answer(self, gate: Gate) -> list[PrometheusSeries] | ExternalError:
        try:
            return await self.api.query(query_of(gate))
        except ExternalError as error:
            return error

    async def close(self) -> None:
        """Give the connections back."""
        await self.api.close()


def _selector(job: str, names: Iterable[str]) -> str:
    return f'{{__name__=~"{"|".join(sorted(names))}",job="{job}"}}'


def _samples(series: Iterable[PrometheusSeries], names: Collection[str]) -> list[Sample]:
    """The newest point of each series with one of these names."""
    newest = ((each, *each.points[-1]) for each in series if each.points and each.name in names)
    return [Sample(each.name, each.metric, value, at) for each, at, value in newest]
