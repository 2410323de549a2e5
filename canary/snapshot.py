"""One frozen snapshot of the world, as `advance` sees it. Every fact carries the time when it was learnt.

Filled by `controlplane.reconcile.observer` from the ports, and by the virtual world. Decides nothing. Nothing here says
what *happened*: whoever missed an event sees the same snapshot as whoever did not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from canary.verdict import GateAnswer
from canary.weights import Arm, Weights

HistogramCounts = Mapping[float, float]
"""Cumulative counts by upper bound in the metric's base unit (seconds for times); `inf` is the total."""


@dataclass(frozen=True, slots=True)
class PodCounters:
    """Running totals of one replica as read from its proxy cluster and its own metrics page. Never differences.

    A missing metric is missing (absent or None), which is not the same as zero.
    """

    requests: float | None = None
    errors: float | None = None
    histograms: Mapping[str, HistogramCounts] = field(default_factory=dict)
    """By built-in metric name: `latency`, `ttft`, `itl`, `e2e`, `queue_time`."""
    totals: Mapping[str, float] = field(default_factory=dict)
    """Other running totals by name, such as `generation_tokens` or `preemptions`."""
    kpis: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """KPI name to running totals (events or sum, denominator)."""
    gauges: Mapping[str, float] = field(default_factory=dict)
    """Momentary values by metric name, such as `kv_cache_usage` (a fraction)."""
    started_at: float | None = None
    """From when its warm-up counts (seconds): its first request after it was ready, or its start where nobody says that
    it is ready; None when neither is known."""
    open: float | None = None
    """Requests that it has begun and not ended, now; None where nobody counts them."""
    broken: float | None = None
    """Running total of answers that broke off after they had begun, which `errors` has as well; None likewise."""
    at: float | None = None
    """When its requests were scraped or, where it counts none, its newest series; None: at `Counters.at`."""
    apart: Mapping[str, float] = field(default_factory=dict)
    """When those of its series were scraped that were at another time: histograms and totals by name, `kpi/NAME`."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """What an arm has begun to answer and not ended."""

    at: float
    """Nothing in it was counted before this time."""
    open: float
    """Requests that are open."""
    broken: float | None = None
    """Running total of answers that broke off after they had begun; None where nobody counts them."""
    settled: float | None = None
    """Every worker of the proxy routes as it was told before this time; None where that cannot be known."""


@dataclass(frozen=True, slots=True)
class Counters:
    """All running totals of both arms, read together."""

    at: float
    """When the totals were true: the scrape's own time, in seconds."""
    arms: Mapping[Arm, Mapping[str, PodCounters]]
    """Arm to replica name to totals. An arm without data is absent or empty."""
    readings: Mapping[str, Mapping[Arm, float]] = field(default_factory=dict)
    """Answers of user-written PromQL by gate text: one momentary value an arm, NaN and empty left out."""
    unrouted: float | None = None
    """Running total of requests that the proxy could send to neither arm; None where nobody counts them."""
    problem: str = ""
    """One clause about what could not be read, such as a query without an answer; empty when nothing is missing."""
    proxied: bool = False
    """Whether what counts as a replica is a proxy before the servers: its share of the traffic says nothing of them."""
    in_flight: Mapping[Arm, InFlight] = field(default_factory=dict)
    """What each arm is answering, where it is counted with the totals."""
    segments: Mapping[str, Mapping[str, Mapping[Arm, Mapping[str, PodCounters]]]] = field(default_factory=dict)
    """The same totals once more by label and its value, for gates with `by`; empty where nobody tells them apart."""
    counted: Mapping[str, Mapping[Arm, Mapping[str, float]]] = field(default_factory=dict)
    """Running totals of counters that gates name themselves, by gate text, arm and series; a series' name begins with
    `events ` or `of `. A gate whose question had no answer is absent."""


MOST_CLAUSES = 4


def clauses(problems: Iterable[str]) -> str:
    """Several problems as one, the first of them in words and the others counted; empty ones are none."""
    told = [problem for problem in problems if problem]
    more = [f"and {len(told) - MOST_CLAUSES} more"] if len(told) > MOST_CLAUSES else []
    return "; ".join([*told[:MOST_CLAUSES], *more])


@dataclass(frozen=True, slots=True)
class MetricsStatus:
    """What the metric source has to say."""

    at: float
    """When the source was asked last."""
    counters: Counters | None = None
    """The newest totals; None when there have been none yet."""
    up: bool = True
    """False while the source itself does not answer."""
    problem: str = ""
    """One clause about what is missing, empty when nothing is."""


@dataclass(frozen=True, slots=True)
class VariantStatus:
    """Readiness of one arm."""

    at: float
    wanted: int = 1
    ready: int = 0
    problem: str = ""
    """Why it is not ready, one clause: `exit status 1: no such file`."""
    hopeless: bool = False
    """True when waiting longer cannot help: the command does not exist, or it crashed again and again."""
    steady: bool = True
    """False while it has only just begun to serve, or has just crashed: it serves, and no rollout begins on it yet."""
    stuck: bool = False
    """True when something is wrong that time alone does not mend (no room, a crash, an image); False while it loads."""

    @property
    def usable(self) -> bool:
        """Whether at least one replica can serve."""
        return self.ready > 0

    @property
    def complete(self) -> bool:
        """Whether all its replicas can serve, and have for a moment; and there is at least one."""
        return self.usable and self.steady and self.ready >= self.wanted


