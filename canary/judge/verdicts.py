"""The verdicts of a stage, from what the judge remembers: plain numbers. Called by `judge.py`; changes nothing.

Which answer each gate gets is found in `outcome.py`. Its sentence is composed by `messages.py` when somebody shows
it.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

from canary.judge import baseline_health, hang, messages, outcome, replica_balance, sample_ratio, segments, threshold
from canary.judge.config import GateConfig, JudgeConfig
from canary.judge.gate_summary import GateSummary
from canary.judge.grounds import GateGrounds
from canary.judge.hang import Unfinished
from canary.judge.hard_stop import Outage
from canary.judge.outcome import GateFinding
from canary.judge.segments import View
from canary.judge.standstill import Standstill
from canary.judge.state import JudgeMemory
from canary.judge.stratum import Stratum
from canary.spec.models import HardStop
from canary.verdict import Edge, GateAnswer, GateVerdict, Judgement, Spoke
from canary.weights import Arm

HARD_STOP = "hard stop"


def judgement(config: JudgeConfig, memory: JudgeMemory, stage: int, now: float) -> Judgement:
    """All gates of the stage, and the judge's own checks where they have something to say."""
    gates: list[GateVerdict] = []
    asked = _asked(config, stage)
    for gate in asked:
        if gate.text in memory.failed:
            gates.append(memory.failed[gate.text])
        elif (label := memory.labels.get(gate.gate.by or "")) is not None and label.named:
            gates.append(_by_segments(config, gate, memory, label, stage, now))
        else:
            gates.append(_of(config, gate, memory, memory.everything, stage, now))
    listed = {gate.text for gate in asked}
    gates += [verdict for text, verdict in memory.failed.items() if text not in listed]
    if sample_ratio.fails(memory.sample_ratio, config.alpha):
        gates.append(_split(config, memory))
    if replica_balance.fails(memory.replicas, config.alpha):
        gates.append(_spread(memory))
    return Judgement(tuple(gates), problem=_shared_cause(config, memory, stage) or _doubt(memory))


def steady_until(config: JudgeConfig, memory: JudgeMemory, stage: int, now: float) -> float | None:
    """Until when `judgement` gives the same answer if nothing new is measured; None where the time is part of it."""
    until = math.inf
    for gate in _asked(config, stage):
        if gate.gate.by is not None or gate.late:
            return None
        last, readings = memory.everything.told.get(gate.text), memory.readings.get(gate.text)
        if last is None or memory.stage.began is None or (readings is not None and readings.count == 0):
            return None
        until = min(until, last + outcome.patience(memory, gate))
    return until if now <= until else None


def convicted(config: JudgeConfig, gate: GateConfig, memory: JudgeMemory) -> GateVerdict:
    """The verdict of a gate that has just failed: of one with `by`, that of its worst segment."""
    label = memory.labels.get(gate.gate.by or "")
    if label is None or not label.named:
        return _verdict(GateSummary.of(config, gate, memory, memory.everything, here=True), GateFinding.CONVICTED, 0.0)
    _, spoken, population = segments.worst(memory.everything, label, gate)
    return _verdict(GateSummary.of(config, spoken, memory, population, here=True), GateFinding.CONVICTED, 0.0)


def breached(config: JudgeConfig, gate: GateConfig, memory: JudgeMemory, t: float) -> GateVerdict:
    """The verdict of a gate whose readings were beyond their limit too often."""
    return _verdict(GateSummary.of(config, gate, memory, memory.everything, here=True), GateFinding.BREACHED, t)


def stopped(settings: HardStop, outage: Outage, what: str) -> GateVerdict:
    """The hard stop's verdict; `what` became of the requests."""
    (errors, requests), (bad, well) = outage.last or ((0.0, 0.0), (0.0, 0.0))
    return GateVerdict(
        HARD_STOP,
        GateAnswer.FAIL,
        messages.stopped(errors, requests, outage.streak, bad, well, what),
        canary=errors / requests,
        stable=bad / well if well else None,
        limit=settings.failures,
        samples={"canary": requests, "stable": well},
        spoke="hard stop",
        harm_began=outage.began,
    )


