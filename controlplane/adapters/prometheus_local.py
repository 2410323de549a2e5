"""A Prometheus of our own as a metric source: kept running, and read as soon as it has something new.

Behind the port `MetricSource`; puts `prometheus_server.py` and `prometheus.py` together. A reader with the same rhythm
as the scrapes would be up to a whole interval behind them, and for that long a broken canary would keep its traffic.

While Prometheus has nothing new, the same totals are scraped directly: in the five seconds that it takes to find its
targets, and whenever it cannot run or cannot store (a full disk, a clock that was set back). They are the same counters
of the same replicas, so going over and back is exact; gates with a query have no answer meanwhile. Only a proxy that
answers neither of them is silence.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from canary.errors import ExternalError
from canary.snapshot import Counters
from controlplane.adapters.prometheus import PrometheusSource
from controlplane.adapters.prometheus_server import PrometheusServer
from controlplane.adapters.scrape import ScrapeSource
from controlplane.ports import Clock

SCRAPE_TAKES_S = 0.03
"""From the time a sample bears until a query finds it, about."""
QUESTIONS_AN_INTERVAL = 20
"""How often Prometheus is asked again for a scrape that is late."""
MISSED_INTERVALS = 2
"""Prometheus is behind when its newest scrape is older than so many intervals, or lies ahead by as many."""
STARTS_WITHIN_S = 15.0
"""A Prometheus that has stored nothing for so long is in trouble, and not merely starting."""


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
        say: Callable[[str], None] = lambda _sentence: None,
    ) -> None:
        """`interval`: seconds between two scrapes, as the server was told; `labels`: as the source tells apart.

        `admin`: the socket at which Envoy is scraped directly; None: where Prometheus scrapes it. `say` is told once
        when Prometheus is in trouble, and once when it is not any more.
        """
        self._server = server
        self._source = source
        self._clock = clock
        self._interval = interval
        self._say = say
        self._directly = ScrapeSource(
            envoy=admin or server.envoy, pages=server.pages, clock=clock, interval=interval, labels=labels
        )
        self._newest: float | None = None
        """Time of the newest scrape of Prometheus that was read; None before its first answer."""
        self._scraped = float("-inf")
        """Time of the newest direct reading."""
        self._behind_since: float | None = None
        """Since when Prometheus has had nothing new, by the event loop's clock; None while it has."""
        self._said = False

    async def read(self) -> Counters:
        """The newest totals; raises as `ScrapeSource.read` does where Prometheus has none and Envoy has none either."""
        try:
            self._server.keep(self._clock.now())
            self._source.api.url = self._server.url
            counters = await (self._source.read() if self._newest is None else self._next(self._newest))
        except ExternalError as error:
            return await self._instead(str(error), None)
        if self._is_news(counters):
            self._newest = counters.at
            self._recovered()
            return counters
        return await self._instead("", counters)

    async def between(self, start: float, end: float, most: int) -> list[Counters]:
        """What Prometheus remembers; raises as `read` does."""
        self._server.keep(self._clock.now())
        self._source.api.url = self._server.url
        return await self._source.between(start, end, most)

    async def close(self) -> None:
        """End the program and give the connections back."""
        await self._directly.close()
        await self._source.close()
        await self._server.close()

    async def _next(self, newest: float) -> Counters:
        """The first scrape after `newest`; if it is half an interval late, what there is."""
        now = self._clock.now()
        due = min(newest + self._interval + SCRAPE_TAKES_S, now + self._interval)
        await self._clock.sleep(max(due - now, 0.0))
        counters = await self._source.read()
        for _ in range(QUESTIONS_AN_INTERVAL // 2):
            if counters.at > newest:
                break
            await self._clock.sleep(self._interval / QUESTIONS_AN_INTERVAL)
            counters = await self._source.read()
        return counters

    def _is_news(self, counters: Counters) -> bool:
        """Whether Prometheus stores what it scrapes: one late scrape is no trouble, and is judged by its age."""
        most = MISSED_INTERVALS * self._interval
        return abs(self._clock.now() - counters.at) <= most and counters.at > self._scraped

    async def _instead(self, why: str, old: Counters | None) -> Counters:
        """The totals by scraping directly; where that fails, the old ones that Prometheus has, if it has any."""
        loop = asyncio.get_running_loop()
        if self._behind_since is None:
            self._behind_since = loop.time()
        try:
            counters = await self._directly.read()
        except ExternalError:
            if old is None:
                raise
            return old
        self._scraped = counters.at
        patience = STARTS_WITHIN_S if self._newest is None else MISSED_INTERVALS * self._interval
        if not self._said and loop.time() - self._behind_since >= patience:
            self._said = True
            self._say(
                f"Prometheus has nothing new ({self._server.trouble(why)}): Envoy and the servers are scraped directly "
                f"until it has, and gates with a query wait. {self._server.remedy}"
            )
        return counters

    def _recovered(self) -> None:
        self._behind_since = None
        if self._said:
            self._said = False
            self._say("Prometheus stores what it scrapes again, and is read again.")
