"""When evidence is enough: the gates' evidence together, the hard stop, and the counted thresholds.

Called by `judge.py` after every block. A gate that has failed stays failed, with the sentence and the numbers of that
moment. The sum over gates of weight times evidence is itself an e-process, whatever the gates have to do with each
other, so one number bounds the whole rollout's chance of a false rollback. Blame goes to the largest part.
"""

from collections.abc import Mapping
from typing import Any

from canary.judge import delayed, hard_stop, segments, sentences, tally, verdicts
from canary.judge.config import GateConfig, JudgeConfig
from canary.judge.facts import Facts, known_bounds
from canary.judge.memory import Memory
from canary.judge.portable_math import log_sum
from canary.spec.models import HardStop
from canary.verdict import Answer, GateVerdict


def find(config: JudgeConfig, memory: Memory, stage: int, t: float) -> None:
    """Write down in `memory["failed"]` what has just failed."""
    present = config.by_stage[stage] if 0 <= stage < len(config.by_stage) else ()
    found: list[GateVerdict] = []
    if hard_stop.stops(config.spec.judge.hard_stop, memory["hard"]) and verdicts.HARD_STOP not in memory["failed"]:
        found.append(_stopped(config.spec.judge.hard_stop, memory["hard"], "failed"))
    refused = memory.get("refused", hard_stop.NOTHING)
    stops = hard_stop.stops(config.spec.judge.hard_stop, refused)
    if stops and not found and verdicts.HARD_STOP not in memory["failed"]:
        found.append(_stopped(config.spec.judge.hard_stop, refused, "were answered 4xx or failed"))
    convicted = _convicted(config, memory, present)
    if convicted is not None and convicted.gate.text not in memory["failed"]:
        found.append(_where(config, memory, convicted).failed())
    for case in config.read_by_stage[stage] if present else ():
        looks = memory["looks"].get(case.text)
        breached = looks is not None and looks["breaches"] > case.gate.failures
        if breached and case.gate.on_breach == "rollback" and case.text not in memory["failed"]:
            found.append(verdicts.by_readings(case, _facts(config, memory, case), t))
    if found:
        memory["failed"] = memory["failed"] | {verdict.gate: _kept(verdict) for verdict in found}


def total(config: JudgeConfig, memory: Mapping[str, Any]) -> float:
    """Log of all evidence against the canary together."""
    heavy = _weighted(config, memory)
    return _together(heavy) if heavy else 0.0


def _together(heavy: list[tuple[float, GateConfig]]) -> float:
    """Log of the sum."""
    return log_sum([value for value, _ in heavy])


def _convicted(config: JudgeConfig, memory: Memory, present: tuple[GateConfig, ...]) -> GateConfig | None:
    """The gate of this stage that the combined evidence is due to, if it is enough."""
    if not _near(config, memory):
        return None
    heavy = _weighted(config, memory)
    if not heavy or _together(heavy) < config.fails_at:
        return None
    here = [(value, case) for value, case in heavy if case in present]
    return max(here, key=lambda pair: pair[0])[1] if here else None


def _near(config: JudgeConfig, memory: Mapping[str, Any]) -> bool:
    """Whether any part, as often as there are parts, would be enough: most of the time even the largest is not."""
    kept, combined = memory["evidence"], memory["combined"]
    for case in config.weighty:
        if case.log_weight + combined.get(case.text, kept[case.text]["log_e"]) >= config.heavy_from:
            return True
    return False


def _weighted(config: JudgeConfig, memory: Mapping[str, Any]) -> list[tuple[float, GateConfig]]:
    """Log of weight times evidence of every gate that has some and may roll back."""
    kept, combined, started = memory["evidence"], memory["combined"], memory["started"]
    return [
        (case.log_weight + combined.get(case.text, kept[case.text]["log_e"]), case)
        for case in config.weighty
        if case.text in started
        and (case.gate.min_samples is None or _served_enough(memory, case, case.gate.min_samples))
    ]


def _served_enough(memory: Mapping[str, Any], case: GateConfig, asked: int) -> bool:
    """Whether a gate has the samples that its owner asked for."""
    tallies = delayed.own(memory, case)["tally"] if case.gate.delay else memory["tally"]
    return tally.samples(case, tallies["canary"]) >= asked


def _stopped(settings: HardStop, memory: Mapping[str, Any], what: str) -> GateVerdict:
    """The hard stop's verdict; `what` became of the requests."""
    errors, requests, bad, well = memory["last"]
    had = "failed" if what == "failed" else "had"
    stable = f"{had} {sentences.many(bad)} of {sentences.many(well)}" if well else "had no traffic to compare"
    return GateVerdict(
        verdicts.HARD_STOP,
        Answer.FAIL,
        sentences.stopped(errors, requests, memory["streak"], stable, what),
        canary=errors / requests,
        stable=bad / well if well else None,
        limit=settings.failures,
        samples={"canary": requests, "stable": well},
        spoke="hard stop",
        harm_began=memory["began"],
    )


def _facts(config: JudgeConfig, memory: Memory, case: GateConfig) -> Facts:
    """The case's numbers now."""
    return Facts(config, memory, case, known_bounds(memory), here=True)


def _where(config: JudgeConfig, memory: Memory, case: GateConfig) -> Facts:
    """The convicted case's numbers: for a gate with `by`, those of its worst segment."""
    if not segments.named(memory, case):
        return _facts(config, memory, case)
    _, spoken, view = segments.worst(memory, case)
    return Facts(config, view, spoken, known_bounds(view), here=True)


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
