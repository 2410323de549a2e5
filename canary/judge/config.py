"""How a plan is judged: every gate of it with its test, worked out once from what its owner wrote.

Made by `compile_gates` for whoever owns the rollout, who passes it to `canary.machine` and `canary.judge`. A gate
that stands in several stages is listed once and has one body of evidence. Holds no evidence.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from canary.judge import cost, messages, self_normalised, share_test
from canary.judge.e_process import POINTS, EProcessParams
from canary.judge.portable_math import log
from canary.judge.refusals import CANCELLED, REFUSALS, REFUSED, REFUSED_OF
from canary.spec import metrics
from canary.spec.gates import unit_of_values
from canary.spec.metrics import Metric
from canary.spec.models import CanarySpec, Gate, JudgeSettings
from canary.spec.units import Unit, UnreadableNumber

Kind = Literal["counts", "sums", "readings"]
Series = Literal["errors", "histogram", "kpi", "total", "gauge", "rate", "query"]
Counted = Literal["requests", "samples"]
FAMILY_WEIGHTS = {"errors": 0.4, "latency": 0.4, "business": 0.2}
"""How the chance of a false rollback is split among kinds of gates that a spec has."""
PROGRESS = ("begun", CANCELLED, "generation_tokens")
"""Totals that it finds a hang by, as proxies or servers count them."""
REFUSED_RATE = Gate(
    text="refused_rate not worse than stable by 2pp",
    metric="refused_rate",
    comparison="notWorseThan",
    limit=0.02,
    margin="points",
    better="lower",
)
"""The guardrail of plans that have no gate on refusals: it may roll back, and no stage waits for it to pass."""
GUARDRAIL_WEIGHT = 0.05
"""Its share of `falseRollback`, where the plan's gates have the rest."""
REFUSAL_METRICS = ("client_error_rate", "throttled_rate")
AGAINST_STABLE = share_test.grid(1.15, 12.0, POINTS)
AGAINST_LIMIT = share_test.grid(1.15, 30.0, POINTS)
"""Odds ratios that are bet on."""


@dataclass(frozen=True, slots=True)
class GateConfig:
    """One gate and how it is judged."""

    gate: Gate
    kind: Kind
    series: Series
    name: str
    """Of the histogram, KPI, total or gauge."""
    per: str
    """For totals the name of the denominator."""
    scale: float
    """Factor on a ratio of totals."""
    quantile: float | None
    """0.95 for `p95`; None for what is no quantile."""
    unit: Unit
    """Of its value."""
    counted: Counted
    """What its samples are, in the plural."""
    rho: float
    """For relative counts other than latencies: the rate of bad events that the canary may have, as a multiple of
    stable's. Margins in points do without it."""
    params: EProcessParams | None
    """How its evidence is weighed; None for readings."""
    weight: float
    """Its share of `falseRollback`; 0 for gates that do not roll back or are not tested sequentially."""
    log_weight: float
    """The logarithm of that; minus infinity for 0."""
    clears_below: float
    """Log e-value against the canary below which the gate may pass: where its share of the evidence is less than 1."""
    stages: frozenset[int]
    text: str
    """The gate's own text, the key of all that is remembered about it."""
    relative: bool
    """Whether stable is the yardstick."""
    spoken: str
    """The metric in words: `latency p95`."""
    allowed: str
    """What the gate allows, in words: `at most 5 %`."""

    @property
    def late(self) -> bool:
        """Whether its events are weighed in slots (`delayed_outcomes.py`): they come late, or from elsewhere."""
        return bool(self.gate.delay) or self.gate.events is not None


@dataclass(frozen=True, slots=True)
class JudgeConfig:
    """How a plan is judged; made once by `compile_gates` and passed to everything in `canary.judge`."""

    spec: CanarySpec
    cases: tuple[GateConfig, ...]
    by_stage: tuple[tuple[GateConfig, ...], ...]
    read_by_stage: tuple[tuple[GateConfig, ...], ...]
    """Gates that count readings, by stage."""
    tested: tuple[GateConfig, ...]
    """Gates with evidence to weigh: all that do not count readings."""
    prompt: tuple[GateConfig, ...]
    """Tested gates whose events come at once."""
    late: tuple[GateConfig, ...]
    """Tested gates whose events come late (`delay`), or are counted elsewhere (`events`)."""
    weighty: tuple[GateConfig, ...]
    """Tested gates and guardrails that may roll back."""
    guardrails: tuple[GateConfig, ...]
    """What is tested in every plan besides its gates, and never waited for."""
    texts: tuple[str, ...]
    """Texts of the tested gates."""
    by_label: Mapping[str, tuple[GateConfig, ...]]
    """Gates with `by`, by label."""
    planned: float
    """Sum of all holds in seconds."""
    histograms: frozenset[str]
    kpis: frozenset[str]
    totals: frozenset[str]
    alpha: float
    beta: float
    fails_at: float
    """Log e-value of all gates together at which the rollout fails."""
    heavy_from: float
    """Log e-value that one gate must reach before the sum over all can reach `fails_at`."""
    passes_at: float
    """Log e-value for the canary at which a gate passes."""


