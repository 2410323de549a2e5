"""What a rollout learns from stable's own past before the canary has any traffic, and what that says of the plan.

Called by `controlplane.reconcile` at the start of a rollout whose stable variant ran before, and by `serinus plan`. The
judge learns the noise; a margin that is below it is said once, before anybody waits for a verdict that cannot come.
Reads nothing itself. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from canary import judge, messages
from canary.judge import JudgeConfig
from canary.judge.baseline import learnt
from canary.judge.baseline import taught as taught_judge
from canary.machine import note
from canary.rollout import Phase, Reason, Rollout
from canary.snapshot import Counters
from canary.spec.models import CanarySpec, Gate, Variant

READINGS = 240
"""Readings of the past that are asked for at most: some 50 ms of work with five gates."""
SHORTEST_S, LONGEST_S = 1800.0, 7200.0
"""Seconds of the past, by how often it was scraped."""
ENOUGH = 10
"""Readings without which nothing is learnt;"""
PLENTY = 60
"""and those that are worth more than others that lie closer together."""
BEFORE_TRAFFIC = frozenset({Phase.PENDING, Phase.PREPARING, Phase.EVALUATING, Phase.SHADOWING})


@dataclass(frozen=True, slots=True)
class DetectionLimit:
    """How finely one gate can tell the canary from stable in one stage."""

    stage: int
    """Index of the stage."""
    gate: str
    margin: float
    """By how much the canary may be worse, as a fraction."""
    noise: float
    """By how much stable differs from itself within the stage's hold, as a fraction."""
    within: float
    """That hold in seconds."""

    @property
    def hides_the_margin(self) -> bool:
        """Whether what the gate asks for cannot be told from noise in that time."""
        return self.margin < self.noise


def seconds_back(interval: float) -> tuple[float, ...]:
    """How far back to look where a scrape is made every `interval` seconds.

    First far, evenly spread; then, for a stable variant that has run for minutes only, as near as every scrape counts.
    """
    far = min(max(READINGS * interval, SHORTEST_S), LONGEST_S)
    near = READINGS * interval
    return (far, near) if near < far else (far,)


def ran_before(spec: CanarySpec, earlier: Rollout, plan: CanarySpec) -> bool:
    """Whether the variant that is stable now is the one that an earlier rollout, of that plan, left serving."""
    served = plan.canary if earlier.phase is Phase.SUCCEEDED else plan.stable
    return earlier.finished and _same(served) == _same(spec.stable)


def detection_limits(config: JudgeConfig, history: Sequence[Counters]) -> tuple[DetectionLimit, ...]:
    """By stage and gate, for gates whose margin is a share of stable's value; without those where nothing is known."""
    if len(history) < ENOUGH:
        return ()
    state, found = learnt(config, history), []
    for index, stage in enumerate(config.spec.stages):
        for gate in stage.gates:
            noise = judge.noise_floor(config, state, gate.text, over=stage.hold) if _by_share(gate) else None
            if noise is not None:
                found.append(DetectionLimit(index, gate.text, gate.limit, noise, stage.hold))
    return tuple(found)


def learn_noise(config: JudgeConfig, rollout: Rollout, history: Sequence[Counters], now: float) -> Rollout:
    """The rollout whose judge knows this history (oldest first), with a word on every margin that is below the noise.

    A rollout whose canary may have traffic already is given back as it is, and so is one without enough of a history.
    """
    if rollout.phase not in BEFORE_TRAFFIC or rollout.peak.canary or len(history) < ENOUGH:
        return rollout
    rollout = replace(rollout, judge=taught_judge(config, rollout.judge, history))
    said = set[str]()
    for floor in detection_limits(config, history):
        if floor.hides_the_margin and floor.gate not in said:
            said.add(floor.gate)
            sentence = messages.below_noise(floor.gate, floor.margin, floor.noise, floor.within)
            evidence = {"gate": floor.gate, "margin": floor.margin, "noise": floor.noise, "within": floor.within}
            rollout = note(rollout, "alert", Reason.NOISE_FLOOR, sentence, evidence, now)
            rollout = replace(rollout, message=f"{rollout.message} {sentence}".strip())
    return rollout


def _by_share(gate: Gate) -> bool:
    return gate.relative and gate.margin == "relative"


def _same(variant: Variant) -> Variant:
    """The variant, however many replicas it has."""
    return variant.model_copy(update={"replicas": 1})
