"""The judge itself: takes in a block or new totals, remembers, and reads the verdicts of a stage.

Called by `canary.machine` at every pass (`watch`), and by `serinus judge` and the benchmark (`update`, `read`). Pure:
the same arguments give the same answer for ever, whatever was asked before. The statistics stand in `e_process.py`,
whom they are asked about in `stratum.py` and `segments.py`, what is remembered in `state.py`, what is enough to
fail in `stopping_rule.py`, and the answers in `verdicts.py`.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

from canary.judge import (
    alignment,
    arm_totals,
    cost,
    delayed_outcomes,
    explain,
    feed,
    hang,
    hard_stop,
    label_cardinality,
    outcome,
    replica_balance,
    sample_ratio,
    segments,
    standstill,
    stopping_rule,
    stratum,
    threshold,
    verdicts,
)
from canary.judge.analysis import Analysis, Question
from canary.judge.arm_totals import ArmPair, Bounds
from canary.judge.clock import NO_BEGINNING, Beginnings
from canary.judge.config import JudgeConfig
from canary.judge.delayed_outcomes import DelayedOutcomes
from canary.judge.feed import Present
from canary.judge.gate_summary import GateSummary
from canary.judge.increments import Increments
from canary.judge.replica_balance import ReplicaBalance
from canary.judge.sample_ratio import SampleRatio
from canary.judge.segments import Label
from canary.judge.stage_totals import BothTotals
from canary.judge.state import JudgeMemory, JudgeState, StageState
from canary.judge.stratum import Stratum
from canary.judge.threshold import Readings
from canary.snapshot import Counters, MetricsStatus
from canary.verdict import Judgement
from canary.weights import Weights


def begin(config: JudgeConfig) -> JudgeState:
    """The state before anything was seen."""
    return JudgeState(memory=JudgeMemory.of(config))


def watch(
    config: JudgeConfig,
    state: JudgeState,
    *,
    stage: int,
    weights: Weights,
    evidence: MetricsStatus,
    now: float,
    stage_since: float | None,
    last: Analysis | None = None,
) -> Analysis:
    """Take in the newest totals, if they are new, and answer for the stage. The same totals twice change nothing.

    `stage_since` is None while the stage's weights are not in force: then there is evidence against the canary, but
    none for it. `last` is what this answered before; it saves work where nothing is new, and changes no answer.
    """
    state, memory = _known(config, state)
    if evidence.counters is not None:
        state = _take_in(config, state, memory, evidence.counters, stage, weights, stage_since)
        memory = state.memory or memory
    problem = "" if evidence.up and not evidence.problem else evidence.problem or "the metric source does not answer"
    question: Question = stage, stage_since, problem
    if last is not None and last.still_holds(state, question, now):
        return last
    began = memory.stage.began if memory.stage.index == stage else stage_since
    settled = stage_since is not None and memory.stage.settled
    if problem or (began, settled) != (memory.stage.began, memory.stage.settled):
        problems = (problem,) if problem else memory.problems
        memory = replace(memory, stage=replace(memory.stage, began=began, settled=settled), problems=problems)
    judgement = verdicts.judgement(config, memory, stage, now)
    until = verdicts.steady_until(config, memory, stage, now)
    return Analysis(state, judgement, question, now, -math.inf if until is None else until)


def update(config: JudgeConfig, state: JudgeState, block: Increments) -> JudgeState:
    """The state after one more block."""
    state, memory = _known(config, state)
    return replace(state, memory=_update(config, memory, block, memory.present, settled=True, whole=True))


def read(config: JudgeConfig, state: JudgeState, *, stage: int, now: float) -> Judgement:
    """The verdicts of a stage's gates from what is remembered."""
    return verdicts.judgement(config, _known(config, state)[1], stage, now)


def weight_of_evidence(config: JudgeConfig, state: JudgeState) -> float:
    """Log of all evidence against the canary together; the rollout rolls back when it reaches log(1/falseRollback)."""
    return stopping_rule.total(config, _known(config, state)[1])


def share_served(state: JudgeState, *, stage: int) -> float | None:
    """The canary's part of the requests counted since this stage's weights were in force; None where none were."""
    if state.memory is None or state.memory.stage.index != stage:
        return None
    totals = state.memory.everything.totals.arms
    served, other = totals.canary.requests, totals.stable.requests
    return served / (served + other) if served + other > 0 else None


def what_would_flip(config: JudgeConfig, state: JudgeState, *, stage: int, now: float) -> dict[str, str]:
    """By gate text the smallest change that would flip its verdict, one sentence each; empty where none is known."""
    memory = _known(config, state)[1]
    given = {verdict.gate: verdict for verdict in verdicts.judgement(config, memory, stage, now).gates}
    here = memory.stage.index == stage
    return {
        gate.text: explain.smallest_change(
            GateSummary.of(config, gate, memory, memory.everything, here=here), given[gate.text]
        )
        for gate in config.by_stage[stage]
        if gate.text in given
    }