def compile_gates(spec: CanarySpec) -> JudgeConfig:
    """How the judge judges this plan: one gate for each distinct text, in the order of the file."""
    gates: dict[str, Gate] = {}
    stages: dict[str, set[int]] = {}
    for index, stage in enumerate(spec.stages):
        for gate in stage.gates:
            gates.setdefault(gate.text, gate)
            stages.setdefault(gate.text, set()).add(index)
    guarded = spec.judge.refusals and not any(gate.metric in REFUSAL_METRICS for gate in gates.values())
    weights = _weights(list(gates.values()))
    guardrails = (_guardrail(spec, GUARDRAIL_WEIGHT if weights else 1.0),) if guarded else ()
    rest = 1 - GUARDRAIL_WEIGHT if guarded else 1.0
    cases: list[GateConfig] = []
    for text, gate in gates.items():
        kind, series, name = kind_of(gate)
        weight = weights.get(text, 0.0)
        params = None if kind == "readings" else _params(gate, kind, weight, spec.judge)
        weight *= rest
        counts, scale = _ratio(gate)
        unit = unit_of_values(gate.text)
        cases.append(
            GateConfig(
                gate=gate,
                kind=kind,
                series=series,
                name=name,
                per=counts[1],
                scale=scale,
                quantile=gate.quantile,
                unit=unit,
                counted=counted(gate),
                rho=1 + gate.limit if gate.relative and kind == "counts" and series != "histogram" else 1.0,
                params=params,
                weight=weight,
                log_weight=log(weight) if weight > 0 else -math.inf,
                clears_below=-log(max(weight, 1e-9)),
                stages=frozenset(stages[text]),
                text=text,
                relative=gate.relative,
                spoken=messages.name(gate),
                allowed=messages.allowance(gate, unit),
            )
        )
    by_text = {case.text: case for case in cases}
    tested = tuple(case for case in cases if case.params is not None)
    prompt = tuple(case for case in tested if not case.late)
    by_stage = tuple(tuple(by_text[gate.text] for gate in stage.gates) for stage in spec.stages)
    weighty = tuple(case for case in (*tested, *guardrails) if case.weight > 0)
    fails_at = log(1 / spec.judge.false_rollback)
    return JudgeConfig(
        spec=spec,
        cases=tuple(cases),
        by_stage=by_stage,
        read_by_stage=tuple(tuple(case for case in stage if case.kind == "readings") for stage in by_stage),
        tested=tested,
        prompt=prompt,
        late=tuple(case for case in tested if case.late),
        weighty=weighty,
        guardrails=guardrails,
        texts=tuple(case.text for case in tested),
        by_label={
            label: tuple(case for case in prompt if case.gate.by == label)
            for label in sorted({case.gate.by for case in prompt if case.gate.by})
        },
        planned=math.fsum(stage.hold for stage in spec.stages),
        histograms=frozenset(case.name for case in cases if case.series == "histogram"),
        kpis=frozenset(case.name for case in cases if case.series == "kpi"),
        totals=_totals(cases)
        | frozenset(REFUSALS if spec.judge.hard_stop.client_errors or guarded else ())
        | frozenset(PROGRESS if spec.judge.hard_stop.unfinished else (CANCELLED, "begun") if guarded else ()),
        alpha=spec.judge.false_rollback,
        beta=1 - spec.judge.confidence,
        fails_at=fails_at,
        heavy_from=fails_at - log(max(len(weighty), 1)),
        passes_at=log(1 / (1 - spec.judge.confidence)),
    )


def _totals(cases: list[GateConfig]) -> frozenset[str]:
    """The running totals that gates read, and those by which costs are levelled."""
    found = {name for case in cases if case.series == "total" for name in (case.name, case.per)}
    return frozenset(found | cost.READ if cost.DOLLARS in found else found)


def _guardrail(spec: CanarySpec, weight: float) -> GateConfig:
    """The guardrail on refusals, in the stages that have a stable to compare with."""
    gate = REFUSED_RATE
    return GateConfig(
        gate=gate,
        kind="counts",
        series="total",
        name=REFUSED,
        per=REFUSED_OF,
        scale=1.0,
        quantile=None,
        unit="share",
        counted="requests",
        rho=1 + gate.limit,
        params=_params(gate, "counts", weight, spec.judge),
        weight=weight,
        log_weight=log(weight),
        clears_below=-log(weight),
        stages=frozenset(index for index, stage in enumerate(spec.stages) if stage.traffic < 1),
        text=gate.text,
        relative=True,
        spoken="refused or cancelled",
        allowed=messages.allowance(gate, "share"),
    )


