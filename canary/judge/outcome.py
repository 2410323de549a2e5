"""What is the case with a gate, found in plain numbers at every pass.

Called by `verdicts.py`. Looks at what the judge remembers; changes nothing.
"""

from collections.abc import Mapping
from enum import Enum

from canary.judge import stage_totals
from canary.judge.config import GateConfig, JudgeConfig
from canary.judge.stage_totals import StageTotals
from canary.judge.state import JudgeMemory
from canary.judge.stratum import Stratum
from canary.judge.threshold import Readings
from canary.staleness import STALE_INTERVALS
from canary.verdict import GateAnswer

STALE_SECONDS = 15.0
"""Data older than so many scrapes, and than so many seconds, is stale."""
LONGEST_S = 120.0
"""Seconds from data to data that are remembered at most; a longer pause was no interval."""


class GateFinding(Enum):
    """What is the case, with the answer that follows from it."""

    RECORDED = "it has failed before", GateAnswer.FAIL
    LEARNING = "too little is known of what is usual for stable", GateAnswer.WAIT
    TOO_YOUNG = "no request is old enough for events that come late", GateAnswer.WAIT
    SILENT = "the canary has told nothing", GateAnswer.WAIT
    STALE = "the last numbers are too old", GateAnswer.WAIT
    UNSERVED = "no requests at this stage's weights", GateAnswer.WAIT
    UNREAD = "no reading at this stage's weights", GateAnswer.WAIT
    TOO_FEW = "fewer samples than its owner asked for", GateAnswer.WAIT
    FILLING = "the first window is not full", GateAnswer.WAIT
    MOVING = "the stage's weights are not in force", GateAnswer.WAIT
    FORGIVEN = "beyond the limit, but not often enough", GateAnswer.WAIT
    SHARED = "beyond the limit, and so is stable", GateAnswer.WAIT
    OPEN = "shown neither way", GateAnswer.WAIT
    CONVICTED = "shown to be worse than allowed", GateAnswer.FAIL
    BREACHED = "beyond the limit too often", GateAnswer.FAIL
    CLEARED = "shown to be as good as allowed", GateAnswer.PASS
    FINE = "the last reading is within the limit", GateAnswer.PASS

    def __init__(self, meaning: str, answer: GateAnswer) -> None:
        self.meaning, self.answer = meaning, answer


MISSING = frozenset(
    {
        GateFinding.LEARNING,
        GateFinding.TOO_YOUNG,
        GateFinding.SILENT,
        GateFinding.STALE,
        GateFinding.UNSERVED,
        GateFinding.UNREAD,
    }
)
"""Findings of data that is not there."""


def totals_of(memory: JudgeMemory, population: Stratum, gate: GateConfig) -> StageTotals:
    """The stage's totals that a gate reads: of a KPI whose events come late, those of requests that are old enough."""
    if not gate.late or gate.kind == "readings":
        return population.totals
    late = memory.delayed.get(gate.text)
    return late.totals if late is not None else StageTotals()


def find(
    config: JudgeConfig, gate: GateConfig, memory: JudgeMemory, population: Stratum, now: float, *, here: bool
) -> GateFinding:
    """The first thing that is the case, in the order in which a gate may be answered.

    What has failed stays failed, what has no data waits, what is convicted fails, what is cleared passes, all else
    waits. `here` says whether the totals are those of the stage that is asked about.
    """
    rule, text = gate.gate, gate.text
    if text in memory.failed:
        return GateFinding.RECORDED
    served = stage_totals.samples(gate, totals_of(memory, population, gate).arms.canary) if here else 0.0
    missing = _missing(gate, memory, population, served, now)
    if missing is not None:
        return missing
    if gate.kind == "readings":
        return of_readings(gate, memory.readings[text], settled=memory.stage.settled)
    if served < (rule.min_samples or 0):
        return GateFinding.TOO_FEW
    log_e = memory.log_e(text, rule.by)
    if rule.on_breach != "rollback" and log_e >= config.fails_at:
        return GateFinding.CONVICTED
    if not memory.stage.settled:
        return GateFinding.MOVING
    if here and _stands(config, gate, memory, population):
        return GateFinding.CLEARED
    return GateFinding.OPEN


