"""When evidence is enough: the gates' evidence together, the hard stop, and the counted thresholds.

Called by `judge.py` after every block. A gate that has failed stays failed, with the numbers of that moment. The sum
over gates of weight times evidence is itself an e-process, whatever the gates have to do with each other, so one
number bounds the whole rollout's chance of a false rollback. Blame goes to the largest part.
"""

from canary.judge import hang, hard_stop, stage_totals, standstill, verdicts
from canary.judge.config import GateConfig, JudgeConfig
from canary.judge.outcome import totals_of
from canary.judge.portable_math import log_sum
from canary.judge.state import JudgeMemory
from canary.verdict import GateVerdict


def just_failed(config: JudgeConfig, memory: JudgeMemory, stage: int, t: float) -> list[GateVerdict]:
    """The verdicts that fail now, and have not before."""
    present = config.by_stage[stage] if 0 <= stage < len(config.by_stage) else ()
    found: list[GateVerdict] = []
    settings = config.spec.judge.hard_stop
    if verdicts.HARD_STOP not in memory.failed:
        if hard_stop.stops(settings, memory.outage):
            found.append(verdicts.stopped(settings, memory.outage, "failed"))
        elif hard_stop.stops(settings, memory.refused):
            found.append(verdicts.stopped(settings, memory.refused, "were answered 4xx or failed"))
        elif hang.stops(memory.hang):
            found.append(verdicts.hung(memory.hang.plainest, t))
        elif standstill.stops(memory.standstill):
            found.append(verdicts.stood_still(memory.standstill))
    gate = _convicted(config, memory, (*present, *(each for each in config.guardrails if stage in each.stages)))
    if gate is not None and gate.text not in memory.failed:
        found.append(verdicts.convicted(config, gate, memory))
    for gate in config.read_by_stage[stage] if present else ():
        readings = memory.readings.get(gate.text)
        breached = readings is not None and readings.breaches > gate.gate.failures
        if breached and gate.gate.on_breach == "rollback" and gate.text not in memory.failed:
            found.append(verdicts.breached(config, gate, memory, t))
    return found


def total(config: JudgeConfig, memory: JudgeMemory) -> float:
    """Log of all evidence against the canary together."""
    heavy = _weighted(config, memory)
    return log_sum([value for value, _ in heavy]) if heavy else 0.0


def _convicted(config: JudgeConfig, memory: JudgeMemory, present: tuple[GateConfig, ...]) -> GateConfig | None:
    """The gate of this stage that the combined evidence is due to, if it is enough."""
    if not _near(config, memory):
        return None
    heavy = _weighted(config, memory)
    if not heavy or log_sum([value for value, _ in heavy]) < config.fails_at:
        return None
    here = [(value, gate) for value, gate in heavy if gate in present]
    return max(here, key=lambda pair: pair[0])[1] if here else None


def _near(config: JudgeConfig, memory: JudgeMemory) -> bool:
    """Whether any part, as often as there are parts, would be enough: most of the time even the largest is not."""
    return any(gate.log_weight + memory.log_e(gate.text, gate.gate.by) >= config.heavy_from for gate in config.weighty)


def _weighted(config: JudgeConfig, memory: JudgeMemory) -> list[tuple[float, GateConfig]]:
    """Log of weight times evidence of every gate that has some and may roll back."""
    return [
        (gate.log_weight + memory.log_e(gate.text, gate.gate.by), gate)
        for gate in config.weighty
        if gate.text in memory.everything.started and _served_enough(memory, gate)
    ]


def _served_enough(memory: JudgeMemory, gate: GateConfig) -> bool:
    """Whether a gate has the samples that its owner asked for."""
    asked = gate.gate.min_samples
    return asked is None or stage_totals.samples(gate, totals_of(memory, memory.everything, gate).arms.canary) >= asked
