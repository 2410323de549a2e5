"""A rollout told step by step: the world changes, the machine is asked once, and the invariants are checked.

Used by the tests of the machine. Time is in seconds from the rollout's beginning; traffic is exact, not random.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

from canary.action import Action, SetWeights
from canary.invariants import broken
from canary.judge import compile_gates
from canary.machine import advance, begin
from canary.rollout import Phase, Reason, Rollout
from canary.snapshot import (
    Counters,
    EvaluationStatus,
    MetricsStatus,
    OperatorRequest,
    PodCounters,
    RouteStatus,
    ShadowStatus,
    Snapshot,
    VariantStatus,
    Verb,
)
from canary.spec.models import CanarySpec, Gate, ModelRef, Stage, Variant
from canary.verdict import GateAnswer
from canary.weights import ALL_STABLE, Arm, Weights

ERRORS = Gate(text="error_rate <= 5%", metric="error_rate", comparison="max", limit=0.05, better="lower")


def plan(*stages: Stage, **fields: object) -> CanarySpec:
    """A plan with two small variants; without stages 5/25/100 %, held for 60 s, under an error limit.

    What has no traffic is stopped at once: nothing here takes time to answer, unless a story says so.
    """
    default = (*tuple(Stage(traffic=share, hold=60, gates=(ERRORS,)) for share in (0.05, 0.25)), Stage(traffic=1.0))
    return CanarySpec.model_validate(
        {
            "model": ModelRef(name="m"),
            "stable": Variant(name="v1"),
            "canary": Variant(name="v2"),
            "stages": stages or default,
            "drain": 0.0,
            **fields,
        }
    )


class Story:
    """The world of one rollout, and the machine in it."""

    def __init__(self, spec: CanarySpec | None = None, *, rps: float = 200.0) -> None:
        self.spec = spec or plan()
        self.config = compile_gates(self.spec)
        self.now = 0.0
        self.rps = rps
        self.canary_errors = 0.0
        self.stable_errors = 0.0
        self.rollout: Rollout = begin(self.config, name="story", revision="r1", attempt=1, now=0.0)
        self.seen = Snapshot(
            stable=VariantStatus(at=0, ready=0),
            canary=VariantStatus(at=0, ready=0),
            route=RouteStatus(at=0, weights=ALL_STABLE),
            evidence=MetricsStatus(at=0),
        )
        self.actions: Sequence[Action] = ()
        self.follows = True
        """Whether the route does what it is asked."""
        self._totals: dict[Arm, tuple[float, float]] = {"stable": (0.0, 0.0), "canary": (0.0, 0.0)}

    def at(self, seconds: float, **changes: object) -> Self:
        """Let time pass, with traffic every 5 s, then change the world and ask the machine once more."""
        while self.now + 5 < seconds:
            self._pass(self.now + 5)
        self._pass(seconds, **changes)
        return self

    def ready(self, seconds: float, stable: bool = True, canary: bool = True) -> Self:
        """Variants become ready, or stop being it."""
        return self.at(
            seconds,
            stable=VariantStatus(at=seconds, ready=int(stable)),
            canary=VariantStatus(at=seconds, ready=int(canary), problem="" if canary else "exit status 1"),
        )

    def ask(self, seconds: float, verb: Verb, *, full: bool = False, to: float | None = None) -> Self:
        """A person asks for something."""
        request = OperatorRequest(f"q{len(self.seen.requests)}", verb, "ada", seconds, full, to)
        return self.at(seconds, requests=(*self.seen.requests, request))

    def silence(self, seconds: float, problem: str = "connection refused") -> Self:
        """The metric source goes away."""
        evidence = replace(self.seen.evidence, at=seconds, up=False, problem=problem)
        return self.at(seconds, evidence=evidence)

    def expect(
        self, phase: Phase, reason: Reason | None = None, weight: float | None = None, stage: int | None = None
    ) -> Self:
        """Compare where the rollout is."""
        assert self.rollout.phase is phase, self.tell()
        assert reason is None or self.rollout.reason is reason, self.tell()
        assert weight is None or self.rollout.weights == Weights.of_share(weight), self.tell()
        assert stage is None or self.rollout.stage == stage, self.tell()
        return self

    def evaluated(self, seconds: float, **canary: float) -> Self:
        """The evaluation harness reports."""
        return self.at(seconds, evaluation=EvaluationStatus(at=seconds, done=True, canary=canary, stable=canary))

    def tested(self, seconds: float, verdict: GateAnswer, *why: str) -> Self:
        """The paired test reports."""
        return self.at(seconds, evaluation=EvaluationStatus(at=seconds, done=True, verdict=verdict, why=why))

    def shadowed(self, seconds: float, shadow: ShadowStatus) -> Self:
        """The shadow reports whole days."""
        return self.at(seconds, shadow=shadow)

    def tell(self) -> str:
        """The history, for a failing test."""
        return "\n" + "\n".join(
            f"{event.t:8.1f} {event.phase:16} {event.weight:5.2f} {event.reason:18} {event.message}"
            for event in self.rollout.history
        )

    def _pass(self, seconds: float, **changes: object) -> None:
        if "evidence" not in changes and self.seen.evidence.up:
            changes["evidence"] = self._traffic(seconds)
        self.now = seconds
        self.seen = replace(self.seen, **changes)  # type: ignore[arg-type]  # names are checked by replace itself
        for _ in range(4):  # the route follows at once, and is seen to
            before = self.rollout
            decision = advance(self.config, before, self.seen, self.now)
            assert not (wrong := broken(self.spec, before, self.seen, decision)), f"{wrong}{self.tell()}"
            self.rollout, self.actions = decision.rollout, decision.actions
            asked = next((action.weights for action in self.actions if isinstance(action, SetWeights)), None)
            if asked is None or not self.follows or asked == self.seen.route.weights:
                break
            self.seen = replace(self.seen, route=RouteStatus(at=self.now, weights=asked))

    def _traffic(self, seconds: float) -> MetricsStatus:
        share = self.seen.route.weights.share if self.seen.route.weights else 0.0
        seconds_of_traffic = seconds - self.now if self.seen.stable.usable else 0.0
        for arm, part, errors in (
            ("stable", 1 - share, self.stable_errors),
            ("canary", share, self.canary_errors),
        ):
            requests = round(self.rps * seconds_of_traffic * part)
            total, failed = self._totals[arm]  # type: ignore[index]  # the two literals above
            self._totals[arm] = (total + requests, failed + round(requests * errors))  # type: ignore[index]  # likewise
        arms: dict[Arm, dict[str, PodCounters]] = {
            arm: {f"{arm}-0": PodCounters(requests=total, errors=failed)}
            for arm, (total, failed) in self._totals.items()
        }
        return MetricsStatus(at=seconds, counters=Counters(at=seconds, arms=arms))
