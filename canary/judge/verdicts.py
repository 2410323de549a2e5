"""The verdicts of a stage, from what the judge remembers. Called by `judge.py`; changes nothing.

Which answer each gate gets is found in `findings.py` at every pass; the numbers and the sentence that go with it are
worked out here, and only when somebody reads them.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from canary.judge import blame, delayed, findings, replica_share, segments, sentences, share_check
from canary.judge.config import GateConfig, JudgeConfig
from canary.judge.evidence import Evidence
from canary.judge.facts import Facts, Memory, known_bounds
from canary.judge.findings import Finding
from canary.verdict import Answer, GateVerdict, Judgement
from canary.wording import duration

HARD_STOP = "hard stop"


def judgement(config: JudgeConfig, memory: Memory, stage: int, now: float) -> Judgement:
    """All gates of the stage, and the judge's own checks where they have something to say."""
    here = memory["tally_stage"] == stage
    gates: list[GateVerdict] = []
    listed = set()
    for case in _asked(config, stage):
        listed.add(case.text)
        answer = _by_segments if segments.named(memory, case) else _of_all
        gates.append(answer(config, case, memory, now, here=here))
    gates += [recorded(text, kept) for text, kept in memory["failed"].items() if text not in listed]
    if share_check.fails(memory["share"], config.alpha):
        gates.append(share_check.verdict(memory["share"], memory["tally"]))
    if replica_share.fails(memory["replicas"], config.alpha):
        gates.append(replica_share.verdict(memory["replicas"]))
    return Judgement(tuple(gates), problem=_shared_cause(config, memory, stage))


def steady_until(config: JudgeConfig, memory: Memory, stage: int, now: float) -> float | None:
    """Until when `judgement` gives the same answer if nothing new is heard; None where the time is part of it."""
    told, looks, patience = memory["told"], memory["looks"], findings.patience(memory)
    until = math.inf
    for case in _asked(config, stage):
        if case.gate.by is not None or case.gate.delay:
            return None
        last, readings = told.get(case.text), looks.get(case.text)
        if last is None or memory["began"] is None or (readings is not None and readings["looks"] == 0):
            return None
        until = min(until, last + patience)
    return until if now <= until else None


def _asked(config: JudgeConfig, stage: int) -> tuple[GateConfig, ...]:
    """The stage's gates that can be judged: at 100 % there is no stable to compare with."""
    cases = config.by_stage[stage]
    return cases if config.spec.stages[stage].traffic < 1 else tuple(case for case in cases if not case.relative)


def recorded(gate: str, kept: Mapping[str, Any]) -> GateVerdict:
    """A failure as it was written down when it was found."""
    return GateVerdict(gate, Answer.FAIL, **kept)


def _of_all(config: JudgeConfig, case: GateConfig, memory: Memory, now: float, *, here: bool) -> GateVerdict:
    """A gate's answer from all traffic together."""
    finding = findings.find(config, case, memory, now, here=here)
    if finding is Finding.RECORDED:
        return recorded(case.text, memory["failed"][case.text])
    return GateVerdict.decided(case.text, finding.answer, partial(_told, config, case, memory, finding, now, here=here))


def _by_segments(config: JudgeConfig, case: GateConfig, memory: Memory, now: float, *, here: bool) -> GateVerdict:
    """A gate's answer from its worst segment: it passes only where all traffic together and every segment pass."""
    if case.text in memory["failed"]:
        return recorded(case.text, memory["failed"][case.text])
    asked = [view for view in segments.views(memory, case) if segments.waited_for(view, memory)]
    asked.sort(key=lambda view: -float(view.memory["evidence"][case.text]["log_e"]))
    found = [(view, findings.find(config, view.case, view.memory, now, here=here)) for view in asked]
    still_open = [pair for pair in found if pair[1].answer is not Answer.PASS]
    view, finding = (still_open or found)[0]
    if still_open:
        besides = sentences.open_too(len(still_open) - 1)
    else:
        besides = f" {sentences.of_segments(case.gate.by or '', len(asked) - 1)}"

    def told() -> GateVerdict:
        worst = _told(config, view.case, view.memory, finding, now, here=here)
        return replace(worst, why=f"{worst.why}{besides}")

    return GateVerdict.decided(case.text, finding.answer, told)


