"""A small HTTP server whose pages a test controls, and the pages that Envoy and a model server would show."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

from canary.snapshot import PodCounters

Query = Mapping[str, list[str]]


class Asked(NamedTuple):
    """One request as it arrived."""

    method: str
    path: str
    fields: Query
    """Of the query and, for POST, of the form."""
    headers: Mapping[str, str]


@dataclass(slots=True)
class Page:
    """What is answered under one path."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


class PageServer:
    """Serves on a free loopback port while its block runs."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[Asked] = []
        self.address = ""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; after `stop`, on the same port again."""
        port = int(self.address.rpartition(":")[2] or 0)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.address = "{}:{}".format(*self._server.sockets[0].getsockname())

    async def stop(self) -> None:
        """Stop listening and break every connection."""
        if self._server:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def put(
        self, path: str, body: str, *, status: int = 200, headers: Mapping[str, str] | None = None, delay_s: float = 0.0
    ) -> None:
        """From now on the path answers this."""
        self.pages[path] = Page(body.encode(), status, headers or {}, delay_s)

    def url(self, path: str) -> str:
        """The page's URL."""
        return f"http://{self.address}{path}"

    def path_of(self, path: str, fields: Query) -> str:
        """Which page a request gets: the one of its path."""
        return path

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    await self._answer(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        form = (await reader.readexactly(int(headers.get("content-length", 0)))).decode()
        url = urlsplit(target)
        fields = parse_qs(url.query) | parse_qs(form)
        self.asked.append(Asked(method, url.path, fields, headers))
        page = self.pages.get(self.path_of(url.path, fields), Page(b"not found", 404))
        await asyncio.sleep(page.delay_s)
        extra = "".join(f"{name}: {value}\r\n" for name, value in page.headers.items())
        writer.write(
            f"HTTP/1.1 {page.status} X\r\ncontent-length: {len(page.body)}\r\n{extra}\r\n".encode() + page.body
        )
        await writer.drain()


def envoy_page(
    requests: Mapping[str, Mapping[str, int]],
    *,
    latency_ms: Mapping[str, Mapping[float, int]] | None = None,
    broken: Mapping[str, int] | None = None,
    unrouted: int = 0,
) -> str:
    """Envoy's page: by cluster, answers by code (`{"canary-0": {"200": 5, "503": 1}}`) and what else is given."""
    lines = [f'envoy_http_no_cluster{{envoy_http_conn_manager_prefix="serinus"}} {unrouted}']
    for cluster, codes in requests.items():
        name = f'envoy_cluster_name="{cluster}"'
        lines.append(f"envoy_cluster_upstream_rq_completed{{{name}}} {sum(codes.values())}")
        lines.append(f"envoy_cluster_upstream_cx_protocol_error{{{name}}} {(broken or {}).get(cluster, 0)}")
        lines += [f'envoy_cluster_upstream_rq{{envoy_response_code="{code}",{name}}} {n}' for code, n in codes.items()]
        for group in sorted({code[0] for code in codes}):
            count = sum(n for code, n in codes.items() if code[0] == group)
            lines.append(f'envoy_cluster_upstream_rq_xx{{envoy_response_code_class="{group}",{name}}} {count}')
    for cluster, counts in (latency_ms or {}).items():
        for bound, count in counts.items():
            le = "+Inf" if bound == float("inf") else f"{bound:g}"
            lines.append(f'envoy_cluster_upstream_rq_time_bucket{{envoy_cluster_name="{cluster}",le="{le}"}} {count}')
    return "# TYPE envoy_cluster_upstream_rq_completed counter\n" + "\n".join(lines) + "\n"


def server_page(*, tokens: int, ttft: Mapping[str, int] | None = None, kpi: tuple[int, int] | None = None) -> str:
    """A model server's page with vLLM's names."""
    lines = ["process_start_time_seconds 1000.5", f'vllm:generation_tokens_total{{engine="0",model_name="m"}} {tokens}']
    for le, count in (ttft or {}).items():
        lines.append(f'vllm:time_to_first_token_seconds_bucket{{engine="0",le="{le}"}} {count}')
    if kpi:
        lines.append(f'serinus_kpi_events_total{{kpi="sold"}} {kpi[0]}')
        lines.append(f'serinus_kpi_of_total{{kpi="sold"}} {kpi[1]}')
    return "\n".join(lines) + "\n"


def envoy_lines(cluster: str, totals: PodCounters) -> list[str]:
    """What Envoy's page says of a replica with these totals."""
    name = f'envoy_cluster_name="{cluster}"'
    requests, errors = totals.requests or 0, totals.errors or 0
    lines = [f"envoy_cluster_upstream_rq_completed{{{name}}} {requests}"]
    for group, count in (("2", requests - errors), ("5", errors)):
        if count:
            lines.append(f'envoy_cluster_upstream_rq_xx{{envoy_response_code_class="{group}",{name}}} {count}')
    for bound, count in totals.histograms.get("latency", {}).items():
        lines.append(f'envoy_cluster_upstream_rq_time_bucket{{{name},le="{_le(bound * 1000)}"}} {count}')
    return lines


def server_lines(totals: PodCounters) -> list[str]:
    """What the page of a model server with these totals says."""
    lines = [
        f'vllm:time_to_first_token_seconds_bucket{{le="{_le(bound)}"}} {count}'
        for bound, count in totals.histograms.get("ttft", {}).items()
    ]
    for name, value in totals.totals.items():
        reason = name.removeprefix("finish_reason/")
        if reason != name:
            lines.append(f'vllm:request_success_total{{finished_reason="{reason}"}} {value}')
        elif name != "finished":
            lines.append(f"vllm:{name}_total {value}")
    for kpi, (events, of) in totals.kpis.items():
        lines += [f'serinus_kpi_events_total{{kpi="{kpi}"}} {events}', f'serinus_kpi_of_total{{kpi="{kpi}"}} {of}']
    lines += [f"vllm:kv_cache_usage_perc {value}" for value in totals.gauges.values()]
    return lines + ([f"process_start_time_seconds {totals.started_at}"] if totals.started_at else [])


def _le(bound: float) -> str:
    return "+Inf" if bound == float("inf") else f"{bound:.12g}"
