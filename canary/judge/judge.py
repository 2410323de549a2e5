"""The judge itself: takes in a block or new totals, remembers, and reads the verdicts of a stage.

Called by `canary.machine` at every pass (`watch`), and by `serinus judge` and the benchmark (`update`, `read`). Pure:
the same arguments give the same answer for ever, whatever was asked before. The statistics stand in `evidence.py`, whom
they are asked about in `population.py` and `segments.py`, what is remembered in `memory.py`, what is enough to fail in
`conviction.py`, and the answers in `verdicts.py`.
"""

import math

from canary.judge import (
    arms,
    conviction,
    delayed,
    feed,
    flip,
    hard_stop,
    population,
    replica_share,
    segments,
    share_check,
    tally,
    threshold,
    values,
    verdicts,
)
from canary.judge.analysis import Analysis, Question
from canary.judge.arms import Sides
from canary.judge.block import Block
from canary.judge.config import JudgeConfig
from canary.judge.facts import Facts, known_bounds
from canary.judge.memory import Memory, clock_moved, fresh, tick
from canary.judge.state import VERSION, JudgeState
from canary.observation import Counters, EvidenceSeen
from canary.verdict import Judgement
from canary.weights import Weights


def begin(config: JudgeConfig) -> JudgeState:
    """The state before anything was seen."""
    return JudgeState(memory=fresh(config))


def watch(
    config: JudgeConfig,
    state: JudgeState,
    *,
    stage: int,
    weights: Weights,
    evidence: EvidenceSeen,
    now: float,
    stage_since: float | None,
    last: Analysis | None = None,
) -> Analysis:
    """Take in the newest totals, if they are new, and answer for the stage. The same totals twice change nothing.

    `stage_since` is None while the stage's weights are not in force: then there is evidence against the canary, but
    none for it. `last` is what this answered before; it saves work where nothing is new, and changes no answer.
    """
    state = _state_for(config, state)
    if evidence.counters is not None:
        state = _take_in(config, state, evidence.counters, stage, weights, stage_since)
    problem = "" if evidence.up and not evidence.problem else evidence.problem or "the metric source does not answer"
    question: Question = stage, stage_since, problem
    if last is not None and last.still_holds(state, question, now):
        return last
    memory: Memory = dict(state.memory)
    memory["settled"] = stage_since is not None and memory["settled"]
    if problem:
        memory["problems"] = [problem]
    if memory["tally_stage"] != stage:
        memory["began"] = stage_since
    judgement = verdicts.judgement(config, memory, stage, now)
    until = verdicts.steady_until(config, memory, stage, now)
    return Analysis(state, judgement, question, now, -math.inf if until is None else until)


def update(config: JudgeConfig, state: JudgeState, block: Block) -> JudgeState:
    """The state after one more block."""
    return _update(config, _state_for(config, state), block, settled=True, whole=True)


def read(config: JudgeConfig, state: JudgeState, *, stage: int, now: float) -> Judgement:
    """The verdicts of a stage's gates from what is remembered."""
    return verdicts.judgement(config, _state_for(config, state).memory, stage, now)


def weight_of_evidence(config: JudgeConfig, state: JudgeState) -> float:
    """Log of all evidence against the canary together; the rollout rolls back when it reaches log(1/falseRollback)."""
    return conviction.total(config, _state_for(config, state).memory)


def share_served(state: JudgeState, *, stage: int) -> float | None:
    """The canary's part of the requests counted since this stage's weights were in force; None where none were."""
    if state.version != VERSION or state.memory.get("tally_stage") != stage:
        return None
    served, other = (state.memory["tally"][arm]["requests"] for arm in ("canary", "stable"))
    return float(served / (served + other)) if served + other > 0 else None


def what_would_flip(config: JudgeConfig, state: JudgeState, *, stage: int, now: float) -> dict[str, str]:
    """By gate text the smallest change that would flip its verdict, one sentence each; empty where none is known."""
    memory = _state_for(config, state).memory
    verdicts_by_text = {verdict.gate: verdict for verdict in verdicts.judgement(config, memory, stage, now).gates}
    known, here = known_bounds(memory), memory["tally_stage"] == stage
    return {
        case.text: flip.smallest_change(Facts(config, memory, case, known, here=here), verdicts_by_text[case.text])
        for case in config.by_stage[stage]
        if case.text in verdicts_by_text
    }


def noise_floor(config: JudgeConfig, state: JudgeState, gate: str, *, over: float) -> float | None:
    """By how much stable differs from itself within `over` seconds, as a fraction of the metric; None if not known.

    A margin below it cannot be told from noise in that time. Meant for gates that compare with stable.
    """
    memory = _state_for(config, state).memory
    case = next((case for case in config.tested if case.text == gate), None)
    if case is None:
        return None
    return flip.noise_floor(Facts(config, memory, case, known_bounds(memory), here=True), over)


def _state_for(config: JudgeConfig, state: JudgeState) -> JudgeState:
    """The state, begun anew if it was made for other gates or by another version."""
    if state.version == VERSION and state.memory and state.memory["gates"] == list(config.texts):
        return state
    return JudgeState(previous=state.previous, memory=fresh(config))


