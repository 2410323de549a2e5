"""The built-in metrics: what each means, which way it improves, its unit, and how it is counted.

Read by the gate grammar (what may be asked of a metric), by `sources.py` (which series feed it) and by the judge
(which test fits). Says nothing about names of series: these differ by server and version and stand in `sources.py`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Literal

from canary.spec.source import quoted
from canary.spec.units import Unit, UnreadableNumber

Kind = Literal["proportion", "ratio", "histogram", "gauge", "rate"]
"""`proportion`: events among trials, 0 to 1. `ratio`: one running total over another, unbounded. `histogram`: counts by
upper bound, which give quantiles. `gauge`: momentary values. `rate`: a running total over time."""
Better = Literal["lower", "higher", "either"]

QUANTILE = re.compile(r"p([1-9][0-9]?(?:\.[0-9]{1,3})?)")
"""`p1` to `p99.999`."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One thing that a gate can be about."""

    name: str
    about: str
    """One sentence for documents and hover texts."""
    better: Better
    """Direction in which it improves; `either` leaves it to the gate (`<=` or `>=`)."""
    unit: Unit | None
    """Unit of its limit; None for figures on a scale of their own, whose limit says it."""
    kind: Kind
    quantiles: bool = False
    """Whether `p50`, `p95`, … can be asked for."""
    default_statistic: str | None = None
    """What a gate means that names no statistic."""
    counts: tuple[str, str] | None = None
    """For proportions and ratios the running totals (numerator, denominator) that it is made of."""
    scale: float = 1.0
    """Factor on a ratio: 1000 for a cost per thousand requests."""
    comparable: bool = True
    """Whether arms with different shares of traffic can be held against each other."""

    @property
    def is_kpi(self) -> bool:
        """Whether it is a business figure, `kpi/<name>`."""
        return self.name.startswith("kpi/")

    def allows(self, statistic: str) -> bool:
        """Whether this statistic exists for it."""
        return self.quantiles and QUANTILE.fullmatch(statistic) is not None


def _seconds(name: str, about: str) -> Metric:
    return Metric(name, about, "lower", "seconds", "histogram", quantiles=True, default_statistic="p95")


def _finished(reason: str, about: str, better: Better) -> Metric:
    name = f"finish_reason/{reason}"
    return Metric(name, about, better, "share", "proportion", counts=(name, "finished"))


BUILT_IN: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _seconds("latency", "Time from the request to the last byte of its answer, as the proxy in front sees it."),
        Metric(
            "error_rate",
            "Share of requests that failed: answers of 500 and above, resets and timeouts.",
            "lower",
            "share",
            "proportion",
            counts=("errors", "requests"),
        ),
        Metric(
            "client_error_rate",
            "Share of requests that were answered 400 to 499, but for 429: an unknown model, a context too long.",
            "lower",
            "share",
            "proportion",
            counts=("client_errors", "requests"),
        ),
        Metric(
            "throttled_rate",
            "Share of requests that were refused for their rate: answers of 429.",
            "lower",
            "share",
            "proportion",
            counts=("throttled", "requests"),
        ),
        Metric(
            "throughput",
            "Requests answered a second; it follows the variant's share of traffic.",
            "higher",
            "number",
            "rate",
            comparable=False,
        ),
        _seconds("ttft", "Time from the request to the first token of its answer."),
        _seconds("itl", "Time between one token and the next."),
        _seconds("e2e", "Time from the request to its last token, as the model server sees it."),
        Metric(
            "tokens_per_second",
            "Tokens a second that one request gets while its answer is written.",
            "higher",
            "number",
            "ratio",
            counts=("generation_tokens", "decode_seconds"),
        ),
        _seconds("queue_time", "Time a request waits in the model server before work on it begins."),
        Metric("kv_cache_usage", "Share of the key-value cache in use.", "lower", "share", "gauge"),
        Metric(
            "preemptions",
            "How often an answer was put off for lack of cache, for each request.",
            "lower",
            "number",
            "ratio",
            counts=("preemptions", "requests"),
        ),
        _finished("stop", "Share of answers that ended by themselves.", "higher"),
        _finished("length", "Share of answers that were cut at their token limit.", "lower"),
        _finished("abort", "Share of answers that the client or server gave up.", "lower"),
        _finished("error", "Share of answers that ended in an error of the engine.", "lower"),
        _finished("repetition", "Share of answers that were stopped because they repeated themselves.", "lower"),
        Metric(
            "tokens_per_answer",
            "Length of an answer in tokens, on average.",
            "either",
            "number",
            "ratio",
            counts=("generation_tokens", "finished"),
        ),
        Metric(
            "cost_per_1k_requests",
            "Dollars for a thousand requests: what the variant's GPUs cost for its part of the work.",
            "lower",
            "dollars",
            "ratio",
            counts=("dollars", "requests"),
            scale=1e3,
        ),
        Metric(
            "cost_per_1m_tokens",
            "Dollars for a million generated tokens, at stable's utilisation.",
            "lower",
            "dollars",
            "ratio",
            counts=("dollars", "generation_tokens"),
            scale=1e6,
        ),
        Metric("gpu_memory", "Share of the GPUs' memory in use.", "lower", "share", "gauge"),
    )
}
"""Every metric that needs no query, by name."""

