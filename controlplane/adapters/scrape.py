"""Reads running totals from the source: our Envoy's admin interface and each replica's own metrics page.

Behind the port `MetricSource`, where there is no Prometheus or nobody wants one. All pages are read at the same time
and within half a scrape interval, parsing included. Envoy has to answer. A replica's page is extra: one that is not
there is absent, what hangs or makes no sense is left out and said, and one that took too long is not waited for again
for a while. Nothing that it says keeps Envoy's counters of that replica from counting, nor changes them. Remembers no
totals and computes no differences.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from canary.errors import Unavailable
from canary.snapshot import Counters, clauses
from canary.spec.samples import Replica, by_envoy_cluster, by_labels, pods, segments, unrouted
from canary.spec.sources import ENVOY, ENVOY_STATS, PROFILES, SERVERS, UNROUTED, by_label, wire_names
from canary.weights import ARMS, Arm
from controlplane.adapters.bounded_http import BoundedHttp, NotThere, TooSlow
from controlplane.adapters.envoy_config import COUNTERS
from controlplane.adapters.exposition import ExpositionPage, read
from controlplane.ports import Clock

LONGEST_PATIENCE_S = 5.0
LEFT_ALONE_INTERVALS = 5
"""Scrape intervals for which a page that hung is not asked again: each time costs all the others half an interval."""
MOST_BYTES_A_PAGE = 4 * 1024 * 1024
"""A metrics page of a large model server has 60 kB; whoever sends many times that is broken or hostile."""

Pages = Callable[[], Mapping[Arm, Mapping[str, str]]]
"""Arm to replica name (`canary-0`, as Envoy's cluster is named) to the URL of its metrics page, of ready replicas."""


class ScrapeSource:
    """`envoy` answers where the admin interface is; both are asked at each reading, for either may move."""

    def __init__(
        self,
        *,
        envoy: Callable[[], Path | str],
        pages: Pages,
        clock: Clock,
        interval: float,
        labels: Sequence[str] = (),
        http: BoundedHttp | None = None,
    ) -> None:
        """`labels` are those whose values are told apart, where series carry them.

        `envoy`: the socket, or `host:port` of an Envoy that has a port for it.
        """
        self._envoy = envoy
        self._pages = pages
        self._clock = clock
        self._interval = interval
        self._patience = min(interval / 2, LONGEST_PATIENCE_S)
        self._labels = labels
        self._own = wire_names((*SERVERS, *by_label(())) if labels else SERVERS)
        """What is read of replicas' own pages."""
        self._http = http or BoundedHttp(most_bytes=MOST_BYTES_A_PAGE)
        self._parsers = {arm: ThreadPoolExecutor(1, f"pages of {arm}") for arm in ARMS}
        """Replicas' pages are parsed here: what a canary sends must keep neither the event loop nor stable's pages."""
        self._left_alone: dict[str, float] = {}
        """URL to the time from which it may be asked again."""

    async def read(self) -> Counters:
        """The totals now; raises `Unavailable` when Envoy does not answer."""
        at = self._clock.now()
        replicas = [(url, arm, name) for arm, each in self._pages().items() for name, url in each.items()]
        proxy, *own = await asyncio.gather(self._envoy_page(), *(self._replica_page(*each) for each in replicas))
        if proxy.problem:
            raise Unavailable(proxy.problem)
        everything = [sample for page in (proxy, *own) for sample in page.samples]
        arms, problems = pods(everything, PROFILES["envoy"], _owner)
        return Counters(
            at=at,
            arms=arms,
            segments=segments(everything, PROFILES["envoy"], _owner, self._labels, arms),
            unrouted=unrouted(proxy.samples),
            problem=clauses([*(page.problem for page in own), *problems]),
        )

    async def close(self) -> None:
        """Give the connections back."""
        for parser in self._parsers.values():
            parser.shutdown(wait=False, cancel_futures=True)
        await self._http.close()

    async def _envoy_page(self) -> ExpositionPage:
        address = self._envoy()
        socket, host = (address, "envoy") if isinstance(address, Path) else (None, address)
        try:
            answer = await self._http.get(
                f"http://{host}{COUNTERS}", seconds=self._patience, query={"filter": ENVOY_STATS}, socket=socket
            )
            if answer.status == 200:
                page = read(answer.text, wire_names(ENVOY) | UNROUTED)
                problem = page.problem
                if not problem:
                    return page
            else:
                problem = f"it answers {answer.status}"
        except Unavailable as error:
            problem = str(error)
        return ExpositionPage([], f"Envoy's metrics on {address} cannot be read: {problem}")

    async def _replica_page(self, url: str, arm: Arm, replica: str) -> ExpositionPage:
        """A replica's own page, its samples marked as this replica's. A replica without a page is no problem."""
        now = self._clock.now()
        if self._left_alone.get(url, now) > now:
            return ExpositionPage([], f"{replica}: its metrics page took too long and is left alone for a while")
        try:
            async with asyncio.timeout(self._patience):
                answer = await self._http.get(url, seconds=self._patience)
                found = ExpositionPage([])
                if answer.status == 200:
                    loop = asyncio.get_running_loop()
                    found = await loop.run_in_executor(self._parsers[arm], read, answer.text, self._own)
        except NotThere:
            return ExpositionPage([])
        except (TooSlow, TimeoutError):
            self._left_alone[url] = now + LEFT_ALONE_INTERVALS * self._interval
            return ExpositionPage([], f"{replica}: its metrics page is not read within {self._patience:g} s")
        except Unavailable as error:
            return ExpositionPage([], f"{replica}: its metrics page cannot be read: {error}")
        marked = {"arm": arm, "replica": replica}
        samples = [sample._replace(labels={**sample.labels, **marked}) for sample in found.samples]
        return ExpositionPage(samples, f"{replica}: {found.problem}" if found.problem else "")


def _owner(labels: Mapping[str, str]) -> Replica | None:
    return by_labels(labels) or by_envoy_cluster(labels)
