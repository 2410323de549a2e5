"""The judge itself: takes in a block or new totals, remembers, and reads the verdicts of a stage.

Called by `canary.machine` at every pass (`watch`), by `serinus judge` and the benchmark (`update`, `read`). Pure: the
same state and the same block give the same answer for ever. What it remembers is in `JudgeState.memory`, all of it
plain numbers, lists and names, so that a crash costs nothing. The statistics stand in `evidence.py`.
"""

import math
from collections.abc import Mapping
from operator import add
from typing import Any

from canary.judge import (
    arms,
    bounds,
    docket,
    feed,
    hard_stop,
    rows,
    selfnormalised,
    sentences,
    start_weights,
    tally,
    threshold,
    verdicts,
)
from canary.judge.arms import Sides
from canary.judge.block import Block
from canary.judge.docket import Case, Docket
from canary.judge.evidence import Evidence, learn, weigh
from canary.judge.state import JudgeState
from canary.observation import EvidenceSeen
from canary.spec.models import CanarySpec
from canary.verdict import Answer, GateVerdict, Judgement
from canary.weights import Weights

Memory = dict[str, Any]


def begin(spec: CanarySpec) -> JudgeState:
    """The state before anything was seen."""
    return JudgeState(memory=_fresh(docket.of(spec)))


def watch(
    spec: CanarySpec,
    state: JudgeState,
    *,
    stage: int,
    weights: Weights,
    evidence: EvidenceSeen,
    now: float,
    stage_since: float | None,
) -> tuple[JudgeState, Judgement]:
    """Take in the newest totals, if they are new, and answer for the stage. The same totals twice change nothing.

    `stage_since` is None while the stage's weights are not in force: then there is evidence against the canary, but
    none for it.
    """
    state = _state_for(spec, state)
    counters, previous = evidence.counters, state.previous
    in_force = stage_since is not None
    if counters is not None and (previous is None or counters.at > previous.at):
        charged = docket.of(spec)
        kept = feed.remember(previous, counters, charged)
        if previous is not None:
            block = feed.difference(previous, counters, stage=stage, weight=weights.share, warmup=spec.judge.warmup)
            settled = stage_since is not None and previous.at >= stage_since
            state = _update(spec, state, block, settled=settled, began=stage_since)
        state = JudgeState(version=state.version, previous=kept, memory=state.memory)
    memory = {**state.memory, "settled": in_force and state.memory["settled"]}
    if evidence.problem or not evidence.up:
        memory["problems"] = [evidence.problem or "the metric source does not answer"]
    if memory["began"] is None and in_force:
        memory["began"] = stage_since
    if memory["tally_stage"] != stage:
        memory["weight"] = weights.share
    return state, verdicts.judgement(spec, docket.of(spec), memory, stage, now)


def update(spec: CanarySpec, state: JudgeState, block: Block) -> JudgeState:
    """The state after one more block."""
    return _update(spec, _state_for(spec, state), block, settled=True, began=None)


def read(spec: CanarySpec, state: JudgeState, *, stage: int, now: float) -> Judgement:
    """The verdicts of a stage's gates from what is remembered."""
    state = _state_for(spec, state)
    return verdicts.judgement(spec, docket.of(spec), state.memory, stage, now)


def weight_of_evidence(spec: CanarySpec, state: JudgeState) -> float:
    """Log of all evidence against the canary together; the rollout rolls back when it reaches log(1/falseRollback)."""
    of = docket.of(spec)
    heavy = _weighted(of, _state_for(spec, state).memory)
    return _total(heavy) if heavy else 0.0


def _fresh(of: Docket) -> Memory:
    """What is remembered before anything was seen."""
    return {
        "gates": [case.gate.text for case in of.tested],
        "evidence": {case.gate.text: Evidence().kept() for case in of.tested},
        "started": [],
        "bounds": {},
        "history": {},
        "picks": {},
        "tally": {"canary": tally.empty(), "stable": tally.empty()},
        "tally_stage": None,
        "stage": None,
        "blocks": 0,
        "settled": False,
        "began": None,
        "first": None,
        "last": 0.0,
        "interval": 0.0,
        "length": 0.0,
        "spent_until": 0.0,
        "next_start": 0.0,
        "rate": 0.0,
        "weight": 0.0,
        "told": {},
        "looks": {},
        "hard": dict(hard_stop.NOTHING),
        "failed": {},
        "problems": [],
    }


def _state_for(spec: CanarySpec, state: JudgeState) -> JudgeState:
    """The state, begun anew if it was made for other gates."""
    of = docket.of(spec)
    if state.memory and state.memory["gates"] == [case.gate.text for case in of.tested]:
        return state
    return JudgeState(version=state.version, previous=state.previous, memory=_fresh(of))