def noise_floor(config: JudgeConfig, state: JudgeState, gate: str, *, over: float) -> float | None:
    """By how much stable differs from itself within `over` seconds, as a fraction of the metric; None if not known.

    A margin below it cannot be told from noise in that time. Meant for gates that compare with stable.
    """
    memory = _known(config, state)[1]
    found = next((each for each in config.tested if each.text == gate), None)
    if found is None:
        return None
    return explain.noise_floor(GateSummary.of(config, found, memory, memory.everything, here=True), over)


def clock_set(state: JudgeState, by: float) -> JudgeState:
    """The same evidence where the clock was set by so many seconds: ages stay what they were."""
    previous, memory = state.previous, state.memory
    return replace(
        state,
        previous=None if previous is None else feed.clock_moved(previous, by),
        memory=None if memory is None else memory.clock_moved(by),
        held=alignment.clock_moved(state.held, by),
    )


def for_plan(config: JudgeConfig, state: JudgeState) -> JudgeState:
    """The state, begun afresh if it was made for other gates or by a build that this one cannot read."""
    return _known(config, state)[0]


def _known(config: JudgeConfig, state: JudgeState) -> tuple[JudgeState, JudgeMemory]:
    """`for_plan`, with what the state remembers."""
    if state.memory is not None and state.memory.gates == config.texts:
        return state, _guarded(config, state.memory)
    memory = JudgeMemory.of(config)
    return JudgeState(previous=state.previous, memory=memory), memory


def _guarded(config: JudgeConfig, memory: JudgeMemory) -> JudgeMemory:
    """The memory with a place for each guardrail: what an earlier build wrote has none."""
    missing = [guardrail for guardrail in config.guardrails if guardrail.text not in memory.everything.gates]
    if not missing:
        return memory
    gates = {**memory.everything.gates, **Stratum.of(missing).gates}
    return replace(memory, everything=replace(memory.everything, gates=gates))


def _take_in(
    config: JudgeConfig,
    state: JudgeState,
    memory: JudgeMemory,
    counters: Counters,
    stage: int,
    weights: Weights,
    since: float | None,
) -> JudgeState:
    """The state after these totals. Older ones than the last are ignored, unless the clock was set back."""
    previous = state.previous
    if previous is not None and counters.at == previous.at:
        return state
    if counters.segments:
        previous, counters = label_cardinality.bounded(previous, counters, segments.settled(memory.labels))
    kept, present = feed.remember(previous, counters, config), feed.present(counters)
    if previous is not None and counters.at < previous.at:
        if not feed.moved_on(previous, counters):
            return state
        by = counters.at - previous.at
        return JudgeState(kept, memory.clock_moved(by), alignment.clock_moved(state.held, by))
    if previous is None:
        return JudgeState(kept, replace(memory, present=present))
    latest = feed.difference(previous, counters, stage=stage, weight=weights.share, warmup=config.spec.judge.warmup)
    aligned = alignment.take(state.held, latest, previous, counters)
    if aligned.block is None:
        memory = _outage_alone(config, memory, latest)
        kept = replace(kept, counted=previous.counted)  # what these have grown by comes with the next block
    else:
        settled = since is not None and aligned.since >= since
        whole = aligned.even and feed.whole(aligned.block, memory.present, counters)
        memory = _update(
            config, memory, aligned.block, present, latest, settled=settled, whole=whole, proxied=counters.proxied
        )
    return JudgeState(kept, memory, aligned.held)


def _outage_alone(config: JudgeConfig, memory: JudgeMemory, latest: Increments) -> JudgeMemory:
    """What a reading says of a plain outage, while some replicas are waited for."""
    after = _outages(config, memory, arm_totals.collect(latest, {}, ())[0], latest.t)
    if failed := stopping_rule.just_failed(config, after, latest.stage, latest.t):
        after = replace(after, failed={**after.failed, **{verdict.gate: verdict for verdict in failed}})
    return after


def _outages(config: JudgeConfig, memory: JudgeMemory, sides: ArmPair, t: float) -> JudgeMemory:
    """Both counts of the hard stop after what a reading has brought; it waits for nobody."""
    rule = config.spec.judge.hard_stop
    if t < 0:
        return memory
    refused = memory.refused
    if rule.client_errors:
        refused = hard_stop.look(rule, refused, sides, t, refused=True)
    return replace(memory, outage=hard_stop.look(rule, memory.outage, sides, t), refused=refused)