def hung(found: Unfinished, t: float) -> GateVerdict:
    """The verdict of requests that are begun and not finished."""
    return GateVerdict(
        HARD_STOP,
        GateAnswer.FAIL,
        messages.unfinished(found.begun, found.finished, found.seconds, found.stable_begun, found.stable_finished),
        canary=1 - found.finished / found.begun,
        stable=max(1 - found.stable_finished / found.stable_begun, 0.0) if found.stable_begun else None,
        log_e=round(found.evidence, 4),
        samples={"canary": found.begun, "stable": found.stable_begun},
        spoke="hard stop",
        harm_began=t - found.seconds,
    )


def stood_still(found: Standstill) -> GateVerdict:
    """The verdict of an engine that has requests and writes nothing."""
    return GateVerdict(
        HARD_STOP,
        GateAnswer.FAIL,
        messages.stood_still(found.open, found.lasted, found.stable_wrote, found.wrote),
        spoke="hard stop",
        harm_began=found.since,
    )


def _doubt(memory: JudgeMemory) -> str:
    """Too few of the canary's requests finish for anything to pass, and it is too early to call that a hang."""
    found = memory.hang.doubt
    if not hang.doubts(memory.hang):
        return ""
    return messages.doubtful(found.begun, found.finished, found.seconds)


def _asked(config: JudgeConfig, stage: int) -> tuple[GateConfig, ...]:
    """The stage's gates that can be judged: at 100 % there is no stable to compare with."""
    gates = config.by_stage[stage]
    return gates if config.spec.stages[stage].traffic < 1 else tuple(gate for gate in gates if not gate.relative)


def _of(
    config: JudgeConfig, gate: GateConfig, memory: JudgeMemory, population: Stratum, stage: int, now: float
) -> GateVerdict:
    """A gate's verdict from one population."""
    here = memory.stage.index == stage
    finding = outcome.find(config, gate, memory, population, now, here=here)
    return _verdict(GateSummary.of(config, gate, memory, population, here=here), finding, now)


def _by_segments(
    config: JudgeConfig, gate: GateConfig, memory: JudgeMemory, label: segments.Label, stage: int, now: float
) -> GateVerdict:
    """A gate's verdict from its worst segment: it passes only where all traffic together and every segment pass."""

    def answer(view: View) -> GateAnswer:
        here = memory.stage.index == stage
        return outcome.find(config, view.gate, memory, view.population, now, here=here).answer

    everything = memory.everything
    asked = [view for view in segments.views(everything, label, gate) if segments.waited_for(view, everything)]
    asked.sort(key=lambda view: -view.population.gates[gate.text].log_e)
    still_open = [view for view in asked if answer(view) is not GateAnswer.PASS]
    view = (still_open or asked)[0]
    verdict = _of(config, view.gate, memory, view.population, stage, now)
    besides = len(still_open) - 1 if still_open else None
    grounds = verdict.grounds._replace(label=gate.gate.by or "", segments=len(asked) - 1, besides=besides)
    return replace(verdict, grounds=grounds)


_SPOKE: dict[GateFinding, Spoke] = {
    **dict.fromkeys((GateFinding.OPEN, GateFinding.CONVICTED, GateFinding.CLEARED), "sequential"),
    **dict.fromkeys((GateFinding.BREACHED, GateFinding.FORGIVEN, GateFinding.FINE), "threshold"),
    GateFinding.SHARED: "blame",
}
"""Which rule decided; everything else is for want of data."""


