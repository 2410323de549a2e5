"""A population taken in: all the traffic of both arms, or one segment of it. Bounds, evidence, and stable's history.

Called by `judge.py` for all traffic together and by `segments.py` for each value of a label, on a memory that holds the
population's own evidence beside the rollout's clock. Decides nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

from canary.judge import bounds, rows, selfnormalised, start_weights, sums
from canary.judge.arms import Sides
from canary.judge.block import Block
from canary.judge.config import GateConfig
from canary.judge.evidence import NO_CASE_YET, NOTHING_USUAL, Evidence, learn, weigh
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
    cases: Sequence[GateConfig],
    block: Block,
    sides: Sides,
    known: dict[str, list[float]],
    begins: Beginnings,
    *,
    exposed: bool,
    new_stage: bool,
) -> None:
    """Weigh the block for these cases and learn from it. `exposed` says whether the canary may be blamed for it."""
    evidence, picks = dict(memory["evidence"]), memory["picks"]
    started, told = memory["started"], dict(memory["told"])
    arms = rows.told_apart(sides)
    lately, moved, due = begins
    for case in cases:
        text, rule = case.text, case.rule
        if rule is None:
            continue
        kept = evidence[text]
        pick = picks.get(text)
        if case.series == "histogram" and case.name in known:
            before, pick = pick, bounds.pick(case, pick, known[case.name], memory["history"].get(case.name))
            if pick is not None and pick != before:
                memory["picks"] = memory["picks"] | {text: pick}
                if before is not None and before[0] != pick[0]:
                    kept = kept | NOTHING_USUAL
        if new_stage:
            kept = kept | NO_CASE_YET
        numbers, held = rows.numbers(case, arms, pick, kept["held"])
        e = Evidence.of(kept)
        if held is not None:
            e.held = held
        stable = e.standing(numbers)
        if exposed and (numbers.nv > 0 or numbers.weight > 0):  # the canary told something
            told[text] = block.t
            if block.stage in case.stages:
                new = text not in started
                if new:
                    started = [*started, text]
                spend, opens = _begins(case, begins, new=new) if new or moved else (lately, due)
                weigh(e, rule, numbers, stable, t=block.t, spend=spend, opens=opens)
        learn(e, numbers, stable)
        evidence[text] = e.kept()
    memory["evidence"], memory["started"], memory["told"] = evidence, started, told
    _learn_history(memory, sides)


def _begins(case: GateConfig, begins: Beginnings, *, new: bool) -> tuple[float, bool]:
    """Weight of harm that begins with this block, and whether the slow test starts anew.

    A case of other stages than the present one is not asked: it only learns what is usual for stable.
    """
    if new:
        return start_weights.first(len(case.stages)), True
    if begins.moved:
        return begins.lately + start_weights.later(len(case.stages)), True
    return begins.lately, begins.due


def _learn_history(memory: Memory, sides: Sides) -> None:
    """Stable's histograms of all time, from which bounds are picked."""
    memory["history"] = sums.by_name(memory["history"], sides.stable.histograms, sums.counts)
