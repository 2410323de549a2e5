"""What is the case with a gate: found in plain numbers at every pass, before a word is said about it.

Called by `verdicts.py`, which puts a finding into words only when somebody reads them: most passes change no answer,
and their sentences would cost more than all that is decided. Looks at what the judge remembers; changes nothing.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from canary.judge import delayed, tally
from canary.judge.config import GateConfig, JudgeConfig
from canary.judge.portable_math import log
from canary.verdict import Answer

Memory = Mapping[str, Any]
STALE_INTERVALS, STALE_SECONDS = 3.0, 15.0
"""Data older than so many scrapes, and than so many seconds, is stale."""


class Finding(Enum):
    """What is the case, with the answer that follows from it."""

    RECORDED = "it has failed before", Answer.FAIL
    LEARNING = "too little is known of what is usual for stable", Answer.WAIT
    TOO_YOUNG = "no request is old enough for events that come late", Answer.WAIT
    SILENT = "the canary has told nothing", Answer.WAIT
    STALE = "the last numbers are too old", Answer.WAIT
    UNSERVED = "no requests at this stage's weights", Answer.WAIT
    UNREAD = "no reading at this stage's weights", Answer.WAIT
    TOO_FEW = "fewer samples than its owner asked for", Answer.WAIT
    FILLING = "the first window is not full", Answer.WAIT
    MOVING = "the stage's weights are not in force", Answer.WAIT
    FORGIVEN = "beyond the limit, but not often enough", Answer.WAIT
    OPEN = "shown neither way", Answer.WAIT
    CONVICTED = "shown to be worse than allowed", Answer.FAIL
    BREACHED = "beyond the limit too often", Answer.FAIL
    CLEARED = "shown to be as good as allowed", Answer.PASS
    FINE = "the last reading is within the limit", Answer.PASS

    def __init__(self, meaning: str, answer: Answer) -> None:
        self.meaning, self.answer = meaning, answer


MISSING = frozenset(
    {Finding.LEARNING, Finding.TOO_YOUNG, Finding.SILENT, Finding.STALE, Finding.UNSERVED, Finding.UNREAD}
)
"""Findings of data that is not there."""


def find(config: JudgeConfig, case: GateConfig, memory: Memory, now: float, *, here: bool) -> Finding:
    """The first thing that is the case, in the order in which a gate may be answered.

    What has failed stays failed, what has no data waits, what is convicted fails, what is cleared passes, all else
    waits. `here` says whether the tallies are those of the stage that is asked about.
    """
    gate, text = case.gate, case.text
    if text in memory["failed"]:
        return Finding.RECORDED
    if gate.delay:
        memory = delayed.own(memory, case)
    served = tally.samples(case, memory["tally"]["canary"]) if here else 0.0
    missing = _missing(case, memory, served, now)
    if missing is not None:
        return missing
    if case.kind == "readings":
        return of_readings(case, memory)
    if served < (gate.min_samples or 0):
        return Finding.TOO_FEW
    evidence = memory["evidence"][text]
    log_e = memory["combined"].get(text, evidence["log_e"])
    if gate.on_breach != "rollback" and log_e >= config.fails_at:
        return Finding.CONVICTED
    if not memory["settled"]:
        return Finding.MOVING
    log_clear = evidence["log_clear"] if here else 0.0
    if log_clear >= config.passes_at and log_e + log(max(case.weight, 1e-9)) < 0:
        return Finding.CLEARED
    return Finding.OPEN


def of_readings(case: GateConfig, memory: Memory) -> Finding:
    """What is the case with a gate that counts readings beyond a limit and has some."""
    looks = memory["looks"][case.text]
    if looks["breaches"] > case.gate.failures:
        return Finding.BREACHED
    if looks["looks"] == 0:
        too_few = case.gate.min_samples is not None and looks["samples"] < case.gate.min_samples
        return Finding.TOO_FEW if too_few else Finding.FILLING
    if not memory["settled"]:
        return Finding.MOVING
    return Finding.FORGIVEN if looks["beyond"] else Finding.FINE


def patience(memory: Memory) -> float:
    """Seconds after which data is stale."""
    return max(STALE_SECONDS, STALE_INTERVALS * float(memory["interval"]))


def _missing(case: GateConfig, memory: Memory, served: float, now: float) -> Finding | None:
    """What data is missing; None when all is there."""
    unpicked = case.relative and case.series == "histogram" and case.text not in memory["picks"]
    if unpicked and memory["history"].get(case.name):
        return Finding.LEARNING
    delay = case.gate.delay or 0.0
    if delay:
        ripe_at = delayed.ripe_at(memory, case)
        if ripe_at is not None and now < ripe_at:
            return Finding.TOO_YOUNG
    told = memory["told"].get(case.text)
    if told is None or memory["began"] is None:
        return Finding.SILENT
    if now - told > patience(memory) + 2 * delay / delayed.SLOTS:
        return Finding.STALE
    if case.kind != "readings":
        return Finding.UNSERVED if served == 0 else None
    return Finding.UNREAD if case.text not in memory["looks"] else None