def _update(
    config: JudgeConfig,
    memory: JudgeMemory,
    block: Increments,
    present: Present,
    latest: Increments | None = None,
    *,
    settled: bool,
    whole: bool,
    proxied: bool = False,
) -> JudgeMemory:
    """One block: sums, bounds, totals, hard stop, evidence, readings, and what has failed by now.

    `latest` is what of it this reading has brought; None where that is all of it.
    """
    sides, known = arm_totals.collect(block, memory.everything.bounds, config.histograms)
    if cost.DOLLARS in config.totals:
        cost.level(sides, block.weight)
    everything, clock = memory.everything.knowing(known), memory.clock.ticked(block.t)
    any_reading = any("canary" in answers for answers in block.readings.values())
    exposed = block.t >= 0 and block.weight > 0 and (sides.canary.pods > 0 or any_reading)
    alone = sides if latest is None or latest is block else arm_totals.collect(latest, {}, ())[0]
    memory = _outages(config, memory, alone, block.t)
    hanging, standing, rule = memory.hang, memory.standstill, config.spec.judge.hard_stop
    if block.t >= 0 and rule.enabled and rule.unfinished:
        hanging = hang.look(hanging, sides, block.t, clock.length, config.alpha)
        standing = standstill.look(standing, sides, block.t, clock.length, block.weight)
    stage, readings, ratio = memory.stage, memory.readings, memory.sample_ratio
    new_stage = exposed and settled and stage.index != block.stage
    if new_stage:
        # A stage's weights are in force: what speaks for the canary is gathered afresh.
        stage, readings, ratio = StageState(block.stage, block.t - clock.length), {}, SampleRatio()
        everything = everything.beginning_stage()
    weight = block.weight if exposed else stage.weight
    stage = StageState(stage.index, stage.began, settled and stage.index == block.stage, weight, stage.shown)
    begins, replicas = NO_BEGINNING, memory.replicas
    if exposed:
        everything = everything.counting(sides, known, clock.length)
        both_whole = whole and memory.whole
        if both_whole and stage.settled:
            ratio = _sample_ratio(config, ratio, block, sides)
        replicas = _replicas(config, replicas, block, clock.length, evenly=both_whole and not proxied)
        clock, begins = clock.beginnings(config.planned, block.t, block.stage)
    everything = stratum.weigh(
        everything,
        (*config.prompt, *config.guardrails),
        sides,
        known,
        begins,
        t=block.t,
        stage=block.stage,
        exposed=exposed,
        new_stage=new_stage,
    )
    late = dict(memory.delayed)
    for gate in config.late:
        everything, late[gate.text] = delayed_outcomes.take_in(
            everything,
            gate,
            late.get(gate.text) or DelayedOutcomes(),
            block,
            sides,
            begins,
            exposed=exposed,
            new_stage=new_stage,
        )
    labels = memory.labels
    if config.by_label:
        labels = _labels(config, memory, everything, block, begins, clock.length, exposed=exposed, new_stage=new_stage)
    if exposed:
        everything, readings = _readings(config, everything, readings, block, sides, known, clock.length)
    after = JudgeMemory(
        memory.gates,
        everything,
        clock,
        stage,
        labels,
        late,
        readings,
        memory.outage,
        memory.refused,
        ratio,
        replicas,
        whole and exposed,
        present,
        memory.failed,
        tuple(sides.problems[:4]),
        hanging,
        standing,
        outcome.gaps(memory, everything.told),
    )
    after = replace(after, stage=replace(stage, shown=outcome.shown(config, after)))
    if failed := stopping_rule.just_failed(config, after, block.stage, block.t):
        after = replace(after, failed={**after.failed, **{verdict.gate: verdict for verdict in failed}})
    return after


def _sample_ratio(config: JudgeConfig, before: SampleRatio, block: Increments, sides: ArmPair) -> SampleRatio:
    """Hold the share served against the share asked for, where every replica was counted in this block and the last."""
    spec = config.spec
    told = sides.canary.requests is not None and sides.stable.requests is not None
    if not told or block.weight >= 1 or spec.cohort is not None:
        return before
    return sample_ratio.look(before, sides, block.weight, config.alpha, sticky=spec.sticky is not None)


def _replicas(
    config: JudgeConfig, before: ReplicaBalance, block: Increments, length: float, *, evenly: bool
) -> ReplicaBalance:
    """Hold each replica's requests against its part of its arm's; afresh whenever one comes, goes or starts again."""
    if not evenly:
        return ReplicaBalance()
    return replica_balance.look(before, block.arms, config.alpha, t=block.t, length=length)


def _labels(
    config: JudgeConfig,
    memory: JudgeMemory,
    everything: Stratum,
    block: Increments,
    begins: Beginnings,
    length: float,
    *,
    exposed: bool,
    new_stage: bool,
) -> Mapping[str, Label]:
    """The segments of each label that a gate names."""
    return {
        label: segments.take_in(
            everything,
            memory.labels.get(label) or Label(),
            gates,
            config,
            block,
            block.segments.get(label, {}),
            begins,
            length,
            exposed=exposed,
            new_stage=new_stage,
        )
        for label, gates in config.by_label.items()
    }


def _readings(
    config: JudgeConfig,
    everything: Stratum,
    readings: Mapping[str, Readings],
    block: Increments,
    sides: ArmPair,
    known: Bounds,
    length: float,
) -> tuple[Stratum, Mapping[str, Readings]]:
    """Readings of the stage's gates that count readings, and when each had data last."""
    gates = config.read_by_stage[block.stage] if 0 <= block.stage < len(config.by_stage) else ()
    if not gates:
        return everything, readings
    alone, after, told = BothTotals().plus(sides), dict(readings), dict(everything.told)
    for gate in gates:
        before = readings.get(gate.text) or Readings(block.t - length)
        now = threshold.look(gate, before, block, sides, alone, known, length)
        if now is not before:
            after[gate.text], told[gate.text] = now, block.t
    return replace(everything, told=told), after
