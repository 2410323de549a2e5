"""Segments: a gate with `by: tenant` is judged for all traffic together and for each tenant, and the worst decides.

Called by `judge.py` after all traffic together was taken in; read by `conviction.py` and `verdicts.py`. Each segment is
a population of its own (own noise, bounds, evidence, tallies). Which segments are judged by themselves is settled once,
at the canary's first traffic, from how much traffic they have and nothing else: those with at least 2 % of it, sixteen
at most. All others, and those that appear later, are judged together as `other`.

The correction for their number: a gate's fortune is split in two when its segments are named. Half goes on betting on
all traffic together, half is spread evenly over the segments. A mean of e-values is an e-value whatever they have to do
with each other, so the guarantee is that of any gate; a segment needs `log(2 K)` nats more than it would alone.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from canary.judge import arms, population, tally
from canary.judge.block import Block, PodBlock
from canary.judge.config import GateConfig, JudgeConfig
from canary.judge.evidence import Evidence
from canary.judge.facts import known_bounds
from canary.judge.memory import Memory
from canary.judge.population import Beginnings
from canary.judge.portable_math import LOG_TWO, log, log_sum
from canary.judge.values import OTHER
from canary.weights import ARMS, Arm

MOST = 16
"""Segments that are judged by themselves."""
RARE = 0.02
"""Those with a smaller share of the traffic are not."""
CANDIDATES = 64
"""Values that are learnt about before the canary has traffic; later ones are taken to be rare."""
Pods = Mapping[Arm, Mapping[str, PodBlock]]
Kept = Mapping[str, Any]
_OWN = ("evidence", "started", "told", "picks", "history", "bounds", "tally", "blocks", "rate", "requests")
"""What a segment remembers for itself; all else is the rollout's. Whoever counts it may have bounds of its own."""


class View(NamedTuple):
    """A gate where one population is asked about: all traffic together, or one segment."""

    value: str
    """The label's value; empty for all together."""
    case: GateConfig
    memory: Mapping[str, Any]


def take_in(
    memory: Memory,
    config: JudgeConfig,
    block: Block,
    begins: Beginnings,
    *,
    exposed: bool,
    new_stage: bool,
) -> None:
    """Take in a block for each segment of each label that a gate names, and combine what they have shown."""
    after, combined = dict(memory["segments"]), dict(memory["combined"])
    for label, cases in config.by_label.items():
        given = block.segments.get(label, {})
        kept = after.get(label) or {"named": False, "parts": {}, "stakes": {}}
        kept = _named(memory, cases, kept, given) if exposed and given and not kept["named"] else kept
        parts = dict(kept["parts"])
        if not kept["named"]:
            parts |= {value: _fresh(cases) for value in list(given)[: CANDIDATES - len(parts)] if value not in parts}
        pods = _by_part(given, parts, named=kept["named"])
        for value in parts if new_stage else pods:
            view = {**memory, **parts[value]}
            known = known_bounds(view)
            sides = arms.collect(
                Block(block.t, block.stage, block.weight, pods.get(value, {})), known, config.histograms
            )
            view["bounds"] = {name: edges[:-1] for name, edges in known.items()}
            view["requests"] += (sides.canary.requests or 0.0) + (sides.stable.requests or 0.0)
            if new_stage:
                tally.begin(view)
            if exposed:
                tally.count(view, sides)
            population.take_in(view, cases, block, sides, known, begins, exposed=exposed, new_stage=new_stage)
            parts[value] = {key: view[key] for key in _OWN}
        after[label] = {**kept, "parts": parts}
        combined |= {case.text: _combined(memory, case, after[label]) for case in cases}
    memory["segments"], memory["combined"] = after, combined


def named(memory: Mapping[str, Any], case: GateConfig) -> bool:
    """Whether a gate's segments are known and judged."""
    kept = memory["segments"].get(case.gate.by) if case.gate.by is not None else None
    return kept is not None and bool(kept["named"])