def _told(
    config: JudgeConfig, case: GateConfig, memory: Memory, finding: Finding, now: float, *, here: bool
) -> GateVerdict:
    """What was found about a gate, with its numbers and in words."""
    facts = Facts(config, memory, case, known_bounds(memory), here=here)
    if finding in findings.MISSING:
        more = facts.samples_missing(config.beta) if case.rule is not None else None
        why = _missing(facts, finding, now) + sentences.would_do(case, more)
        return facts.verdict(Answer.WAIT, why, eta=facts.seconds_for(more))
    if case.kind == "readings":
        return by_readings(case, facts, now)
    match finding:
        case Finding.TOO_FEW:
            lacking = (case.gate.min_samples or 0) - facts.n_canary
            why = sentences.too_few(case, facts.values, lacking)
            return facts.verdict(Answer.WAIT, why, "sequential", facts.seconds_for(lacking))
        case Finding.CONVICTED:
            return facts.failed()
        case Finding.MOVING:
            return facts.verdict(Answer.WAIT, sentences.not_in_force(case))
        case Finding.CLEARED:
            return facts.verdict(Answer.PASS, sentences.passed(case, facts.values, 1 - config.beta), "sequential")
        case _:
            return _waiting(facts)


def _waiting(facts: Facts) -> GateVerdict:
    """Shown neither way: because stable is no better, or for how many more requests."""
    case, beta = facts.case, facts.config.beta
    if _stable_is_beyond(facts):
        return facts.verdict(Answer.WAIT, sentences.stable_beyond(case, facts.values), "blame")
    more = facts.samples_missing(beta)
    eta = facts.seconds_for(more)
    why = sentences.waiting(case, facts.values, more, eta, 1 - beta, beyond=facts.beyond, buckets=facts.buckets)
    return facts.verdict(Answer.WAIT, why, "sequential", eta)


def _missing(facts: Facts, finding: Finding, now: float) -> str:
    """What data is missing and for how long."""
    case, memory = facts.case, facts.memory
    because = f" ({'; '.join(memory['problems'])})" if memory["problems"] else ""
    match finding:
        case Finding.LEARNING:
            seen = sentences.many(memory["history"][case.name][-1])
            return f"{case.spoken}: learning what is usual for stable, {seen} {case.counted} so far"
        case Finding.TOO_YOUNG:
            return sentences.too_young(case, (delayed.ripe_at(memory, case) or now) - now)
        case Finding.SILENT:
            began = memory["began"]
            waited = f" for {duration(max(now - began, 0.0))}" if began is not None else " yet"
            return f"{case.spoken}: no data from the canary{waited}{because}"
        case Finding.STALE:
            age = duration(now - memory["told"][case.text])
            return f"{case.spoken}: nothing new for {age}{because}; the last numbers are too old"
        case Finding.UNSERVED:
            return f"{case.spoken}: no requests at this stage's weights yet{because}"
        case _:
            return f"{case.spoken}: no reading at this stage's weights yet{because}"


def by_readings(case: GateConfig, facts: Facts, now: float) -> GateVerdict:
    """The answer of a gate that counts readings beyond a limit."""
    gate, looks = case.gate, facts.memory["looks"][case.text]
    values = sentences.reading(case, facts.canary, facts.stable, facts.limit)
    match findings.of_readings(case, facts.memory):
        case Finding.BREACHED:
            why = sentences.too_many_breaches(case, values, looks)
            return facts.verdict(Answer.FAIL, why, "threshold", harm_began=looks["first_breach"])
        case Finding.TOO_FEW:
            lacking = (gate.min_samples or 0) - looks["samples"]
            return facts.verdict(Answer.WAIT, sentences.too_few(case, values, lacking))
        case Finding.FILLING:
            left = max(looks["since"] + (gate.window or 0.0) - now, 0.0)
            return facts.verdict(Answer.WAIT, sentences.filling_window(case, left), eta=left)
        case Finding.MOVING:
            return facts.verdict(Answer.WAIT, sentences.not_in_force(case))
        case Finding.FORGIVEN:
            return facts.verdict(Answer.WAIT, sentences.forgiven(case, values, looks), "threshold")
        case _:
            return facts.verdict(Answer.PASS, sentences.readings_fine(case, values, looks), "threshold")


def _stable_is_beyond(facts: Facts) -> bool:
    """Whether stable itself breaks the limit at present, so that breaking it says little about the canary."""
    rule = facts.case.rule
    if rule is None or rule.limit is None:
        return False
    e = Evidence.of(facts.evidence)
    return blame.stable_beyond(e.fast, rule.limit, e.clearing_noise)


def _shared_cause(config: JudgeConfig, memory: Memory, stage: int) -> str:
    """Both arms worse than stable's own history at once: nobody's fault in particular; empty otherwise."""
    for case in config.by_stage[stage]:
        if case.kind != "counts" or case.text in memory["failed"]:
            continue
        kept = memory["evidence"][case.text]
        (xv, nv, xc, nc), (x, n, blocks) = kept["fast"], kept["usual"]
        if blocks < blame.LEARNT or n <= 0 or xv * n <= blame.WORSE * x * nv or xc * n <= blame.WORSE * x * nc:
            continue  # whatever the noise is
        noise = Evidence.of(kept).clearing_noise
        if blame.above(xv, nv, x / n, noise) and blame.above(xc, nc, x / n, noise):
            return sentences.shared_cause(case, xv / nv, xc / nc, x / n)
    return ""
