"""A Prometheus for `scale.py`: it answers as a real one does, and breaches and faults are switched on and off in it.

It knows the counters of an Envoy Gateway for any number of rollouts, two backendRefs each, and answers range selectors
on them over HTTP with raw samples, as many as a scrape each second leaves within the range: every label of a PodMonitor
and every bucket of Envoy's default histogram is there, so an answer is as long as a real one. The newest sample is as
new as the question: no scrape interval and no rate window are in the measured times, as they were not when other tools
were measured. Not part of the product.
"""

import asyncio
import functools
import itertools
import json
import math
import re
import time
import urllib.parse
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

Fault = Literal["", "down", "500", "empty", "nan", "slow"]
"""`down` is played by closing the server."""
BOUNDS_MS = (
    *(0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000),
    *(300_000, 600_000, 1_800_000, 3_600_000),
)
"""Envoy's default."""
SCRAPE_S = 1.0
SPEED = {0.5: 0.0, 1: 0.0, 5: 0.1, 10: 0.3, 25: 0.6, 50: 0.9, 100: 0.97, 250: 0.995, 500: 1.0}
"""Share of requests that take at most so many milliseconds."""
NAMES = re.compile(r'__name__=~"([^"]*)"')
CLUSTERS = re.compile(r'envoy_cluster_name=~"([^"]*)"')
MATCHERS = re.compile(r'(\w+)=~"((?:[^"\\]|\\.)*)"')
RANGE = re.compile(r"\[(\d+)s\]")
SLOW_S = 20.0


@dataclass(slots=True)
class Traffic:
    """Requests of one backendRef, at a steady rate, some of which fail from a moment on."""

    rate: float
    began: float
    failing: list[tuple[float, float, float]] = field(default_factory=list)
    """From, until (infinite while it lasts), share."""

    def requests(self, now: float) -> int:
        """So many until now."""
        return int(self.rate * max(now - self.began, 0.0))

    def errors(self, now: float) -> int:
        """So many of them failed."""
        return int(sum(self.rate * share * max(min(now, end) - start, 0.0) for start, end, share in self.failing))

    def fail(self, share: float, at: float) -> None:
        """From now on this share fails; 0 ends it."""
        self.failing = [(start, min(end, at), part) for start, end, part in self.failing]
        if share:
            self.failing.append((at, math.inf, share))


@functools.cache
def _metric(cluster: str, name: str, *labels: tuple[str, str]) -> str:
    """The beginning of a series, made once: what is measured shares its cores with whoever answers."""
    told = {
        "__name__": name,
        "envoy_cluster_name": cluster,
        "namespace": "envoy-gateway-system",
        "pod": "envoy-kserve-ingress-gateway-deadbeef-7d9f8c5b6d-x2x7v",
        "container": "envoy",
        "endpoint": "metrics",
        "instance": "10.244.0.17:19001",
        "job": "envoy-gateway-system/envoy-proxies",
        **dict(labels),
    }
    return f'{{"metric":{json.dumps(told, separators=(",", ":"))},'


