"""Segments: a gate with `by: tenant` is judged for all traffic together and for each tenant, and the worst decides.

Called by `judge.py` after all traffic together was taken in; read by `stopping_rule.py` and `verdicts.py`. Each segment
is a population of its own (own noise, bounds, evidence, tallies). Which segments are judged by themselves is settled
once, at the canary's first traffic, from how much traffic they have and nothing else: those with at least 2 % of it,
sixteen at most. All others, and those that appear later, are judged together as `other`.

The correction for their number: a gate's fortune is split in two when its segments are named. Half goes on betting on
all traffic together, half is spread evenly over the segments. A mean of e-values is an e-value whatever they have to
do with each other, so the guarantee is that of any gate; a segment needs `log(2 K)` nats more than it would alone.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from canary.judge import arm_totals, stage_totals, stratum
from canary.judge.clock import Beginnings
from canary.judge.config import GateConfig, JudgeConfig
from canary.judge.increments import Increments, ReplicaIncrements
from canary.judge.label_cardinality import OTHER
from canary.judge.portable_math import LOG_TWO, log, log_sum
from canary.judge.stratum import Stratum
from canary.weights import ARMS, Arm

MOST = 16
"""Segments that are judged by themselves."""
RARE = 0.02
"""Those with a smaller share of the traffic are not."""
CANDIDATES = 64
"""Values that are learnt about before the canary has traffic; later ones are taken to be rare."""
Pods = Mapping[Arm, Mapping[str, ReplicaIncrements]]


@dataclass(frozen=True, slots=True)
class Label:
    """What is remembered of one label's segments."""

    named: bool = False
    """Whether it is settled which of them are judged by themselves."""
    parts: Mapping[str, Stratum] = field(default_factory=dict)
    """By value."""
    stakes: Mapping[str, float] = field(default_factory=dict)
    """By gate, the logarithm of its evidence when that was settled."""
    combined: Mapping[str, float] = field(default_factory=dict)
    """By gate, the logarithm of its evidence over all traffic together and all segments."""

    def clock_moved(self, by: float) -> "Label":
        """The source's clock was set: ages stay what they were."""
        return replace(self, parts={value: part.clock_moved(by) for value, part in self.parts.items()})


class View(NamedTuple):
    """A gate where one population is asked about: all traffic together, or one segment."""

    value: str
    """The label's value; empty for all together."""
    gate: GateConfig
    population: Stratum


def take_in(
    everything: Stratum,
    label: Label,
    gates: tuple[GateConfig, ...],
    config: JudgeConfig,
    block: Increments,
    given: Mapping[str, Pods],
    begins: Beginnings,
    length: float,
    *,
    exposed: bool,
    new_stage: bool,
) -> Label:
    """Take in a block for each segment of a label that these gates name, and combine what they have shown.

    `everything` is all the traffic after this block.
    """
    named = label.named
    if exposed and given and not named:
        label, named = _named(label, gates, given), True
    parts = dict(label.parts)
    if not named:
        new = [value for value in list(given)[: CANDIDATES - len(parts)] if value not in parts]
        parts |= {value: Stratum.of(gates) for value in new}
    pods = _by_part(given, parts, named=named)
    for value in parts if new_stage else pods:
        part, own = parts[value], Increments(block.t, block.stage, block.weight, pods.get(value, {}))
        sides, known = arm_totals.collect(own, part.bounds, config.histograms)
        served = (sides.canary.requests or 0.0) + (sides.stable.requests or 0.0)
        part = replace(part.knowing(known), requests=part.requests + served)
        if new_stage:
            part = part.beginning_stage()
        if exposed:
            part = part.counting(sides, known, length)
        parts[value] = stratum.weigh(
            part, gates, sides, known, begins, t=block.t, stage=block.stage, exposed=exposed, new_stage=new_stage
        )
    after = Label(named, parts, label.stakes)
    return replace(after, combined={gate.text: _combined(everything, gate, after) for gate in gates})


def settled(labels: Mapping[str, Label]) -> dict[str, frozenset[str]]:
    """The values that are judged by themselves, of those labels where that is settled."""
    return {
        name: frozenset(value for value in label.parts if value != OTHER)
        for name, label in labels.items()
        if label.named
    }


def views(everything: Stratum, label: Label, gate: GateConfig) -> Iterator[View]:
    """All traffic together, then each segment."""
    base = gate.spoken.partition(" (of all together")[0]
    yield View("", replace(gate, spoken=f"{base} of all together"), everything)
    for value, part in label.parts.items():
        yield View(value, replace(gate, spoken=f"{base} of {gate.gate.by} {value[:60]}"), part)


def worst(everything: Stratum, label: Label, gate: GateConfig) -> View:
    """Where the evidence against the canary is strongest."""
    return max(views(everything, label, gate), key=lambda view: view.population.gates[gate.text].log_e)


def waited_for(view: View, everything: Stratum) -> bool:
    """Whether a pass needs this population: all together, each segment by itself, the others if they are not rare."""
    if view.value != OTHER:
        return True
    served = stage_totals.samples(view.gate, view.population.totals.arms.canary)
    return served >= RARE * max(stage_totals.samples(view.gate, everything.totals.arms.canary), 1.0)


def _named(label: Label, gates: tuple[GateConfig, ...], given: Mapping[str, Pods]) -> Label:
    """Settle which segments are judged by themselves: by the traffic so far, or this block's if there was none."""
    traffic = {value: part.requests for value, part in label.parts.items()}
    if not any(traffic.values()):
        traffic = {value: _requests(pods) for value, pods in given.items()}
    enough = RARE * math.fsum(traffic.values())
    largest = sorted(traffic, key=lambda value: (-traffic[value], value))[:MOST]
    chosen = [value for value in largest if value != OTHER and traffic[value] >= enough]
    parts = {value: label.parts.get(value) or Stratum.of(gates) for value in chosen}
    stakes = {gate.text: label.combined.get(gate.text, 0.0) for gate in gates}  # as it was before this block
    return Label(named=True, parts=parts | {OTHER: Stratum.of(gates)}, stakes=stakes)


def _requests(pods: Pods) -> float:
    """Requests of both arms."""
    return math.fsum(pod.requests or 0.0 for arm in ARMS for pod in pods.get(arm, {}).values())


def _by_part(given: Mapping[str, Pods], parts: Mapping[str, Stratum], *, named: bool) -> dict[str, Pods]:
    """What each segment did; once they are named, all that have no name are put together as the others."""
    own = {value: pods for value, pods in given.items() if value in parts and (not named or value != OTHER)}
    rest = [pods for value, pods in given.items() if value not in own]
    if named and rest:
        own[OTHER] = {arm: _together([pods.get(arm, {}) for pods in rest]) for arm in ARMS}
    return own


def _together(several: Iterable[Mapping[str, ReplicaIncrements]]) -> dict[str, ReplicaIncrements]:
    """Increments of each replica over several segments, so that the placebo's halves are replicas here too."""
    pods: dict[str, ReplicaIncrements] = {}
    for blocks in several:
        for name, pod in blocks.items():
            pods[name] = pod if name not in pods else pods[name].plus(pod)
    return pods


def _combined(everything: Stratum, gate: GateConfig, label: Label) -> float:
    """Log of a gate's evidence over all its populations. It was one fortune until its segments were named."""
    whole = everything.gates[gate.text].log_e
    if not label.named:
        return whole
    each = label.stakes[gate.text] - log(len(label.parts))
    return log_sum([whole, *(each + part.gates[gate.text].log_e for part in label.parts.values())]) - LOG_TWO
