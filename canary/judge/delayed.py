"""Late labels: a KPI with `delay: 1h` is judged on requests that are an hour old, as events come that much later.

Called by `judge.py`, gate by gate. Events that come now are held against the requests of `delay` ago, in slots of a
32nd of the delay, which is all that has to be remembered. Running totals do not say which request an event belongs to;
with a share of traffic that stays, the arms' events stand to each other as their requests do, however the events are
spread over the delay. So a slot counts only if the canary's share has been the same for the whole of the delay before
it; what came within a delay of a change of weights is left out. Decides nothing.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from canary.judge import population, rows, tally
from canary.judge.arms import ArmSums, Sides
from canary.judge.block import Block
from canary.judge.config import GateConfig
from canary.judge.memory import Memory
from canary.judge.population import Beginnings

SLOTS = 32
"""Parts that a delay is divided into."""
Kept = dict[str, Any]
_OWN = ("tally", "blocks", "rate")


def fresh() -> Kept:
    """Before anything was seen. Lists are of the canary and two halves of stable."""
    return {
        # the canary's share, since when it has been that, and the end of the last slot
        "weight": None,
        "since": 0.0,
        "slot": 0.0,
        # events and requests since then; ends of slots, each with all requests so far
        "events": [0.0] * 3,
        "requests": [0.0] * 3,
        "ends": [],
        "sums": [],
        # beginnings of harm that no slot has accounted for; tallies, blocks and rate of requests that are old enough
        "begins": [0.0, False, False],
        "tally": tally.NOTHING,
        "blocks": 0,
        "rate": 0.0,
    }


def take_in(
    memory: Memory, case: GateConfig, block: Block, sides: Sides, begins: Beginnings, *, exposed: bool, new_stage: bool
) -> None:
    """Take in a block for one gate: weigh what has grown old enough by it, if it fills a slot."""
    delay = case.gate.delay or 0.0
    kept: Kept = dict(memory["delayed"].get(case.text) or fresh())
    if new_stage:
        tally.begin(kept)
    lately, moved, due = kept["begins"]
    kept["begins"] = [lately + begins.lately, moved or begins.moved, due or begins.due]
    ripe = _ripe(case, kept, block, sides, delay)
    view = {**memory, **{key: kept[key] for key in _OWN}}
    if ripe is not None:
        begins, kept["begins"] = Beginnings(*kept["begins"]), [0.0, False, False]
        if exposed:
            view["tally"] = tally.both(view["tally"], ripe)
            view["blocks"] += 1
            view["rate"] = (ripe.canary.requests or 0.0) / (delay / SLOTS)
    nothing = Sides(ArmSums(), ArmSums(), (ArmSums(), ArmSums()), [])
    population.take_in(view, (case,), block, ripe or nothing, {}, begins, exposed=exposed, new_stage=new_stage)
    for key in ("evidence", "started", "told"):
        memory[key] = view[key]
    kept |= {key: view[key] for key in _OWN}
    memory["delayed"] = {**memory["delayed"], case.text: kept}


def own(memory: Mapping[str, Any], case: GateConfig) -> Memory:
    """The memory as this gate's verdict reads it: with the tallies of requests that are old enough."""
    kept = memory["delayed"].get(case.text) or fresh()
    return {**memory, **{key: kept[key] for key in _OWN}}


def ripe_at(memory: Mapping[str, Any], case: GateConfig) -> float | None:
    """When the first slot of the present share will be full; None before there is a share."""
    kept, delay = memory["delayed"].get(case.text), case.gate.delay or 0.0
    return kept["since"] + delay * (1 + 1 / SLOTS) if kept is not None and kept["weight"] else None


def _ripe(case: GateConfig, kept: Kept, block: Block, sides: Sides, delay: float) -> Sides | None:
    """Count the block; if it fills a slot, its events and the requests of a delay ago, if they can be held together."""
    if kept["weight"] != block.weight:
        kept["weight"], kept["since"] = block.weight, block.t
    groups = (sides.canary, *sides.halves)
    told = [rows.events_of(case, group) for group in groups]
    if not kept["ends"]:
        kept["ends"], kept["sums"], kept["slot"] = [block.t], [[0.0] * 3], block.t
        return None
    kept["events"] = [was + events for was, (events, _) in zip(kept["events"], told, strict=True)]
    kept["requests"] = [was + of for was, (_, of) in zip(kept["requests"], told, strict=True)]
    if block.t - kept["slot"] < delay / SLOTS:
        return None
    begin, kept["slot"] = kept["slot"], block.t
    events, kept["events"] = kept["events"], [0.0] * 3
    ends, sums = [*kept["ends"], block.t], [*kept["sums"], kept["requests"]]
    kept["ends"], kept["sums"] = ends[-SLOTS - 2 :], sums[-SLOTS - 2 :]
    if ends[0] > begin - delay or kept["since"] > begin - delay:
        return None
    then, now = _sums_at(begin - delay, ends, sums), _sums_at(block.t - delay, ends, sums)
    of = [b - a for a, b in zip(then, now, strict=True)]
    arms = [_arm(case, group, e, n) for group, e, n in zip(groups, events, of, strict=True)]
    return Sides(arms[0], _arm(case, sides.stable, events[1] + events[2], of[1] + of[2]), (arms[1], arms[2]), [])


def _sums_at(t: float, ends: Sequence[float], sums: Sequence[Sequence[float]]) -> list[float]:
    """All requests until `t`, on a straight line between two slots' ends."""
    index = min(max(bisect_left(ends, t), 1), len(ends) - 1)
    part = (t - ends[index - 1]) / (ends[index] - ends[index - 1])
    return [a + (b - a) * part for a, b in zip(sums[index - 1], sums[index], strict=True)]


def _arm(case: GateConfig, group: ArmSums, events: float, of: float) -> ArmSums:
    """What an arm did with those requests; requests without events have had their chance."""
    arm = ArmSums(pods=group.pods)
    if of > 0:
        arm.requests = of
        arm.kpis = {case.name: (events, of)}
    return arm
