"""A population taken in: all the traffic of both arms, or one segment of it. Bounds, evidence, and stable's history.

Called by `judge.py` for all traffic together and by `segments.py` for each value of a label, on a memory that holds the
population's own evidence beside the rollout's clock. Decides nothing.
"""

from collections.abc import Sequence
from operator import add
from typing import NamedTuple

from canary.judge import bounds, rows, selfnormalised, start_weights
from canary.judge.arms import Sides
from canary.judge.block import Block
from canary.judge.docket import Case
from canary.judge.evidence import Evidence, learn, weigh
from canary.judge.memory import Memory


class Beginnings(NamedTuple):
    """What this block says about when harm may have begun."""

    lately: float
    """Weight of harm that begins between stages by now."""
    moved: bool
    """Whether a stage begins."""
    due: bool
    """Whether the slow test starts anew."""


NO_BEGINNING = Beginnings(0.0, moved=False, due=False)


def beginnings(memory: Memory, planned: float, block: Block) -> Beginnings:
    """Move the clock of beginnings on; `planned` is the sum of all holds in seconds."""
    if memory["first"] is None:
        memory["first"] = memory["spent_until"] = memory["next_start"] = block.t
    first = memory["first"]
    lately = start_weights.between(memory["spent_until"] - first, block.t - first, planned)
    memory["spent_until"] = max(memory["spent_until"], block.t)
    moved = memory["stage"] is not None and memory["stage"] != block.stage
    memory["stage"] = block.stage
    due = block.t >= memory["next_start"]
    if due:
        memory["next_start"] = block.t + max(planned / selfnormalised.STARTS, 60.0)
    return Beginnings(lately, moved, due)


def take_in(
    memory: Memory,
    cases: Sequence[Case],
    block: Block,
    sides: Sides,
    known: dict[str, list[float]],
    begins: Beginnings,
    *,
    exposed: bool,
    new_stage: bool,
) -> None:
    """Weigh the block for these cases and learn from it. `exposed` says whether the canary may be blamed for it."""
    evidence = {case.text: Evidence.of(memory["evidence"][case.text]) for case in cases}
    _pick_bounds(memory, cases, known, evidence)
    if new_stage:
        for e in evidence.values():
            e.begin_stage()
    _weigh(memory, cases, block, sides, evidence, begins, exposed=exposed)
    memory["evidence"] = memory["evidence"] | {text: e.kept() for text, e in evidence.items()}
    _learn_history(memory, sides)


def _pick_bounds(
    memory: Memory, cases: Sequence[Case], known: dict[str, list[float]], evidence: dict[str, Evidence]
) -> None:
    """Choose the bucket bounds that speak for each latency gate, from blocks before this one."""
    for case in cases:
        if case.series != "histogram" or case.name not in known:
            continue
        pick = memory["picks"].get(case.text)
        picked = bounds.pick(case, pick, known[case.name], memory["history"].get(case.name))
        if picked is None or picked == pick:
            continue
        if pick is not None and picked[0] != pick[0]:
            e = evidence[case.text]
            e.usual, e.fast = [0.0] * 3, [0.0] * 4
        memory["picks"] = memory["picks"] | {case.text: picked}


def _weigh(
    memory: Memory,
    cases: Sequence[Case],
    block: Block,
    sides: Sides,
    evidence: dict[str, Evidence],
    begins: Beginnings,
    *,
    exposed: bool,
) -> None:
    """Weigh the block for every case of its stage; cases of other stages only learn what is usual for stable."""
    started, told, picks = memory["started"], dict(memory["told"]), memory["picks"]
    for case in cases:
        text, rule = case.text, case.rule
        e = evidence[text]
        numbers = rows.numbers(case, sides, picks.get(text), e)
        stable = e.standing(numbers)
        if exposed and rule is not None and numbers.told:
            told[text] = block.t
            if block.stage in case.stages:
                new = text not in started
                if new:
                    started = [*started, text]
                    spend = start_weights.first(len(case.stages))
                else:
                    spend = begins.lately + (start_weights.later(len(case.stages)) if begins.moved else 0.0)
                weigh(e, rule, numbers, stable, t=block.t, spend=spend, opens=new or begins.moved or begins.due)
        learn(e, numbers, stable)
    memory["started"], memory["told"] = started, told


def _learn_history(memory: Memory, sides: Sides) -> None:
    """Stable's histograms of all time, from which bounds are picked."""
    history = dict(memory["history"])
    for name, counts in sides.stable.histograms.items():
        was = history.get(name)
        history[name] = counts if was is None else list(map(add, was, counts))
    memory["history"] = history