def _verdict(facts: GateSummary, finding: GateFinding, now: float) -> GateVerdict:
    """A gate's verdict in plain numbers."""
    gate, memory, more, seconds = facts.gate, facts.memory, None, 0.0
    if finding is GateFinding.OPEN and _shared(facts):
        finding = GateFinding.SHARED
    canary, stable = facts.samples
    if finding is GateFinding.OPEN or (finding in outcome.MISSING and gate.params is not None):
        more = facts.samples_missing()
    eta, harm_began, since, bound, learnt = facts.seconds_for(more), None, None, 0.0, 0.0
    spoke, readings = _SPOKE.get(finding, "data"), facts.readings
    match finding:
        case GateFinding.OPEN | GateFinding.CLEARED | GateFinding.MOVING:
            pass
        case GateFinding.TOO_FEW if readings is None:
            spoke, more = "sequential", (gate.gate.min_samples or 0) - canary
            eta = facts.seconds_for(more)
        case GateFinding.TOO_FEW if readings is not None:
            more = (gate.gate.min_samples or 0) - readings.samples
        case GateFinding.CONVICTED:
            onset = facts.e.onset
            harm_began, seconds = onset.at, max(memory.clock.last - onset.at, 0.0)
            since = onset.since if gate.kind == "counts" and onset.since[1] > 0 else None
            bound = facts.known[gate.name][facts.pick.accuses] if facts.pick is not None else 0.0
        case GateFinding.BREACHED if readings is not None:
            harm_began = readings.first_breach
        case GateFinding.FILLING if readings is not None:
            seconds = eta = max(readings.since + (gate.gate.window or 0.0) - now, 0.0)
        case GateFinding.TOO_YOUNG:
            seconds = (memory.delayed[gate.text].ripe_at(gate.gate.delay or 0.0) or now) - now
        case GateFinding.SILENT:
            began = memory.stage.began
            seconds = math.inf if began is None else max(now - began, 0.0)
        case GateFinding.STALE:
            seconds = now - facts.population.told[gate.text]
        case GateFinding.LEARNING:
            learnt = facts.population.history[gate.name][-1]
        case _:
            pass
    log_e = facts.log_e
    edges: Edges = facts.edges
    shown = facts.canary, facts.stable, facts.limit
    if edges:
        shown = _at_edges(facts, edges)
    if since is not None:
        shown, counted, edges = _of_window(facts, since, bound, shown, edges)
        canary, stable = counted or (canary, stable)
    grounds = GateGrounds(
        finding,
        gate,
        log_e,
        facts.config.fails_at,
        facts.config.spec.judge.confidence,
        more,
        seconds,
        since,
        bound,
        facts.beyond,
        facts.idle,
        facts.buckets,
        learnt,
        readings.count if readings else 0,
        readings.breaches if readings else 0,
        memory.problems,
        facts.spent,
    )
    return GateVerdict(
        gate.text,
        finding.answer,
        grounds,
        *shown,
        round(log_e, 4) if gate.params is not None else None,
        {"canary": canary, "stable": stable},
        spoke,
        gate.gate.on_breach,
        eta,
        harm_began,
        {arm: edge for arm, (edge, _) in edges.items()},
    )


Shown = tuple[float | None, float | None, float | None]
"""Values of canary and stable, and the limit."""
Edges = Mapping[Arm, tuple[Edge, float]]


def _at_edges(facts: GateSummary, edges: Edges) -> Shown:
    """Values with the bounds that are known in place of what lies beyond them; no limit is made of such a value."""
    canary = edges["canary"][1] if "canary" in edges else facts.canary
    stable = edges["stable"][1] if "stable" in edges else facts.stable
    return canary, stable, None if facts.gate.relative and "stable" in edges else facts.limit