def of_readings(gate: GateConfig, readings: Readings, *, settled: bool) -> GateFinding:
    """What is the case with a gate that counts readings beyond a limit and has some."""
    rule = gate.gate
    if readings.breaches > rule.failures:
        return GateFinding.BREACHED
    if readings.count == 0:
        too_few = rule.min_samples is not None and readings.samples < rule.min_samples
        return GateFinding.TOO_FEW if too_few else GateFinding.FILLING
    if not settled:
        return GateFinding.MOVING
    return GateFinding.FORGIVEN if readings.beyond else GateFinding.FINE


def patience(memory: JudgeMemory, gate: GateConfig) -> float:
    """Seconds after which a gate's data is stale; pods may be scraped far more seldom than the gateway before them."""
    usual = max(memory.clock.interval, memory.gaps.get(gate.text, 0.0))
    return max(STALE_SECONDS, STALE_INTERVALS * usual)


def gaps(before: JudgeMemory, told: Mapping[str, float]) -> Mapping[str, float]:
    """By gate, how long it usually is from data to data, after a block; `told` is when each had some last."""
    found = dict(before.gaps)
    for text, t in told.items():
        last = before.everything.told.get(text)
        if last is not None and t > last:
            gap = min(t - last, LONGEST_S)
            found[text] = 0.8 * found[text] + 0.2 * gap if text in found else gap
    return found


def shown(config: JudgeConfig, memory: JudgeMemory) -> tuple[str, ...]:
    """The stage's gates that pass from now on, until evidence speaks otherwise.

    The chance that the case for a bad canary is *ever* made is what `confidence` bounds, so a case that was made once
    need not be made again at each look. It is dropped when nothing is left of it, or when the gate's evidence against
    the canary counts.
    """
    stage = memory.stage
    if stage.index is None or not 0 <= stage.index < len(config.by_stage):
        return ()
    return tuple(
        gate.text
        for gate in config.by_stage[stage.index]
        if gate.params is not None and _stands(config, gate, memory, memory.everything)
    )


def _stands(config: JudgeConfig, gate: GateConfig, memory: JudgeMemory, population: Stratum) -> bool:
    """Whether the case for the canary is made, or was made in this stage and still stands."""
    e = population.gates.get(gate.text)
    if e is None or memory.log_e(gate.text, gate.gate.by) >= gate.clears_below:
        return False
    was_made = population is memory.everything and gate.text in memory.stage.shown
    return e.passing.log_e >= config.passes_at or (was_made and e.passing.log_e > 0)


def _missing(
    gate: GateConfig, memory: JudgeMemory, population: Stratum, served: float, now: float
) -> GateFinding | None:
    """What data is missing; None when all is there."""
    unpicked = gate.params is not None and gate.relative and gate.series == "histogram"
    if unpicked and gate.text not in population.picks and population.history.get(gate.name):
        return GateFinding.LEARNING
    late, waits = memory.delayed.get(gate.text), 0.0
    if late is not None:
        waits = 2 * late.slot_length
        ripe_at = late.ripe_at(gate.gate.delay) if gate.gate.delay else None
        if ripe_at is not None and now < ripe_at:
            return GateFinding.TOO_YOUNG
    told = population.told.get(gate.text)
    if told is None or memory.stage.began is None:
        return GateFinding.SILENT
    if now - told > patience(memory, gate) + waits:
        return GateFinding.STALE
    if gate.kind != "readings":
        return GateFinding.UNSERVED if served == 0 else None
    return GateFinding.UNREAD if gate.text not in memory.readings else None