class FakePrometheus:
    """Serves `/api/v1/query` on a port of its own."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.queries = 0
        self.fault: Fault = ""
        self.planted: dict[str, list[dict[str, Any]]] = {}
        """By pod, what somebody's pods show besides, labels included: of any shape."""
        self._clock = clock
        self._traffic: dict[tuple[str, int], Traffic] = {}
        self._asked: dict[str, list[tuple[str, Traffic]]] = {}
        """By selector."""
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    async def open(self, port: int = 0) -> None:
        """Begin to answer; the same port again after `close` plays a Prometheus that comes back."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port or self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Refuse connections."""
        if self._server:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    def add(self, route: str, *, canary_rate: float, stable_rate: float) -> None:
        """A rollout by its route, `namespace/name`."""
        now = self._clock()
        self._asked.clear()
        for place, rate in ((0, stable_rate), (1, canary_rate)):
            self._traffic[f"httproute/{route}/rule/0", place] = Traffic(rate, now)

    def forget(self, route: str = "") -> None:
        """A rollout, or all, are known no more: a real one does not answer for those that nobody asks about."""
        for key in [each for each in self._traffic if not route or each[0] == f"httproute/{route}/rule/0"]:
            del self._traffic[key]
        self._asked.clear()

    def fail(self, route: str, share: float) -> float:
        """From now on this share of the canary's requests fails; answers when that was."""
        now = self._clock()
        self._traffic[f"httproute/{route}/rule/0", 1].fail(share, now)
        return now

    def answer(self, query: str) -> str:
        """The body for a range selector."""
        found = NAMES.search(query)
        names = set(found[1].split("|")) if found else set()
        now, length = self._clock(), RANGE.search(query)
        times = [now - SCRAPE_S * back for back in reversed(range(int(length[1]) if length else 1))]
        series: list[str] = []
        if self.fault != "empty":
            for cluster, traffic in self._selected(query):
                series += self._series(cluster, traffic, names, times)
        matchers = [(label, re.compile(pattern)) for label, pattern in MATCHERS.findall(query)] if self.planted else []
        for each in itertools.chain.from_iterable(self.planted.values()):
            if all(pattern.fullmatch(str(each["metric"].get(label, ""))) for label, pattern in matchers):
                newest = {
                    kind: [[round(now, 3), sample[1]] for sample in each[kind][-1:]]
                    for kind in ("values", "histograms")
                    if kind in each
                }
                series.append(json.dumps({**each, **newest}))
        return '{"status":"success","data":{"resultType":"matrix","result":[' + ",".join(series) + "]}}"

    def _selected(self, query: str) -> list[tuple[str, Traffic]]:
        """Whose series are asked for, worked out once for each selector."""
        found = CLUSTERS.search(query)
        selector = found[1] if found else ""
        if selector not in self._asked:
            wanted = re.compile(selector)
            named = ((f"{rule}/backend/{place}", traffic) for (rule, place), traffic in self._traffic.items())
            self._asked[selector] = [(name, traffic) for name, traffic in named if wanted.fullmatch(name)]
        return self._asked[selector]

    def _series(self, cluster: str, traffic: Traffic, names: set[str], times: list[float]) -> list[str]:
        requests, errors = [traffic.requests(at) for at in times], [traffic.errors(at) for at in times]
        written = [f"{at:.3f}" for at in times]

        def one(name: str, values: Iterable[float], **labels: str) -> str:
            samples = ",".join(
                f'[{at},"{"NaN" if self.fault == "nan" else value}"]' for at, value in zip(written, values, strict=True)
            )
            return f'{_metric(cluster, name, *labels.items())}"values":[{samples}]}}'

        made: list[str] = []
        if (name := "envoy_cluster_upstream_rq_xx") in names:
            made.append(one(name, map(int.__sub__, requests, errors), envoy_response_code_class="2"))
            made.append(one(name, errors, envoy_response_code_class="5"))
        if (name := "envoy_cluster_upstream_rq_completed") in names:
            made.append(one(name, requests))
        if (name := "envoy_cluster_upstream_cx_protocol_error") in names:
            made.append(one(name, [0] * len(times)))
        if (name := "envoy_cluster_upstream_rq_time_bucket") in names:
            shares = ((bound, SPEED.get(bound, 1.0)) for bound in BOUNDS_MS)
            made += [one(name, [int(each * share) for each in requests], le=str(bound)) for bound, share in shares]
            made.append(one(name, requests, le="+Inf"))
        return made

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"(?i)content-length: *(\d+)", head)
                body = await reader.readexactly(int(length[1])) if length else b""
                text = await self._reply(urllib.parse.parse_qs(body.decode()).get("query", [""])[0])
                status = "500 Internal Server Error" if self.fault == "500" else "200 OK"
                sent = text.encode()
                said = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(sent)}\r\n\r\n"
                writer.write(said.encode() + sent)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # who asks has gone, or the program ends: a stream would complain of that
        finally:
            writer.close()

    async def _reply(self, query: str) -> str:
        self.queries += 1
        if self.fault == "slow":
            await asyncio.sleep(SLOW_S)
        return "down" if self.fault == "500" else self.answer(query)