KNOWN_KPIS: dict[str, tuple[Better, Unit | None, str]] = {
    "abandonment_rate": ("lower", "share", "Share of sessions that the user left before the end."),
    "bounce_rate": ("lower", "share", "Share of visits that ended after one page."),
    "churn_rate": ("lower", "share", "Share of customers who left."),
    "click_through_rate": ("higher", "share", "Share of answers whose link was followed."),
    "conversion": ("higher", "share", "Share of sessions that ended in what the business hopes for."),
    "conversion_rate": ("higher", "share", "Share of sessions that ended in what the business hopes for."),
    "csat": ("higher", None, "Customer satisfaction."),
    "deflection_rate": ("higher", "share", "Share of cases that needed no person."),
    "escalation_rate": ("lower", "share", "Share of sessions handed over to a person."),
    "first_turn_resolution": ("higher", "share", "Share of requests settled by the first answer."),
    "hallucination_rate": ("lower", "share", "Share of answers that claim what is not so."),
    "handle_time": ("lower", "seconds", "Time until a case is closed."),
    "nps": ("higher", None, "Net promoter score."),
    "refund_rate": ("lower", "share", "Share of orders paid back."),
    "refusal_rate": ("lower", "share", "Share of requests the model declined."),
    "reopen_rate": ("lower", "share", "Share of cases opened again."),
    "resolution_rate": ("higher", "share", "Share of cases that were settled."),
    "retention": ("higher", "share", "Share of users who come back."),
    "revenue_per_session": ("higher", "dollars", "Takings for each session."),
    "thumbs_down_rate": ("lower", "share", "Share of answers that users marked as bad."),
    "thumbs_up_rate": ("higher", "share", "Share of answers that users marked as good."),
    "toxicity_rate": ("lower", "share", "Share of answers found offensive."),
    "win_rate": ("higher", "share", "Share of comparisons won."),
}
"""Business figures whose direction is known, so that they may stand without `kpi/`."""

SYNONYMS = {
    "cost": "cost_per_1k_requests",
    "duration": "latency",
    "e2e_latency": "e2e",
    "errors": "error_rate",
    "failure_rate": "error_rate",
    "finish_reason": "finish_reason/length",
    "gpu_cache_usage": "kv_cache_usage",
    "gpu_mem": "gpu_memory",
    "http_errors": "error_rate",
    "inter_token_latency": "itl",
    "memory": "gpu_memory",
    "qps": "throughput",
    "request_latency": "latency",
    "response_time": "latency",
    "rps": "throughput",
    "success_rate": "error_rate",
    "time_per_output_token": "itl",
    "time_to_first_token": "ttft",
    "tokens_per_s": "tokens_per_second",
    "tpot": "itl",
    "tps": "tokens_per_second",
}
"""What other tools call these; used to answer an unknown name, never accepted."""

_KPI = re.compile(r"kpi/[a-z][a-z0-9_.-]{0,62}")


def find(name: str) -> Metric:
    """The metric of this name; one from `KNOWN_KPIS` means `kpi/<name>`. Raises `UnreadableNumber`
    with the nearest name.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    bare = name.removeprefix("kpi/")
    if bare in KNOWN_KPIS:
        better, unit, about = KNOWN_KPIS[bare]
        return Metric(f"kpi/{bare}", about, better, unit, "ratio")
    if _KPI.fullmatch(name):
        return Metric(name, "A business figure of your own.", "either", None, "ratio")
    if name.startswith("kpi/"):
        raise UnreadableNumber(
            f"a KPI is named like kpi/conversion: lower-case letters, digits, _, . and -; got {quoted(name)}"
        )
    near = did_you_mean(name, names(), SYNONYMS) or f"; known are {', '.join(BUILT_IN)}."
    raise UnreadableNumber(f"unknown metric {quoted(name)}{near} A figure of your own is written kpi/<name>")


def names() -> tuple[str, ...]:
    """All names that may stand in a gate as they are, built-in ones first."""
    return (*BUILT_IN, *KNOWN_KPIS)


def did_you_mean(name: str, known: Iterable[str], synonyms: Mapping[str, str] = MappingProxyType({})) -> str:
    """`, did you mean "…"?` for the nearest known name, or nothing where none is near."""
    nearest = {_folded(each): each for each in known} | {_folded(each): meant for each, meant in synonyms.items()}
    near = get_close_matches(_folded(name[:100]), nearest, n=1, cutoff=0.65)
    return f", did you mean {quoted(nearest[near[0]])}?" if near else ""


def _folded(name: str) -> str:
    """Names compare without case, hyphens, underscores and blanks: `Error-Rate` is near `error_rate`."""
    return re.sub(r"[\s_-]+", "", name).lower()