def _update(spec: CanarySpec, state: JudgeState, block: Block, *, settled: bool, began: float | None) -> JudgeState:
    """One block: sums, bounds, tallies, hard stop, evidence, readings, and what has failed by now."""
    of = docket.of(spec)
    memory: Memory = dict(state.memory)
    known = verdicts.known_bounds(memory)
    sides = arms.collect(block, known, of.histograms)
    memory["bounds"] = {name: values[:-1] for name, values in known.items()}
    memory["problems"] = sides.problems[:4]
    _clock(memory, block, began)
    served = sides.canary.requests or 0.0
    exposed = block.t >= 0 and block.weight > 0 and (served > 0 or bool(sides.canary.kpis))

    evidence = {text: Evidence.of(kept) for text, kept in memory["evidence"].items()}
    _pick_bounds(memory, of, known, evidence)
    if block.t >= 0:
        memory["hard"] = hard_stop.look(spec.judge.hard_stop, memory["hard"], sides, block.t)
    fresh = exposed and settled and memory["tally_stage"] != block.stage
    if fresh:
        memory["tally_stage"], memory["began"], memory["blocks"], memory["rate"] = block.stage, block.t, 0, 0.0
        memory["tally"] = {"canary": tally.empty(), "stable": tally.empty()}
        memory["looks"] = {}
    memory["settled"] = settled and memory["tally_stage"] == block.stage
    if exposed:
        memory["weight"] = block.weight
        memory["blocks"] += 1
        both = memory["tally"]
        memory["tally"] = {
            "canary": tally.plus(both["canary"], sides.canary),
            "stable": tally.plus(both["stable"], sides.stable),
        }
        length = max(memory["interval"], 1e-9)
        memory["rate"] = served / length if memory["rate"] == 0 else 0.9 * memory["rate"] + 0.1 * served / length
    _weigh(memory, of, block, sides, evidence, exposed=exposed, fresh=fresh)
    memory["evidence"] = {text: e.kept() for text, e in evidence.items()}
    if exposed:
        _read_thresholds(memory, of, block, sides, known)
    _learn_history(memory, sides)
    _find_failures(spec, of, memory, block)
    return JudgeState(version=state.version, previous=state.previous, memory=memory)


def _clock(memory: Memory, block: Block, began: float | None) -> None:
    """How long blocks usually are, and since when data has been waited for."""
    if memory["last"] and block.t > memory["last"]:
        length = block.t - memory["last"]
        memory["length"] = length
        memory["interval"] = length if memory["interval"] == 0 else 0.8 * memory["interval"] + 0.2 * length
    memory["last"] = block.t
    if memory["began"] is None and block.t >= 0 and block.weight > 0:
        memory["began"] = began if began is not None else block.t


def _pick_bounds(memory: Memory, of: Docket, known: dict[str, list[float]], evidence: dict[str, Evidence]) -> None:
    """Choose the bucket bounds that speak for each latency gate, from blocks before this one."""
    picks = memory["picks"]
    for case in of.tested:
        if case.series != "histogram" or case.name not in known:
            continue
        gate, edges, pick = case.gate, known[case.name], picks.get(case.gate.text)
        if not gate.relative:
            if pick is None:
                convicts, clears = bounds.around(gate.limit, edges)
                picks = {**picks, gate.text: [float(convicts), float(clears), 1.0, 0.0]}
            continue
        history = memory["history"].get(case.name)
        if history is None or gate.quantile is None:
            continue
        seen = history[-1]
        if seen < bounds.ENOUGH or (pick is not None and (seen < 1.5 * pick[3] or pick[3] >= bounds.FINAL)):
            continue
        index = bounds.nearest(1 - gate.quantile, history)
        if index is None:
            continue
        if pick is not None and index != pick[0]:
            evidence[gate.text].usual, evidence[gate.text].fast = [0.0] * 3, [0.0] * 4
        here = bounds.quantile(gate.quantile, history, edges) or edges[index]
        slower = 1 + (gate.limit if gate.margin == "relative" else gate.limit / max(here, 1e-9))
        rho = bounds.allowed_ratio(index, slower, history, edges)
        picks = {**picks, gate.text: [float(index), float(index), rho, seen]}
    memory["picks"] = picks


def _weigh(
    memory: Memory,
    of: Docket,
    block: Block,
    sides: Sides,
    evidence: dict[str, Evidence],
    *,
    exposed: bool,
    fresh: bool,
) -> None:
    """Weigh the block for every case of its stage; cases of other stages only learn what is usual for stable."""
    lately, moved, due = _beginnings(memory, of, block) if exposed else (0.0, False, False)
    started, told = memory["started"], dict(memory["told"])
    for case in of.tested:
        text, rule = case.gate.text, case.rule
        e = evidence[text]
        numbers = rows.numbers(case, sides, memory["picks"].get(text), e)
        if exposed and rule is not None and numbers.told:
            told[text] = block.t
            if block.stage in case.stages:
                new = text not in started
                if new:
                    started = [*started, text]
                    spend = start_weights.first(len(case.stages))
                else:
                    spend = lately + (start_weights.later(len(case.stages)) if moved else 0.0)
                weigh(e, rule, numbers, t=block.t, spend=spend, opens=new or moved or due, fresh=fresh)
        learn(e, numbers)
    memory["started"], memory["told"] = started, told


