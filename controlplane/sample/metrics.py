"""The `/metrics` page of the sample server: vLLM's names, label sets and bucket bounds, and our KPI convention.

Filled by `engine.py` and `server.py`, read by whoever scrapes. Bounds and labels are those of vLLM 0.32; a test holds
this page against a captured one. Only the metrics that canaries are judged by are here.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator

TTFT_BOUNDS = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
    160.0, 640.0, 2560.0,
)  # fmt: skip
ITL_BOUNDS = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
REQUEST_BOUNDS = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
    1920.0, 7680.0,
)  # fmt: skip
HTTP_BOUNDS = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 7.5, 10.0, 30.0, 60.0,
)  # fmt: skip
MOST_TENANTS = 100
FINISHED_REASONS = ("stop", "length", "abort", "error", "repetition")


class Histogram:
    """Counts of values (seconds) by upper bound, and their sum."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count `value`, so many times."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    def cumulative(self) -> Iterator[tuple[str, int]]:
        """`le` label and count of values up to it; the last is `+Inf`."""
        total = 0
        for bound, count in zip((*map(repr, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            yield bound, total


class TenantMetrics:
    """What is counted of one tenant's requests: those that said whose they are (header `x-tenant`)."""

    def __init__(self) -> None:
        self.requests = Counter[str]()
        """By status class (`2xx`)."""
        self.latency = Histogram(HTTP_BOUNDS)
        self.kpi_events = Counter[str]()
        self.kpi_of = Counter[str]()


class ServerMetrics:
    """Everything that the page shows."""

    def __init__(self, model: str, started_at: float) -> None:
        self.model = model
        self.started_at = started_at
        self.running = 0
        self.waiting = 0
        self.kv_cache_usage = 0.0
        """Share of the pretended cache that running requests hold."""
        self.ttft = Histogram(TTFT_BOUNDS)
        self.itl = Histogram(ITL_BOUNDS)
        self.e2e = Histogram(REQUEST_BOUNDS)
        self.queue_time = Histogram(REQUEST_BOUNDS)
        self.http_latency = Histogram(HTTP_BOUNDS)
        self.finished = dict.fromkeys(FINISHED_REASONS, 0)
        self.generation_tokens = 0
        self.prompt_tokens = 0
        self.http = Counter[tuple[str, str, str]]()
        """By handler, method and status class (`2xx`)."""
        self.kpi_events = Counter[str]()
        self.kpi_of = Counter[str]()
        """What has no tenant; the page shows `tenants` beside it."""
        self.tenants: dict[str, TenantMetrics] = {}

    def of_tenant(self, name: str) -> "TenantMetrics":
        """A tenant's own counts; what comes from too many of them is counted together."""
        known = name if name in self.tenants or len(self.tenants) < MOST_TENANTS else "other"
        return self.tenants.setdefault(known, TenantMetrics())

    def page(self) -> str:
        """The page in the Prometheus text format."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield from _family("process_start_time_seconds", "gauge", "When the process started.", [({}, self.started_at)])
        yield from self._engine("num_requests_running", "gauge", "Requests being answered.", self.running)
        yield from self._engine("num_requests_waiting", "gauge", "Requests waiting for their turn.", self.waiting)
        yield from self._engine("kv_cache_usage_perc", "gauge", "Share of the KV cache in use.", self.kv_cache_usage)
        yield from self._engine("num_preemptions_total", "counter", "Requests put back into the queue.", 0)
        yield from self._engine("prompt_tokens_total", "counter", "Tokens read.", self.prompt_tokens)
        yield from self._engine("generation_tokens_total", "counter", "Tokens written.", self.generation_tokens)
        finished = [(self._labels(finished_reason=reason), count) for reason, count in self.finished.items()]
        yield from _family("vllm:request_success_total", "counter", "Finished requests by reason.", finished)
        yield from self._histogram("time_to_first_token_seconds", "Time to the first token.", self.ttft)
        yield from self._histogram("inter_token_latency_seconds", "Time between two tokens.", self.itl)
        yield from self._histogram("e2e_request_latency_seconds", "Time from arrival to last token.", self.e2e)
        yield from self._histogram("request_queue_time_seconds", "Time before the request's turn.", self.queue_time)
        http = [({"handler": h, "method": m, "status": s}, count) for (h, m, s), count in self.http.items()]
        yield from _family("http_requests_total", "counter", "Requests by handler, method and status.", http)
        yield from _histogram("http_request_duration_highr_seconds", "Time to answer.", {}, self.http_latency)
        for name, help_, counts, own in (
            ("serinus_kpi_events_total", "Answers that led to the KPI's event.", self.kpi_events, "kpi_events"),
            ("serinus_kpi_of_total", "Answers that could have led to it.", self.kpi_of, "kpi_of"),
        ):
            samples: list[tuple[dict[str, str], float]] = [({"kpi": kpi}, count) for kpi, count in counts.items()]
            for tenant, theirs in self.tenants.items():
                samples += [({"kpi": kpi, "tenant": tenant}, count) for kpi, count in getattr(theirs, own).items()]
            yield from _family(name, "counter", help_, samples)
        if self.tenants:
            yield from self._of_tenants()

    def _of_tenants(self) -> Iterator[str]:
        """Requests and their times by tenant, as our convention for gates with `by` has them."""
        answered = [
            ({"status": status, "tenant": tenant}, count)
            for tenant, theirs in self.tenants.items()
            for status, count in theirs.requests.items()
        ]
        yield from _family("serinus_requests_total", "counter", "Requests by tenant and status.", answered)
        name = "serinus_request_duration_seconds"
        for number, (tenant, theirs) in enumerate(self.tenants.items()):
            lines = _histogram(name, "Time to answer, by tenant.", {"tenant": tenant}, theirs.latency)
            yield from (line for line in lines if not (number and line.startswith("#")))

    def _labels(self, **more: str) -> dict[str, str]:
        return {"engine": "0", "model_name": self.model, **more}

    def _engine(self, name: str, kind: str, help_: str, value: float) -> Iterator[str]:
        return _family(f"vllm:{name}", kind, help_, [(self._labels(), value)])

    def _histogram(self, name: str, help_: str, histogram: Histogram) -> Iterator[str]:
        return _histogram(f"vllm:{name}", help_, self._labels(), histogram)


def _family(name: str, kind: str, help_: str, samples: Iterable[tuple[dict[str, str], float]]) -> Iterator[str]:
    yield f"# HELP {name} {help_}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        yield _sample(name, labels, value)


def _histogram(name: str, help_: str, labels: dict[str, str], histogram: Histogram) -> Iterator[str]:
    yield from _family(name, "histogram", help_, [])
    total = 0
    for bound, total in histogram.cumulative():
        yield _sample(f"{name}_bucket", {**labels, "le": bound}, total)
    yield _sample(f"{name}_count", labels, total)
    yield _sample(f"{name}_sum", labels, histogram.sum)


def _sample(name: str, labels: dict[str, str], value: float) -> str:
    inside = ",".join(f'{key}="{_escape(labels[key])}"' for key in sorted(labels))
    return f"{name}{{{inside}}} {float(value)!r}" if inside else f"{name} {float(value)!r}"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
