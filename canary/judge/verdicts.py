"""The verdicts of a stage, from what the judge remembers. Called by `judge.py`; changes nothing.

The order of `_verdict` is the order in which a gate may be answered: what has failed stays failed, what has no data
waits, what is convicted fails, what is cleared passes, all else waits and says for what.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from canary.judge import blame, delayed, segments, sentences, share_check
from canary.judge.docket import Case, Docket
from canary.judge.evidence import Evidence
from canary.judge.facts import Facts, Memory, known_bounds
from canary.spec.models import CanarySpec
from canary.verdict import Answer, GateVerdict, Judgement
from canary.wording import duration

HARD_STOP = "hard stop"
STALE_INTERVALS, STALE_SECONDS = 3.0, 15.0
"""Data older than so many scrapes, and than so many seconds, is stale."""


def judgement(spec: CanarySpec, docket: Docket, memory: Memory, stage: int, now: float) -> Judgement:
    """All gates of the stage, and the judge's own checks where they have something to say."""
    known = known_bounds(memory)
    here = memory["tally_stage"] == stage
    gates: list[GateVerdict] = []
    listed = set()
    for case in _asked(spec, docket, stage):
        listed.add(case.text)
        answer = _by_segments if segments.named(memory, case) else _of_all
        gates.append(answer(docket, case, memory, known, now, here=here))
    gates += [recorded(text, kept) for text, kept in memory["failed"].items() if text not in listed]
    if share_check.fails(memory["share"], docket.alpha):
        gates.append(share_check.verdict(memory["share"], memory["tally"]))
    return Judgement(tuple(gates), problem=_shared_cause(docket, memory, stage))


def steady_until(spec: CanarySpec, docket: Docket, memory: Memory, stage: int, now: float) -> float | None:
    """Until when `judgement` gives the same answer if nothing new is heard; None where the time is part of it."""
    told, looks = memory["told"], memory["looks"]
    until = math.inf
    for case in _asked(spec, docket, stage):
        if case.gate.by is not None or case.gate.delay:
            return None
        last, readings = told.get(case.text), looks.get(case.text)
        if last is None or memory["began"] is None or (readings is not None and readings["looks"] == 0):
            return None
        until = min(until, last + _patience(memory))
    return until if now <= until else None


def _asked(spec: CanarySpec, docket: Docket, stage: int) -> tuple[Case, ...]:
    """The stage's gates that can be judged: at 100 % there is no stable to compare with."""
    cases = docket.by_stage[stage]
    return cases if spec.stages[stage].traffic < 1 else tuple(case for case in cases if not case.relative)


def _patience(memory: Memory) -> float:
    """Seconds after which data is stale."""
    return max(STALE_SECONDS, STALE_INTERVALS * float(memory["interval"]))


def recorded(gate: str, kept: Mapping[str, Any]) -> GateVerdict:
    """A failure as it was written down when it was found."""
    return GateVerdict(gate, Answer.FAIL, **kept)


def _of_all(
    docket: Docket, case: Case, memory: Memory, known: dict[str, list[float]], now: float, *, here: bool
) -> GateVerdict:
    """A gate's answer from all traffic together."""
    return _verdict(docket, case, Facts(docket, memory, case, known, here=here), now)


def _by_segments(
    docket: Docket, case: Case, memory: Memory, _known: dict[str, list[float]], now: float, *, here: bool
) -> GateVerdict:
    """A gate's answer from its worst segment: it passes only where all traffic together and every segment pass."""
    if case.text in memory["failed"]:
        return recorded(case.text, memory["failed"][case.text])
    asked = [view for view in segments.views(memory, case) if segments.waited_for(view, memory)]
    asked.sort(key=lambda view: -float(view.memory["evidence"][case.text]["log_e"]))
    answers = [_of_all(docket, view.case, view.memory, known_bounds(view.memory), now, here=here) for view in asked]
    still_open = [answer for answer in answers if answer.verdict is not Answer.PASS]
    if not still_open:
        of = sentences.of_segments(case.gate.by or "", len(asked) - 1)
        return replace(answers[0], why=f"{answers[0].why} {of}")
    more = sentences.open_too(len(still_open) - 1)
    return replace(still_open[0], why=f"{still_open[0].why}{more}")