def _beginnings(memory: Memory, of: Docket, block: Block) -> tuple[float, bool, bool]:
    """Weight of harm that begins between stages by now, whether a stage begins, and whether a slow test starts anew."""
    if memory["first"] is None:
        memory["first"] = memory["spent_until"] = memory["next_start"] = block.t
    first = memory["first"]
    lately = start_weights.between(memory["spent_until"] - first, block.t - first, of.planned)
    memory["spent_until"] = max(memory["spent_until"], block.t)
    moved = memory["stage"] is not None and memory["stage"] != block.stage
    memory["stage"] = block.stage
    due = block.t >= memory["next_start"]
    if due:
        memory["next_start"] = block.t + max(of.planned / selfnormalised.STARTS, 60.0)
    return lately, moved, due


def _read_thresholds(memory: Memory, of: Docket, block: Block, sides: Sides, known: dict[str, list[float]]) -> None:
    """Readings of the stage's gates that count readings."""
    if not 0 <= block.stage < len(of.by_stage):
        return
    looks, told = dict(memory["looks"]), dict(memory["told"])
    for case in of.by_stage[block.stage]:
        if case.kind == "readings":
            before = looks.get(case.gate.text) or threshold.empty(block.t - memory["interval"])
            after = threshold.look(case, before, block, sides, known, memory["length"])
            looks[case.gate.text] = after
            if after is not before:
                told[case.gate.text] = block.t
    memory["looks"], memory["told"] = looks, told


def _learn_history(memory: Memory, sides: Sides) -> None:
    """Stable's histograms of all time, from which bounds are picked."""
    history = dict(memory["history"])
    for name, counts in sides.stable.histograms.items():
        was = history.get(name)
        history[name] = counts if was is None else list(map(add, was, counts))
    memory["history"] = history


def _find_failures(spec: CanarySpec, of: Docket, memory: Memory, block: Block) -> None:
    """Write down what has just failed: once convicted, a rollout stays convicted."""
    failed = dict(memory["failed"])
    if hard_stop.stops(spec.judge.hard_stop, memory["hard"]) and verdicts.HARD_STOP not in failed:
        errors, requests, bad, well = memory["hard"]["last"]
        stable = f"failed {sentences.many(bad)} of {sentences.many(well)}" if well else "had no traffic to compare"
        failed[verdicts.HARD_STOP] = _kept(
            GateVerdict(
                verdicts.HARD_STOP,
                Answer.FAIL,
                sentences.stopped(errors, requests, memory["hard"]["streak"], stable),
                canary=errors / requests,
                stable=bad / well if well else None,
                limit=spec.judge.hard_stop.failures,
                samples={"canary": requests, "stable": well},
                spoke="hard stop",
                harm_began=memory["hard"]["began"],
            )
        )
    present = of.by_stage[block.stage] if 0 <= block.stage < len(of.by_stage) else ()
    memory["failed"] = failed
    convicted = _convicted(of, memory, present)
    if convicted is not None and convicted.gate.text not in failed:
        failed[convicted.gate.text] = _kept(verdicts.Facts(of, memory, convicted).failed())
    for case in present:
        if case.kind == "readings" and case.gate.on_breach == "rollback" and case.gate.text not in failed:
            looks = memory["looks"].get(case.gate.text)
            if looks is not None and looks["breaches"] > case.gate.failures:
                failed[case.gate.text] = _kept(
                    verdicts.by_readings(memory, case, verdicts.Facts(of, memory, case), block.t)
                )


def _convicted(of: Docket, memory: Memory, present: tuple[Case, ...]) -> Case | None:
    """The gate of this stage to which the combined evidence is due, if it is enough: sum of weight times evidence."""
    heavy = _weighted(of, memory)
    if not heavy or _total(heavy) < math.log(1 / of.alpha):
        return None
    here = [(value, case) for value, case in heavy if case in present]
    return max(here, key=lambda pair: pair[0])[1] if here else None


def _weighted(of: Docket, memory: Mapping[str, Any]) -> list[tuple[float, Case]]:
    """Log of weight times evidence of every gate that has some and may roll back."""
    kept = memory["evidence"]
    return [
        (math.log(case.weight) + kept[case.gate.text]["log_e"], case)
        for case in of.tested
        if case.weight > 0 and case.gate.text in memory["started"] and _may_speak(memory, case)
    ]


def _total(heavy: list[tuple[float, Case]]) -> float:
    """Log of the summed evidence."""
    top = max(value for value, _ in heavy)
    return top + math.log(sum(math.exp(value - top) for value, _ in heavy))


def _may_speak(memory: Mapping[str, Any], case: Case) -> bool:
    """Whether a gate has the samples that its owner asked for."""
    return case.gate.min_samples is None or tally.samples(case, memory["tally"]["canary"]) >= case.gate.min_samples


def _kept(verdict: GateVerdict) -> dict[str, Any]:
    """A failed verdict's fields, without its gate and answer."""
    return {
        "why": verdict.why,
        "canary": verdict.canary,
        "stable": verdict.stable,
        "limit": verdict.limit,
        "log_e": verdict.log_e,
        "samples": dict(verdict.samples),
        "spoke": verdict.spoke,
        "on_breach": verdict.on_breach,
        "harm_began": verdict.harm_began,
    }