def _of_window(
    facts: GateSummary, since: tuple[float, float, float, float], bound: float, shown: Shown, edges: Edges
) -> tuple[Shown, tuple[float, float] | None, Edges]:
    """What a conviction shows: the time in which the harm was done, not the average of the stage before it.

    A share is that of this time. Of a quantile it is known that it was over the bound; the stage's is kept where that
    is beyond the limit too.
    """
    gate, (bad, trials, stable_bad, stable_trials) = facts.gate, since
    if gate.series == "histogram":
        if facts.beyond or math.isinf(bound):
            return shown, None, edges
        return (bound, shown[1], shown[2]), None, {**edges, "canary": ("over", bound)}
    if gate.unit != "share":
        return shown, None, edges
    mine = bad / trials
    theirs = stable_bad / stable_trials if stable_trials > 0 else None
    if gate.gate.better == "higher":
        mine, theirs = 1 - mine, None if theirs is None else 1 - theirs
    return (mine, theirs, threshold.limit_of(gate.gate, theirs)), (trials, stable_trials), edges


def _shared(facts: GateSummary) -> bool:
    """Whether the canary is beyond a limit that stable breaks as well, or not clearly worse than stable beyond it."""
    params, e = facts.gate.params, facts.e
    if params is None or not params.union:
        return False
    if params.limit is not None and baseline_health.stable_beyond(e.baseline.recent, params.limit, e.clearing_noise):
        return True
    return e.log_e < facts.config.fails_at <= facts.gate.log_weight + e.against.log_e(counts=params.counts)


def _split(config: JudgeConfig, memory: JudgeMemory) -> GateVerdict:
    """The traffic is not split as asked."""
    found, arms = memory.sample_ratio, memory.everything.totals.arms
    served, total = arms.canary.requests, arms.canary.requests + arms.stable.requests
    return GateVerdict(
        sample_ratio.GATE,
        GateAnswer.FAIL,
        messages.split(served, total, found.asked),
        canary=served / total if total else 0.0,
        limit=found.asked,
        log_e=round(sample_ratio.evidence(found, config.alpha), 4),
        samples={"canary": served, "stable": arms.stable.requests},
        spoke="sequential",
        on_breach="pause",
    )


def _spread(memory: JudgeMemory) -> GateVerdict:
    """A replica does not get its part of its arm's traffic."""
    found = memory.replicas
    arm, name = found.suspect
    parts = found.parts[arm]
    total = math.fsum(part.requests for part in parts.values())
    share, even = parts[name].requests / total if total else 0.0, 1 / len(parts)
    return GateVerdict(
        replica_balance.GATE,
        GateAnswer.FAIL,
        messages.spread(name, arm, share, total, len(parts)),
        canary=share if arm == "canary" else None,
        stable=share if arm == "stable" else None,
        limit=even * (replica_balance.LEAST if share < even else replica_balance.MOST),
        log_e=round(found.log_e, 4),
        samples={arm: total},
        spoke="sequential",
        on_breach="pause",
    )


def _shared_cause(config: JudgeConfig, memory: JudgeMemory, stage: int) -> str:
    """Both arms worse than stable's own history at once: nobody's fault in particular; empty otherwise."""
    for gate in config.by_stage[stage]:
        if gate.kind != "counts" or gate.text in memory.failed:
            continue
        stable = memory.everything.gates[gate.text].baseline
        noise, (x, n, blocks) = memory.everything.gates[gate.text].clearing_noise, stable.usual
        if blocks < baseline_health.LEARNT or n <= 0:
            continue
        usual = x / n
        for (xv, nv, xc, nc), above in (
            (stable.recent, baseline_health.above),
            (stable.lately, baseline_health.above_for_minutes),
        ):
            if xv * n <= baseline_health.WORSE * x * nv or xc * n <= baseline_health.WORSE * x * nc:
                continue  # whatever the noise is
            # Over minutes stable alone decides: the canary has less traffic, and only has to be no better.
            minutes = above is baseline_health.above_for_minutes
            if above(xc, nc, usual, noise) and (minutes or above(xv, nv, usual, noise)):
                return messages.shared_cause(gate.spoken, xv / nv, xc / nc, usual)
    return ""