def _verdict(docket: Docket, case: Case, facts: Facts, now: float) -> GateVerdict:
    """One gate's answer."""
    gate, memory = case.gate, facts.memory
    if gate.text in memory["failed"]:
        return recorded(gate.text, memory["failed"][gate.text])
    missing = _missing(facts, now)
    if missing:
        more = facts.requests_missing(docket.beta) if case.rule is not None else None
        return facts.verdict(Answer.WAIT, missing + sentences.would_do(more), eta=facts.seconds_for(more))
    if case.kind == "readings":
        return by_readings(case, facts, now)
    if facts.n_canary < (gate.min_samples or 0):
        lacking = (gate.min_samples or 0) - facts.n_canary
        why = sentences.too_few(case, facts.values, lacking)
        return facts.verdict(Answer.WAIT, why, "sequential", facts.seconds_for(lacking))
    if gate.on_breach != "rollback" and facts.log_e >= facts.needed:
        return facts.failed()
    if not memory["settled"]:
        return facts.verdict(Answer.WAIT, sentences.not_in_force(case))
    if facts.log_clear >= math.log(1 / docket.beta) and facts.log_e + math.log(max(case.weight, 1e-9)) < 0:
        return facts.verdict(Answer.PASS, sentences.passed(case, facts.values, 1 - docket.beta), "sequential")
    if _stable_is_beyond(facts):
        why = sentences.stable_beyond(case, facts.values)
        return facts.verdict(Answer.WAIT, why, "blame")
    more = facts.requests_missing(docket.beta)
    eta = facts.seconds_for(more)
    why = sentences.waiting(case, facts.values, more, eta, 1 - docket.beta, beyond=facts.beyond, buckets=facts.buckets)
    return facts.verdict(Answer.WAIT, why, "sequential", eta)


def _missing(facts: Facts, now: float) -> str:
    """What data is missing and for how long; empty when all is there."""
    case, memory = facts.case, facts.memory
    told = memory["told"].get(case.text)
    because = f" ({'; '.join(memory['problems'])})" if memory["problems"] else ""
    history = memory["history"].get(case.name) if case.series == "histogram" else None
    if case.relative and history and case.text not in memory["picks"]:
        return f"{case.spoken}: learning what is usual for stable, {sentences.many(history[-1])} requests so far"
    ripe_at = delayed.ripe_at(memory, case) if case.gate.delay else None
    if ripe_at is not None and now < ripe_at:
        return sentences.too_young(case, ripe_at - now)
    if told is None or facts.memory["began"] is None:
        began = memory["began"]
        waited = f" for {duration(max(now - began, 0.0))}" if began is not None else " yet"
        return f"{case.spoken}: no data from the canary{waited}{because}"
    if now - told > _patience(memory) + 2 * (case.gate.delay or 0.0) / delayed.SLOTS:
        return f"{case.spoken}: nothing new for {duration(now - told)}{because}; the last numbers are too old"
    if facts.n_canary == 0 and case.kind != "readings":
        return f"{case.spoken}: no requests at this stage's weights yet{because}"
    if case.kind == "readings" and case.text not in memory["looks"]:
        return f"{case.spoken}: no reading at this stage's weights yet{because}"
    return ""


def by_readings(case: Case, facts: Facts, now: float) -> GateVerdict:
    """The answer of a gate that counts readings beyond a limit."""
    gate, looks = case.gate, facts.memory["looks"][case.text]
    values = sentences.reading(case, facts.canary, facts.stable, facts.limit)
    if looks["breaches"] > gate.failures:
        why = sentences.too_many_breaches(case, values, looks)
        return facts.verdict(Answer.FAIL, why, "threshold", harm_began=looks["first_breach"])
    if looks["looks"] == 0:
        if gate.min_samples is not None and looks["samples"] < gate.min_samples:
            return facts.verdict(Answer.WAIT, sentences.too_few(case, values, gate.min_samples - looks["samples"]))
        left = max(looks["since"] + (gate.window or 0.0) - now, 0.0)
        return facts.verdict(Answer.WAIT, sentences.filling_window(case, left), eta=left)
    if not facts.memory["settled"]:
        return facts.verdict(Answer.WAIT, sentences.not_in_force(case))
    if looks["beyond"]:
        return facts.verdict(Answer.WAIT, sentences.forgiven(case, values, looks), "threshold")
    return facts.verdict(Answer.PASS, sentences.readings_fine(case, values, looks), "threshold")


def _stable_is_beyond(facts: Facts) -> bool:
    """Whether stable itself breaks the limit at present, so that breaking it says little about the canary."""
    rule = facts.case.rule
    if rule is None or rule.limit is None:
        return False
    e = Evidence.of(facts.evidence)
    return blame.stable_beyond(e.fast, rule.limit, e.clearing_noise)


def _shared_cause(docket: Docket, memory: Memory, stage: int) -> str:
    """Both arms worse than stable's own history at once: nobody's fault in particular; empty otherwise."""
    for case in docket.by_stage[stage]:
        if case.kind != "counts" or case.text in memory["failed"]:
            continue
        kept = memory["evidence"][case.text]
        (xv, nv, xc, nc), (x, n, blocks) = kept["fast"], kept["usual"]
        if blocks < blame.LEARNT or n <= 0 or nv <= 0 or nc <= 0 or xv * n <= x * nv or xc * n <= x * nc:
            continue
        noise = Evidence.of(kept).clearing_noise
        if blame.above(xv, nv, x / n, noise) and blame.above(xc, nc, x / n, noise):
            return sentences.shared_cause(case, xv / nv, xc / nc, x / n)
    return ""