def kind_of(gate: Gate) -> tuple[Kind, Series, str]:
    """How a gate is judged, and which numbers it reads."""
    series, name = _series_of(gate)
    if gate.test == "threshold" or series in {"gauge", "rate", "query"}:
        return "readings", series, name
    if gate.events is not None:
        return "sums", series, name  # nothing says that each event is one of the trials
    if series in {"errors", "histogram"}:
        return "counts", series, name
    if not gate.relative and 0 < gate.limit < 1 and unit_of_values(gate.text) == "share":
        return "counts", series, name
    return "sums", series, name


def counted(gate: Gate) -> Counted:
    """What the gate's samples are: `requests`, or plain `samples` where they are tokens, ratings or sessions."""
    series, name = _series_of(gate)
    if gate.delay:
        return "requests"  # those that are old enough
    if series == "kpi" or (series == "histogram" and name == "itl"):
        return "samples"
    return "samples" if series == "total" and _ratio(gate)[0][1] not in {"requests", "finished"} else "requests"


def _series_of(gate: Gate) -> tuple[Series, str]:
    """Which numbers a gate reads."""
    metric = _metric(gate)
    if gate.query is not None:
        return "query", gate.metric
    if gate.events is not None:
        return "kpi", gate.text
    if gate.metric == "error_rate":
        return "errors", ""
    if metric is None:
        return "gauge", gate.metric
    if metric.is_kpi:
        return "kpi", metric.name.removeprefix("kpi/")
    if metric.kind == "histogram" and gate.quantile is not None:
        return "histogram", gate.metric
    if metric.kind == "rate":
        return "rate", gate.metric
    return ("total", _ratio(gate)[0][0]) if metric.counts else ("gauge", gate.metric)


def _metric(gate: Gate) -> Metric | None:
    """The catalogue's entry; None for a name that it does not know, which is taken for a momentary value."""
    try:
        return metrics.find(gate.metric)
    except UnreadableNumber:
        return None


def _ratio(gate: Gate) -> tuple[tuple[str, str], float]:
    """The totals that a ratio is made of, and its scale."""
    metric = _metric(gate)
    if metric is None or metric.counts is None:
        return (gate.metric, "requests"), 1.0
    return metric.counts, metric.scale


def _family(gate: Gate) -> str:
    """Kind of gate, for its share of the chance of a false rollback."""
    if gate.metric == "error_rate" or gate.metric.startswith("finish_reason"):
        return "errors"
    metric = _metric(gate)
    return "latency" if metric is not None and metric.kind == "histogram" else "business"


def _weights(gates: list[Gate]) -> dict[str, float]:
    """Shares of `falseRollback`, in all 1: by family, then evenly within it."""
    families: dict[str, list[str]] = {}
    for gate in gates:
        if gate.on_breach == "rollback" and kind_of(gate)[0] != "readings":
            families.setdefault(_family(gate), []).append(gate.text)
    total = math.fsum(FAMILY_WEIGHTS[family] for family in families)
    return {text: FAMILY_WEIGHTS[family] / total / len(texts) for family, texts in families.items() for text in texts}


def _params(gate: Gate, kind: Kind, weight: float, settings: JudgeSettings) -> EProcessParams:
    """How the gate's evidence is weighed."""
    alpha = max(settings.false_rollback * max(weight, 0.05), 1e-9)
    beta = min(max(1 - settings.confidence, 1e-6), 0.5)
    in_points = gate.relative and gate.margin == "points" and kind == "counts" and not gate.quantile
    limit = None if gate.relative or kind != "counts" else share_limit(gate)
    grid = AGAINST_STABLE if gate.relative else AGAINST_LIMIT
    return EProcessParams(
        counts=kind == "counts",
        limit=limit,
        points=gate.limit if in_points else None,
        grid=grid,
        r=self_normalised.tuning(alpha),
        r_clear=self_normalised.tuning(beta),
        misses=() if limit is None else share_test.misses_of(limit, grid),
        clear_misses=() if limit is None else share_test.misses_of(1 - limit, grid),
        union=not gate.relative and not gate.regardless_of_stable,
    )


def share_limit(gate: Gate) -> float:
    """For an absolute gate on counts: the share of bad events that its limit allows."""
    if gate.quantile is not None:
        return 1 - gate.quantile
    return gate.limit if gate.better == "lower" else 1 - gate.limit
