"""Moments of a rollout to draw: built by hand, so that each number on the screen is one that the test chose."""

from dataclasses import replace
from typing import Any

from canary.rollout import Event, EventKind, Phase, Reason, Rollout
from canary.snapshot import Counters, MetricsStatus, PodCounters, RouteStatus, Snapshot, VariantStatus
from canary.spec.models import CanarySpec, Gate, Stage
from canary.verdict import GateAnswer, GateVerdict
from canary.weights import ALL_STABLE, Weights

BEGAN = 1_795_266_000.0
LATENCY = Gate(
    text="latency p95 <= 200ms", metric="latency", statistic="p95", comparison="max", limit=0.2, better="lower"
)
ERRORS = Gate(text="error_rate <= 1%", metric="error_rate", comparison="max", limit=0.01, better="lower")
TTFT = Gate(
    text="ttft p95 not worse than stable by 10%",
    metric="ttft",
    statistic="p95",
    comparison="notWorseThan",
    limit=0.1,
    better="lower",
)
CONVERSION = Gate(
    text="kpi/conversion not worse than stable by 2pp",
    metric="kpi/conversion",
    comparison="notWorseThan",
    limit=0.02,
    margin="points",
    better="higher",
    on_breach="hold",
)
GATES = (LATENCY, ERRORS, TTFT, CONVERSION)


def plan() -> CanarySpec:
    """Four stages under four gates."""
    stages = [Stage(traffic=share, hold=600, gates=GATES) for share in (0.05, 0.25, 0.75)]
    return CanarySpec.model_validate(
        {
            "model": {"name": "support-llm"},
            "stable": {"name": "bf16"},
            "canary": {"name": "nf4"},
            "stages": (*stages, Stage(traffic=1.0, hold=600)),
        }
    )


def event(number: int, t: float, kind: EventKind, phase: Phase, reason: Reason, message: str, **more: Any) -> Event:
    """One entry of the history."""
    fields: dict[str, Any] = {"stage": 1, "weight": 0.25, "evidence": {}, **more}
    return Event(
        id=f"support-llm/3/{number}",
        seq=number,
        at=BEGAN + t,
        t=t,
        rollout="support-llm",
        revision="9f2c",
        event=kind,
        phase=phase,
        reason=reason,
        message=message,
        **fields,
    )


def counters(t: float, stable: float, canary: float) -> Counters:
    """Running totals of requests at `t`."""
    return Counters(
        at=BEGAN + t,
        arms={"stable": {"s-0": PodCounters(requests=stable)}, "canary": {"c-0": PodCounters(requests=canary)}},
    )


def seen(t: float, weights: Weights, **changes: Any) -> Snapshot:
    """A world in which everything is well."""
    world = Snapshot(
        stable=VariantStatus(at=BEGAN + t, ready=1),
        canary=VariantStatus(at=BEGAN + t, ready=1),
        route=RouteStatus(at=BEGAN + t, weights=weights),
        evidence=MetricsStatus(at=BEGAN + t, counters=counters(t - 1.0, 60_000, 9_000)),
    )
    return replace(world, **changes)


PASSES = GateVerdict(
    LATENCY.text,
    GateAnswer.PASS,
    "95 % of answers within 91 ms, 200 ms allowed.",
    canary=0.091,
    stable=0.084,
    limit=0.2,
    samples={"stable": 31_200, "canary": 9_013},
    spoke="sequential",
)
WAITS = GateVerdict(
    TTFT.text,
    GateAnswer.WAIT,
    "ttft p95: 21.3 ms on the canary, 20.8 ms on stable; about 1,100 more canary requests to be sure.",
    canary=0.0213,
    stable=0.0208,
    limit=0.02288,
    samples={"stable": 31_200, "canary": 2_400},
    eta=180.0,
)
FAILS = GateVerdict(
    ERRORS.text,
    GateAnswer.FAIL,
    "12 % of answers failed, 1 % allowed; stable 0.11 %.",
    canary=0.12,
    stable=0.0011,
    limit=0.01,
    samples={"stable": 31_200, "canary": 2_400},
    spoke="sequential",
)


def preparing() -> tuple[Rollout, Snapshot, float]:
    """Both variants are coming up."""
    message = "Starting bf16 (stable) and nf4 (canary)."
    rollout = Rollout(
        name="support-llm",
        revision="9f2c",
        attempt=3,
        began=BEGAN,
        phase=Phase.PREPARING,
        reason=Reason.VARIANTS_STARTING,
        message=message,
        history=(
            event(
                1, 0.0, "phase", Phase.PENDING, Reason.ACCEPTED, "support-llm: 5 % → 25 % → 75 % → 100 %.", weight=0.0
            ),
            event(2, 0.1, "phase", Phase.PREPARING, Reason.VARIANTS_STARTING, message, weight=0.0),
        ),
        events=2,
    )
    world = seen(3.0, ALL_STABLE, evidence=MetricsStatus(at=BEGAN))
    canary = VariantStatus(at=BEGAN, ready=0, problem="/health does not answer yet")
    return rollout, replace(world, canary=canary), BEGAN + 3.0