@dataclass(frozen=True, slots=True)
class RouteStatus:
    """The weights in force, as read back from the router, never as remembered."""

    at: float
    weights: Weights | None = None
    """None when the router has not said."""
    problem: str = ""
    asked: Weights | None = None
    """What the route was last told, while that is not in force (`weights` is None); None where nobody can say."""


@dataclass(frozen=True, slots=True)
class EvaluationStatus:
    """Result of the evaluation that runs before any traffic: metric name to value, for both variants."""

    at: float
    done: bool = False
    """Whether nothing more comes by itself."""
    canary: Mapping[str, float] = field(default_factory=dict)
    stable: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""
    """Why there is no result yet, such as a server that does not answer; the evaluation asks again."""
    verdict: GateAnswer | None = None
    """What the paired test says; None where there are values alone, which are compared as they are."""
    why: tuple[str, ...] = ()
    """One sentence a criterion, those that failed first."""


@dataclass(frozen=True, slots=True)
class ShadowDay:
    """One day of paired comparisons in the shadow."""

    day: int
    wins: int
    ties: int
    losses: int


@dataclass(frozen=True, slots=True)
class ShadowStatus:
    """Paired comparisons so far, whole days only."""

    at: float
    days: tuple[ShadowDay, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class FingerprintDifference:
    """One thing besides the weights in which the served canary differs from the served stable variant."""

    field: str
    """One of `canary.spec.fingerprint.FIELDS`."""
    stable: str
    canary: str
    """Both values as they are told; digests where the thing itself is long."""
    why: str
    """What follows from it, as a clause."""
    harmless: bool = False
    """True where it takes nothing away that stable gives, such as a longer context."""


@dataclass(frozen=True, slots=True)
class FingerprintStatus:
    """What both variants are, held against each other. Whether a difference is meant is the plan's to say."""

    at: float
    """When they were asked last."""
    since: float
    """Since when they have been asked, both being ready."""
    done: bool = False
    """False while an answer may still come."""
    differences: tuple[FingerprintDifference, ...] = ()
    known: tuple[str, ...] = ()
    """Fields that both tell."""
    unknown: tuple[str, ...] = ()
    """Fields that at least one does not tell."""
    problem: str = ""
    """Why something is not known, one clause."""


Verb = Literal["promote", "pause", "resume", "abort", "retry", "approve"]
HARMFUL = frozenset({"abort", "promote"})
"""Verbs that end the rollout or skip what was to be judged: people are asked whether they mean them."""


@dataclass(frozen=True, slots=True)
class OperatorRequest:
    """What a person asked for. Stays in the snapshot until the rollout says it was answered."""

    id: str
    verb: Verb
    by: str
    at: float
    full: bool = False
    """For `promote`: skip the remaining stages and go to 100 %."""
    to: float | None = None
    """For `promote`: skip to the later stage that gives the canary this share (0.75 is 75 %); None for the next one.
    Whoever takes requests from people refuses `full` and `to` together; where both stand, `to` counts."""
    groups: tuple[str, ...] = ()
    """Groups for which the person speaks, as far as the plan asks for the word of any."""
    verified: bool | None = None
    """Whether name and groups are those that the platform knows the sender by; False where they are only what the
    sender wrote; None where there is nobody who could tell, as on one machine."""

    @property
    def who(self) -> str:
        """The person as sentences name them."""
        return f"{self.by} (unverified)" if self.verified is False else self.by


def request_id(cause: str, at: float, nonce: str = "") -> str:
    """The id of a request that is made at `at` (seconds since the epoch): `pause-1764000000.123456-9f3a2c`.

    `cause`: its verb, or why a program asks. `nonce`: something random, where several may ask at the same moment;
    without it, the same cause at the same moment is one request.
    """
    return "-".join(part for part in (cause, f"{at:.6f}", nonce) if part)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The world at one moment."""

    stable: VariantStatus
    canary: VariantStatus
    route: RouteStatus
    evidence: MetricsStatus
    evaluation: EvaluationStatus | None = None
    shadow: ShadowStatus | None = None
    requests: tuple[OperatorRequest, ...] = ()
    fingerprint: FingerprintStatus | None = None
    """None where nobody compares, or while not both variants are ready."""
    in_flight: Mapping[Arm, InFlight] = field(default_factory=dict)
    """What each arm is answering; an arm of which nobody counts it is absent."""
    idle: tuple[Arm, ...] = ()
    """Arms that no request can reach any more, not even from outside the cohort; empty where nobody can say."""
    superseded_by: str = ""
    """Revision of a newer spec for the same rollout; empty while this one is current."""
