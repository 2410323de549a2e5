"""A Prometheus of our own as a metric source: kept running, and read as soon as it has something new.

Behind the port `MetricSource`; puts `prometheus_server.py` and `prometheus.py` together. A reader with the same rhythm
as the scrapes would be up to a whole interval behind them, and for that long a broken canary would keep its traffic.

A Prometheus that was just started takes five seconds to find its targets. Until its first answer the same totals are
scraped directly: they are the same counters of the same replicas, so going over to Prometheus is exact. After that
Prometheus is the source, and a source that goes silent is said to be silent.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from canary.errors import WorldError
from canary.observation import Counters
from controlplane.adapters.prometheus import PrometheusSource
from controlplane.adapters.prometheus_server import PrometheusServer
from controlplane.adapters.scrape import ScrapeSource
from controlplane.ports import Clock

SCRAPE_TAKES_S = 0.03
"""From the time a sample bears until a query finds it, about."""
QUESTIONS_AN_INTERVAL = 20
"""How often Prometheus is asked again for a scrape that is late."""


class LocalPrometheus:
    """`read` waits for the next scrape, at most one interval and a half."""

    def __init__(
        self,
        server: PrometheusServer,
        source: PrometheusSource,
        *,
        clock: Clock,
        interval: float,
        labels: Sequence[str] = (),
        admin: Callable[[], Path] | None = None,
    ) -> None:
        """`interval`: seconds between two scrapes, as the server was told; `labels`: as the source tells apart.

        `admin`: the socket at which Envoy is scraped directly; None: where Prometheus scrapes it.
        """
        self._server = server
        self._source = source
        self._clock = clock
        self._interval = interval
        self._meanwhile = ScrapeSource(
            envoy=admin or server.envoy, pages=server.pages, clock=clock, interval=interval, labels=labels
        )
        self._newest: float | None = None
        """Time of the newest scrape that was read; None before Prometheus' first answer."""

    async def read(self) -> Counters:
        """The newest totals; raises as `PrometheusSource.read` does, and `Unavailable` while the program is down."""
        self._server.keep(self._clock.now())
        self._source.api.url = self._server.url
        if self._newest is None:
            counters = await self._first()
        else:
            counters = await self._next(self._newest)
            self._newest = counters.at
        return counters

    async def between(self, start: float, end: float, most: int) -> list[Counters]:
        """What Prometheus remembers; raises as `read` does."""
        self._server.keep(self._clock.now())
        self._source.api.url = self._server.url
        return await self._source.between(start, end, most)

    async def close(self) -> None:
        """End the program and give the connections back."""
        await self._meanwhile.close()
        await self._source.close()
        await self._server.close()

    async def _first(self) -> Counters:
        try:
            counters = await self._source.read()
        except WorldError:
            return await self._meanwhile.read()
        self._newest = counters.at
        return counters

    async def _next(self, newest: float) -> Counters:
        """The first scrape after `newest`; if it is half an interval late, what there is."""
        now = self._clock.now()
        due = min(newest + self._interval + SCRAPE_TAKES_S, now + self._interval)
        await self._clock.sleep(max(due - now, 0.0))
        late = self._clock.now() + self._interval / 2
        counters = await self._source.read()
        while counters.at <= newest and self._clock.now() < late:
            await self._clock.sleep(self._interval / QUESTIONS_AN_INTERVAL)
            counters = await self._source.read()
        return counters