def settled(memory: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """The values that are judged by themselves, of those labels where that is settled."""
    return {
        label: frozenset(value for value in kept["parts"] if value != OTHER)
        for label, kept in memory["segments"].items()
        if kept["named"]
    }


def views(memory: Mapping[str, Any], case: GateConfig) -> Iterator[View]:
    """All traffic together, then each segment."""
    base = case.spoken.partition(" (of all together")[0]
    yield View("", replace(case, spoken=f"{base} of all together"), memory)
    for value, part in memory["segments"][case.gate.by]["parts"].items():
        spoken = f"{base} of {case.gate.by} {value[:60]}"
        yield View(value, replace(case, spoken=spoken), {**memory, **part})


def worst(memory: Mapping[str, Any], case: GateConfig) -> View:
    """Where the evidence against the canary is strongest."""
    return max(views(memory, case), key=lambda view: float(view.memory["evidence"][case.text]["log_e"]))


def waited_for(view: View, memory: Mapping[str, Any]) -> bool:
    """Whether a pass needs this population: all together, each segment by itself, the others if they are not rare."""
    if view.value != OTHER:
        return True
    served = tally.samples(view.case, view.memory["tally"]["canary"])
    return served >= RARE * max(tally.samples(view.case, memory["tally"]["canary"]), 1.0)


def _fresh(cases: tuple[GateConfig, ...]) -> Memory:
    """A segment before anything was seen of it."""
    part: Memory = {"started": [], "told": {}, "picks": {}, "history": {}, "bounds": {}, "requests": 0.0}
    tally.begin(part)
    return part | {"evidence": {case.text: Evidence().kept() for case in cases}}


def _named(memory: Memory, cases: tuple[GateConfig, ...], kept: Kept, given: Mapping[str, Pods]) -> Kept:
    """Settle which segments are judged by themselves: by the traffic so far, or this block's if there was none."""
    traffic = {value: part["requests"] for value, part in kept["parts"].items()}
    if not any(traffic.values()):
        traffic = {value: _requests(pods) for value, pods in given.items()}
    enough = RARE * math.fsum(traffic.values())
    largest = sorted(traffic, key=lambda value: (-traffic[value], value))[:MOST]
    chosen = [value for value in largest if value != OTHER and traffic[value] >= enough]
    parts = {value: kept["parts"].get(value) or _fresh(cases) for value in chosen}
    stakes = {case.text: memory["combined"].get(case.text, 0.0) for case in cases}  # as it was before this block
    return {"named": True, "parts": parts | {OTHER: _fresh(cases)}, "stakes": stakes}


def _requests(pods: Pods) -> float:
    """Requests of both arms."""
    return math.fsum(pod.requests or 0.0 for arm in ARMS for pod in pods.get(arm, {}).values())


def _by_part(given: Mapping[str, Pods], parts: Mapping[str, Memory], *, named: bool) -> dict[str, Pods]:
    """What each segment did; once they are named, all that have no name are put together as the others."""
    own = {value: pods for value, pods in given.items() if value in parts and (not named or value != OTHER)}
    rest = [pods for value, pods in given.items() if value not in own]
    if named and rest:
        own[OTHER] = {arm: _together([pods.get(arm, {}) for pods in rest]) for arm in ARMS}
    return own


def _together(several: Iterable[Mapping[str, PodBlock]]) -> dict[str, PodBlock]:
    """Increments of each replica over several segments, so that the placebo's halves are replicas here too."""
    pods: dict[str, PodBlock] = {}
    for blocks in several:
        for name, pod in blocks.items():
            pods[name] = pod if name not in pods else pods[name].plus(pod)
    return pods


def _combined(memory: Memory, case: GateConfig, kept: Kept) -> float:
    """Log of a gate's evidence over all its populations. It was one fortune until its segments were named."""
    whole: float = memory["evidence"][case.text]["log_e"]
    if not kept["named"]:
        return whole
    parts: list[float] = [part["evidence"][case.text]["log_e"] for part in kept["parts"].values()]
    each: float = kept["stakes"][case.text] - log(len(parts))
    logs = [whole, *(each + log_e for log_e in parts)]
    return log_sum(logs) - LOG_TWO