def _take_in(
    config: JudgeConfig, state: JudgeState, counters: Counters, stage: int, weights: Weights, since: float | None
) -> JudgeState:
    """The state after these totals. Older ones than the last are ignored, unless the clock was set back."""
    previous, memory = state.previous, state.memory
    if previous is not None and counters.at == previous.at:
        return state
    if counters.segments:
        previous, counters = values.bounded(previous, counters, segments.settled(memory))
    kept, present = feed.remember(previous, counters, config), feed.present(counters)
    if previous is not None and counters.at < previous.at:
        if not feed.moved_on(previous, counters):
            return state
        memory = clock_moved(dict(memory), counters.at - previous.at)
        return JudgeState(version=state.version, previous=kept, memory=memory)
    if previous is not None:
        block = feed.difference(previous, counters, stage=stage, weight=weights.share, warmup=config.spec.judge.warmup)
        settled = since is not None and previous.at >= since
        whole = feed.whole(block, memory["present"], present)
        memory = _update(config, state, block, settled=settled, whole=whole, proxied=counters.proxied).memory
    return JudgeState(version=state.version, previous=kept, memory={**memory, "present": present})


def _update(
    config: JudgeConfig, state: JudgeState, block: Block, *, settled: bool, whole: bool, proxied: bool = False
) -> JudgeState:
    """One block: sums, bounds, tallies, hard stop, evidence, readings, and what has failed by now."""
    memory: Memory = dict(state.memory)
    known = known_bounds(memory)
    sides = arms.collect(block, known, config.histograms)
    if len(known) > len(memory["bounds"]):
        memory["bounds"] = {name: edges[:-1] for name, edges in known.items()}
    memory["problems"] = sides.problems[:4]
    tick(memory, block.t)
    readings = any("canary" in answers for answers in block.readings.values())
    exposed = block.t >= 0 and block.weight > 0 and (sides.canary.pods > 0 or readings)

    if block.t >= 0:
        rule = config.spec.judge.hard_stop
        memory["hard"] = hard_stop.look(rule, memory["hard"], sides, block.t)
        if rule.client_errors:
            before = memory.get("refused", hard_stop.NOTHING)  # a state of older builds has none
            memory["refused"] = hard_stop.look(rule, before, sides, block.t, refused=True)
    new_stage = exposed and settled and memory["tally_stage"] != block.stage
    if new_stage:
        _begin_stage(memory, block)
    memory["settled"] = settled and memory["tally_stage"] == block.stage
    if exposed:
        memory["weight"] = block.weight
        tally.count(memory, sides)
        _check_share(config, memory, block, sides, whole=whole)
        _check_replicas(config, memory, block, evenly=whole and memory["whole"] and not proxied)
    memory["whole"] = whole and exposed
    begins = population.beginnings(memory, config.planned, block) if exposed else population.NO_BEGINNING
    population.take_in(memory, config.prompt, block, sides, known, begins, exposed=exposed, new_stage=new_stage)
    for case in config.late:
        delayed.take_in(memory, case, block, sides, begins, exposed=exposed, new_stage=new_stage)
    if config.by_label:
        segments.take_in(memory, config, block, begins, exposed=exposed, new_stage=new_stage)
    if exposed:
        _read_thresholds(memory, config, block, sides, known)
    conviction.find(config, memory, block.stage, block.t)
    return JudgeState(version=state.version, previous=state.previous, memory=memory)


def _begin_stage(memory: Memory, block: Block) -> None:
    """A stage's weights are in force: what speaks for the canary is gathered anew."""
    memory["tally_stage"], memory["began"] = block.stage, block.t - memory["length"]
    tally.begin(memory)
    memory["looks"] = {}
    memory["share"] = dict(share_check.NOTHING)


def _check_share(config: JudgeConfig, memory: Memory, block: Block, sides: Sides, *, whole: bool) -> None:
    """Hold the share served against the share asked for, where every replica was counted in this block and the last."""
    told = sides.canary.requests is not None and sides.stable.requests is not None
    if whole and memory["whole"] and told and memory["settled"] and block.weight < 1 and config.spec.cohort is None:
        sticky = config.spec.sticky is not None
        memory["share"] = share_check.look(memory["share"], sides, block.weight, config.alpha, sticky=sticky)


def _check_replicas(config: JudgeConfig, memory: Memory, block: Block, *, evenly: bool) -> None:
    """Hold each replica's requests against its part of its arm's; anew whenever one comes, goes or starts again."""
    if evenly:
        before = memory["replicas"]
        after = replica_share.look(before, block.arms, config.alpha, t=block.t, length=memory["length"])
    else:
        after = dict(replica_share.NOTHING)
    memory["replicas"] = after


def _read_thresholds(
    memory: Memory, config: JudgeConfig, block: Block, sides: Sides, known: dict[str, list[float]]
) -> None:
    """Readings of the stage's gates that count readings."""
    cases = config.read_by_stage[block.stage] if 0 <= block.stage < len(config.by_stage) else ()
    if not cases:
        return
    looks, told, alone = dict(memory["looks"]), dict(memory["told"]), tally.both(tally.NOTHING, sides)
    for case in cases:
        before = looks.get(case.text) or threshold.empty(block.t - memory["length"])
        after = threshold.look(case, before, block, sides, alone, known, memory["length"])
        if after is not before:
            looks[case.text] = after
            told[case.text] = block.t
    memory["looks"], memory["told"] = looks, told