def analyzing() -> tuple[Rollout, Snapshot, float]:
    """The second stage, with one gate that passes, one that waits and two without evidence."""
    rollout, _, _ = preparing()
    passed = "Stage 1 passed all 4 gates. Giving 25 % of the traffic to nf4."
    asking = "Asking for 25 % of the traffic on the canary."
    judging = "nf4 gets 25 %, judged by 4 gates for at least 10 min."
    history = (
        *rollout.history,
        event(3, 660.0, "phase", Phase.SHIFTING, Reason.STAGE_PASSED, passed),
        event(4, 660.0, "weights", Phase.SHIFTING, Reason.STAGE_PASSED, asking),
        event(5, 660.4, "phase", Phase.ANALYZING, Reason.WEIGHTS_IN_FORCE, judging),
        event(6, 702.0, "verdict", Phase.ANALYZING, Reason.WEIGHTS_IN_FORCE, PASSES.why,
              evidence={"gate": PASSES.gate, "verdict": "pass", "canary": 0.091, "stable": 0.084, "limit": 0.2,
                        "samples": {"stable": 31_200, "canary": 9_013}}),
    )  # fmt: skip
    weights = Weights.of_share(0.25)
    rollout = replace(
        rollout,
        phase=Phase.ANALYZING,
        reason=Reason.WEIGHTS_IN_FORCE,
        message=judging,
        stage=1,
        passed=(0,),
        stage_since=BEGAN + 660.4,
        weights=weights,
        peak=weights,
        verdicts=(PASSES, WAITS),
        history=history,
        events=6,
        served={"stable": 51_000.0, "canary": 9_000.0},
        unrouted=0.0,
    )
    return rollout, seen(912.0, weights), BEGAN + 912.0


def rolled_back() -> tuple[Rollout, Snapshot, float]:
    """The error gate failed at 25 %, and everything is on stable again."""
    rollout, _, _ = analyzing()
    cause = (
        "error_rate <= 1% failed: 12 % of answers failed, 1 % allowed; stable 0.11 %. Everything goes back to stable."
    )
    asking = "Asking for 0 % of the traffic on the canary."
    back = "All traffic is on bf16 again, 0.1 s after the decision."
    history = (
        *rollout.history,
        event(7, 913.0, "verdict", Phase.ANALYZING, Reason.WEIGHTS_IN_FORCE, FAILS.why,
              evidence={"gate": FAILS.gate, "verdict": "fail", "canary": 0.12, "stable": 0.0011, "limit": 0.01,
                        "samples": {"stable": 31_200, "canary": 2_400}}),
        event(8, 913.0, "phase", Phase.ROLLING_BACK, Reason.GATE_FAILED, cause),
        event(9, 913.0, "weights", Phase.ROLLING_BACK, Reason.GATE_FAILED, asking, weight=0.0),
        event(10, 913.1, "phase", Phase.ROLLED_BACK, Reason.TRAFFIC_BACK, back, weight=0.0),
        event(11, 913.1, "end", Phase.ROLLED_BACK, Reason.TRAFFIC_BACK, back, weight=0.0,
              evidence={"result": "rolled_back", "decided_to_zero": 0.084,
                        "requests": {"stable": 60_000, "canary": 9_000, "failed_by_shift": 0}}),
    )  # fmt: skip
    rollout = replace(
        rollout,
        phase=Phase.ROLLED_BACK,
        reason=Reason.TRAFFIC_BACK,
        message=back,
        weights=ALL_STABLE,
        verdicts=(PASSES, FAILS, WAITS),
        harm_began=BEGAN + 910.2,
        decided=BEGAN + 913.0,
        zero=BEGAN + 913.1,
        result="rolled_back",
        history=history,
        events=11,
    )
    return rollout, seen(913.5, ALL_STABLE), BEGAN + 913.5


def blind() -> tuple[Rollout, Snapshot, float]:
    """The metric source went away while the second stage was judged, and the route lags behind."""
    rollout, world, now = analyzing()
    message = "The metric source is silent (connection refused): the weights stay as they are until it is back."
    rollout = replace(
        rollout, phase=Phase.BLIND, reason=Reason.METRICS_SILENT, message=message, resume_to=Phase.ANALYZING
    )
    evidence = replace(world.evidence, up=False, problem="connection refused", counters=counters(890.0, 60_000, 9_000))
    route = RouteStatus(at=now, weights=Weights.of_share(0.05))
    return rollout, replace(world, evidence=evidence, route=route), now


SCENES = {"preparing": preparing, "analyzing": analyzing, "rolled_back": rolled_back, "blind": blind}
