"""Small random worlds for the pure machine: any snapshot that could come, in any order, from one seed.

Used by `test_random_worlds.py`. Unlike `controlplane.simulation`, which plays plausible worlds through the real loop,
these are hostile: facts are stale, missing, contradictory or flapping, people ask for anything at any time, the clock
goes back, states are lost between deciding and saving. Everything random comes from `random.Random(seed)`.
"""

import math
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from canary.action import SetWeights
from canary.invariants import broken
from canary.judge import Analysis, JudgeConfig, compile_gates
from canary.machine import advance, begin
from canary.rollout import Decision, Phase, Rollout
from canary.serial import rollout_from_text, rollout_to_text
from canary.snapshot import (
    Counters,
    EvaluationStatus,
    FingerprintDifference,
    FingerprintStatus,
    InFlight,
    MetricsStatus,
    OperatorRequest,
    PodCounters,
    RouteStatus,
    ShadowDay,
    ShadowStatus,
    Snapshot,
    VariantStatus,
    Verb,
)
from canary.spec.models import CanarySpec, Gate
from canary.weights import ALL_STABLE, ARMS, WHOLE, Arm, Weights

GOOD = {"first_turn_resolution": 0.8, "kpi/first_turn_resolution": 0.8}
VERBS: tuple[Verb, ...] = ("promote", "pause", "resume", "abort", "retry", "approve")
BUCKETS = {0.1: 0.5, 0.25: 0.97, 0.5: 1.0, math.inf: 1.0}
"""Share of answers that take at most so many seconds."""
ZERO = PodCounters(0.0, 0.0, {"latency": dict.fromkeys(BUCKETS, 0.0)}, kpis={"conversion": (0.0, 0.0)})
GATES = (
    {"text": "error_rate <= 5%", "metric": "error_rate", "comparison": "max", "limit": 0.05, "better": "lower"},
    {
        "text": "error_rate not worse than stable by 50%",
        "metric": "error_rate",
        "comparison": "notWorseThan",
        "limit": 0.5,
        "better": "lower",
    },
    {
        "text": "latency p95 <= 250ms",
        "metric": "latency",
        "statistic": "p95",
        "comparison": "max",
        "limit": 0.25,
        "better": "lower",
    },
    {
        "text": "conversion drop <= 10%",
        "metric": "kpi/conversion",
        "comparison": "drift",
        "limit": 0.1,
        "better": "higher",
    },
    {
        "text": "error_rate <= 10% (threshold)",
        "metric": "error_rate",
        "comparison": "max",
        "limit": 0.1,
        "better": "lower",
        "test": "threshold",
        "failures": 1,
    },
)


def random_plan(rng: Random) -> CanarySpec:
    """A plan with one to four stages, short holds, and any mix of gates and reactions."""
    shares = sorted(rng.sample([0.01, 0.05, 0.1, 0.25, 0.5, 0.75], rng.randrange(4)))
    stages: list[dict[str, Any]] = [
        {
            "traffic": share,
            "hold": rng.choice([0, 5, 20, 60]),
            "gates": [_gate(rng, gate) for gate in rng.sample(GATES, rng.randrange(3))],
            "approve": "leads" if share < 1 and rng.random() < 0.15 else None,
        }
        for share in [*shares, 1.0]
    ]
    plan: dict[str, Any] = {
        "model": {"name": "m"},
        "stable": {"name": "v1"},
        "canary": {"name": "v2"},
        "stages": stages,
        "on_no_data": rng.choice(["hold", "pause", "promote"]),
        "on_blind": rng.choice(["hold", "pause", "rollback"]),
        "max_blind": rng.choice([0, 10, 60]),
        "progress_deadline": rng.choice([10, 60]),
        "judge": {"false_rollback": rng.choice([0.01, 0.2]), "warmup": rng.choice([0, 10])},
    }
    if rng.random() < 0.5:
        allow = rng.sample(["chat_template", "context_length"], rng.randrange(3))
        plan["fingerprint"] = {"policy": rng.choice(["block", "block", "warn", "ignore"]), "allow": allow}
    if rng.random() < 0.15:
        plan["evaluation"] = {"dataset": "d", "metrics": ["first_turn_resolution >= 70%"]}
    if rng.random() < 0.15:
        plan["shadow"] = {"traffic": 1.0, "for": 60, "promote": {"win_rate": 0.03, "days": 2}}
    return CanarySpec.model_validate(plan)


def _gate(rng: Random, fields: dict[str, Any]) -> Gate:
    reaction = rng.choice(["rollback", "rollback", "pause", "hold"])
    return Gate.model_validate({**fields, "on_breach": reaction, "min_samples": rng.choice([None, 100])})


