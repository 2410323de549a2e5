"""A Prometheus of our own as a metric source: kept running, and read as soon as it has something new.

Behind the port `MetricSource`; puts `prometheus_server.py` and `prometheus.py` together. A reader with the same rhythm
as the scrapes would be up to a whole interval behind them, and for that long a broken canary would keep its traffic.
"""

from canary.observation import Counters
from controlplane.adapters.prometheus import PrometheusSource
from controlplane.adapters.prometheus_server import PrometheusServer
from controlplane.ports import Clock

SCRAPE_TAKES_S = 0.03
"""From the time a sample bears until a query finds it, about."""


class LocalPrometheus:
    """`read` waits for the next scrape, at most one interval."""

    def __init__(self, server: PrometheusServer, source: PrometheusSource, *, clock: Clock, interval: float) -> None:
        self._server = server
        self._source = source
        self._clock = clock
        self._interval = interval
        self._newest = float("-inf")

    async def read(self) -> Counters:
        """The newest totals; raises as `PrometheusSource.read` does, and `Unavailable` while the program is down."""
        asked_at = self._clock.now()
        self._server.keep(asked_at)
        self._source.api.url = self._server.url
        next_one = self._newest + self._interval + SCRAPE_TAKES_S
        await self._clock.sleep(min(max(next_one - asked_at, 0.0), self._interval))
        counters = await self._source.read()
        while counters.at <= self._newest and self._clock.now() < asked_at + self._interval:
            await self._clock.sleep(self._interval / 20)
            counters = await self._source.read()
        self._newest = counters.at
        return counters

    async def close(self) -> None:
        """End the program and give the connections back."""
        await self._source.close()
        await self._server.close()