@dataclass(slots=True)
class SmallWorld:
    """One rollout's hostile surroundings."""

    seed: int
    rng: Random = field(init=False)
    spec: CanarySpec = field(init=False)
    config: JudgeConfig = field(init=False)
    rollout: Rollout = field(init=False)
    now: float = 1000.0
    latest: float = 1000.0
    """The latest time that the clock ever showed."""
    route: Weights = ALL_STABLE
    totals: dict[Arm, PodCounters] = field(init=False)
    errors: dict[Arm, float] = field(init=False)
    analysis: Analysis | None = None
    asked: int = 0
    story: list[str] = field(default_factory=list)
    """What happened, a line a pass: printed when a test fails."""

    def __post_init__(self) -> None:
        """Draw the plan and how good both arms are."""
        self.rng = Random(self.seed)
        self.spec = random_plan(self.rng)
        self.config = compile_gates(self.spec)
        self.rollout = begin(self.config, name="small", revision="r1", attempt=1, now=self.now)
        self.totals = dict.fromkeys(ARMS, ZERO)
        self.errors = {arm: self.rng.choice([0.0, 0.01, 0.01, 0.3, 0.9]) for arm in ARMS}

    def chaos(self) -> list[str]:
        """One pass in which anything may be the case; answers what is wrong with the decision."""
        rng = self.rng
        forward, back = rng.choice([0.0, 0.25, 1.0, 5.0, 5.0, 5.0, 60.0]), rng.choice([1.0, 600.0])
        self.now += forward if rng.random() < 0.97 else -back
        self.latest = max(self.latest, self.now)
        self._serve()
        before, seen = self.rollout, self._anything()
        decision = advance(self.config, before, seen, self.now, self.analysis)
        wrong = self._wrong(before, seen, decision)
        if rng.random() < 0.1:
            again = advance(self.config, before, seen, self.now)  # without what was worked out at the pass before
            if (again.rollout, again.actions, again.wake_at) != (decision.rollout, decision.actions, decision.wake_at):
                wrong.append("the same snapshot gave another decision")
        self.analysis = decision.analysis
        self._carry_out(before, decision)
        return wrong

    def calm(self, **changes: Any) -> list[str]:
        """One pass in which everything is ready, fresh and obedient, and the clock is right again."""
        self.now = self.latest = self.latest + 5.0
        self._serve()
        before, seen = self.rollout, replace(self._well(), **changes)
        decision = advance(self.config, before, seen, self.now)
        self.rollout = decision.rollout
        self._route(decision)
        return self._wrong(before, seen, decision)

    def request(self, verb: Verb, *, full: bool = False, to: float | None = None) -> OperatorRequest:
        """A new request."""
        self.asked += 1
        return OperatorRequest(f"q{self.asked}", verb, "ada", self.now, full, to)

    def _wrong(self, before: Rollout, seen: Snapshot, decision: Decision) -> list[str]:
        after = decision.rollout
        self.story.append(f"{self.now:8.2f} {before.phase} -> {after.phase} at {after.weights}: {after.message}")
        wrong = list(broken(self.spec, before, seen, decision))
        if (
            after.weights > before.weights
            and before.phase is Phase.ANALYZING
            and not (seen.evidence.up or seen.requests)
        ):
            wrong.append("traffic rose while nobody could see")
        if math.isnan(decision.wake_at) or (decision.wake_at <= self.now and not after.finished):
            wrong.append(f"the next look is asked for at {decision.wake_at}, which is not later than now")
        return wrong

    def _carry_out(self, before: Rollout, decision: Decision) -> None:
        """What a loop does that may die at any line: a falling weight is set first, a rising one saved first."""
        rng, after = self.rng, decision.rollout
        falls = after.weights <= self.route
        if falls:
            if rng.random() < 0.9:
                self._route(decision)
            if rng.random() < 0.9:
                self.rollout = after
        elif rng.random() < 0.9:
            self.rollout = after
            if rng.random() < 0.9:
                self._route(decision)
        if rng.random() < 0.05:
            self.rollout = rollout_from_text(rollout_to_text(self.rollout))

    def _route(self, decision: Decision) -> None:
        sets = [action.weights for action in decision.actions if isinstance(action, SetWeights)]
        self.route = sets[0] if sets else self.route

    def _serve(self) -> None:
        """Some traffic, and now and then a restart."""
        requests = self.rng.choice([0, 10, 100, 1000])
        for arm in ARMS:
            old = self.totals[arm] if self.rng.random() > 0.02 else ZERO
            n = round(requests * (self.route.share if arm == "canary" else 1 - self.route.share))
            latency, (events, of) = old.histograms["latency"], old.kpis["conversion"]
            self.totals[arm] = PodCounters(
                requests=(old.requests or 0.0) + n,
                errors=(old.errors or 0.0) + round(n * self.errors[arm]),
                histograms={"latency": {bound: latency[bound] + round(n * part) for bound, part in BUCKETS.items()}},
                kpis={"conversion": (events + round(n * 0.2), of + n)},
                started_at=0.0,
            )

    def _well(self) -> Snapshot:
        now, totals = self.now, {arm: {f"{arm}-0": self.totals[arm]} for arm in ARMS}
        stopped = self.rollout.phase is Phase.SUCCEEDED
        return Snapshot(
            stable=VariantStatus(now, 0, 0, "stopped") if stopped else VariantStatus(now, 1, 1),
            canary=VariantStatus(now, 1, 1),
            route=RouteStatus(now, self.route),
            evidence=MetricsStatus(now, Counters(now, totals, unrouted=0.0)),
            evaluation=EvaluationStatus(now, done=True, canary=GOOD, stable=GOOD),
            in_flight={arm: InFlight(now, 0.0) for arm in ARMS},
            shadow=ShadowStatus(now, tuple(ShadowDay(day, 2500, 500, 1000) for day in (1, 2))),
        )

    def _anything(self) -> Snapshot:
        """A snapshot in which each fact is well, stale, missing or absurd."""
        rng, well = self.rng, self._well()
        return Snapshot(
            stable=well.stable if self.rollout.finished else self._variant(0.06),
            canary=self._variant(0.06),
            route=self._seen_route(),
            evidence=self._evidence(well.evidence),
            evaluation=rng.choice([None, well.evaluation, well.evaluation, EvaluationStatus(self.now, done=True)]),
            shadow=rng.choice([None, well.shadow, ShadowStatus(self.now, (ShadowDay(1, 10, 0, 4000),))]),
            fingerprint=self._fingerprint(),
            requests=self._requests(),
            in_flight={arm: self._open() for arm in ARMS if rng.random() < 0.9},
            idle=rng.choice([(), ("stable",), ARMS]),
            superseded_by="r2" if rng.random() < 0.01 else "",
        )

    def _open(self) -> InFlight:
        """Mostly nothing, and just counted; totals may begin anew."""
        rng = self.rng
        at = self.now - rng.choice([0.0, 0.0, 1.0, 900.0])
        return InFlight(at, rng.choice([0.0, 0.0, 0.0, 3.0, 500.0]), rng.choice([None, 0.0, 7.0]))

    def _fingerprint(self) -> FingerprintStatus | None:
        """Mostly equal or not told; now and then other than stable, told late, and taken back again."""
        rng, since = self.rng, self.now - self.rng.choice([0.0, 10.0, 100.0])
        kind = rng.random()
        if kind < 0.3:
            return None
        if kind < 0.5:
            return FingerprintStatus(self.now, since, problem="no answer")
        changed = [
            FingerprintDifference(field, "1", "2", "so", harmless=rng.random() < 0.3)
            for field in rng.sample(["chat_template", "context_length", "engine_version"], rng.choice([1, 2]))
        ]
        return FingerprintStatus(self.now, since, True, tuple(changed) if kind > 0.98 else (), ("chat_template",))

    def _variant(self, chance: float) -> VariantStatus:
        rng = self.rng
        if rng.random() > chance:
            return VariantStatus(self.now, 1, 1)
        at = self.now - rng.choice([0.0, 30.0, 9999.0])
        wanted = rng.choice([0, 1, 3])
        return VariantStatus(
            at, wanted, rng.randrange(wanted + 1), rng.choice(["", "exit status 1"]), rng.random() < 0.3
        )

    def _seen_route(self) -> RouteStatus:
        rng = self.rng
        kind = rng.random()
        if kind < 0.9:
            return RouteStatus(self.now, self.route)
        if kind < 0.95:
            return RouteStatus(self.now, None, "no answer")
        if kind < 0.98:
            return RouteStatus(self.now - rng.choice([1.0, 100.0]), rng.choice([ALL_STABLE, self.route]))
        self.route = Weights(rng.choice([0, 1, 50_000, self.route.canary, WHOLE]))  # somebody else's hand
        return RouteStatus(self.now, self.route)

    def _evidence(self, well: MetricsStatus) -> MetricsStatus:
        rng = self.rng
        kind = rng.random()
        if kind < 0.8 or well.counters is None:
            return well
        if kind < 0.86:
            return MetricsStatus(self.now, None if rng.random() < 0.3 else well.counters, up=False, problem="refused")
        arms = dict(well.counters.arms)
        if kind < 0.90:
            arms.pop(rng.choice(ARMS))
        elif kind < 0.94:
            arms[rng.choice(ARMS)] = {}
        elif kind < 0.97:
            arm = rng.choice(ARMS)
            arms[arm] = {name: replace(pod, requests=math.nan, errors=math.nan) for name, pod in arms[arm].items()}
        at = well.counters.at - (rng.choice([0.0, 50.0, 5000.0]) if kind > 0.97 else 0.0)
        return MetricsStatus(self.now, Counters(at, arms), problem=rng.choice(["", "one replica is missing"]))

    def _requests(self) -> tuple[OperatorRequest, ...]:
        rng = self.rng
        if rng.random() > 0.08:
            return ()
        weights = [4, 4, 4, 1, 1, 4]
        wanted = [
            self.request(verb, full=rng.random() < 0.3, to=self._share())
            for verb in rng.choices(VERBS, weights, k=rng.choice([1, 1, 2]))
        ]
        repeated = [replace(wanted[0], id=rng.choice(self.rollout.answered))] if self.rollout.answered else []
        return (*wanted, *repeated)

    def _share(self) -> float | None:
        """How far somebody wants to skip: often nothing is said, else a share of the plan's, or any."""
        rng = self.rng
        return rng.choice([None, None, rng.choice(self.spec.stages).traffic, rng.choice([0.0, 0.333, 1.0])])
